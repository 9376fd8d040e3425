%%% @doc Makes messages that a host can schedule of what a Compute Unit returned. Plain data and plain functions.
%%% All input is remote: no message may make a host read its whole store, claim something in our name, or crash.
-module(hb_cron_message).

-export([items/1, left/2, from_item/3, field/2]).

-export_type([item/0, message/0]).

-type item() :: {Kind :: binary(), What :: term()}.
%% One entry of a result's `<<"Messages">>' or `<<"Spawns">>'.

-type message() :: #{binary() => binary()}.

%% Tags that the host would take for its own: the path to a device, the slot; and those that a host's codecs read
%% as instructions: how to read the body, who signed what, and under which keys it lies.
-define(RESERVED, [<<"path">>, <<"device">>, <<"method">>, <<"slot">>,
                   <<"ao-types">>, <<"ao-ids">>, <<"content-type">>, <<"content-disposition">>, <<"content-digest">>,
                   <<"body-keys">>, <<"inline-body-key">>,
                   <<"commitments">>, <<"signature">>, <<"signature-input">>, <<"x-signature-input">>,
                   <<"original-tags">>, <<"trusted-keys">>,
                   <<"bundle-format">>, <<"bundle-version">>, <<"bundle-map">>]).
%% All names with these prefixes: the host's private part, and its record of how a message was made.
-define(RESERVED_PREFIXES, [<<"priv">>, <<"hashpath">>]).
%% In a part of a body, a host's codec writes a field on a line of its own: name, colon, space, value.
-define(LINE_END, <<"\r\n">>).
-define(NAME_END, <<": ">>).

%% @doc All items that are to be sent, in order, and the number of assignments, which no host takes.
-spec items(Result :: map()) -> {ok, [item()], Assignments :: non_neg_integer()} | {error, {bad_result, Key :: binary()}}.
items(Result) ->
    case [Key || Key <- [<<"Messages">>, <<"Spawns">>, <<"Assignments">>], not is_list(field(Key, Result))] of
        [] ->
            Items = [{Kind, What} || Kind <- [<<"Messages">>, <<"Spawns">>], What <- field(Kind, Result)],
            {ok, Items, length(field(<<"Assignments">>, Result))};
        [Key | _] ->
            {error, {bad_result, Key}}
    end.

%% @doc The value of a key of an object; the empty list if it is missing or null.
-spec field(Key :: binary(), Object :: map()) -> term().
field(Key, Object) ->
    case Object of
        #{Key := Value} when Value =/= null -> Value;
        #{} -> []
    end.

%% @doc The result with only these items, and without its assignments.
-spec left([item()], Result :: map()) -> map().
left(Items, Result) ->
    Of = fun(Kind) -> [What || {Of, What} <- Items, Of =:= Kind] end,
    Result#{<<"Messages">> => Of(<<"Messages">>), <<"Spawns">> => Of(<<"Spawns">>), <<"Assignments">> => []}.

%% @doc The message of an item of `Source', and its target. `Key' writes a lower-case key in the host's way.
-spec from_item(What :: term(), Source :: binary(), Key :: fun((binary()) -> binary())) ->
    {ok, Target :: binary(), message()}
    | {error, {bad_target | bad_field | bad_tags, term()} | bad_item}.
from_item(#{} = What, Source, Key) ->
    case What of
        #{<<"Target">> := Target} when is_binary(Target) ->
            %% An empty target makes a host read its whole store.
            case hb_cron_process_id:is_valid(Target) of
                true -> to(Target, What, Source, Key);
                false -> {error, {bad_target, Target}}
            end;
        #{} ->
            {error, {bad_target, maps:get(<<"Target">>, What, undefined)}}
    end;
from_item(_What, _Source, _Key) ->
    {error, bad_item}.

to(Target, What, Source, Key) ->
    try
        Tags = tags(field(<<"Tags">>, What)),
        Anchor = [{<<"anchor">>, line(<<"Anchor">>, A)} || A <- [maps:get(<<"Anchor">>, What, null)], A =/= null],
        %% Ours come last, so that a tag of the same name does not replace them.
        Fields = Tags ++ Anchor ++
            [{<<"target">>, Target},
             {<<"data">>, case field(<<"Data">>, What) of [] -> <<>>; Data -> text(<<"Data">>, Data) end},
             {<<"type">>, <<"Message">>},
             {<<"data-protocol">>, <<"ao">>},
             {<<"from-process">>, Source}],
        {ok, Target, maps:from_list([{Key(Name), Value} || {Name, Value} <- Fields])}
    catch
        throw:Reason -> {error, Reason}
    end.

tags(Tags) when is_list(Tags) ->
    [{Name, Value} || Tag <- Tags, {Name, Value} <- [tag(Tag)], not is_reserved(Name)];
tags(Other) ->
    throw({bad_tags, Other}).

tag(#{<<"name">> := Name, <<"value">> := Value} = Tag) when is_binary(Name), Name =/= <<>> ->
    binary:match(Name, [?LINE_END, ?NAME_END]) =:= nomatch orelse throw({bad_tags, Tag}),
    {lower(Name), line(Name, Value)};
tag(Other) ->
    throw({bad_tags, Other}).

is_reserved(Name) ->
    lists:member(Name, ?RESERVED) orelse
        lists:any(fun(Prefix) -> string:prefix(Name, Prefix) =/= nomatch end, ?RESERVED_PREFIXES).

%% As hosts do, so that no other letter becomes one of a reserved name: the Kelvin sign is a k in lower case.
lower(Name) ->
    try string:lowercase(Name)
    catch error:_ -> throw({bad_tags, Name})
    end.

%% A text without line breaks.
line(Key, Value) ->
    Text = text(Key, Value),
    binary:match(Text, ?LINE_END) =:= nomatch orelse throw({bad_field, Key}),
    Text.

%% The protocol knows texts. A number is converted to text, since a host's codec would fail on a long one.
text(_Key, Text) when is_binary(Text) -> Text;
text(_Key, Integer) when is_integer(Integer) -> integer_to_binary(Integer);
text(_Key, Float) when is_float(Float) -> float_to_binary(Float, [short]);
text(_Key, Boolean) when is_boolean(Boolean) -> atom_to_binary(Boolean);
text(Key, _Other) -> throw({bad_field, Key}).
