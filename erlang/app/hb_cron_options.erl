%%% @doc The options of monitors and of the node: from the caller's map, then from the node's configuration ({@link
%%% hb_cron_configuration}), then the default. {@link hb_cron_option_table} declares them.
-module(hb_cron_options).

-export([for_monitor/2, for_monitors/1, settings/1, moved/2, is_paused/1, set_paused/2, is_supervised/1, goes_on/1, set_going_on/1, set_own_logger/2,
         for_library/3, pack/1, for_node/0, host_nodes/1, describe/0, sources/0, sources/1]).
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
    token => hb_cron_restarts:token(),
    stake => hb_cron_ownership:stake()
}.
%% The options of one monitor; rare ones are present only if they are set. `settings': all other options of scope
%% monitor. `routed': the host chose the node, which may change. `own_logger': the logger was started for this
%% monitor, and ends with it. `registered': it continues from the checkpoint if that knows the process, since it was
%% registered before, or no caller chose its cursor. `token': it is a planned start. `stake': in a cluster, the ownership
%% that it belongs to.

-type node_options() :: #{atom() => term()}.
%% All options of scope node, see docs/options.md.

%% The longest cursor, in bytes. The library has the same bound for cursors of CUs.
-define(MAX_CURSOR, 4096).
%% How many kinds of options are remembered while those of many processes are made.
-define(MOST_KINDS, 16).

%% @doc All options of the monitor of `ProcId', from those of a caller. Raises `{bad_rate, Term}', `{bad_cursor,
%% Term}' or `{bad_option, Key, Value}' if one of the caller's is invalid. URLs with user information are sealed
%% ({@link hb_cron_secret}).
-spec for_monitor(ProcId :: binary(), Given :: map()) -> monitor().
for_monitor(ProcId, Given) ->
    case for_monitors([{ProcId, {ok, Given}}]) of
        [{_, {ok, Options}}] -> Options;
        [{_, {error, Reason}}] -> error(Reason)
    end.

%% @doc The same for many processes, in order. Those that come with something else than options are left as they are.
%% Options that occur more than once are made once.
-spec for_monitors([{ProcId, {ok, Given :: map()} | Other}]) ->
    [{ProcId, {ok, monitor()} | {error, Reason :: term()} | Other}] when ProcId :: binary() | none.
for_monitors(All) ->
    Configuration = hb_cron_configuration:for_monitors(),
    element(1, lists:mapfoldl(fun
        ({ProcId, {ok, Given}}, Known) ->
            {Made, More} = for_monitor(ProcId, Given, Configuration, Known),
            {{ProcId, Made}, More};
        (Other, Known) ->
            {Other, Known}
    end, #{}, All)).

for_monitor(ProcId, MaybeSealed, Configuration, Known) ->
    Nodes = nodes_for(ProcId, MaybeSealed, Configuration),
    case Known of
        #{{MaybeSealed, Nodes} := Made} ->
            {Made, Known};
        #{} ->
            Made = try {ok, make(hb_cron_secret:reveal_options(MaybeSealed), Nodes, Configuration)}
                   catch error:Reason -> {error, Reason}
                   end,
            {Made, (few(Known))#{{MaybeSealed, Nodes} => Made}}
    end.

%% Options of many kinds are not worth the search among them.
few(Known) when map_size(Known) < ?MOST_KINDS -> Known;
few(_Known) -> #{}.

%% The base URLs, as far as they are not the caller's.
nodes_for(_ProcId, #{cron_node := _}, _Configuration) -> given;
nodes_for(ProcId, #{}, Configuration) -> element(2, host_nodes(ProcId, Configuration)).

make(Given, NodesOfHost, #{options := Configured}) ->
    Rate = case maps:find(rate, Given) of
        {ok, GivenRate} -> rate(GivenRate);
        error -> value(hb_cron_option_table:rate(), #{}, Configured)
    end,
    Cursor = cursor(maps:get(cursor, Given, undefined)),
    Logger = maps:get(logger, Given, undefined),
    is_pid(Logger) orelse Logger =:= undefined orelse bad(logger, Logger),
    Paused = maps:get(paused, Given, false),
    is_boolean(Paused) orelse bad(paused, Paused),
    Rest = maps:without([rate, cursor, logger, paused], Given),
    Table = hb_cron_option_table:entries(),
    maps:foreach(fun(Key, Value) -> given(lists:keyfind(Key, 1, Table), Key, Value) end, Rest),
    All = maps:from_list([{Key, value(Entry, Rest, Configured)} || {Key, monitor, _, _, _, _} = Entry <- Table]),
    {IsRouted, Nodes} = case NodesOfHost of
        given -> {false, node_list(map_get(cron_node, Rest))};
        _ -> {true, NodesOfHost}
    end,
    %% A fun is not shared: it would outlive the code that it belongs to.
    {Push, Settings} = maps:take(cron_push, All#{cron_node := hb_cron_secret:seal(Nodes)}),
    Made = #{rate => Rate, cursor => Cursor, logger => Logger, routed => IsRouted,
             %% As a literal, of which a message or a heap has only the address.
             kept => hb_cron_settings:literal(hb_cron_secret:seal_options(kept(Given))),
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

%% @doc Whether the monitor continues from the checkpoint if that knows the process, whatever its cursor.
-spec goes_on(monitor()) -> boolean().
goes_on(Options) -> is_supervised(Options) orelse maps:is_key(registered, Options).

%% @doc The same options of a monitor that goes on.
-spec set_going_on(monitor()) -> monitor().
set_going_on(Options) -> Options#{registered => true}.

%% @doc The same options with a logger that was started for this monitor.
-spec set_own_logger(pid(), monitor()) -> monitor().
%% A map that is written out has its keys as a literal: 80 bytes less for each monitor of the usual kind.
set_own_logger(Logger, #{rate := Rate, cursor := Cursor, routed := Routed, kept := Kept, cron_push := Push,
                         settings := Settings} = Options) when map_size(Options) =:= 7 ->
    #{rate => Rate, cursor => Cursor, logger => Logger, routed => Routed, kept => Kept, cron_push => Push,
      settings => Settings, own_logger => true};
set_own_logger(Logger, Options) ->
    Options#{logger := Logger, own_logger => true}.

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

%% @doc The base URLs of a process's CU that the host decides on, and their source: the option `cron_node' of its
%% configuration, otherwise its router.
-spec host_nodes(ProcId :: binary()) ->
    {hb_cron_configuration:source() | hb_cron_router:source(), Nodes :: [binary(), ...]}.
host_nodes(ProcId) -> host_nodes(ProcId, hb_cron_configuration:for_monitors()).

host_nodes(_ProcId, #{options := #{cron_node := {Nodes, Source}}}) -> {Source, node_list(Nodes)};
host_nodes(ProcId, #{routing := Routing}) -> hb_cron_router:nodes_of(ProcId, Routing).

%% The base URLs, tried in turn.
node_list([Char | _] = Node) when is_integer(Char) -> [unicode:characters_to_binary(Node)];
node_list(Nodes) when is_list(Nodes) -> [unicode:characters_to_binary(Node) || Node <- Nodes];
node_list(Node) -> [Node].

%% @doc The options that the library gets for a monitor that begins at `Cursor'.
-spec for_library(ProcId :: binary(), cursor(), monitor()) -> hb_process_monitor_nif:monitor_options().
for_library(ProcId, Cursor, Options) ->
    #{rate := Rate, kept := Kept, settings := Shared} = Options,
    #{cron_node := Nodes, cron_page_limit := PageLimit, cron_timeout := Timeout,
      cron_connect_timeout := ConnectTimeout, cron_first_byte_timeout := FirstByteTimeout,
      cron_max_page_bytes := MaxPageBytes, cron_walk_after := WalkAfter,
      cron_poll := Poll, cron_poll_max_gap := MaxGap,
      cron_stale_after := StaleAfter, cron_max_ahead := MaxAhead} = hb_cron_settings:get(Shared),
    #{process => ProcId, rate => Rate, cursor => Cursor, nodes => hb_cron_secret:reveal(Nodes), page_limit => PageLimit,
      connect_timeout => ConnectTimeout, first_byte_timeout => FirstByteTimeout, timeout => Timeout,
      max_page_bytes => MaxPageBytes, walk_after => WalkAfter, poll => Poll, poll_max_gap => MaxGap,
      stale_after => or_zero(StaleAfter), max_ahead => or_zero(MaxAhead),
      paused => maps:get(paused, Options, false), go_on => false, kept => pack(Kept)}.

%% @doc Encodes the options that a checkpoint keeps.
-spec pack(Kept :: map()) -> binary().
pack(Kept) -> term_to_binary(hb_cron_secret:reveal_options(Kept)).

or_zero(infinity) -> 0;
or_zero(Ms) -> Ms.

%% Only the host sets an option of scope node. A caller may repeat the value in force.
given({Key, monitor, _, Type, _, _}, Key, Value) ->
    hb_cron_option_type:is_valid(Type, Value) orelse bad(Key, Value);
given({Key, node, _, _, _, _} = Entry, Key, Value) ->
    InForce = case hb_cron_registry:node_option(Key, ?MODULE) of
        ?MODULE -> value(Entry, #{}, hb_cron_configuration:for_node());
        Known -> Known
    end,
    Value =:= InForce orelse bad(Key, Value);
given(false, Key, Value) -> bad(Key, Value).

%% @doc All options of scope node, from the host: as they were when the application started. The URL of the cluster is
%% sealed ({@link hb_cron_secret}).
-spec for_node() -> node_options().
for_node() ->
    Configured = hb_cron_configuration:for_node(),
    Options = maps:from_list([{Key, value(Entry, #{}, Configured)}
                              || {Key, node, _, _, _, _} = Entry <- hb_cron_option_table:entries()]),
    maps:update_with(cron_cluster, fun hb_cron_secret:seal/1, Options).

%% @doc Key, scope and default of every option.
-spec describe() -> [{Key :: atom(), Scope :: monitor | node, Default :: term()}].
describe() ->
    [{Key, Scope, Default} || {Key, Scope, Default, _, _, _} <- hb_cron_option_table:all()].

%% @doc Every option as a start would have it now, without a value of the call, and its source. `refused': its
%% source holds a value that cannot be read, so it has the default.
-spec sources() -> [{Key :: atom(), Scope :: monitor | node, Value :: term(),
                     hb_cron_configuration:source() | default | refused}].
sources() -> sources(hb_cron_configuration:read()).

%% @doc The same, of what was read.
-spec sources(hb_cron_configuration:configuration()) ->
    [{Key :: atom(), Scope :: monitor | node, Value :: term(), hb_cron_configuration:source() | default | refused}].
sources(#{options := Configured, refused := Refused}) ->
    [case {Configured, lists:keymember(Key, 1, Refused)} of
        {#{Key := {Value, Source}}, _} -> {Key, Scope, Value, Source};
        {_, true} -> {Key, Scope, Default, refused};
        {_, false} -> {Key, Scope, Default, default}
     end || {Key, Scope, Default} <- describe()].

%% The caller's values are checked by now, those of the configuration were when they were read.
value({Key, _, Default, _, _, _}, Given, Configured) ->
    case {Given, Configured} of
        {#{Key := Value}, _} -> Value;
        {_, #{Key := {Value, _Source}}} -> Value;
        _ -> Default
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
