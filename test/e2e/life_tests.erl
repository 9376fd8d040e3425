%%% Deaths of all parts: monitors that must not poll do not, and the others continue from their acked cursors. No
%%% result is lost or out of order.
-module(life_tests).
-include_lib("eunit/include/eunit.hrl").

eunit_wrapper_(Tests) -> deadline:each(Tests).

all_test_() ->
    harness:tests([
        fun monitor_killed_leaves_nothing_polling/1,
        fun monitor_killed_during_a_fetch_leaves_nothing_behind/1,
        fun monitor_killed_does_not_disturb_the_others/1,
        fun monitor_killed_gives_its_process_free/1,
        fun monitor_stopped_while_it_polls_leaves_nothing_polling/1,
        fun engine_killed_brings_the_monitors_back_with_their_cursors/1,
        fun engine_killed_during_a_push_repeats_no_acked_result/1,
        fun engine_killed_during_a_fetch_drops_its_page/1,
        fun engine_killed_before_the_latest_cursor_resolves_it_again/1,
        fun tree_killed_leaves_nothing_polling/1,
        fun application_stopped_during_a_push_lets_it_finish/1,
        fun application_stopped_and_started_works_again/1,
        fun logger_killed_harms_nothing/1,
        fun million_ticks_in_the_mailbox_are_served_as_one/1,
        fun million_ticks_during_a_push_do_not_hold_up_the_next/1,
        fun monitors_started_and_stopped_many_times_leave_nothing/1
    ]).

-define(RATE, 10).
%% Fast ticks, which pile up.
-define(TICKS, 1000000).

fast(Cu, Id) -> harness:start(Cu, Id, #{rate => ?RATE, cursor => earliest}).

counter(Name) -> maps:get(Name, hb_cron_engine:counters()).

%% Kills a monitor, and stops it before it is restarted.
killed_for_good(Monitor) ->
    killed = harness:kill(Monitor),
    ok = hb_process_monitor:stop(Monitor, deadline:ms()).

monitor_killed_leaves_nothing_polling(Cu) ->
    Id = harness:proc_id(),
    {Monitor, _} = fast(Cu, Id),
    harness:await_polled(Cu, Id),
    killed_for_good(Monitor),
    harness:eventually(fun() -> {counter(monitors), counter(inflight)} =:= {0, 0} end),
    harness:not_polled(Cu, Id, ?RATE).

monitor_killed_during_a_fetch_leaves_nothing_behind(Cu) ->
    Id = harness:proc_id(),
    Gate = harness:hold_requests(Cu),
    {Monitor, _} = fast(Cu, Id),
    Asked = harness:await_request(Gate, cron),
    killed_for_good(Monitor),
    harness:eventually(fun() -> counter(monitors) =:= 0 end),
    harness:release_request(Gate, Asked),
    harness:eventually(fun() -> counter(inflight) =:= 0 end),
    harness:no_request_held(Gate),
    test_cu:script(Cu, fun(_) -> pass end),
    harness:not_polled(Cu, Id, ?RATE).

monitor_killed_does_not_disturb_the_others(Cu) ->
    Ids = [harness:proc_id() || _ <- lists:seq(1, 20)],
    Kept = harness:proc_id(),
    harness:report_pushes(Kept),
    Monitors = [Monitor || Id <- Ids, {Monitor, _} <- [fast(Cu, Id)]],
    {KeptMonitor, _} = fast(Cu, Kept),
    lists:foreach(fun killed_for_good/1, Monitors),
    test_cu:add(Cu, Kept, 5),
    harness:await_results(1, 5),
    ?assert(is_process_alive(KeptMonitor)),
    harness:eventually(fun() -> counter(monitors) =:= 1 end).

monitor_killed_gives_its_process_free(Cu) ->
    Id = harness:proc_id(),
    harness:report_pushes(Id),
    {Killed, _} = harness:start(Cu, Id, #{cursor => earliest}),
    harness:kill(Killed),
    {Monitor, _} = harness:start(Cu, Id, #{cursor => earliest}),
    ?assertNotEqual(Killed, Monitor),
    test_cu:add(Cu, Id, 1),
    Monitor ! tick,
    harness:await_results(1, 1).

monitor_stopped_while_it_polls_leaves_nothing_polling(Cu) ->
    Id = harness:proc_id(),
    Gate = harness:hold_requests(Cu),
    {Monitor, _} = fast(Cu, Id),
    Asked = harness:await_request(Gate, cron),
    ok = hb_process_monitor:stop(Monitor, deadline:ms()),
    harness:release_request(Gate, Asked),
    test_cu:script(Cu, fun(_) -> pass end),
    harness:not_polled(Cu, Id, ?RATE).

engine_killed_brings_the_monitors_back_with_their_cursors(Cu) ->
    Ids = [harness:proc_id() || _ <- lists:seq(1, 20)],
    Self = self(),
    [begin
        dev_mu:route(Id, fun(Result, _) -> Self ! {Id, harness:number(Result)}, ok end),
        test_cu:add(Cu, Id, 10),
        {_, _} = fast(Cu, Id)
    end || Id <- Ids],
    Expect = fun(Numbers) -> [[receive {Id, N} -> ?assertEqual(Number, N) end || Number <- Numbers] || Id <- Ids] end,
    Expect(lists:seq(1, 10)),
    [begin
        harness:kill(whereis(hb_cron_engine)),
        [test_cu:add(Cu, Id, 10) || Id <- Ids],
        Expect(lists:seq(Round * 10 + 1, Round * 10 + 10))
    end || Round <- lists:seq(1, 5)],
    %% Each came back exactly once.
    ?assertEqual(20, counter(monitors)).

engine_killed_during_a_push_repeats_no_acked_result(Cu) ->
    Id = harness:proc_id(),
    Push = harness:hold_pushes(Id),
    test_cu:add(Cu, Id, 4),
    {Monitor, _} = harness:start(Cu, Id, #{cursor => earliest}),
    Monitor ! tick,
    harness:release_push(harness:await_push(Push, 1)),
    Held = harness:await_push(Push, 2),
    harness:kill(whereis(hb_cron_engine)),
    harness:eventually(fun() -> is_pid(whereis(hb_cron_engine)) end),
    harness:release_push(Held),
    harness:eventually(fun() -> counter(monitors) =:= 1 end),
    Monitor ! tick,
    [harness:release_push(harness:await_push(Push, N)) || N <- [3, 4]],
    harness:await_polled(Cu, Id),
    harness:no_push_held(Push).

engine_killed_during_a_fetch_drops_its_page(Cu) ->
    Id = harness:proc_id(),
    harness:report_pushes(Id),
    test_cu:add(Cu, Id, 3),
    Gate = harness:hold_requests(Cu),
    {Monitor, _} = harness:start(Cu, Id, #{cursor => earliest}),
    Monitor ! tick,
    Old = harness:await_request(Gate, cron),
    harness:kill(whereis(hb_cron_engine)),
    harness:eventually(fun() -> is_pid(whereis(hb_cron_engine)) andalso counter(monitors) =:= 1 end),
    Monitor ! tick,
    New = harness:await_request(Gate, cron),
    test_cu:script(Cu, fun(_) -> pass end),
    %% Both answers arrive; only one belongs to a fetch.
    harness:release_request(Gate, Old),
    harness:release_request(Gate, New),
    harness:await_results(1, 3),
    harness:await_polled(Cu, Id),
    _ = sys:get_state(Monitor),
    harness:no_result().

engine_killed_before_the_latest_cursor_resolves_it_again(Cu) ->
    Id = harness:proc_id(),
    harness:report_pushes(Id),
    test_cu:add(Cu, Id, 3),
    Gate = harness:hold_requests(Cu),
    {Monitor, Logger} = harness:start(Cu, Id, #{}),
    _ = harness:await_request(Gate, results),
    test_cu:script(Cu, fun(_) -> pass end),
    harness:kill(whereis(hb_cron_engine)),
    harness:await_start_cursor(Logger, test_cu:cursor(3)),
    test_cu:add(Cu, Id, 1),
    Monitor ! tick,
    harness:await_results(4, 4).

tree_killed_leaves_nothing_polling(Cu) ->
    Id = harness:proc_id(),
    {Monitor, _} = fast(Cu, Id),
    harness:await_polled(Cu, Id),
    Ref = monitor(process, Monitor),
    harness:kill(whereis(hb_cron_sup)),
    receive {'DOWN', Ref, process, _, _} -> ok end,
    harness:eventually(fun() -> not lists:keymember(hb_process_monitor, 1, application:which_applications()) end),
    %% With another checkpoint the next tree cannot resume monitors.
    harness:host(#{cron_checkpoint => harness:checkpoint() ++ ".other"}),
    harness:not_polled(Cu, Id, ?RATE).

application_stopped_during_a_push_lets_it_finish(Cu) ->
    Id = harness:proc_id(),
    Push = harness:hold_pushes(Id),
    test_cu:add(Cu, Id, 2),
    {Monitor, _} = harness:start(Cu, Id, #{cursor => earliest}),
    Monitor ! tick,
    Held = harness:await_push(Push, 1),
    Ref = monitor(process, Monitor),
    Self = self(),
    spawn_link(fun() -> Self ! {stopped, application:stop(hb_process_monitor)} end),
    %% The supervisor's exit signal arrives during the push.
    harness:eventually(fun() -> process_info(Monitor, message_queue_len) =/= {message_queue_len, 0} end),
    harness:release_push(Held),
    receive {'DOWN', Ref, process, _, Reason} -> ?assertEqual(shutdown, Reason) end,
    receive {stopped, Answer} -> ?assertEqual(ok, Answer) end,
    harness:no_push_held(Push).

application_stopped_and_started_works_again(Cu) ->
    [begin
        Id = harness:proc_id(),
        harness:report_pushes(Id),
        test_cu:add(Cu, Id, 2),
        {Monitor, _} = harness:start(Cu, Id, #{cursor => earliest}),
        Monitor ! tick,
        harness:await_results(1, 2),
        ok = application:stop(hb_process_monitor)
    end || _ <- lists:seq(1, 3)].

logger_killed_harms_nothing(Cu) ->
    Id = harness:proc_id(),
    harness:report_pushes(Id),
    {Monitor, Logger} = harness:start(Cu, Id, #{cursor => earliest}),
    harness:kill(Logger),
    test_cu:add(Cu, Id, 2),
    Monitor ! tick,
    harness:await_results(1, 2).

%% Counts the served ticks instead of measuring time. Previously each tick was a poll, and a million took a minute.
million_ticks_in_the_mailbox_are_served_as_one(Cu) ->
    {Monitor, _} = harness:start_and_push(Cu, harness:proc_id(), 1),
    ok = sys:suspend(Monitor),
    ticks(Monitor),
    {Served, ok} = served(fun() ->
        ok = sys:resume(Monitor),
        {error, unknown_call} = gen_server:call(Monitor, served, infinity),
        ok
    end),
    ?assertEqual(1, Served),
    ?assertEqual({message_queue_len, 0}, process_info(Monitor, message_queue_len)),
    test_cu:add(Cu, maps:get(process, hb_process_monitor:info(Monitor)), 1),
    Monitor ! tick,
    harness:await_results(2, 2).

million_ticks_during_a_push_do_not_hold_up_the_next(Cu) ->
    Id = harness:proc_id(),
    Push = harness:hold_pushes(Id),
    test_cu:add(Cu, Id, 3),
    {Monitor, _} = harness:start(Cu, Id, #{cursor => earliest}),
    Monitor ! tick,
    First = harness:await_push(Push, 1),
    ticks(Monitor),
    {Served, ok} = served(fun() ->
        harness:release_push(First),
        [harness:release_push(harness:await_push(Push, N)) || N <- [2, 3]],
        {error, unknown_call} = gen_server:call(Monitor, served, infinity),
        ok
    end),
    ?assertEqual(1, Served).

ticks(Monitor) -> lists:foreach(fun(_) -> Monitor ! tick end, lists:seq(1, ?TICKS)).

%% How many ticks monitors serve while a function runs, and its result.
served(Fun) ->
    Tick = {hb_cron_server, tick, 1},
    1 = erlang:trace_pattern(Tick, true, [local, call_count]),
    try
        Answer = Fun(),
        {call_count, Count} = erlang:trace_info(Tick, call_count),
        {Count, Answer}
    after
        1 = erlang:trace_pattern(Tick, false, [local, call_count])
    end.

monitors_started_and_stopped_many_times_leave_nothing(Cu) ->
    Logger = hb_logger:start(),
    Ids = [harness:proc_id() || _ <- lists:seq(1, 100)],
    [begin
        Monitors = [Monitor || Id <- Ids, {Monitor, _} <- [harness:start(Cu, Id, #{rate => 20, logger => Logger})]],
        [hb_process_monitor:stop(Monitor) || Monitor <- Monitors],
        Refs = [monitor(process, Monitor) || Monitor <- Monitors],
        [receive {'DOWN', Ref, process, _, _} -> ok end || Ref <- Refs]
    end || _ <- lists:seq(1, 20)],
    harness:eventually(fun() -> {counter(monitors), counter(inflight), counter(queued)} =:= {0, 0, 0} end),
    ?assertEqual([], hb_cron_registry:monitors()),
    ?assertEqual({0, 0}, {ets:info(hb_cron_names, size), ets:info(hb_cron_leaving, size)}).
