%%% Monitors in a supervisor of their host: it restarts them, and the restarter does not. They continue after the
%%% last acked result, and end with the application.
-module(supervisor_child_tests).
-include_lib("eunit/include/eunit.hrl").

eunit_wrapper_(Tests) -> deadline:each(Tests).

all_test_() ->
    harness:tests_with_crashes([
        fun supervised_monitor_polls_and_pushes/1,
        fun crashed_is_started_again_by_its_supervisor_alone/1,
        fun killed_is_started_again_and_goes_on_after_its_last_ack/1,
        fun crashed_without_a_checkpoint_goes_on_after_its_last_ack/1,
        fun cursor_of_the_arguments_is_for_the_first_start_alone/1,
        fun stale_checkpoint_begins_at_the_arguments_and_is_logged/1,
        fun killed_without_a_checkpoint_goes_on_after_its_last_ack/1,
        fun killed_without_a_checkpoint_keeps_where_it_begins/1,
        fun forgotten_process_begins_at_the_cursor_of_the_arguments/1,
        fun stopped_stays_stopped/1,
        fun paused_and_crashed_is_started_again_as_its_arguments_say/1,
        fun process_that_is_monitored_already_is_not_started/1,
        fun engine_killed_brings_it_back_with_its_cursor/1,
        fun application_stopped_ends_it_and_it_is_not_started_again/1,
        fun application_that_dies_is_started_again_with_it/1,
        fun push_that_outlives_the_application_holds_up_other_starts/1,
        fun resume_all_leaves_it_to_its_supervisor/1,
        fun child_specs_are_good_and_distinct/1,
        fun start_link_takes_what_start_takes/1
    ]).

spec(Cu, Id, Options) ->
    hb_process_monitor:child_spec({Id, maps:merge(#{rate => 3600000, cron_node => test_cu:url(Cu), cursor => earliest}, Options)}).

child(Supervisor) ->
    [{_, Monitor, worker, [hb_cron_server]}] = supervisor:which_children(Supervisor),
    Monitor.

%% Runs a test with a monitor that has pushed this many results.
with_pushed(Cu, Id, Count, Options, Test) ->
    harness:report_pushes(Id),
    test_cu:add(Cu, Id, Count),
    test_supervisor:with([spec(Cu, Id, Options)], fun(Supervisor) ->
        Monitor = child(Supervisor),
        Monitor ! tick,
        harness:await_results(1, Count),
        %% The last push is acked.
        _ = sys:get_state(Monitor),
        Test(Supervisor, Monitor)
    end).

goes_on(Cu, Id, Monitor, First, Last) ->
    test_cu:add(Cu, Id, Last - First + 1),
    Monitor ! tick,
    harness:await_results(First, Last).

supervised_monitor_polls_and_pushes(Cu) ->
    Id = harness:proc_id(),
    with_pushed(Cu, Id, 3, #{}, fun(Supervisor, Monitor) ->
        ?assertEqual(Monitor, child(Supervisor)),
        ?assertMatch(#{monitor := Monitor, supervised := true}, hb_process_monitor:info(Id)),
        ?assertEqual([], [Pid || {_, Pid, _, _} <- supervisor:which_children(hb_cron_monitors_sup)]),
        %% start/2 returns the supervised monitor.
        ?assertMatch({Monitor, _}, hb_process_monitor:start(Id))
    end).

crashed_is_started_again_by_its_supervisor_alone(Cu) ->
    Id = harness:proc_id(),
    Logger = hb_logger:start(),
    with_pushed(Cu, Id, 3, #{logger => Logger}, fun(Supervisor, Old) ->
        ok = sys:terminate(Old, a_fault_of_its_own),
        New = harness:await_monitor_after(Id, Old),
        ?assertEqual(New, child(Supervisor)),
        %% The restarter logs the crash, and plans nothing.
        harness:await_logged(Logger, fun({error, monitor_died, {For, a_fault_of_its_own}}) -> For =:= Id end),
        ?assertEqual([], [E || {error, monitor_crashed, _} = E <- harness:report(Logger)]),
        ?assertEqual([], [Pid || {_, Pid, _, _} <- supervisor:which_children(hb_cron_monitors_sup)]),
        goes_on(Cu, Id, New, 4, 5)
    end).

killed_is_started_again_and_goes_on_after_its_last_ack(Cu) ->
    Id = harness:proc_id(),
    with_pushed(Cu, Id, 3, #{}, fun(_Supervisor, Old) ->
        killed = harness:kill(Old),
        goes_on(Cu, Id, harness:await_monitor_after(Id, Old), 4, 5)
    end).

crashed_without_a_checkpoint_goes_on_after_its_last_ack(Cu) ->
    harness:host(#{cron_checkpoint => false}),
    Id = harness:proc_id(),
    with_pushed(Cu, Id, 3, #{}, fun(_Supervisor, Old) ->
        ok = sys:terminate(Old, a_fault_of_its_own),
        goes_on(Cu, Id, harness:await_monitor_after(Id, Old), 4, 5)
    end).

cursor_of_the_arguments_is_for_the_first_start_alone(Cu) ->
    Id = harness:proc_id(),
    with_pushed(Cu, Id, 3, #{}, fun(_, _) -> ok end),
    %% Another supervisor, as after a restart of the node, with the same arguments and cursor.
    test_supervisor:with([spec(Cu, Id, #{})], fun(Supervisor) -> goes_on(Cu, Id, child(Supervisor), 4, 5) end).

stale_checkpoint_begins_at_the_arguments_and_is_logged(Cu) ->
    Id = harness:proc_id(),
    with_pushed(Cu, Id, 3, #{}, fun(_, _) -> ok end),
    Ended = os:system_time(millisecond),
    harness:eventually(fun() -> os:system_time(millisecond) > Ended + 2 end),
    Logger = hb_logger:start(),
    Options = #{cron_stale_after => 1, cursor => test_cu:cursor(1), logger => Logger},
    test_supervisor:with([spec(Cu, Id, Options)], fun(Supervisor) ->
        child(Supervisor) ! tick,
        harness:await_results(2, 3)
    end),
    ?assertEqual([{error, stale_cursor, {Id, test_cu:cursor(3), {given, test_cu:cursor(1)}}}],
                 [Entry || {_, stale_cursor, _} = Entry <- harness:report(Logger)]).

%% In memory, the checkpoint survives every death of the monitor.
killed_without_a_checkpoint_goes_on_after_its_last_ack(Cu) ->
    harness:host(#{cron_checkpoint => false}),
    Id = harness:proc_id(),
    with_pushed(Cu, Id, 3, #{}, fun(_Supervisor, Old) ->
        killed = harness:kill(Old),
        goes_on(Cu, Id, harness:await_monitor_after(Id, Old), 4, 5)
    end).

%% The start cursor was resolved, and nothing has been pushed yet.
killed_without_a_checkpoint_keeps_where_it_begins(Cu) ->
    harness:host(#{cron_checkpoint => false}),
    Id = harness:proc_id(),
    harness:report_pushes(Id),
    test_cu:add(Cu, Id, 3),
    test_supervisor:with([spec(Cu, Id, #{cursor => undefined})], fun(Supervisor) ->
        Old = child(Supervisor),
        harness:eventually(fun() -> maps:get(state, hb_process_monitor:info(Id)) =:= idle end),
        test_cu:add(Cu, Id, 2),
        killed = harness:kill(Old),
        harness:await_monitor_after(Id, Old) ! tick,
        harness:await_results(4, 5)
    end).

forgotten_process_begins_at_the_cursor_of_the_arguments(Cu) ->
    Id = harness:proc_id(),
    with_pushed(Cu, Id, 3, #{}, fun(_, _) -> ok end),
    ok = hb_process_monitor:forget(Id),
    test_supervisor:with([spec(Cu, Id, #{cursor => test_cu:cursor(1)})], fun(Supervisor) ->
        child(Supervisor) ! tick,
        harness:await_results(2, 3)
    end).

stopped_stays_stopped(Cu) ->
    Id = harness:proc_id(),
    with_pushed(Cu, Id, 1, #{}, fun(Supervisor, Monitor) ->
        ok = hb_process_monitor:stop(Monitor, deadline:ms()),
        %% The supervisor has seen the end when it serves this call.
        ?assertMatch([{_, undefined, _, _}], supervisor:which_children(Supervisor)),
        ?assertEqual(none, hb_cron_registry:find(Id))
    end).

paused_and_crashed_is_started_again_as_its_arguments_say(Cu) ->
    Id = harness:proc_id(),
    with_pushed(Cu, Id, 1, #{}, fun(_Supervisor, Old) ->
        ok = hb_process_monitor:pause(Id),
        harness:eventually(fun() -> maps:get(state, hb_process_monitor:info(Id)) =:= paused end),
        ok = sys:terminate(Old, a_fault_of_its_own),
        goes_on(Cu, Id, harness:await_monitor_after(Id, Old), 2, 2)
    end).

process_that_is_monitored_already_is_not_started(Cu) ->
    Id = harness:proc_id(),
    {Monitor, _} = harness:start(Cu, Id, #{cursor => earliest}),
    ?assertEqual({error, {already_started, Monitor}}, hb_process_monitor:start_link(Id)),
    ?assertMatch({ok, {Monitor, _, _}}, hb_cron_registry:find(Id)).

engine_killed_brings_it_back_with_its_cursor(Cu) ->
    Id = harness:proc_id(),
    with_pushed(Cu, Id, 3, #{}, fun(Supervisor, Monitor) ->
        Old = whereis(hb_cron_engine),
        killed = harness:kill(Old),
        harness:eventually(fun() -> maps:get(monitors, hb_cron_engine:counters(), 0) =:= 1
                                        andalso whereis(hb_cron_engine) =/= Old end),
        goes_on(Cu, Id, Monitor, 4, 5),
        ?assertEqual(Monitor, child(Supervisor))
    end).

application_stopped_ends_it_and_it_is_not_started_again(Cu) ->
    Id = harness:proc_id(),
    with_pushed(Cu, Id, 2, #{}, fun(Supervisor, Monitor) ->
        Ref = monitor(process, Monitor),
        ok = application:stop(hb_process_monitor),
        receive {'DOWN', Ref, process, _, Reason} -> ?assertEqual({shutdown, application_stopped}, Reason) end,
        ?assertMatch([{_, undefined, _, _}], supervisor:which_children(Supervisor)),
        ?assertEqual(undefined, whereis(hb_cron_sup))
    end).

application_that_dies_is_started_again_with_it(Cu) ->
    Id = harness:proc_id(),
    with_pushed(Cu, Id, 2, #{}, fun(Supervisor, Old) ->
        Ref = monitor(process, Old),
        killed = harness:kill(whereis(hb_cron_sup)),
        receive {'DOWN', Ref, process, _, Reason} -> ?assertEqual(application_died, Reason) end,
        New = back_after_all(Id, Old),
        ?assertEqual(New, child(Supervisor)),
        goes_on(Cu, Id, New, 3, 4)
    end).

%% As harness:await_monitor_after/2, while the tables may be missing.
back_after_all(Id, Old) ->
    harness:eventually(fun() -> try hb_cron_registry:find(Id) of {ok, _} -> true; none -> false
                                catch error:badarg -> false end end),
    harness:await_monitor_after(Id, Old).

%% The tables of the application that died are gone, and with them that the old monitor is in a push.
push_that_outlives_the_application_holds_up_other_starts(Cu) ->
    Id = harness:proc_id(),
    with_pushed(Cu, Id, 3, #{}, fun(Supervisor, Old) ->
        %% It ends: the place of its monitor is taken.
        true = unlink(Supervisor),
        Held = harness:hold_pushes(Id),
        test_cu:add(Cu, Id, 1),
        Old ! tick,
        Push = harness:await_push(Held, 4),
        killed = harness:kill(whereis(hb_cron_sup)),
        harness:eventually(fun() -> not lists:keymember(hb_process_monitor, 1, application:which_applications()) end),
        {New, _} = harness:start(Cu, Id, #{}),
        New ! tick,
        %% It has been served, and waits.
        _ = sys:get_state(New),
        ?assertMatch(#{state := starting}, hb_process_monitor:info(Id)),
        harness:no_push_held(Held),
        harness:release_push(Push),
        %% The push was not acked before the application died: it is repeated, after the first one.
        harness:release_push(harness:await_push(Held, 4)),
        ok = hb_process_monitor:stop(New, deadline:ms())
    end).

resume_all_leaves_it_to_its_supervisor(Cu) ->
    [Supervised, Own] = [harness:proc_id(), harness:proc_id()],
    {_, _} = harness:start_and_push(Cu, Own, 1),
    with_pushed(Cu, Supervised, 1, #{}, fun(_, _) ->
        ok = application:stop(hb_process_monitor),
        {ok, _} = application:ensure_all_started(hb_process_monitor),
        ?assertMatch([{Own, {_, _}}], hb_process_monitor:resume_all()),
        ?assertEqual(none, hb_cron_registry:find(Supervised))
    end).

child_specs_are_good_and_distinct(_Cu) ->
    Ids = [harness:proc_id(), harness:proc_id()],
    Specs = [hb_process_monitor:child_spec(Id) || Id <- Ids],
    ?assertEqual(ok, supervisor:check_childspecs(Specs)),
    %% Both forms of the id give the same child.
    ?assertEqual(hb_process_monitor:child_spec(hd(Ids)), hb_process_monitor:child_spec(binary_to_list(hd(Ids)))),
    ?assertError({bad_process_id, none}, hb_process_monitor:child_spec(none)).

start_link_takes_what_start_takes(Cu) ->
    harness:host(#{cron_node => test_cu:url(Cu)}),
    [A, B, C] = [harness:proc_id() || _ <- "abc"],
    {ok, First} = hb_process_monitor:start_link(A),
    {ok, Second} = hb_process_monitor:start_link(B, 1234),
    {ok, Third} = hb_process_monitor:start_link(C, 4321, <<"here">>),
    ?assertMatch([#{rate := 10000}, #{rate := 1234}, #{rate := 4321, cursor := <<"here">>}],
                 [hb_process_monitor:info(Monitor) || Monitor <- [First, Second, Third]]),
    {links, Links} = process_info(self(), links),
    ?assertEqual([], [First, Second, Third] -- Links),
    ?assertError({bad_rate, 0}, hb_process_monitor:start_link(harness:proc_id(), 0)),
    [ok = hb_process_monitor:stop(Monitor, deadline:ms()) || Monitor <- [First, Second, Third]].
