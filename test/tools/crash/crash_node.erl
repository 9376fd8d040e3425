%%% Runs in the node that the crash test kills: asks its driver for orders, starts monitors with a checkpoint, and
%%% pushes every result to the driver. The driver judges the results that arrived.
-module(crash_node).
-export([main/1]).
%% The push of its monitors
-export([push/2, slow_push/2]).

%% The longest time of a slow push, in ms. It exceeds a checkpoint's interval.
-define(SLOW, 120).

%% `erl -run crash_node main Port': `Port' is where the driver listens.
main([Port]) ->
    ok = persistent_term:put(?MODULE, list_to_integer(Port)),
    _ = spawn(fun() ->
        try live()
        catch Class:Reason:Stack -> io:format(standard_error, "~p~n", [{Class, Reason, Stack}])
        end,
        halt(1)
    end),
    ok.

live() ->
    Line = connect(),
    ok = os_node:send(Line, orders),
    #{host := Host, resume := Resume, start := Start} = os_node:recv(Line),
    hb_opts:set(Host),
    Resumed = case Resume of
        true -> [Id || {Id, {Monitor, _}} <- hb_process_monitor:resume_all(), is_pid(Monitor)];
        false -> []
    end,
    [{_, _} = hb_process_monitor:start(Id, Options) || {Id, Options} <- Start],
    ok = os_node:send(Line, {ready, Resumed}),
    %% The driver sends nothing more: this returns when it is gone.
    _ = gen_tcp:recv(Line, 0),
    ok.

%% Returns when the driver has recorded the result and confirmed it. The push also reports the state of the
%% checkpoint: of two pushes of one process, the first one was acked before the second one's count of commits was
%% read.
push(#{message := Result}, #{proc_id := ProcId}) ->
    {ok, Engine, _} = hb_cron_registry:engine(),
    #{commits := Commits, last_commit_us := Took} = hb_process_monitor_nif:checkpoint_status(Engine),
    Line = line(),
    ok = os_node:send(Line, {pushed, ProcId, harness:number(Result), Commits, Took}),
    recorded = os_node:recv(Line),
    ok.

%% The same after some work, which a kill may interrupt.
slow_push(Message, State) ->
    receive after rand:uniform(?SLOW) -> push(Message, State) end.

%% Each monitor has its own line, for its life.
line() ->
    case get(?MODULE) of
        undefined ->
            Line = connect(),
            undefined = put(?MODULE, Line),
            Line;
        Line ->
            Line
    end.

connect() -> os_node:connect(persistent_term:get(?MODULE)).
