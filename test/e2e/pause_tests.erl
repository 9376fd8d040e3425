%%% Pausing: after the current result nothing is pushed or polled, whatever dies meanwhile. A resumed monitor
%%% continues from its position, without losses and repetitions.
-module(pause_tests).
-include_lib("eunit/include/eunit.hrl").

eunit_wrapper_(Tests) -> deadline:each(Tests).

all_test_() ->
    harness:tests_with_crashes([
        fun paused_monitor_ticked_does_nothing/1,
        fun resumed_monitor_polls_at_once/1,
        fun paused_during_a_push_finishes_that_result_alone/1,
        fun paused_monitor_holds_no_page/1,
        fun pausing_and_resuming_twice_is_as_once/1,
        fun paused_before_its_start_is_known_begins_there_when_resumed/1,
        fun paused_while_a_push_fails_tries_it_again_when_resumed/1,
        fun paused_monitor_outlives_the_engine_paused/1,
        fun paused_monitor_that_crashes_comes_back_paused/1,
        fun paused_monitor_of_a_node_is_resumed_paused_with_it/1,
        fun pause_that_returned_is_in_the_checkpoint/1,
        fun pause_during_a_push_is_in_the_checkpoint/1,
        fun resume_that_returned_is_in_the_checkpoint/1,
        fun configured_process_is_paused_after_a_restart/1,
        fun paused_monitor_started_after_a_restart_is_not_paused/1,
        fun paused_monitor_that_is_stopped_stays_stopped/1,
        fun started_paused_waits_for_resume/1,
        fun paused_monitor_redelivers_a_dead_letter/1,
        fun pause_of_an_unmonitored_process_is_an_error/1,
        fun bad_value_of_paused_is_refused/1
    ]).

paused(Id) ->
    ok = hb_process_monitor:pause(Id),
    harness:await_state(Id, paused).

%% The monitor has served all earlier messages, and the CU got no request.
asked_nothing(Cu, Id, Monitor) ->
    _ = sys:get_state(Monitor),
    _ = hb_process_monitor:info(Id),
    ?assertEqual([], test_cu:requests(Cu, Id)),
    harness:no_result().

paused_monitor_ticked_does_nothing(Cu) ->
    Id = harness:proc_id(),
    {Monitor, Logger} = harness:start_and_push(Cu, Id, 3),
    ok = hb_process_monitor:pause(Monitor),
    harness:await_state(Id, paused),
    harness:await_logged(Logger, fun({ok, paused, {For, _}}) -> For =:= Id end),
    test_cu:add(Cu, Id, 2),
    harness:await_polled(Cu, Id),
    test_cu:forget_requests(Cu),
    [Monitor ! tick || _ <- lists:seq(1, 10)],
    asked_nothing(Cu, Id, Monitor),
    #{state := paused, next_tick := undefined, monitor := Monitor} = hb_process_monitor:info(Id),
    Cursor = test_cu:cursor(3),
    #{cursor := Cursor} = hb_process_monitor:info(Id).

resumed_monitor_polls_at_once(Cu) ->
    Id = harness:proc_id(),
    {_, Logger} = harness:start_and_push(Cu, Id, 3),
    paused(Id),
    test_cu:add(Cu, Id, 2),
    ok = hb_process_monitor:resume(Id),
    harness:await_results(4, 5),
    harness:await_state(Id, idle),
    harness:await_logged(Logger, fun({ok, continued, {For, _}}) -> For =:= Id end).

paused_during_a_push_finishes_that_result_alone(Cu) ->
    Id = harness:proc_id(),
    Push = harness:hold_pushes(Id),
    test_cu:add(Cu, Id, 4),
    {Monitor, _} = harness:start(Cu, Id, #{cursor => earliest}),
    Monitor ! tick,
    ok = harness:release_push(harness:await_push(Push, 1)),
    Second = harness:await_push(Push, 2),
    ok = hb_process_monitor:pause(Id),
    #{state := pausing} = hb_process_monitor:info(Id),
    ok = harness:release_push(Second),
    harness:await_state(Id, paused),
    harness:no_push_held(Push),
    Cursor = test_cu:cursor(2),
    #{cursor := Cursor, unacked := 0} = hb_process_monitor:info(Id),
    ok = hb_process_monitor:resume(Id),
    [ok = harness:release_push(harness:await_push(Push, N)) || N <- [3, 4]].

%% Otherwise a monitor that is paused for days would keep others from fetching.
paused_monitor_holds_no_page(Cu) ->
    Id = harness:proc_id(),
    Push = harness:hold_pushes(Id),
    test_cu:add(Cu, Id, 1500),
    {Monitor, _} = harness:start(Cu, Id, #{cursor => earliest}),
    Monitor ! tick,
    Held = harness:await_push(Push, 1),
    harness:eventually(fun() -> maps:get(buffered, hb_cron_engine:counters()) > 0 end),
    ok = hb_process_monitor:pause(Id),
    ok = harness:release_push(Held),
    harness:await_state(Id, paused),
    harness:eventually(fun() -> maps:get(buffered, hb_cron_engine:counters()) =:= 0 end),
    ?assertMatch(#{buffered_bytes := 0}, hb_process_monitor:info(Id)).

pausing_and_resuming_twice_is_as_once(Cu) ->
    Id = harness:proc_id(),
    {_, Logger} = harness:start_and_push(Cu, Id, 1),
    paused(Id),
    paused(Id),
    test_cu:add(Cu, Id, 1),
    ok = hb_process_monitor:resume(Id),
    ok = hb_process_monitor:resume(Id),
    harness:await_results(2, 2),
    harness:await_state(Id, idle),
    ?assertEqual([continued, paused], [What || {ok, What, _} <- harness:report(Logger), What =:= paused orelse What =:= continued]).

paused_before_its_start_is_known_begins_there_when_resumed(Cu) ->
    Id = harness:proc_id(),
    harness:report_pushes(Id),
    test_cu:add(Cu, Id, 3),
    Gate = harness:hold_requests(Cu),
    {_, Logger} = harness:start(Cu, Id, #{}),
    First = harness:await_request(Gate, results),
    ok = hb_process_monitor:pause(Id),
    harness:await_logged(Logger, fun({ok, paused, _}) -> true end),
    %% The answer to the old registration is dropped; the new one sends its own request.
    harness:release_request(Gate, First),
    harness:release_request(Gate, harness:await_request(Gate, results)),
    harness:await_start_cursor(Logger, test_cu:cursor(3)),
    test_cu:script(Cu, fun(_) -> pass end),
    harness:await_state(Id, paused),
    test_cu:add(Cu, Id, 2),
    ok = hb_process_monitor:resume(Id),
    harness:await_results(4, 5).

paused_while_a_push_fails_tries_it_again_when_resumed(Cu) ->
    Id = harness:proc_id(),
    harness:fail_pushes(Id, [fun() -> {error, busy} end]),
    test_cu:add(Cu, Id, 2),
    {Monitor, _} = harness:start(Cu, Id, #{cursor => earliest}),
    Monitor ! tick,
    receive {push_failed, 1} -> ok end,
    paused(Id),
    Monitor ! tick,
    _ = sys:get_state(Monitor),
    harness:no_result(),
    ok = hb_process_monitor:resume(Id),
    harness:await_results(1, 2),
    harness:eventually(fun() -> maps:get(error, hb_process_monitor:info(Id)) =:= undefined end).

paused_monitor_outlives_the_engine_paused(Cu) ->
    Id = harness:proc_id(),
    {Monitor, _} = harness:start_and_push(Cu, Id, 2),
    paused(Id),
    Old = whereis(hb_cron_engine),
    killed = harness:kill(Old),
    harness:eventually(fun() ->
        case hb_cron_registry:engine() of {ok, _, New} -> New =/= Old; none -> false end
    end),
    %% It is registered with the new engine, which would tick it.
    harness:eventually(fun() -> maps:get(monitors, hb_cron_engine:counters()) =:= 1 end),
    test_cu:add(Cu, Id, 1),
    test_cu:forget_requests(Cu),
    Monitor ! tick,
    asked_nothing(Cu, Id, Monitor),
    harness:await_state(Id, paused),
    ok = hb_process_monitor:resume(Id),
    harness:await_results(3, 3).

paused_monitor_that_crashes_comes_back_paused(Cu) ->
    Id = harness:proc_id(),
    {Monitor, _} = harness:start_and_push(Cu, Id, 2, #{logger => hb_logger:start()}),
    paused(Id),
    Ref = monitor(process, Monitor),
    ok = sys:terminate(Monitor, a_fault_of_its_own),
    receive {'DOWN', Ref, process, _, _} -> ok end,
    harness:await_state(Id, paused),
    #{monitor := New} = hb_process_monitor:info(Id),
    ?assertNotEqual(Monitor, New),
    test_cu:add(Cu, Id, 1),
    New ! tick,
    _ = sys:get_state(New),
    harness:no_result(),
    ok = hb_process_monitor:resume(Id),
    harness:await_results(3, 3).

node_again() ->
    ok = application:stop(hb_process_monitor),
    {ok, _} = application:ensure_all_started(hb_process_monitor).

paused_monitor_of_a_node_is_resumed_paused_with_it(Cu) ->
    [Paused, Other] = [harness:proc_id(), harness:proc_id()],
    {_, _} = harness:start_and_push(Cu, Other, 1),
    {_, _} = harness:start_and_push(Cu, Paused, 2),
    paused(Paused),
    node_again(),
    ?assertEqual(lists:sort([Paused, Other]), lists:sort([Id || {Id, {_, _}} <- hb_process_monitor:resume_all()])),
    harness:await_state(Paused, paused),
    harness:await_state(Other, idle),
    test_cu:add(Cu, Paused, 1),
    ok = hb_process_monitor:resume(Paused),
    harness:await_results(3, 3),
    %% After it was resumed, it is not paused at the next start.
    harness:await_state(Paused, idle),
    node_again(),
    _ = hb_process_monitor:resume_all(),
    harness:await_state(Paused, idle).

%% What a node would find in the checkpoint if it were killed now. No commit happens by itself for a minute.
killed_now(Id) ->
    Copy = harness:checkpoint() ++ ".copy",
    {ok, _} = file:copy(harness:checkpoint(), Copy),
    ok = application:stop(hb_process_monitor),
    harness:host(#{cron_checkpoint => Copy}),
    ?assertMatch([{Id, {_, _}}], hb_process_monitor:resume_all()).

start_and_commit_rarely(Cu, Id) ->
    harness:host(#{cron_checkpoint_interval => 60000}),
    {Monitor, _} = harness:start_and_push(Cu, Id, 2),
    harness:await_state(Id, idle),
    Monitor.

pause_that_returned_is_in_the_checkpoint(Cu) ->
    Id = harness:proc_id(),
    _ = start_and_commit_rarely(Cu, Id),
    ok = hb_process_monitor:pause(Id),
    killed_now(Id),
    harness:await_state(Id, paused).

pause_during_a_push_is_in_the_checkpoint(Cu) ->
    Id = harness:proc_id(),
    Monitor = start_and_commit_rarely(Cu, Id),
    Push = harness:hold_pushes(Id),
    test_cu:add(Cu, Id, 1),
    Monitor ! tick,
    Held = harness:await_push(Push, 3),
    ok = hb_process_monitor:pause(Monitor),
    ?assertMatch(#{state := pausing}, hb_process_monitor:info(Id)),
    Copy = harness:checkpoint() ++ ".held",
    {ok, _} = file:copy(harness:checkpoint(), Copy),
    ok = harness:release_push(Held),
    harness:await_state(Id, paused),
    ok = application:stop(hb_process_monitor),
    harness:host(#{cron_checkpoint => Copy}),
    [{Id, {_, _}}] = hb_process_monitor:resume_all(),
    harness:await_state(Id, paused).

resume_that_returned_is_in_the_checkpoint(Cu) ->
    Id = harness:proc_id(),
    _ = start_and_commit_rarely(Cu, Id),
    ok = hb_process_monitor:pause(Id),
    harness:await_state(Id, paused),
    ok = hb_process_monitor:resume(Id),
    killed_now(Id),
    harness:await_state(Id, idle).

%% By the start of the application, and by a call.
configured_process_is_paused_after_a_restart(Cu) ->
    Id = harness:proc_id(),
    harness:host(#{cron_node => test_cu:url(Cu), cron_processes => [{Id, #{rate => 3600000}}]}),
    {ok, _} = application:ensure_all_started(hb_process_monitor),
    harness:eventually(fun() -> hb_process_monitor:info(Id) =/= undefined end),
    ok = hb_process_monitor:pause(Id),
    node_again(),
    ?assertMatch([{Id, {_, _}}], hb_process_monitor:resume_all()),
    harness:await_state(Id, paused),
    %% Its options are the configured ones, unless they say whether it is paused.
    harness:host(#{cron_node => test_cu:url(Cu), cron_processes => [{Id, #{rate => 1800000}}]}),
    node_again(),
    harness:await_state(Id, paused),
    ?assertMatch(#{rate := 1800000}, hb_process_monitor:info(Id)),
    harness:host(#{cron_node => test_cu:url(Cu), cron_processes => [{Id, #{rate => 1800000, paused => false}}]}),
    node_again(),
    harness:await_state(Id, idle).

paused_monitor_started_after_a_restart_is_not_paused(Cu) ->
    Id = harness:proc_id(),
    {_, _} = harness:start_and_push(Cu, Id, 2),
    paused(Id),
    node_again(),
    test_cu:add(Cu, Id, 1),
    {Monitor, _} = harness:start(Cu, Id, #{}),
    Monitor ! tick,
    harness:await_results(3, 3).

paused_monitor_that_is_stopped_stays_stopped(Cu) ->
    Id = harness:proc_id(),
    {Monitor, _} = harness:start_and_push(Cu, Id, 2),
    paused(Id),
    ok = hb_process_monitor:stop(Monitor, deadline:ms()),
    node_again(),
    ?assertEqual([], hb_process_monitor:resume_all()).

started_paused_waits_for_resume(Cu) ->
    Id = harness:proc_id(),
    harness:report_pushes(Id),
    test_cu:add(Cu, Id, 2),
    {Monitor, _} = harness:start(Cu, Id, #{cursor => earliest, paused => true}),
    harness:await_state(Id, paused),
    Monitor ! tick,
    asked_nothing(Cu, Id, Monitor),
    ok = hb_process_monitor:resume(Monitor),
    harness:await_results(1, 2).

paused_monitor_redelivers_a_dead_letter(Cu) ->
    harness:host(#{cron_push_attempts => 1}),
    Id = harness:proc_id(),
    harness:fail_pushes(Id, [fun() -> {error, poison} end]),
    test_cu:add(Cu, Id, 2),
    {Monitor, _} = harness:start(Cu, Id, #{cursor => earliest}),
    Monitor ! tick,
    harness:await_results(2, 2),
    paused(Id),
    {ok, [#{id := Letter}]} = hb_process_monitor:dead_letters(Id),
    ok = hb_process_monitor:redeliver(Id, Letter),
    harness:await_results(1, 1).

pause_of_an_unmonitored_process_is_an_error(Cu) ->
    Id = harness:proc_id(),
    {Monitor, _} = harness:start(Cu, Id, #{}),
    ok = hb_process_monitor:stop(Monitor, deadline:ms()),
    [?assertEqual({error, not_monitored}, Call(Of))
     || Call <- [fun hb_process_monitor:pause/1, fun hb_process_monitor:resume/1], Of <- [Id, Monitor, self()]].

bad_value_of_paused_is_refused(_Cu) ->
    ?assertError({bad_option, paused, maybe_so}, hb_process_monitor:start(harness:proc_id(), #{paused => maybe_so})).
