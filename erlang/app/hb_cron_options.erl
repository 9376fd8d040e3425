%%% @doc Reads options: from the caller's map, then from the host, then the default. {@link hb_cron_option_table}
%%% declares them.
-module(hb_cron_options).

-export([for_monitor/2, settings/1, moved/2, is_paused/1, set_paused/2, is_supervised/1, for_library/3, pack/1, for_node/0,
         describe/0, sources/0]).
-export([rate/1, cursor/1]).

-export_type([monitor/0, node_options/0, cursor/0]).

-type cursor() :: binary() | undefined | earliest.
%% A binary: after the result with this cursor. `earliest': with the first result. `undefined': after the newest
%% result that the CU has when it first answers.

-type monitor() :: #{
    rate := 1..16#ffffffff,
    cursor := cursor(),
    routed := boolean(),
    kept := map(),
    logger := hb_cron_host_logger:logger(),
    cron_push := term(),
    settings := hb_cron_settings:shared(),
    paused => true,
    supervised => true,
    own_logger => true,
    registered => true,
    token => hb_cron_restarts:token()
}.
%% The options of one monitor; rare ones are present only if they are set. `settings': all other options of scope
%% monitor. `routed': the host chose the node, which may change. `own_logger': the logger was started for this
%% monitor, and ends with it. `registered': it was registered before, so it continues from the checkpoint. `token':
%% it is a planned start.

-type node_options() :: #{atom() => term()}.
%% All options of scope node, see docs/options.md.

%% The longest cursor, in bytes. The library has the same bound for cursors of CUs.
-define(MAX_CURSOR, 4096).

%% @doc All options of the monitor of `ProcId', from those of a caller. Raises `{bad_rate, Term}', `{bad_cursor,
%% Term}' or `{bad_option, Key, Value}'. URLs with user information are sealed ({@link hb_cron_secret}).
-spec for_monitor(ProcId :: binary(), Given :: map()) -> monitor().
for_monitor(ProcId, MaybeSealed) ->
    Given = hb_cron_secret:reveal_options(MaybeSealed),
    Rate = case maps:find(rate, Given) of
        {ok, GivenRate} -> rate(GivenRate);
        error -> default_rate()
    end,
    Cursor = cursor(maps:get(cursor, Given, undefined)),
    Logger = maps:get(logger, Given, undefined),
    is_pid(Logger) orelse Logger =:= undefined orelse bad(logger, Logger),
    Paused = maps:get(paused, Given, false),
    is_boolean(Paused) orelse bad(paused, Paused),
    Rest = maps:without([rate, cursor, logger, paused], Given),
    Table = hb_cron_option_table:entries(),
    maps:foreach(fun(Key, Value) -> given(lists:keyfind(Key, 1, Table), Key, Value) end, Rest),
    Own = [{Key, value(Entry, Rest)} || {Key, monitor, _, _, _, _} = Entry <- Table],
    #{cron_node := Node} = All = maps:from_list(Own),
    %% A fun is not shared: it would outlive the code that it belongs to.
    Nodes = hb_cron_secret:seal(node_list(Node, ProcId)),
    {Push, Settings} = maps:take(cron_push, All#{cron_node := Nodes}),
    Made = #{rate => Rate, cursor => Cursor, logger => Logger, routed => Node =:= undefined, kept => hb_cron_secret:seal_options(kept(Given)),
             cron_push => Push, settings => hb_cron_settings:share(Settings)},
    %% Set only if true, since nearly no monitor is paused.
    maps:merge(maps:from_list([{paused, true} || Paused]), Made).

%% @doc The settings, with `cron_push'.
-spec settings(monitor()) -> #{atom() => term()}.
settings(#{settings := Shared, cron_push := Push}) ->
    Settings = hb_cron_settings:get(Shared),
    Settings#{cron_push => Push}.

%% @doc The same options with other nodes.
-spec moved([binary(), ...], monitor()) -> monitor().
moved(Nodes, #{settings := Shared} = Options) ->
    Settings = hb_cron_settings:get(Shared),
    Sealed = hb_cron_secret:seal(Nodes),
    Options#{settings := hb_cron_settings:share(Settings#{cron_node := Sealed})}.

%% @doc Whether the monitor is paused.
-spec is_paused(monitor()) -> boolean().
is_paused(Options) -> maps:get(paused, Options, false).

%% @doc Whether the monitor is in a supervisor of the host's.
-spec is_supervised(monitor()) -> boolean().
is_supervised(Options) -> maps:get(supervised, Options, false).

%% @doc The same options with the pause changed, also in what the checkpoint keeps.
-spec set_paused(boolean(), monitor()) -> monitor().
set_paused(true, #{kept := Kept} = Options) -> Options#{paused => true, kept := Kept#{paused => true}};
set_paused(false, #{kept := Kept} = Options) -> maps:remove(paused, Options#{kept := maps:remove(paused, Kept)}).

%% The part of the given options that a checkpoint keeps for a restart: neither the cursor nor what does not
%% outlive a node.
kept(Given) ->
    maps:filter(fun(Key, Value) ->
        Key =/= cursor andalso {Key, Value} =/= {paused, false} andalso
            not is_pid(Value) andalso not is_function(Value)
    end, Given).

%% The base URLs, tried in turn.
node_list(undefined, ProcId) ->
    {_Source, Nodes} = hb_cron_router:nodes_of(ProcId),
    Entry = lists:keyfind(cron_node, 1, hb_cron_option_table:entries()),
    [check(Entry, Node) || Node <- Nodes];
node_list([Char | _] = Node, _) when is_integer(Char) ->
    [unicode:characters_to_binary(Node)];
node_list(Nodes, _) when is_list(Nodes) ->
    [unicode:characters_to_binary(Node) || Node <- Nodes];
node_list(Node, _) ->
    [Node].

%% @doc The options that the library gets for a monitor that begins at `Cursor'.
-spec for_library(ProcId :: binary(), cursor(), monitor()) -> hb_process_monitor_nif:monitor_options().
for_library(ProcId, Cursor, Options) ->
    #{rate := Rate, kept := Kept, settings := Shared} = Options,
    #{cron_node := Nodes, cron_page_limit := PageLimit, cron_timeout := Timeout,
      cron_connect_timeout := ConnectTimeout, cron_first_byte_timeout := FirstByteTimeout,
      cron_max_page_bytes := MaxPageBytes, cron_walk_after := WalkAfter,
      cron_stale_after := StaleAfter, cron_max_ahead := MaxAhead} = hb_cron_settings:get(Shared),
    #{process => ProcId, rate => Rate, cursor => Cursor, nodes => hb_cron_secret:reveal(Nodes), page_limit => PageLimit,
      connect_timeout => ConnectTimeout, first_byte_timeout => FirstByteTimeout, timeout => Timeout,
      max_page_bytes => MaxPageBytes, walk_after => WalkAfter,
      stale_after => or_zero(StaleAfter), max_ahead => or_zero(MaxAhead),
      paused => maps:get(paused, Options, false), go_on => false, kept => pack(Kept)}.

%% @doc Encodes the options that a checkpoint keeps.
-spec pack(Kept :: map()) -> binary().
pack(Kept) -> term_to_binary(hb_cron_secret:reveal_options(Kept)).

or_zero(infinity) -> 0;
or_zero(Ms) -> Ms.

%% Only the host sets an option of scope node. A caller may repeat the value in force.
given({Key, monitor, _, _, _, _} = Entry, Key, Value) -> check(Entry, Value);
given({Key, node, _, _, _, _} = Entry, Key, Value) ->
    InForce = maps:get(Key, hb_cron_registry:node_options(), value(Entry, #{})),
    Value =:= InForce orelse bad(Key, Value);
given(false, Key, Value) -> bad(Key, Value).

%% @doc All options of scope node, from the host.
-spec for_node() -> node_options().
for_node() ->
    maps:from_list([{Key, value(Entry, #{})} || {Key, node, _, _, _, _} = Entry <- hb_cron_option_table:entries()]).

%% @doc Key, scope and default of every option.
-spec describe() -> [{Key :: atom(), Scope :: monitor | node, Default :: term()}].
describe() ->
    [{Key, Scope, Default} || {Key, Scope, Default, _, _, _} <- all()].

%% @doc The value of every option if a caller gives none, and its source. `refused': the host's value is invalid.
-spec sources() -> [{Key :: atom(), Scope :: monitor | node, Value :: term(), From :: host | default | refused}].
sources() ->
    [source(Entry) || Entry <- all()].

all() -> [hb_cron_option_table:rate() | hb_cron_option_table:entries()].

source({Key, Scope, Default, _, _, _} = Entry) ->
    %% The host may not run.
    case try hb_cron_host_calls:option(Key) catch _:_ -> undefined end of
        undefined -> {Key, Scope, Default, default};
        Value -> {Key, Scope, Value, case hb_cron_option_table:is_valid(Entry, Value) of true -> host; false -> refused end}
    end.

value({Key, _, Default, _, _, _} = Entry, Given) ->
    case Given of
        #{Key := Value} ->
            Value;
        #{} ->
            case hb_cron_host_calls:option(Key) of
                undefined -> Default;
                Value -> check(Entry, Value)
            end
    end.

check({Key, _, _, _, _, _} = Entry, Value) ->
    case hb_cron_option_table:is_valid(Entry, Value) of
        true -> Value;
        false -> bad(Key, Value)
    end.

default_rate() ->
    case hb_cron_host_calls:option(default_cron_rate) of
        undefined -> element(3, hb_cron_option_table:rate());
        Rate -> rate(Rate)
    end.

%% @doc Milliseconds between ticks.
-spec rate(term()) -> 1..16#ffffffff.
rate(Rate) when is_integer(Rate), Rate >= 1, Rate =< 16#ffffffff -> Rate;
rate(Other) -> error({bad_rate, hb_cron_secret:redact(Other)}).

%% @doc Where to begin.
-spec cursor(term()) -> cursor().
cursor(Start) when Start =:= undefined; Start =:= earliest -> Start;
cursor(Cursor) when is_binary(Cursor), byte_size(Cursor) > 0, byte_size(Cursor) =< ?MAX_CURSOR -> Cursor;
cursor(Other) -> error({bad_cursor, Other}).

-spec bad(Key :: term(), Value :: term()) -> no_return().
bad(Key, Value) -> error({bad_option, Key, hb_cron_secret:redact(Value)}).
