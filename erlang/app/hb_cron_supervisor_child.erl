%%% @doc Monitors in a supervisor of the host: how one is started, where it begins, and how it ends. That
%%% supervisor restarts them, not {@link hb_cron_restarter}.
-module(hb_cron_supervisor_child).

-export([child_spec/2, start_link/2]).

%% How long the application may take to stop and start again, in ms.
-define(START_LIMIT, 5000).
%% How long a monitor may finish its current push, in ms, as in our own tree.
-define(SHUTDOWN, 5000).

%% @doc The child specification: a monitor that was stopped stays stopped. A supervisor prints the arguments of its
%% children, so passwords are sealed in them.
-spec child_spec(ProcId :: binary(), hb_process_monitor:options()) -> supervisor:child_spec().
child_spec(ProcId, Options) ->
    #{id => {hb_process_monitor, ProcId}, start => {hb_process_monitor, start_link, [ProcId, hb_cron_secret:seal_options(Options)]},
      restart => transient, shutdown => ?SHUTDOWN, type => worker, modules => [hb_cron_server]}.

%% @doc Starts a monitor that is linked to the caller.
-spec start_link(ProcId :: binary(), hb_process_monitor:options()) ->
    {ok, Monitor :: pid()} | {error, {already_started, pid()} | term()}.
start_link(ProcId, Given) ->
    ok = await_started(erlang:monotonic_time(millisecond) + ?START_LIMIT),
    %% A supervisor cannot follow a process to another host node.
    _ = hb_cron_cluster:is_on() andalso error({not_in_a_cluster, start_link}),
    #{kept := Kept} = Options = hb_cron_options:for_monitor(ProcId, Given),
    start_monitor(ProcId, Options#{supervised => true, kept := Kept#{supervised => true}}).

start_monitor(ProcId, Options) ->
    case hb_cron_server:start_link(ProcId, Options) of
        ignore ->
            case hb_cron_registry:find(ProcId) of
                {ok, {Monitor, _, _}} -> {error, {already_started, Monitor}};
                none -> start_monitor(ProcId, Options)
            end;
        Started ->
            Started
    end.

%% After a crash of the application the monitor may be restarted before the application's end is known. The host's
%% supervisor would otherwise reach its restart intensity.
await_started(Until) ->
    ok = hb_cron_start:ensure_started(),
    case whereis(hb_cron_monitors_sup) of
        undefined ->
            erlang:monotonic_time(millisecond) < Until orelse error({not_started, no_supervisor}),
            %% There is no event for it.
            receive after 10 -> await_started(Until) end;
        _ ->
            ok
    end.
