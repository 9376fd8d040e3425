%%% Pushing: the call of the host's device, and the handling of failed pushes.
-module(push_tests).
-include_lib("eunit/include/eunit.hrl").

eunit_wrapper_(Tests) -> deadline:each(Tests).

all_test_() ->
    harness:tests([
        fun push_gets_the_message_and_the_documented_state/1,
        fun push_of_a_module_and_function_or_a_fun_is_used/1,
        fun push_that_returns_anything_but_an_error_is_acked/1,
        fun push_that_fails_is_tried_again_at_each_tick/1,
        fun push_that_fails_holds_up_the_results_behind_it/1,
        fun push_that_fails_is_logged_at_1_2_4_8_and_when_it_is_over/1,
        fun push_that_fails_is_tried_again_after_a_pause/1,
        fun push_that_sends_strays_or_exit_signals_harms_nothing/1,
        fun page_announced_while_it_is_pushed_harms_nothing/1,
        fun push_device_that_is_missing_is_an_error_like_any_other/1,
        fun monitor_serves_its_mailbox_between_two_results/1
    ]).

push_gets_the_message_and_the_documented_state(Cu) ->
    Id = harness:proc_id(),
    harness:report_pushes(Id),
    test_cu:add(Cu, Id, 2),
    {Monitor, Logger} = harness:start(Cu, Id, #{cursor => earliest}),
    Monitor ! tick,
    Cursor = fun test_cu:cursor/1,
    receive {pushed, 1, First, State1} ->
        ?assertEqual(#{proc_id => Id, cursor => earliest, logger => Logger}, State1),
        ?assertEqual(Cursor(1), maps:get(<<"cursor">>, First)),
        ?assertEqual(#{<<"data">> => <<"tick 1">>}, maps:get(<<"Output">>, First)),
        ?assertMatch([#{<<"Tags">> := [#{<<"name">> := <<"Type">>, <<"value">> := <<"Message">>}]}],
                     maps:get(<<"Messages">>, First))
    end,
    receive {pushed, 2, _, State2} ->
        ?assertEqual(#{proc_id => Id, cursor => Cursor(1), logger => Logger}, State2)
    end.

push_of_a_module_and_function_or_a_fun_is_used(Cu) ->
    Self = self(),
    [begin
        Id = harness:proc_id(),
        test_cu:add(Cu, Id, 1),
        dev_mu:route(Id, fun(Result, _) -> Self ! {by_device, Result}, ok end),
        {Monitor, _} = harness:start(Cu, Id, #{cursor => earliest, cron_push => Push}),
        Monitor ! tick,
        receive {Tag, _} -> ?assertEqual(Expected, Tag) end
    end || {Push, Expected} <- [
        {{dev_mu, push}, by_device},
        {fun(#{message := Result}, #{proc_id := _}) -> Self ! {by_fun, Result}, ok end, by_fun}
    ]].

push_that_returns_anything_but_an_error_is_acked(Cu) ->
    Id = harness:proc_id(),
    Self = self(),
    Returns = [ok, {ok, value}, error, undefined, #{}, {error, two, three}, "", self()],
    dev_mu:route(Id, fun(Result, _) ->
        Number = harness:number(Result),
        Self ! {pushed, Number, Result, none},
        lists:nth(Number, Returns)
    end),
    test_cu:add(Cu, Id, length(Returns)),
    {Monitor, _} = harness:start(Cu, Id, #{cursor => earliest}),
    Monitor ! tick,
    harness:await_results(1, length(Returns)).

ways() ->
    [fun() -> error(raised) end,
     fun() -> exit(exited) end,
     fun() -> throw(thrown) end,
     fun() -> {error, returned} end,
     fun() -> exit(normal) end,
     fun() -> exit(kill) end].

push_that_fails_is_tried_again_at_each_tick(Cu) ->
    Id = harness:proc_id(),
    Ways = ways(),
    harness:fail_pushes(Id, Ways),
    test_cu:add(Cu, Id, 3),
    {Monitor, Logger} = harness:start(Cu, Id, #{cursor => earliest}),
    [begin
        Monitor ! tick,
        receive {push_failed, Number} -> ?assertEqual(1, Number) end,
        %% It is retried at the next tick, neither earlier nor later.
        _ = sys:get_state(Monitor),
        harness:no_result()
    end || _ <- Ways],
    Monitor ! tick,
    harness:await_results(1, 3),
    %% The page was kept and not fetched again.
    harness:await_polled(Cu, Id),
    ?assertEqual(2, length(test_cu:requests(Cu, Id))),
    First = test_cu:cursor(1),
    Logged = [Reason || {error, push_failed, {_, Cursor, Reason, _}} <- lists:reverse(harness:report(Logger)),
                        Cursor =:= First],
    ?assertEqual([{error, raised}, {exit, exited}, returned], Logged).

push_that_fails_holds_up_the_results_behind_it(Cu) ->
    Id = harness:proc_id(),
    Self = self(),
    dev_mu:route(Id, fun(Result, _) ->
        Self ! {pushed, harness:number(Result), Result, none},
        case harness:number(Result) of
            3 -> {error, poison};
            _ -> ok
        end
    end),
    test_cu:add(Cu, Id, 5),
    {Monitor, _} = harness:start(Cu, Id, #{cursor => earliest}),
    Monitor ! tick,
    harness:await_results(1, 3),
    [begin Monitor ! tick, harness:await_results(3, 3) end || _ <- lists:seq(1, 5)],
    _ = sys:get_state(Monitor),
    harness:no_result().

push_that_fails_is_logged_at_1_2_4_8_and_when_it_is_over(Cu) ->
    Id = harness:proc_id(),
    Failures = 11,
    harness:fail_pushes(Id, lists:duplicate(Failures, fun() -> {error, down} end)),
    test_cu:add(Cu, Id, 1),
    {Monitor, Logger} = harness:start(Cu, Id, #{cursor => earliest}),
    [begin Monitor ! tick, receive {push_failed, 1} -> ok end, _ = sys:get_state(Monitor) end
     || _ <- lists:seq(1, Failures)],
    Monitor ! tick,
    harness:await_results(1, 1),
    harness:await_logged(Logger, fun({ok, recovered, {_, push, N}}) -> N =:= Failures end),
    ?assertEqual([1, 2, 4, 8], [N || {error, push_failed, {_, _, down, N}} <- lists:reverse(harness:report(Logger))]).

push_that_fails_is_tried_again_after_a_pause(Cu) ->
    Id = harness:proc_id(),
    harness:fail_pushes(Id, lists:duplicate(5, fun() -> {error, down} end)),
    test_cu:add(Cu, Id, 2),
    {Monitor, _} = harness:start(Cu, Id, #{cursor => earliest, cron_push_backoff => {1, 10}}),
    Monitor ! tick,
    harness:await_results(1, 2).

push_that_sends_strays_or_exit_signals_harms_nothing(Cu) ->
    Id = harness:proc_id(),
    Self = self(),
    dev_mu:route(Id, fun(Result, _) ->
        Monitor = self(),
        [Monitor ! Stray || Stray <- [stray, {hb_cron, 1, {page, 1, [x]}}, {hb_cron, x}, {'DOWN', make_ref(), process, Self, x},
                                      {'EXIT', Self, x}, {make_ref(), late_reply}, push_next, timeout]],
        %% A linked helper process that crashes.
        spawn_link(fun() -> exit(helper_crashed) end),
        gen_server:cast(Monitor, stray),
        Self ! {pushed, harness:number(Result), Result, none},
        ok
    end),
    test_cu:add(Cu, Id, 20),
    {Monitor, _} = harness:start(Cu, Id, #{cursor => earliest}),
    Monitor ! tick,
    harness:await_results(1, 20),
    ?assertEqual({error, unknown_call}, gen_server:call(Monitor, stray, infinity)),
    ?assert(is_process_alive(Monitor)).

page_announced_while_it_is_pushed_harms_nothing(Cu) ->
    Id = harness:proc_id(),
    Self = self(),
    test_cu:add(Cu, Id, 20),
    {Monitor, _} = harness:start(Cu, Id, #{cursor => earliest}),
    [Epoch] = [Epoch || {Handle, Epoch, Ticker} <- tuple_to_list(sys:get_state(Monitor)), is_reference(Handle), is_pid(Ticker)],
    dev_mu:route(Id, fun(Result, _) ->
        self() ! {hb_cron, Epoch, page},
        Self ! {pushed, harness:number(Result), Result, none},
        ok
    end),
    Monitor ! tick,
    harness:await_results(1, 20),
    _ = sys:get_state(Monitor).

push_device_that_is_missing_is_an_error_like_any_other(Cu) ->
    Id = harness:proc_id(),
    test_cu:add(Cu, Id, 1),
    {Monitor, Logger} = harness:start(Cu, Id, #{cursor => earliest, cron_push => {no_such_module, push}}),
    Monitor ! tick,
    harness:await_logged(Logger, fun({error, push_failed, {_, _, {error, undef}, 1}}) -> true end),
    ?assert(is_process_alive(Monitor)).

monitor_serves_its_mailbox_between_two_results(Cu) ->
    Id = harness:proc_id(),
    Push = harness:hold_pushes(Id),
    test_cu:add(Cu, Id, 1000),
    {Monitor, _} = harness:start(Cu, Id, #{cursor => earliest}),
    Monitor ! tick,
    Held = harness:await_push(Push, 1),
    Self = self(),
    spawn_link(fun() -> Self ! {state, sys:get_state(Monitor)} end),
    harness:eventually(fun() -> element(2, process_info(Monitor, message_queue_len)) >= 1 end),
    harness:release_push(Held),
    receive {state, _} -> ok end,
    %% The question was answered in between: most results are not pushed yet.
    _ = harness:await_push(Push, 2).
