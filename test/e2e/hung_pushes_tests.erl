%%% Pushes that do not return: each is logged once, and counted as long as it lasts, whatever processes die
%%% meanwhile.
-module(hung_pushes_tests).
-include_lib("eunit/include/eunit.hrl").

eunit_wrapper_(Tests) -> deadline:each(Tests).

all_test_() ->
    harness:tests([
        fun push_that_does_not_return_is_logged_once/1,
        fun push_that_outlives_the_watcher_is_still_seen/1,
        fun monitor_killed_at_a_push_is_seen_no_more/1,
        fun next_push_of_a_monitor_is_seen_as_well/1
    ]).

%% A monitor in a held push.
at_push(Cu, Id, Results) ->
    Push = harness:hold_pushes(Id),
    test_cu:add(Cu, Id, Results),
    {Monitor, Logger} = harness:start(Cu, Id, #{cursor => earliest, cron_push_stall => 100, logger => hb_logger:start()}),
    Monitor ! tick,
    {Monitor, Logger, Push, harness:await_push(Push, 1)}.

%% Checks now, and not after up to a second.
checked() ->
    hb_cron_hung_pushes ! check,
    {error, unknown_call} = gen_server:call(hb_cron_hung_pushes, served, infinity),
    maps:get(stalled_pushes, hb_process_monitor:metrics()).

told(Logger) -> [For || {error, push_stalled, {_, {for_ms, For}}} <- harness:report(Logger)].

push_that_does_not_return_is_logged_once(Cu) ->
    {_, Logger, Push, Held} = at_push(Cu, harness:proc_id(), 2),
    harness:eventually(fun() -> told(Logger) =/= [] end),
    [For] = told(Logger),
    ?assert(For >= 100),
    %% Later checks do not log it again.
    ?assertEqual(1, checked()),
    ?assertEqual(1, length(told(Logger))),
    harness:release_push(Held),
    harness:release_push(harness:await_push(Push, 2)).

push_that_outlives_the_watcher_is_still_seen(Cu) ->
    {_, Logger, _Push, Held} = at_push(Cu, harness:proc_id(), 1),
    harness:eventually(fun() -> told(Logger) =/= [] end),
    _ = harness:kill(whereis(hb_cron_hung_pushes)),
    harness:eventually(fun() -> is_pid(whereis(hb_cron_hung_pushes)) end),
    ?assertEqual(1, checked()),
    ?assertEqual(1, length(told(Logger))),
    harness:release_push(Held),
    harness:eventually(fun() -> checked() =:= 0 end).

monitor_killed_at_a_push_is_seen_no_more(Cu) ->
    {Monitor, _, _Push, _Held} = at_push(Cu, harness:proc_id(), 1),
    harness:eventually(fun() -> checked() =:= 1 end),
    killed = harness:kill(Monitor),
    ?assertEqual(0, checked()).

next_push_of_a_monitor_is_seen_as_well(Cu) ->
    Id = harness:proc_id(),
    {Monitor, Logger, Push, Held} = at_push(Cu, Id, 1),
    harness:eventually(fun() -> checked() =:= 1 end),
    harness:release_push(Held),
    %% Between two pushes it is removed from the list, and added again at the next one.
    harness:eventually(fun() -> checked() =:= 0 end),
    test_cu:add(Cu, Id, 1),
    Monitor ! tick,
    Next = harness:await_push(Push, 2),
    harness:eventually(fun() -> length(told(Logger)) =:= 2 end),
    harness:release_push(Next).
