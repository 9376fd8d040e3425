%%% Double of an early host's items: built from JSON in jiffy's format.
-module(ar_bundles).
-export([json_struct_to_item/1]).

json_struct_to_item({Fields}) ->
    Tags = case lists:keyfind(<<"Tags">>, 1, Fields) of
        {_, List} -> [{Name, Value} || {[{<<"name">>, Name}, {<<"value">>, Value}]} <- [{lists:sort(Tag)} || {Tag} <- List]];
        false -> []
    end,
    Of = fun(Key) -> case lists:keyfind(Key, 1, Fields) of {_, Value} -> Value; false -> <<>> end end,
    {tx, Of(<<"Target">>), Of(<<"Anchor">>), Tags, Of(<<"Data">>)}.
