%%% The restarter: a monitor that ends without being stopped is started again from its acked cursor, even if the
%%% restarter itself dies.
-module(restarter_tests).
-include_lib("eunit/include/eunit.hrl").

eunit_wrapper_(Tests) -> deadline:each(Tests).

all_test_() ->
    harness:tests_with_crashes([
        fun crashed_monitor_comes_back_with_its_cursor/1,
        fun crashed_monitor_in_memory_comes_back_with_its_cursor/1,
        fun killed_monitor_is_started_again/1,
        fun monitor_killed_by_a_purge_of_its_push_is_started_again/1,
        fun stopped_monitor_stays_stopped/1,
        fun restarter_killed_while_restarts_are_owed_starts_all_of_them/1,
        fun monitors_crashed_without_a_restarter_are_restarted/1,
        fun logger_that_raises_ends_neither_monitor_nor_restarter/1,
        fun logger_that_raises_does_not_prevent_a_restart/1,
        fun stop_reaches_a_crashed_monitor_that_waits_to_be_started/1,
        fun stop_by_an_old_pid_reaches_the_monitor_started_in_its_place/1,
        fun old_pid_does_not_stop_a_process_that_was_started_anew/1,
        fun crashed_monitor_that_waits_to_be_started_is_not_forgotten/1,
        fun start_takes_the_place_of_a_planned_restart/1,
        fun pause_reaches_a_crashed_monitor_that_waits_to_be_started/1,
        fun logger_of_its_own_outlives_a_crash_and_ends_with_a_stop/1,
        fun logger_that_waits_for_a_restart_ends_if_a_start_is_first/1
    ]).

pushed(Cu, Id) -> harness:start_and_push(Cu, Id, 3, #{logger => hb_logger:start()}).

%% Simulates a fault in the monitor's own code.
crash(Monitor) ->
    Ref = monitor(process, Monitor),
    %% It may crash before it answers.
    try _ = sys:replace_state(Monitor, fun(_) -> no_state end), ok catch exit:_ -> ok end,
    Monitor ! push_next,
    receive {'DOWN', Ref, process, _, _} -> ok end.

goes_on(Cu, Id, Old) ->
    crash(Old),
    Monitor = harness:await_monitor_after(Id, Old),
    test_cu:add(Cu, Id, 2),
    Monitor ! tick,
    harness:await_results(4, 5).

crashed_monitor_comes_back_with_its_cursor(Cu) ->
    Id = harness:proc_id(),
    {Monitor, Logger} = pushed(Cu, Id),
    goes_on(Cu, Id, Monitor),
    harness:await_logged(Logger, fun({error, monitor_crashed, {For, _, _}}) -> For =:= Id end).

crashed_monitor_in_memory_comes_back_with_its_cursor(Cu) ->
    harness:host(#{cron_checkpoint => false}),
    Id = harness:proc_id(),
    harness:report_pushes(Id),
    test_cu:add(Cu, Id, 3),
    {Monitor, _} = harness:start(Cu, Id, #{cursor => earliest}),
    Monitor ! tick,
    harness:await_results(1, 3),
    _ = sys:get_state(Monitor),
    Ref = monitor(process, Monitor),
    ok = sys:terminate(Monitor, a_fault_of_its_own),
    receive {'DOWN', Ref, process, _, _} -> ok end,
    New = harness:await_monitor_after(Id, Monitor),
    test_cu:add(Cu, Id, 2),
    New ! tick,
    harness:await_results(4, 5).

killed_monitor_is_started_again(Cu) ->
    Id = harness:proc_id(),
    {Monitor, Logger} = pushed(Cu, Id),
    killed = harness:kill(Monitor),
    goes_on_with(Cu, Id, harness:await_monitor_after(Id, Monitor)),
    harness:await_logged(Logger, fun({error, monitor_crashed, {For, killed, _}}) -> For =:= Id end).

goes_on_with(Cu, Id, Monitor) ->
    test_cu:add(Cu, Id, 2),
    Monitor ! tick,
    harness:await_results(4, 5).

%% The operator's module is loaded twice during its push, so the VM kills the monitor.
monitor_killed_by_a_purge_of_its_push_is_started_again(Cu) ->
    Id = harness:proc_id(),
    load_push(restarter_push),
    true = register(restarter_push_test, self()),
    test_cu:add(Cu, Id, 2),
    {Monitor, _} = harness:start(Cu, Id, #{cursor => earliest, cron_push => {restarter_push, push}}),
    Monitor ! tick,
    receive {restarter_push, Monitor} -> ok after deadline:ms() -> error(not_pushed) end,
    Ref = monitor(process, Monitor),
    load_push(restarter_push),
    load_push(restarter_push),
    receive {'DOWN', Ref, process, _, killed} -> ok after deadline:ms() -> error(not_killed) end,
    New = harness:await_monitor_after(Id, Monitor),
    New ! tick,
    receive {restarter_push, New} -> ok after deadline:ms() -> error(not_pushed) end,
    New ! go_on,
    receive {restarter_push, New} -> New ! go_on after deadline:ms() -> error(not_pushed) end,
    ok = hb_process_monitor:stop(New, deadline:ms()),
    true = unregister(restarter_push_test),
    harness:unload(restarter_push).

load_push(Module) ->
    _ = code:purge(Module),
    {module, Module} = harness:compile_module(Module, ["-export([push/2]).",
        "push(_, _) -> restarter_push_test ! {restarter_push, self()}, receive go_on -> ok end."]),
    ok.

stopped_monitor_stays_stopped(Cu) ->
    Id = harness:proc_id(),
    {Monitor, Logger} = pushed(Cu, Id),
    ok = hb_process_monitor:stop(Monitor, deadline:ms()),
    {error, unknown_call} = gen_server:call(hb_cron_restarter, served, infinity),
    ?assertEqual(none, hb_cron_registry:find(Id)),
    ?assertEqual([], [E || {error, _, _} = E <- harness:report(Logger)]).

%% Twenty monitors crash, and the restarter dies before any restart is due.
restarter_killed_while_restarts_are_owed_starts_all_of_them(Cu) ->
    All = [{Id, Monitor} || _ <- lists:seq(1, 20), Id <- [harness:proc_id()], {Monitor, _} <- [pushed(Cu, Id)]],
    [killed = harness:kill(Monitor) || {_, Monitor} <- All],
    harness:eventually(fun() -> length(hb_cron_restarts:all()) + alive(All) =:= 20 end),
    kill_keeper(),
    [_ = harness:await_monitor_after(Id, Old) || {Id, Old} <- All],
    ok.

alive(All) -> length([Id || {Id, Old} <- All, {ok, {Monitor, _, _}} <- [hb_cron_registry:find(Id)], Monitor =/= Old]).

monitors_crashed_without_a_restarter_are_restarted(Cu) ->
    All = [{Id, Monitor} || _ <- lists:seq(1, 5), Id <- [harness:proc_id()], {Monitor, _} <- [pushed(Cu, Id)]],
    %% Meanwhile no supervisor starts a restarter.
    ok = sys:suspend(hb_cron_sup),
    killed = harness:kill(whereis(hb_cron_restarter)),
    [Crashed, Stopped | Killed] = All,
    crash(element(2, Crashed)),
    ok = hb_process_monitor:stop(element(2, Stopped), deadline:ms()),
    [killed = harness:kill(Monitor) || {_, Monitor} <- Killed],
    ok = sys:resume(hb_cron_sup),
    [goes_on_with(Cu, Id, harness:await_monitor_after(Id, Old)) || {Id, Old} <- [Crashed | Killed]],
    ?assertEqual(none, hb_cron_registry:find(element(1, Stopped))).

kill_keeper() ->
    Old = whereis(hb_cron_restarter),
    killed = harness:kill(Old),
    harness:eventually(fun() -> not lists:member(whereis(hb_cron_restarter), [Old, undefined]) end).

logger_that_raises_ends_neither_monitor_nor_restarter(Cu) ->
    Id = harness:proc_id(),
    {ok, _} = application:ensure_all_started(hb_process_monitor),
    hb_logger:raising(fun() ->
        Restarter = whereis(hb_cron_restarter),
        harness:report_pushes(Id),
        test_cu:add(Cu, Id, 3),
        {Monitor, undefined} = harness:start(Cu, Id, #{cursor => earliest}),
        test_cu:script(Cu, fun(_) -> close end),
        Monitor ! tick,
        harness:eventually(fun() -> maps:get(failures, hb_cron_engine:counters()) > 0 end),
        test_cu:script(Cu, fun(_) -> pass end),
        Monitor ! tick,
        harness:await_results(1, 3),
        ?assertEqual({ok, Restarter}, {ok, whereis(hb_cron_restarter)}),
        ?assert(is_process_alive(Monitor))
    end).

logger_that_raises_does_not_prevent_a_restart(Cu) ->
    Id = harness:proc_id(),
    {Monitor, _} = harness:start_and_push(Cu, Id, 3, #{logger => spawn(fun() -> receive never -> ok end end)}),
    hb_logger:raising(fun() ->
        crash(Monitor),
        goes_on_with(Cu, Id, harness:await_monitor_after(Id, Monitor))
    end).

%% Crashes a monitor, and returns before its restart, which is planned and held up.
crashed(Cu, Id) ->
    {Monitor, Logger} = pushed(Cu, Id),
    ok = sys:suspend(hb_cron_monitors_sup),
    crash(Monitor),
    harness:eventually(fun() -> hb_cron_restarts:is_planned(Id) end),
    {Monitor, Logger}.

go_on() -> ok = sys:resume(hb_cron_monitors_sup).

%% The restarter has served everything due within a minute, so a planned start would have happened.
never_started(Cu, Id) ->
    [] = [Token || {Planned, Token, _} <- hb_cron_restarts:all(), Planned =:= Id],
    go_on(),
    {error, unknown_call} = gen_server:call(hb_cron_restarter, served, infinity),
    ?assertEqual(none, hb_cron_registry:find(Id)),
    harness:not_polled(Cu, Id, 20).

stop_reaches_a_crashed_monitor_that_waits_to_be_started(Cu) ->
    Id = harness:proc_id(),
    {Monitor, _} = crashed(Cu, Id),
    ?assertEqual(ok, hb_process_monitor:stop(Monitor, deadline:ms())),
    never_started(Cu, Id),
    %% It is not resumed either, and it can be forgotten.
    ?assertEqual([], hb_process_monitor:resume_all()),
    ?assertEqual(ok, hb_process_monitor:forget(Id)).

stop_by_an_old_pid_reaches_the_monitor_started_in_its_place(Cu) ->
    Id = harness:proc_id(),
    {Old, _} = pushed(Cu, Id),
    crash(Old),
    New = harness:await_monitor_after(Id, Old),
    ?assertEqual(ok, hb_process_monitor:stop(Old, deadline:ms())),
    ?assertNot(is_process_alive(New)),
    ?assertEqual(none, hb_cron_registry:find(Id)).

old_pid_does_not_stop_a_process_that_was_started_anew(Cu) ->
    Id = harness:proc_id(),
    {Old, _} = pushed(Cu, Id),
    crash(Old),
    Restarted = harness:await_monitor_after(Id, Old),
    ok = hb_process_monitor:stop(Restarted, deadline:ms()),
    {New, _} = harness:start(Cu, Id, #{}),
    ?assertEqual(ok, hb_process_monitor:stop(Old, deadline:ms())),
    ?assert(is_process_alive(New)).

crashed_monitor_that_waits_to_be_started_is_not_forgotten(Cu) ->
    Id = harness:proc_id(),
    {Old, _} = crashed(Cu, Id),
    ?assertEqual({error, monitored}, hb_process_monitor:forget(Id)),
    go_on(),
    goes_on_with(Cu, Id, harness:await_monitor_after(Id, Old)).

start_takes_the_place_of_a_planned_restart(Cu) ->
    Id = harness:proc_id(),
    {Old, _} = pushed(Cu, Id),
    crash(Old),
    %% Before or after the restarter: in both cases there is one monitor.
    {New, _} = harness:start(Cu, Id, #{}),
    goes_on_with(Cu, Id, New),
    harness:eventually(fun() -> not hb_cron_restarts:is_planned(Id) end),
    ?assertMatch([_], supervisor:which_children(hb_cron_monitors_sup)).

pause_reaches_a_crashed_monitor_that_waits_to_be_started(Cu) ->
    Id = harness:proc_id(),
    {Old, _} = crashed(Cu, Id),
    ?assertEqual(ok, hb_process_monitor:pause(Id)),
    go_on(),
    _ = harness:await_monitor_after(Id, Old),
    ?assertMatch(#{state := paused}, hb_process_monitor:info(Id)),
    test_cu:add(Cu, Id, 2),
    ?assertEqual(ok, hb_process_monitor:resume(Id)),
    harness:await_results(4, 5).

logger_of_its_own_outlives_a_crash_and_ends_with_a_stop(Cu) ->
    Id = harness:proc_id(),
    {Old, Logger} = harness:start_and_push(Cu, Id, 3),
    crash(Old),
    New = harness:await_monitor_after(Id, Old),
    ?assertMatch({ok, {New, Logger, _}}, hb_cron_registry:find(Id)),
    harness:await_logged(Logger, fun({error, monitor_crashed, _}) -> true end),
    Ref = monitor(process, Logger),
    ok = hb_process_monitor:stop(New, deadline:ms()),
    receive {'DOWN', Ref, process, _, _} -> ok after deadline:ms() -> error(logger_lives) end.

logger_that_waits_for_a_restart_ends_if_a_start_is_first(Cu) ->
    Id = harness:proc_id(),
    {Old, Logger} = harness:start_and_push(Cu, Id, 3),
    Ref = monitor(process, Logger),
    ok = sys:suspend(hb_cron_monitors_sup),
    crash(Old),
    harness:eventually(fun() -> hb_cron_restarts:is_planned(Id) end),
    %% The restart is due in an hour, so that the start comes first.
    [Start] = hb_cron_restarts:drop(Id),
    _ = hb_cron_restarts:plan(Id, Start, 3600000),
    go_on(),
    {New, NewLogger} = harness:start(Cu, Id, #{}),
    receive {'DOWN', Ref, process, _, _} -> ok after deadline:ms() -> error(logger_lives) end,
    ?assert(is_process_alive(NewLogger)),
    goes_on_with(Cu, Id, New).
