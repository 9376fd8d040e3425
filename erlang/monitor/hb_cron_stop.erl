%%% @doc Stops monitors and forgets processes. A process whose monitor crashed and will be restarted counts as
%%% monitored: a stop reaches it by the pid of the monitor that crashed.
-module(hb_cron_stop).

-export([stop/1, stop/2, forget/2]).

%% @doc Stops a monitor: it finishes the push under way. Does not wait.
-spec stop(Monitor :: pid()) -> ok.
stop(Monitor) ->
    _ = begin_stop(Monitor),
    ok.

%% @doc Stops a monitor, and waits until it has ended and all its acks are durable, at most `Timeout' ms.
-spec stop(Monitor :: pid(), timeout()) -> ok | {error, timeout | not_durable}.
stop(Monitor, Timeout) ->
    Until = until(Timeout),
    case begin_stop(Monitor) of
        none ->
            durable(Until);
        Current ->
            Ref = monitor(process, Current),
            receive
                {'DOWN', Ref, process, _, normal} -> ok;
                {'DOWN', Ref, process, _, {shutdown, not_durable}} -> {error, not_durable};
                %% It ended in another way, or before: its acks may not be durable yet.
                {'DOWN', Ref, process, _, _} -> durable(Until)
            after left(Until) ->
                demonitor(Ref, [flush]),
                {error, timeout}
            end
    end.

%% The process that must end, if there is one.
begin_stop(Monitor) ->
    %% Taken before the process is free: a monitor that is started then registers later.
    Fence = fence(),
    Stopped = hb_cron_registry:stop(Monitor),
    ok = case {Stopped, hb_cron_registry:engine()} of
        {{ok, ProcId, _}, {ok, Engine, _}} -> hb_process_monitor_nif:stopped(Engine, ProcId, Fence);
        _ -> ok
    end,
    Current = case Stopped of
        {ok, _, Pid} -> Pid;
        %% The tables go with the supervision tree, which a monitor may outlive by a push.
        none -> Monitor
    end,
    _ = is_pid(Current) andalso (Current ! stop),
    Current.

fence() ->
    case hb_process_monitor_nif:loaded() of
        ok -> hb_process_monitor_nif:next_epoch();
        {error, _} -> 1
    end.

durable(Until) ->
    case hb_cron_registry:engine() of
        {ok, Engine, _} ->
            case hb_cron_checkpoint:flush(Engine, left(Until)) of
                ok -> ok;
                {error, _} -> {error, not_durable}
            end;
        none ->
            ok
    end.

until(infinity) -> infinity;
until(Timeout) -> erlang:monotonic_time(millisecond) + Timeout.

left(infinity) -> infinity;
left(Until) -> max(0, Until - erlang:monotonic_time(millisecond)).

%% @doc Forgets a process that is not monitored.
-spec forget(hb_process_monitor_nif:engine(), ProcId :: binary()) -> ok | {error, monitored | binary()}.
forget(Engine, ProcId) ->
    case hb_cron_registry:is_monitored(ProcId) of
        true -> {error, monitored};
        %% The checkpoint decides: a start may have come in between.
        false ->
            case hb_cron_checkpoint:forget(Engine, ProcId) of
                ok ->
                    %% A process that could not be resumed has a planned start.
                    hb_cron_registry:is_monitored(ProcId) orelse hb_cron_restarts:drop(ProcId),
                    ok;
                {error, Reason} ->
                    {error, Reason}
            end
    end.
