%%% @doc Restarts monitors that ended without a stop. Any such end is a crash, a kill included: the VM kills
%%% processes if code is purged or a heap grows too large. The monitor is restarted from its acked cursor, with
%%% backoff, and on its own: monitors share no restart intensity.
%%%
%%% This process holds no state of importance: planned restarts are in {@link hb_cron_restarts}, and its
%%% successor carries them out.
-module(hb_cron_restarter).
-behaviour(gen_server).

-export([start_link/0]).
-export([init/1, handle_call/3, handle_cast/2, handle_info/2, format_status/1]).

%% A monitor that has lived this long, in ms, starts its backoff again.
-define(SETTLED, 600000).
%% How often crashes of processes that are no longer monitored are forgotten, in ms.
-define(SWEEP, 60000).

-spec start_link() -> gen_server:start_ret().
start_link() ->
    gen_server:start_link({local, ?MODULE}, ?MODULE, [], []).

%% @private
-spec init([]) -> {ok, no_state}.
init([]) ->
    %% After a restart. A monitor that asks to be watched meanwhile is watched twice, which is harmless.
    lists:foreach(fun(Monitor) -> monitor(process, Monitor) end, hb_cron_registry:all_monitors()),
    lists:foreach(fun({ProcId, Token, Ms}) -> arm(ProcId, Token, Ms, 1) end, hb_cron_restarts:all()),
    _ = erlang:send_after(?SWEEP, self(), sweep),
    {ok, no_state}.

%% @private
-spec handle_call(term(), gen_server:from(), no_state) -> {reply, {error, unknown_call}, no_state}.
handle_call(_Call, _From, State) ->
    {reply, {error, unknown_call}, State}.

%% @private
-spec handle_cast(term(), no_state) -> {noreply, no_state}.
handle_cast({watch, Monitor}, State) ->
    _ = monitor(process, Monitor),
    {noreply, State};
handle_cast({planned, ProcId, Token, Pause, Failures}, State) ->
    ok = arm(ProcId, Token, Pause, Failures),
    {noreply, State};
handle_cast(_Cast, State) ->
    {noreply, State}.

%% @private
-spec handle_info(term(), no_state) -> {noreply, no_state}.
handle_info({'DOWN', _, process, Monitor, Reason}, State) ->
    ok = ended(Reason, Monitor),
    {noreply, State};
handle_info({start, ProcId, Token, Failures}, State) ->
    _ = case hb_cron_restarts:start_of(ProcId, Token) of
        {ok, Start} -> start(ProcId, Token, Start, Failures);
        cancelled -> ok
    end,
    {noreply, State};
handle_info(sweep, State) ->
    ok = hb_cron_restarts:settle(fun hb_cron_registry:is_monitored/1),
    _ = erlang:send_after(?SWEEP, self(), sweep),
    {noreply, State};
handle_info(_Stray, State) ->
    {noreply, State}.

%% A monitor that was stopped has lost its place. One that ended while no restarter ran has the reason `noproc':
%% its place says whether it was stopped.
ended(Reason, Monitor) ->
    _ = case hb_cron_registry:who(Monitor) of
        none -> ok;
        {ok, ProcId, _, stopping} -> stopped(Reason, ProcId);
        {ok, ProcId, Logger, #{supervised := true}} -> supervised(Reason, ProcId, Logger);
        {ok, ProcId, _, _} ->
            case is_shutdown(Reason) orelse hb_cron_run_state:is_stopping() of
                true -> cut_short(Reason, ProcId);
                false -> crashed(Reason, ProcId, Monitor)
            end
    end,
    hb_cron_registry:leave(Monitor).

is_shutdown(normal) -> true;
is_shutdown(shutdown) -> true;
is_shutdown({shutdown, _}) -> true;
is_shutdown(_) -> false.

stopped(Reason, ProcId) ->
    is_shutdown(Reason) orelse Reason =:= noproc orelse
        hb_cron_host_logger:log(undefined, {error, monitor_died, {ProcId, Reason}}).

%% Its own supervisor restarts it.
supervised(Reason, ProcId, Logger) ->
    is_shutdown(Reason) orelse Reason =:= noproc orelse
        hb_cron_host_logger:log(Logger, {error, monitor_died, {ProcId, Reason}}).

%% The application stops, and its supervisor does not wait for a push without end.
cut_short(killed, ProcId) ->
    hb_cron_host_logger:log(undefined, {error, push_cut_short, {ProcId, application_stopped}});
cut_short(_Reason, _ProcId) ->
    ok.

crashed(Reason, ProcId, Monitor) ->
    %% The restart is planned first, so that no failure of logging prevents it.
    Pausing = {fun hb_cron_restarts:pause/1, ?SETTLED},
    case hb_cron_registry:plan_restart(Monitor, Pausing, fun hb_cron_options:set_going_on/1) of
        {ok, ProcId, Logger, Token, Pause} ->
            ok = arm(ProcId, Token, Pause, 1),
            hb_cron_host_logger:log(Logger, {error, monitor_crashed, {ProcId, Reason, {again_in_ms, Pause}}});
        %% It was stopped meanwhile.
        none ->
            ok
    end.

arm(ProcId, Token, Ms, Failures) ->
    _ = erlang:send_after(Ms, self(), {start, ProcId, Token, Failures}),
    ok.

start(ProcId, Token, {monitor, Options} = Start, Failures) ->
    case hb_cron_sup:start_monitor([ProcId, Options#{token => Token}]) of
        {ok, Monitor} when is_pid(Monitor) -> ok;
        %% It was cancelled, or another start came first.
        {ok, undefined} -> hb_cron_restarts:cancel(ProcId, Token);
        {error, Reason} -> again(ProcId, Token, Start, Reason, Failures)
    end;
start(ProcId, Token, Start, Failures) ->
    case hb_cron_start:start_owed(ProcId, Start) of
        {ok, _} -> hb_cron_restarts:cancel(ProcId, Token);
        {error, Reason} -> again(ProcId, Token, Start, Reason, Failures)
    end.

again(ProcId, Token, Start, Reason, Failures) ->
    hb_cron_restarts:cancel(ProcId, Token) andalso
        hb_cron_restarts:not_started(ProcId, Start, Reason, Failures + 1).

%% @private
%% How many, not which.
-spec format_status(gen_server:format_status()) -> gen_server:format_status().
format_status(#{state := _} = Status) ->
    Status#{state := #{planned_starts => length(hb_cron_restarts:all())}};
format_status(Status) ->
    Status.
