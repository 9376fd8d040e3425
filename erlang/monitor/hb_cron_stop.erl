%%% @doc Stops monitors and forgets processes. A process whose monitor crashed and will be restarted counts as
%%% monitored: a stop reaches it by its id, and by the pid of the monitor that crashed.
-module(hb_cron_stop).

-export([stop/1, stop/2, forget/2]).

%% @doc Stops a monitor, or that of a process: it finishes the push under way. Does not wait.
-spec stop(pid() | binary()) -> ok.
stop(Id) ->
    _ = begin_stop(Id),
    ok.

%% @doc Stops a monitor, or that of a process, and waits until it has ended and all its acks are durable, at most
%% `Timeout' ms.
-spec stop(pid() | binary(), timeout()) -> ok | {error, timeout | not_durable | not_monitored}.
stop(Id, Timeout) ->
    Until = hb_cron_deadline:new(Timeout),
    case begin_stop(Id) of
        none ->
            durable(Until);
        not_monitored ->
            {error, not_monitored};
        Current ->
            Ref = monitor(process, Current),
            receive
                {'DOWN', Ref, process, _, normal} -> ok;
                {'DOWN', Ref, process, _, {shutdown, not_durable}} -> {error, not_durable};
                %% It ended in another way, or before: its acks may not be durable yet.
                {'DOWN', Ref, process, _, _} -> durable(Until)
            after hb_cron_deadline:left(Until) ->
                demonitor(Ref, [flush]),
                {error, timeout}
            end
    end.

%% The process that must end, if there is one.
begin_stop(Id) ->
    %% Taken before the process is free: a monitor that is started then registers later.
    Fence = fence(),
    Stopped = hb_cron_registry:stop(Id),
    ok = case {Stopped, hb_cron_registry:engine()} of
        {{ok, ProcId, _}, {ok, Engine, _}} -> hb_process_monitor_nif:stopped(Engine, ProcId, Fence);
        _ -> ok
    end,
    Current = case Stopped of
        {ok, _, Pid} -> Pid;
        %% The tables go with the supervision tree, which a monitor may outlive by a push.
        none when is_pid(Id) -> Id;
        none -> still_ending(hb_cron_registry:stopping(Id))
    end,
    _ = is_pid(Current) andalso (Current ! stop),
    Current.

%% The monitor of a process that was stopped before.
still_ending([Monitor | _]) -> Monitor;
still_ending([]) -> not_monitored.

fence() ->
    case hb_process_monitor_nif:loaded() of
        ok -> hb_process_monitor_nif:next_epoch();
        {error, _} -> 1
    end.

durable(Until) ->
    case hb_cron_registry:engine() of
        {ok, Engine, _} ->
            case hb_cron_checkpoint:flush(Engine, hb_cron_deadline:left(Until)) of
                ok -> ok;
                {error, _} -> {error, not_durable}
            end;
        none ->
            ok
    end.

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
