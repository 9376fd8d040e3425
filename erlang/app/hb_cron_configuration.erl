%%% @doc The options that a node is configured with. Of each the first source that has it decides: the environment of
%%% the operating system, the host's node message, the application environment, the host's hb_opts. A value that
%%% cannot be read is refused: then the default applies, which {@link hb_cron_options} knows.
%%%
%%% Options of scope node are read once, when the application starts. Those of monitors are read again after a
%%% second, by one of the processes that need them: a node message is large, and copied to be read. So 100,000
%%% starts read it a few times, and a changed one counts from a second later on; later where reading takes long.
-module(hb_cron_configuration).

-export([create/0, for_node/0, for_monitors/0, expire/0, read/0, log_refused/0]).
-export([variable/1]).

-export_type([source/0, options/0, refused/0, for_monitors/0, configuration/0]).

-type source() :: environment | node_message | application | hb_opts.

-type options() :: #{Key :: atom() => {Value :: term(), source()}}.
%% Those that a source has, with a valid value.

-type refused() :: {Key :: atom(), source(), Shown :: term()}.
%% An option whose value cannot be read. Of one that may hold a password nothing is shown.

-type for_monitors() :: #{options := options(), routing := hb_cron_router:routing()}.

-type configuration() :: #{options := options(), routing := hb_cron_router:routing(), refused := [refused()]}.

%% {node, Options}; {monitors, ReadAtMs, ForMonitors}; {refused, [refused()]}; {logged, [refused()]}.
-define(TABLE, ?MODULE).
%% How long what was read for monitors counts, in ms.
-define(FRESH, 1000).
%% It counts for longer if reading took long: so many times as long.
-define(REST, 10).
%% Options whose values may hold passwords.
-define(SECRET, [cron_cluster, cron_node, cron_processes]).
%% The longest text of a refused value.
-define(SHOWN, 100).

%% @doc Reads everything, and keeps it in a table that the caller owns.
-spec create() -> ok.
create() ->
    ?TABLE = ets:new(?TABLE, [named_table, public, set, {read_concurrency, true}]),
    #{options := Options, routing := Routing, refused := Refused} = read(),
    Keys = keys(monitor),
    ForMonitors = #{options => maps:with(Keys, Options), routing => Routing},
    true = ets:insert(?TABLE, [{node, maps:without(Keys, Options)}, {monitors, now_ms(), ForMonitors},
                               {refused, Refused}, {logged, []}]),
    ok.

%% @doc The options of scope node: those in force, or those that would be if the application started now.
-spec for_node() -> options().
for_node() ->
    try ets:lookup_element(?TABLE, node, 2)
    catch error:badarg -> maps:without(keys(monitor), maps:get(options, read()))
    end.

%% @doc The options of scope monitor, and what the host's configuration says of Compute Units.
-spec for_monitors() -> for_monitors().
for_monitors() ->
    try ets:lookup(?TABLE, monitors) of
        [{_, ReadAt, ForMonitors}] -> fresh(ReadAt, ForMonitors)
    catch
        error:badarg -> maps:with([options, routing], read(hb_cron_option_table:all()))
    end.

%% Of many callers at once one reads it again.
fresh(ReadAt, Known) ->
    Now = now_ms(),
    case Now - ReadAt >= ?FRESH andalso is_first(ReadAt, Now) of
        true ->
            #{options := Options, routing := Routing, refused := Refused} = read(entries(monitor)),
            ForMonitors = #{options => Options, routing => Routing},
            OfNode = [Row || {Key, _, _} = Row <- refused(), lists:member(Key, keys(node))],
            %% A host that takes long to answer is not asked all the time.
            ReadNow = now_ms(),
            unless_gone(fun() ->
                ets:insert(?TABLE, [{monitors, ReadNow + ?REST * (ReadNow - Now), ForMonitors}, {refused, OfNode ++ Refused}])
            end),
            ok = log_refused(),
            ForMonitors;
        false ->
            Known
    end.

is_first(ReadAt, Now) ->
    unless_gone(fun() ->
        ets:select_replace(?TABLE, [{{monitors, ReadAt, '$1'}, [], [{{monitors, Now, '$1'}}]}]) =:= 1
    end).

%% @doc The next caller reads the options of monitors again, before a batch of starts.
-spec expire() -> ok.
expire() ->
    _ = unless_gone(fun() -> ets:update_element(?TABLE, monitors, {2, now_ms() - ?FRESH}) end),
    ok.

%% @doc Reads everything now, which changes nothing.
-spec read() -> configuration().
read() -> read(hb_cron_option_table:all()).

read(Entries) ->
    NodeMessage = hb_cron_node_message:get(),
    All = [{Key, one(Key, Type, NodeMessage)} || {Key, _, _, Type, _, _} <- Entries],
    #{options => maps:from_list([{Key, {Value, Source}} || {Key, {ok, Value, Source}} <- All]),
      routing => hb_cron_router:routing(NodeMessage),
      refused => [{Key, Source, Shown} || {Key, {refused, Source, Shown}} <- All]}.

one(Key, Type, NodeMessage) ->
    case configured(Key, NodeMessage) of
        none -> none;
        {Value, Source} ->
            case hb_cron_option_type:read(Type, Value) of
                {ok, Valid} -> {ok, Valid, Source};
                error -> {refused, Source, shown(Key, Value)}
            end
    end.

configured(Key, NodeMessage) ->
    first([{environment, fun() -> environment(Key) end},
           {node_message, fun() -> hb_cron_node_message:value(Key, NodeMessage) end},
           {application, fun() -> application(Key) end},
           {hb_opts, fun() -> hb_cron_host_calls:option(Key) end}]).

first([]) ->
    none;
first([{Source, Value} | Sources]) ->
    %% The host may not run.
    try Value() of
        Unset when Unset =:= undefined; Unset =:= null -> first(Sources);
        Set -> {Set, Source}
    catch
        _:_ -> first(Sources)
    end.

environment(Key) ->
    case os:getenv(variable(Key)) of
        Unset when Unset =:= false; Unset =:= "" -> undefined;
        Text -> unicode:characters_to_binary(Text)
    end.

%% @doc The environment variable of an option.
-spec variable(Key :: atom()) -> string().
variable(Key) -> "HB_" ++ string:uppercase(atom_to_list(Key)).

%% A host's own application may hold them, too: ours has no file there if its modules were copied into the host's.
application(Key) ->
    case application:get_env(hb_process_monitor, Key) of
        {ok, Value} -> Value;
        undefined -> application:get_env(hb, Key, undefined)
    end.

shown(Key, Value) ->
    case lists:member(Key, ?SECRET) of
        true -> '(not shown)';
        false -> hb_cron_excerpt:text(hb_cron_secret:redact(Value), ?SHOWN)
    end.

keys(Scope) -> [Key || {Key, _, _, _, _, _} <- entries(Scope)].

entries(Scope) -> [Entry || {_, Of, _, _, _, _} = Entry <- hb_cron_option_table:all(), Of =:= Scope].

refused() ->
    try ets:lookup_element(?TABLE, refused, 2)
    catch error:badarg -> []
    end.

%% @doc Logs each value that is refused, once.
-spec log_refused() -> ok.
log_refused() ->
    Refused = refused(),
    Logged = unless_gone(fun() -> ets:lookup_element(?TABLE, logged, 2) end),
    New = case Logged of
        false -> [];
        _ -> Refused -- Logged
    end,
    _ = Refused =:= Logged orelse unless_gone(fun() -> ets:insert(?TABLE, {logged, Refused}) end),
    lists:foreach(fun(One) -> hb_cron_host_logger:log(undefined, {error, bad_option, One}) end, New).

%% The table goes with the supervision tree.
unless_gone(Fun) ->
    try Fun()
    catch error:badarg -> false
    end.

now_ms() -> erlang:monotonic_time(millisecond).
