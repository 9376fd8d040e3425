%%% Deaths: whatever part dies, nothing polls that should not, and what lives goes on from its acked
%%% cursor, with no result lost and none out of order.
-module(life_tests).
-include_lib("eunit/include/eunit.hrl").

eunit_wrapper_(Tests) -> deadline:each(Tests).

all_test_() ->
    {foreach, fun harness:setup/0, fun harness:cleanup/1,
     [{with, [T]} || T <- [
        fun monitor_killed_leaves_nothing_polling/1,
        fun monitor_killed_during_a_fetch_leaves_nothing_behind/1,
        fun monitor_killed_does_not_disturb_the_others/1,
        fun monitor_killed_gives_its_process_free/1,
        fun monitor_stopped_while_it_polls_leaves_nothing_polling/1,
        fun ticker_killed_brings_the_monitors_back_with_their_cursors/1,
        fun ticker_killed_during_a_push_repeats_no_acked_result/1,
        fun ticker_killed_during_a_fetch_drops_its_page/1,
        fun ticker_killed_before_the_latest_cursor_is_known_finds_it_again/1,
        fun tree_killed_leaves_nothing_polling/1,
        fun application_stopped_during_a_push_lets_it_finish/1,
        fun application_stopped_and_started_works_again/1,
        fun logger_killed_harms_nothing/1,
        fun million_ticks_in_the_mailbox_are_served_as_one/1,
        fun million_ticks_during_a_push_do_not_hold_up_the_next/1,
        fun monitors_started_and_stopped_many_times_leave_nothing/1
     ]]}.

-define(RATE, 10).
%% Ticks that pile up.
-define(TICKS, 1000000).

fast(Cu, Id) -> harness:start(Cu, Id, #{rate => ?RATE, cursor => earliest}).

counter(Name) -> maps:get(Name, hb_cron_engine:counters()).

%% Killed, and stopped before it is started again.
killed_for_good(Monitor) ->
    killed = harness:kill(Monitor),
    ok = hb_process_monitor:stop(Monitor, deadline:ms()).

monitor_killed_leaves_nothing_polling(Cu) ->
    Id = harness:proc_id(),
    {Monitor, _} = fast(Cu, Id),
    harness:polled(Cu, Id),
    killed_for_good(Monitor),
    harness:eventually(fun() -> {counter(monitors), counter(inflight)} =:= {0, 0} end),
    harness:still(Cu, Id, ?RATE).

monitor_killed_during_a_fetch_leaves_nothing_behind(Cu) ->
    Id = harness:proc_id(),
    Gate = harness:gate(Cu),
    {Monitor, _} = fast(Cu, Id),
    Asked = harness:asked(Gate, cron),
    killed_for_good(Monitor),
    harness:eventually(fun() -> counter(monitors) =:= 0 end),
    harness:open(Gate, Asked),
    harness:eventually(fun() -> counter(inflight) =:= 0 end),
    harness:not_asked(Gate),
    test_cu:script(Cu, fun(_) -> pass end),
    harness:still(Cu, Id, ?RATE).

monitor_killed_does_not_disturb_the_others(Cu) ->
    Ids = [harness:proc_id() || _ <- lists:seq(1, 20)],
    Kept = harness:proc_id(),
    harness:sink(Kept),
    Monitors = [Monitor || Id <- Ids, {Monitor, _} <- [fast(Cu, Id)]],
    {KeptMonitor, _} = fast(Cu, Kept),
    lists:foreach(fun killed_for_good/1, Monitors),
    test_cu:add(Cu, Kept, 5),
    harness:results(1, 5),
    ?assert(is_process_alive(KeptMonitor)),
    harness:eventually(fun() -> counter(monitors) =:= 1 end).

monitor_killed_gives_its_process_free(Cu) ->
    Id = harness:proc_id(),
    harness:sink(Id),
    {Killed, _} = harness:start(Cu, Id, #{cursor => earliest}),
    harness:kill(Killed),
    {Monitor, _} = harness:start(Cu, Id, #{cursor => earliest}),
    ?assertNotEqual(Killed, Monitor),
    test_cu:add(Cu, Id, 1),
    Monitor ! tick,
    harness:results(1, 1).

monitor_stopped_while_it_polls_leaves_nothing_polling(Cu) ->
    Id = harness:proc_id(),
    Gate = harness:gate(Cu),
    {Monitor, _} = fast(Cu, Id),
    Asked = harness:asked(Gate, cron),
    ok = hb_process_monitor:stop(Monitor, deadline:ms()),
    harness:open(Gate, Asked),
    test_cu:script(Cu, fun(_) -> pass end),
    harness:still(Cu, Id, ?RATE).

ticker_killed_brings_the_monitors_back_with_their_cursors(Cu) ->
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
    %% Each came back once.
    ?assertEqual(20, counter(monitors)).

ticker_killed_during_a_push_repeats_no_acked_result(Cu) ->
    Id = harness:proc_id(),
    Push = harness:held_pushes(Id),
    test_cu:add(Cu, Id, 4),
    {Monitor, _} = harness:start(Cu, Id, #{cursor => earliest}),
    Monitor ! tick,
    harness:let_go(harness:held(Push, 1)),
    Held = harness:held(Push, 2),
    harness:kill(whereis(hb_cron_engine)),
    harness:eventually(fun() -> is_pid(whereis(hb_cron_engine)) end),
    harness:let_go(Held),
    harness:eventually(fun() -> counter(monitors) =:= 1 end),
    Monitor ! tick,
    [harness:let_go(harness:held(Push, N)) || N <- [3, 4]],
    harness:polled(Cu, Id),
    harness:nothing_held(Push).

ticker_killed_during_a_fetch_drops_its_page(Cu) ->
    Id = harness:proc_id(),
    harness:sink(Id),
    test_cu:add(Cu, Id, 3),
    Gate = harness:gate(Cu),
    {Monitor, _} = harness:start(Cu, Id, #{cursor => earliest}),
    Monitor ! tick,
    Old = harness:asked(Gate, cron),
    harness:kill(whereis(hb_cron_engine)),
    harness:eventually(fun() -> is_pid(whereis(hb_cron_engine)) andalso counter(monitors) =:= 1 end),
    Monitor ! tick,
    New = harness:asked(Gate, cron),
    test_cu:script(Cu, fun(_) -> pass end),
    %% Both answers come; only one of them is anybody's.
    harness:open(Gate, Old),
    harness:open(Gate, New),
    harness:results(1, 3),
    harness:polled(Cu, Id),
    _ = sys:get_state(Monitor),
    harness:no_result().

ticker_killed_before_the_latest_cursor_is_known_finds_it_again(Cu) ->
    Id = harness:proc_id(),
    harness:sink(Id),
    test_cu:add(Cu, Id, 3),
    Gate = harness:gate(Cu),
    {Monitor, Logger} = harness:start(Cu, Id, #{}),
    _ = harness:asked(Gate, results),
    test_cu:script(Cu, fun(_) -> pass end),
    harness:kill(whereis(hb_cron_engine)),
    harness:resolved(Logger, test_cu:cursor(3)),
    test_cu:add(Cu, Id, 1),
    Monitor ! tick,
    harness:results(4, 4).

tree_killed_leaves_nothing_polling(Cu) ->
    Id = harness:proc_id(),
    {Monitor, _} = fast(Cu, Id),
    harness:polled(Cu, Id),
    Ref = monitor(process, Monitor),
    harness:kill(whereis(hb_cron_sup)),
    receive {'DOWN', Ref, process, _, _} -> ok end,
    harness:eventually(fun() -> not lists:keymember(hb_process_monitor, 1, application:which_applications()) end),
    %% With another checkpoint the next tree knows nothing that it could resume.
    harness:host(#{cron_checkpoint => harness:checkpoint() ++ ".other"}),
    harness:still(Cu, Id, ?RATE).

application_stopped_during_a_push_lets_it_finish(Cu) ->
    Id = harness:proc_id(),
    Push = harness:held_pushes(Id),
    test_cu:add(Cu, Id, 2),
    {Monitor, _} = harness:start(Cu, Id, #{cursor => earliest}),
    Monitor ! tick,
    Held = harness:held(Push, 1),
    Ref = monitor(process, Monitor),
    Self = self(),
    spawn_link(fun() -> Self ! {stopped, application:stop(hb_process_monitor)} end),
    %% The supervisor's word is in the mailbox before the push is over.
    harness:eventually(fun() -> process_info(Monitor, message_queue_len) =/= {message_queue_len, 0} end),
    harness:let_go(Held),
    receive {'DOWN', Ref, process, _, Reason} -> ?assertEqual(shutdown, Reason) end,
    receive {stopped, Answer} -> ?assertEqual(ok, Answer) end,
    harness:nothing_held(Push).

application_stopped_and_started_works_again(Cu) ->
    [begin
        Id = harness:proc_id(),
        harness:sink(Id),
        test_cu:add(Cu, Id, 2),
        {Monitor, _} = harness:start(Cu, Id, #{cursor => earliest}),
        Monitor ! tick,
        harness:results(1, 2),
        ok = application:stop(hb_process_monitor)
    end || _ <- lists:seq(1, 3)].

logger_killed_harms_nothing(Cu) ->
    Id = harness:proc_id(),
    harness:sink(Id),
    {Monitor, Logger} = harness:start(Cu, Id, #{cursor => earliest}),
    harness:kill(Logger),
    test_cu:add(Cu, Id, 2),
    Monitor ! tick,
    harness:results(1, 2).

%% What it does for them is counted, and not how long it takes: each was a poll once, and they took a minute.
million_ticks_in_the_mailbox_are_served_as_one(Cu) ->
    {Monitor, _} = harness:pushed(Cu, harness:proc_id(), 1),
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
    harness:results(2, 2).

million_ticks_during_a_push_do_not_hold_up_the_next(Cu) ->
    Id = harness:proc_id(),
    Push = harness:held_pushes(Id),
    test_cu:add(Cu, Id, 3),
    {Monitor, _} = harness:start(Cu, Id, #{cursor => earliest}),
    Monitor ! tick,
    First = harness:held(Push, 1),
    ticks(Monitor),
    {Served, ok} = served(fun() ->
        harness:let_go(First),
        [harness:let_go(harness:held(Push, N)) || N <- [2, 3]],
        {error, unknown_call} = gen_server:call(Monitor, served, infinity),
        ok
    end),
    ?assertEqual(1, Served).

ticks(Monitor) -> lists:foreach(fun(_) -> Monitor ! tick end, lists:seq(1, ?TICKS)).

%% How many ticks monitors serve while a function runs, and what it returns.
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
