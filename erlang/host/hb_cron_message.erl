%%% @doc Makes messages that a host can schedule of what a Compute Unit returned. Plain data and plain functions.
%%% All input is remote: no message may make a host read its whole store, claim something in our name, or crash.
%%% {@link hb_cron_delivery} signs and schedules them.
-module(hb_cron_message).

-export([items/1, left/2, undelivered/2, from_item/3, fields/4, tags/1, field/2]).

-export_type([item/0, message/0, key/0]).

-type item() :: {Kind :: binary(), What :: term()}.
%% One entry of a result's `<<"Messages">>', `<<"Spawns">>' or `<<"Assignments">>': as the CU gave it, or what is
%% left of it, see {@link hb_cron_delivery}.

-type message() :: #{binary() => binary() | [binary()]}.

-type key() :: fun((Lower :: binary()) -> binary() | unwritable).
%% Writes a lower-case key in the host's way.

-define(KINDS, [<<"Messages">>, <<"Spawns">>, <<"Assignments">>]).

%% Tags that the host would take for its own: the path to a device, the slot; and those that a host's codecs read
%% as instructions: how to read the body, who signed what, and under which keys it lies.
-define(RESERVED, [<<"path">>, <<"device">>, <<"method">>, <<"slot">>,
                   <<"ao-types">>, <<"ao-ids">>, <<"content-type">>, <<"content-disposition">>, <<"content-digest">>,
                   <<"body-keys">>, <<"inline-body-key">>,
                   <<"commitments">>, <<"signature">>, <<"signature-input">>, <<"x-signature-input">>,
                   <<"original-tags">>, <<"trusted-keys">>,
                   <<"bundle-format">>, <<"bundle-version">>, <<"bundle-map">>]).
%% Tags that name the origin of a message. Receivers trust them because the node signs them, so no result sets them.
-define(ORIGIN, [<<"from-process">>, <<"from-module">>, <<"from-base">>, <<"from-uncommitted">>,
                 <<"from-scheduler">>, <<"from-authority">>]).
%% All names with these prefixes: the host's private part, and its record of how a message was made.
-define(RESERVED_PREFIXES, [<<"priv">>, <<"hashpath">>]).
%% A host replaces the value of such a key with the stored message that it names.
-define(LINK, <<"+link">>).
%% In a part of a body, a host's codec writes a field on a line of its own: name, colon, space, value.
-define(LINE_END, <<"\r\n">>).
-define(NAME_END, <<": ">>).

%% @doc All items of a result, in the order in which they are sent.
-spec items(Result :: map()) -> {ok, [item()]} | {error, {bad_result, Key :: binary()}}.
items(Result) ->
    case [Key || Key <- ?KINDS, not is_list(field(Key, Result))] of
        [] -> {ok, [{Kind, What} || Kind <- ?KINDS, What <- field(Kind, Result)]};
        [Key | _] -> {error, {bad_result, Key}}
    end.

%% @doc The value of a key of an object; the empty list if it is missing or null.
-spec field(Key :: binary(), Object :: map()) -> term().
field(Key, Object) ->
    case Object of
        #{Key := Value} when Value =/= null -> Value;
        #{} -> []
    end.

%% @doc The result with only these items.
-spec left([item()], Result :: map()) -> map().
left(Items, Result) ->
    lists:foldl(fun(Kind, Left) -> Left#{Kind => [What || {Of, What} <- Items, Of =:= Kind]} end, Result, ?KINDS).

%% @doc The result with the items that `Keep' selects; `none' if it has others only.
-spec undelivered(Keep :: fun((What :: term()) -> boolean()), Result :: map()) -> map() | none.
undelivered(Keep, Result) ->
    case items(Result) of
        {ok, [_ | _] = Items} ->
            case [Item || {_, What} = Item <- Items, Keep(What)] of
                Items -> Result;
                [] -> none;
                Kept -> left(Kept, Result)
            end;
        _ ->
            Result
    end.

%% @doc The message of an item: its target, its fields, and the processes to which its tag `Assignments' assigns
%% it. `Own' are fields by lower-case name that no tag replaces.
-spec from_item(What :: term(), Own :: message(), key()) ->
    {ok, Target :: binary(), message(), Assigned :: [binary()]}
    | {error, {bad_target | bad_field | bad_tags | bad_assignments, term()} | bad_item}.
from_item(#{<<"Target">> := Target} = What, Own, Key) when is_binary(Target) ->
    %% An empty target makes a host read its whole store.
    case hb_cron_process_id:is_valid(Target) of
        true ->
            try
                Given = field(<<"Tags">>, What),
                Assigned = assigned(Given),
                {ok, Target, fields(What, Own#{<<"target">> => Target}, tags(Given), Key), Assigned}
            catch
                throw:Reason -> {error, Reason}
            end;
        false ->
            {error, {bad_target, Target}}
    end;
from_item(#{} = What, _Own, _Key) ->
    {error, {bad_target, maps:get(<<"Target">>, What, undefined)}};
from_item(_What, _Own, _Key) ->
    {error, bad_item}.

%% @doc The anchor and the data of an item, these tags of it, and `Own'. Without data the key is left out: hosts
%% cannot sign an empty value. Throws `{bad_field, _}' or `{bad_tags, _}'.
-spec fields(What :: map(), Own :: message(), [{Lower :: binary(), Value :: binary()}], key()) -> message().
fields(What, Own, Tags, Key) ->
    Anchor = case field(<<"Anchor">>, What) of
        [] -> [];
        <<>> -> [];
        GivenAnchor -> [{<<"anchor">>, line(<<"Anchor">>, GivenAnchor)}]
    end,
    Data = case field(<<"Data">>, What) of
        [] -> [];
        <<>> -> [];
        GivenData -> [{<<"data">>, text(<<"Data">>, GivenData)}]
    end,
    %% Ours come last, so that a tag of the same name does not replace them.
    maps:from_list([{written(Name, Key), Value} || {Name, Value} <- Tags ++ Anchor ++ Data ++ maps:to_list(Own)]).

written(Name, Key) ->
    case Key(Name) of
        unwritable -> throw({bad_tags, Name});
        Written -> Written
    end.

%% @doc The tags of an item by lower-case name, without reserved ones. Throws `{bad_field, _}' or `{bad_tags, _}'.
-spec tags(Tags :: term()) -> [{Lower :: binary(), Value :: binary()}].
tags(Tags) when is_list(Tags) -> [Tag || Given <- Tags, Tag <- tag(Given)];
tags(Other) -> throw({bad_tags, Other}).

tag(#{<<"name">> := Name, <<"value">> := Value} = Tag) when is_binary(Name), Name =/= <<>> ->
    Lower = lower(Name),
    is_readable(Lower) orelse throw({bad_tags, Tag}),
    case is_reserved(Lower) of
        true -> [];
        false -> [{Lower, line(Name, Value)}]
    end;
tag(Other) ->
    throw({bad_tags, Other}).

is_reserved(<<"assignments">>) -> true;
is_reserved(Name) ->
    lists:member(Name, ?RESERVED) orelse lists:member(Name, ?ORIGIN) orelse
        lists:any(fun(Prefix) -> string:prefix(Name, Prefix) =/= nomatch end, ?RESERVED_PREFIXES).

%% A host takes a slash for the path to a key of a key, which its signature does not cover.
is_readable(Name) ->
    binary:match(Name, [?LINE_END, ?NAME_END, <<"/">>]) =:= nomatch andalso not is_link(Name) andalso
        lists:all(fun(Byte) -> Byte >= $\s andalso Byte =/= 127 end, binary_to_list(Name)).

is_link(Name) ->
    byte_size(Name) >= byte_size(?LINK) andalso
        binary:part(Name, byte_size(Name), -byte_size(?LINK)) =:= ?LINK.

%% Only an array in this tag assigns something, as with a Messenger Unit.
assigned(Tags) when is_list(Tags) ->
    Processes = lists:append([Value || #{<<"name">> := Name, <<"value">> := Value} <- Tags, is_list(Value),
                                       is_binary(Name), lower(Name) =:= <<"assignments">>]),
    case [Process || Process <- Processes, not (is_binary(Process) andalso hb_cron_process_id:is_valid(Process))] of
        [] -> Processes;
        [Bad | _] -> throw({bad_assignments, Bad})
    end;
assigned(Other) ->
    throw({bad_tags, Other}).

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
