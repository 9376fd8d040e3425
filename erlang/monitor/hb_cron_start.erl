%%% @doc Starts what a call of the API needs: the application, and a monitor in its tree. A failed start raises as
%%% {@link hb_process_monitor:start/2} describes. Monitors in a supervisor of the host are started by {@link
%%% hb_cron_supervisor_child}.
-module(hb_cron_start).

-export([start/2, ensure_started/0, engine/0]).
%% Starts without a caller
-export([resume_all/0, start_configured/1, start_owed/2]).

%% @doc Starts the application if it does not run. It runs once its last child is there.
-spec ensure_started() -> ok.
ensure_started() ->
    case whereis(hb_cron_monitors_sup) of
        undefined -> start_application();
        _ -> ok
    end.

start_application() ->
    case hb_process_monitor_nif:loaded() of
        ok -> ok;
        {error, Tried} -> error({nif_not_loaded, Tried})
    end,
    case application:ensure_all_started(hb_process_monitor) of
        {ok, _} -> ok;
        {error, Reason} -> error(why(Reason, {not_started, Reason}))
    end.

%% The error of a file or an option lies deep in the reason why the tree did not start.
why({checkpoint_unavailable, _, _} = Reason, _Else) -> Reason;
why({bad_option, _, _} = Reason, _Else) -> Reason;
why(Reason, Else) when is_tuple(Reason) -> why(tuple_to_list(Reason), Else);
why([Reason | Rest], Else) -> why(Reason, why(Rest, Else));
why(_, Else) -> Else.

%% @doc The running engine; starts one if there is none.
-spec engine() -> hb_process_monitor_nif:engine().
engine() ->
    ok = ensure_started(),
    case hb_cron_registry:engine() of
        {ok, Engine, _Ticker} -> Engine;
        none -> error({not_started, no_engine})
    end.

%% @doc Starts a monitor with these options of a caller. If the process has a monitor, that one is the answer.
-spec start(ProcId :: binary(), Given :: map()) -> hb_cron_monitors:started().
start(ProcId, Given) ->
    ok = ensure_started(),
    case hb_cron_cluster:is_on() of
        true -> hb_cron_cluster:start(ProcId, Given);
        false -> hb_cron_monitors:start(ProcId, hb_cron_options:for_monitor(ProcId, Given))
    end.

%% @doc Starts the monitors of all processes that are to be resumed, and returns the outcome of each. If one cannot
%% be started, that is logged, and it is retried later. The options of those that are configured, too, come from there.
-spec resume_all() -> [{ProcId :: binary(), hb_cron_monitors:started() | {error, Reason :: term()}}].
resume_all() ->
    Engine = engine(),
    case hb_cron_cluster:is_on() of
        %% The owners of the processes start their monitors by themselves.
        true -> [{ProcId, {Monitor, Logger}} || Monitor <- hb_cron_registry:monitors(),
                                                {ok, ProcId, Logger, _} <- [hb_cron_registry:who(Monitor)]];
        false -> resume_watched(hb_process_monitor_nif:watched(Engine))
    end.

resume_watched(Watched) ->
    ok = hb_cron_configuration:expire(),
    #{cron_processes := Entries} = hb_cron_options:for_node(),
    Configured = maps:from_list([One || Entry <- Entries, {ok, One} <- [configured(Entry)]]),
    Starts = [{ProcId, start_of(ProcId, Kept, Configured)} || {ProcId, Kept} <- Watched],
    lists:append([case Outcome of
        %% Its own supervisor starts it.
        {ok, none} -> [];
        {ok, Started} -> [{ProcId, Started}];
        {error, Reason} -> [{ProcId, {error, Reason}}]
    end || {{ProcId, _}, Outcome} <- lists:zip(Starts, start_or_plan(Starts))]).

start_of(ProcId, Kept, Configured) ->
    case Configured of
        #{ProcId := Start} -> as_paused(Kept, Start);
        #{} -> {kept, Kept}
    end.

%% A pause lasts, unless the configuration says whether it is paused.
as_paused(Kept, {given, Options}) ->
    try options({kept, Kept}) of
        #{paused := true} -> {given, maps:merge(#{paused => true}, Options)};
        #{} -> {given, Options}
    catch
        error:_ -> {given, Options}
    end.

%% Starts them now, or plans another try of those that fail.
start_or_plan(Starts) ->
    Outcomes = start_owed(Starts),
    _ = [hb_cron_restarts:not_started(ProcId, Start, Reason, 1)
         || {{ProcId, Start}, {error, Reason}} <- lists:zip(Starts, Outcomes)],
    Outcomes.

%% @doc Starts the monitors of `cron_processes', each independently.
-spec start_configured([term()]) -> ok.
start_configured([]) ->
    ok;
start_configured(Entries) ->
    Watched = case hb_cron_registry:engine() of
        {ok, Engine, _Ticker} -> maps:from_list(hb_process_monitor_nif:watched(Engine));
        none -> #{}
    end,
    {Good, Bad} = lists:partition(fun({Is, _}) -> Is =:= ok end, [configured(Entry) || Entry <- Entries]),
    lists:foreach(fun({bad, Why}) -> hb_cron_host_logger:log(undefined, {error, bad_cron_process, Why}) end, Bad),
    _ = start_or_plan([case Watched of
        #{ProcId := Kept} -> {ProcId, as_paused(Kept, Start)};
        #{} -> {ProcId, Start}
    end || {ok, {ProcId, Start}} <- Good]),
    ok.

%% The process of an entry of `cron_processes', and its start; or the entry, and what is wrong with it.
configured(Entry) ->
    try
        {ProcId, Options} = hb_cron_process_entry:read(Entry),
        {ok, {ProcId, {given, hb_cron_secret:seal_options(Options)}}}
    catch
        error:Reason -> {bad, hb_cron_secret:redact({Entry, Reason})}
    end.

%% @doc Carries out a planned start; `none': a supervisor of the host does it.
-spec start_owed(ProcId :: binary(), hb_cron_restarts:start()) ->
    {ok, hb_cron_monitors:started() | none} | {error, Reason :: term()}.
start_owed(ProcId, Start) ->
    [Outcome] = start_owed([{ProcId, Start}]),
    Outcome.

start_owed(Starts) ->
    try ensure_started() of
        ok -> hb_cron_start_batches:run(Starts, fun start_some/1)
    catch
        error:Reason -> [{error, Reason} || _ <- Starts]
    end.

start_some(Starts) ->
    Made = hb_cron_options:for_monitors([{ProcId, given(Start)} || {ProcId, Start} <- Starts]),
    [case Outcome of
        {error, Reason} -> {error, Reason};
        none -> {ok, none};
        {_, Started} -> {ok, Started}
    end || Outcome <- hb_cron_monitors:start_all([{ProcId, going_on(Options)} || {ProcId, Options} <- Made])].

%% A configured cursor is given at each start of the node. It counts at the first one.
going_on({ok, Options}) -> {ok, hb_cron_options:set_going_on(Options)};
going_on(Other) -> Other.

given(Start) ->
    try options(Start) of
        #{supervised := true} -> none;
        Options -> {ok, Options}
    catch
        error:Reason -> {error, Reason}
    end.

options({given, Options}) ->
    Options;
options({kept, Kept}) ->
    %% Not `safe': the options may name atoms that exist only once a push module is loaded. The file is this node's
    %% own, and only its user can write it.
    case binary_to_term(Kept) of
        Options when is_map(Options) -> Options;
        Other -> error({bad_kept_options, hb_cron_secret:redact(Other)})
    end.
