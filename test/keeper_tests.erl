%%% The keeper: a monitor that crashes by itself comes back with its acked cursor, one that is killed
%%% or stopped does not.
-module(keeper_tests).
-include_lib("eunit/include/eunit.hrl").

eunit_wrapper_(Tests) -> deadline:each(Tests).

all_test_() ->
    {foreach, fun setup/0, fun cleanup/1,
     [{with, [T]} || T <- [
        fun crashed_monitor_comes_back_with_its_cursor/1,
        fun crashed_monitor_without_a_checkpoint_comes_back_with_its_cursor/1,
        fun killed_monitor_stays_dead_and_that_is_logged/1,
        fun stopped_monitor_stays_stopped/1,
        fun keeper_killed_knows_the_monitors_again/1
     ]]}.

%% Crash reports are what these tests are about.
setup() ->
    ok = logger:set_handler_config(default, level, none),
    harness:setup().

cleanup(Cu) ->
    harness:cleanup(Cu),
    ok = logger:set_handler_config(default, level, all).

pushed(Cu, Id) -> harness:pushed(Cu, Id, 3, #{logger => hb_logger:start()}).

%% A fault in the monitor's own code, as sys can bring it about.
crash(Monitor) ->
    Ref = monitor(process, Monitor),
    %% It may crash before it answers.
    try _ = sys:replace_state(Monitor, fun(_) -> no_state end), ok catch exit:_ -> ok end,
    Monitor ! push_next,
    receive {'DOWN', Ref, process, _, _} -> ok end.

goes_on(Cu, Id, Old) ->
    crash(Old),
    Monitor = harness:back(Id, Old),
    test_cu:add(Cu, Id, 2),
    Monitor ! tick,
    harness:results(4, 5).

crashed_monitor_comes_back_with_its_cursor(Cu) ->
    Id = harness:proc_id(),
    {Monitor, Logger} = pushed(Cu, Id),
    goes_on(Cu, Id, Monitor),
    harness:logged(Logger, fun({error, monitor_crashed, {For, _, _}}) -> For =:= Id end).

crashed_monitor_without_a_checkpoint_comes_back_with_its_cursor(Cu) ->
    harness:host(#{cron_checkpoint => false}),
    Id = harness:proc_id(),
    harness:sink(Id),
    test_cu:add(Cu, Id, 3),
    {Monitor, _} = harness:start(Cu, Id, #{cursor => earliest}),
    Monitor ! tick,
    harness:results(1, 3),
    _ = sys:get_state(Monitor),
    Ref = monitor(process, Monitor),
    ok = sys:terminate(Monitor, a_fault_of_its_own),
    receive {'DOWN', Ref, process, _, _} -> ok end,
    New = harness:back(Id, Monitor),
    test_cu:add(Cu, Id, 2),
    New ! tick,
    harness:results(4, 5).

killed_monitor_stays_dead_and_that_is_logged(Cu) ->
    Id = harness:proc_id(),
    {Monitor, Logger} = pushed(Cu, Id),
    exit(Monitor, kill),
    harness:logged(Logger, fun({error, monitor_died, {For, killed}}) -> For =:= Id end),
    ?assertEqual(none, hb_process_monitor_registry:find(Id)),
    %% Its checkpoint is where it was.
    test_cu:add(Cu, Id, 1),
    {New, _} = harness:start(Cu, Id, #{}),
    New ! tick,
    harness:results(4, 4).

stopped_monitor_stays_stopped(Cu) ->
    Id = harness:proc_id(),
    {Monitor, Logger} = pushed(Cu, Id),
    ok = hb_process_monitor:stop(Monitor, deadline:ms()),
    {error, unknown_call} = gen_server:call(hb_process_monitor_keeper, served),
    ?assertEqual(none, hb_process_monitor_registry:find(Id)),
    ?assertEqual([], [E || {error, _, _} = E <- harness:report(Logger)]).

keeper_killed_knows_the_monitors_again(Cu) ->
    Id = harness:proc_id(),
    {Monitor, Logger} = pushed(Cu, Id),
    Old = whereis(hb_process_monitor_keeper),
    exit(Old, kill),
    harness:eventually(fun() -> not lists:member(whereis(hb_process_monitor_keeper), [Old, undefined]) end),
    %% Once it has served this, it has heard of the monitor.
    _ = sys:get_state(Monitor),
    {error, unknown_call} = gen_server:call(hb_process_monitor_keeper, served),
    exit(Monitor, kill),
    harness:logged(Logger, fun({error, monitor_died, {For, killed}}) -> For =:= Id end).
