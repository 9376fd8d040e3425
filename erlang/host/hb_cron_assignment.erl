%%% @doc Reads an entry of a result's `Assignments', and makes the request by which a scheduler assigns a message to a
%%% process. Plain functions.
-module(hb_cron_assignment).

-export([new/1, path/2]).

%% @doc The processes of an entry, and what is assigned to each.
-spec new(What :: term()) ->
    {ok, Processes :: [binary()], hb_cron_delivery:assignment()} | {error, {bad_assignment, Key :: binary()}}.
new(#{} = What) ->
    Message = hb_cron_message:field(<<"Message">>, What),
    Processes = hb_cron_message:field(<<"Processes">>, What),
    Exclude = hb_cron_message:field(<<"Exclude">>, What),
    case {is_id(Message), are(fun is_id/1, Processes), are(fun is_name/1, Exclude)} of
        {false, _, _} -> {error, {bad_assignment, <<"Message">>}};
        {_, false, _} -> {error, {bad_assignment, <<"Processes">>}};
        {_, _, false} -> {error, {bad_assignment, <<"Exclude">>}};
        _ ->
            BaseLayer = lists:member(hb_cron_message:field(<<"BaseLayer">>, What), [true, <<"true">>]),
            {ok, Processes, #{message => Message, base_layer => BaseLayer, exclude => Exclude}}
    end;
new(_What) ->
    {error, {bad_assignment, <<>>}}.

%% @doc The path of the request to the scheduler of a process.
-spec path(ProcId :: binary(), hb_cron_delivery:assignment()) -> binary().
path(ProcId, #{message := Message, base_layer := BaseLayer, exclude := Exclude}) ->
    Query = [{"process-id", ProcId}, {"assign", Message}] ++
        [{"base-layer", true} || BaseLayer] ++
        [{"exclude", lists:join($,, Exclude)} || Exclude =/= []],
    iolist_to_binary(["/?", uri_string:compose_query([pair(Pair) || Pair <- Query])]).

pair({Key, true}) -> {Key, true};
pair({Key, Value}) -> {Key, unicode:characters_to_list(Value)}.

are(Is, List) -> is_list(List) andalso lists:all(Is, List).

is_id(Id) -> is_binary(Id) andalso hb_cron_process_id:is_valid(Id).

%% The name of a field that the assignment leaves out.
is_name(Name) -> is_binary(Name) andalso Name =/= <<>> andalso byte_size(Name) =< 1024.
