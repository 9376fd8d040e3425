%%% The public interface: arguments, return values and errors of start and stop.
-module(start_tests).
-include_lib("eunit/include/eunit.hrl").

-define(M, hb_process_monitor).

eunit_wrapper_(Tests) -> deadline:each(Tests).

good_test_() ->
    harness:tests([
        fun start_with_an_id_in_each_form_is_the_same_monitor/1,
        fun start_without_rate_ticks_at_the_hosts_or_the_default/1,
        fun start_with_three_arguments_begins_after_the_cursor/1,
        fun start_with_a_logger_uses_it/1,
        fun start_while_the_cu_hangs_returns/1,
        fun started_twice_is_one_monitor_with_unchanged_options/1,
        fun started_by_many_at_once_is_one_monitor/1,
        fun start_without_cursor_begins_after_the_latest_result/1,
        fun start_before_any_result_begins_at_the_first/1,
        fun start_with_a_failing_probe_never_begins_at_the_first/1,
        fun tick_before_the_latest_cursor_is_known_polls_once_it_is/1
    ]).

stop_test_() ->
    harness:tests([
        fun stop_message_ends_the_monitor/1,
        fun stop_of_an_idle_monitor_is_over_when_it_returns/1,
        fun stop_of_a_monitor_that_is_dead_is_ok/1,
        fun stop_during_a_push_waits_for_it_or_times_out/1,
        fun stop_between_two_results_pushes_no_further_one/1,
        fun start_during_the_last_push_fetches_after_it/1
    ]).

bad_test_() ->
    {setup, fun harness:setup/0, fun harness:cleanup/1, fun(Cu) ->
        Id = harness:proc_id(),
        Start = fun(Opts) -> fun() -> ?M:start(Id, Opts#{cron_node => test_cu:url(Cu)}) end end,
        [?_assertError({bad_process_id, Bad}, ?M:start(Bad)) || Bad <- [
            <<>>, <<"short">>, binary:copy(<<"a">>, 42), binary:copy(<<"a">>, 44), an_atom, 17, "list",
            <<"/", (binary:copy(<<"a">>, 42))/binary>>, [1000 | lists:duplicate(42, $a)], [a, b], undefined]]
        ++ [?_assertError({bad_rate, Bad}, ?M:start(Id, Bad)) || Bad <- [0, -1, 1.5, 16#100000000, undefined, "10"]]
        ++ [?_assertError({bad_rate, 0}, ?M:start(Id, #{rate => 0}))]
        ++ [?_assertError({bad_cursor, Bad}, ?M:start(Id, 1000, Bad)) || Bad <- [
            <<>>, binary:copy(<<"c">>, 4097), latest, "cursor", 0]]
        ++ [?_assertError({bad_option, K, V}, (Start(#{K => V}))()) || {K, V} <- [
            {no_such_option, 1}, {cron_page_limit, 0}, {cron_page_limit, 1001}, {cron_push, not_callable},
            {cron_push, fun() -> ok end}, {cron_timeout, 0}, {cron_connect_timeout, infinity}, {cron_first_byte_timeout, 0},
            {cron_max_page_bytes, -1}, {logger, not_a_pid}, {cron_result_format, tree},
            {cron_push_attempts, 0}, {<<"binary">>, 1},
            %% These have scope node: a monitor cannot change them.
            {cron_max_inflight, 7}, {cron_log_level, debug}, {cron_checkpoint, false}]]
        ++ [?_assertError({bad_option, cron_node, _}, ?M:start(Id, #{cron_node => Bad})) || Bad <- [
            <<"localhost">>, <<"ftp://host">>, <<"http://host/?q=1">>,
            <<"http://127.0.0.1:99999">>, <<"http://host:+80">>, <<"http://host:">>, <<"http://127.1">>,
            <<"http://@host">>, <<"http://ho st">>, <<"http://host#x">>, <<"http://">>, <<"http://[::1">>, "", [], [<<"http://ok">>, <<"bad">>], 5]]
        ++ [?_assertEqual(none, hb_cron_registry:find(Id))]
    end}.

start_with_an_id_in_each_form_is_the_same_monitor(Cu) ->
    Id = harness:proc_id(),
    Raw = base64:decode(<< <<(case C of $- -> $+; $_ -> $/; _ -> C end)>> || <<C>> <= <<Id/binary, "=">> >>),
    {Monitor, Logger} = harness:start(Cu, Id, #{}),
    ?assertEqual({Monitor, Logger}, harness:start(Cu, binary_to_list(Id), #{})),
    ?assertEqual({Monitor, Logger}, harness:start(Cu, Raw, #{})).

start_without_rate_ticks_at_the_hosts_or_the_default(Cu) ->
    Rate = fun() ->
        {_, Logger} = ?M:start(harness:proc_id(), #{cron_node => test_cu:url(Cu)}),
        [Found] = [R || {ok, started_monitor, {_, R, undefined}} <- harness:report(Logger)],
        Found
    end,
    ?assertEqual(10000, Rate()),
    harness:host(#{default_cron_rate => 1234}),
    ?assertEqual(1234, Rate()),
    harness:host(#{default_cron_rate => often}),
    ?assertEqual(10000, Rate()).

start_with_three_arguments_begins_after_the_cursor(Cu) ->
    harness:host(#{cron_node => test_cu:url(Cu)}),
    Id = harness:proc_id(),
    harness:report_pushes(Id),
    test_cu:add(Cu, Id, 10),
    {Monitor, _} = ?M:start(Id, 3600000, test_cu:cursor(4)),
    Monitor ! tick,
    harness:await_results(5, 10),
    harness:await_polled(Cu, Id),
    harness:no_result().

start_with_a_logger_uses_it(Cu) ->
    Logger = hb_logger:start(),
    {Monitor, Logger} = harness:start(Cu, harness:proc_id(), #{logger => Logger}),
    harness:await_logged(Logger, fun({ok, registered, Pid}) -> Pid =:= Monitor end).

start_while_the_cu_hangs_returns(Cu) ->
    test_cu:script(Cu, fun(_) -> hang end),
    Ids = [harness:proc_id() || _ <- lists:seq(1, 200)],
    Monitors = [Monitor || Id <- Ids, {Monitor, _} <- [harness:start(Cu, Id, #{})]],
    %% No request was answered, and all monitors are started.
    harness:eventually(fun() -> length(test_cu:requests(Cu)) >= 10 end),
    ?assert(lists:all(fun is_process_alive/1, Monitors)).

started_twice_is_one_monitor_with_unchanged_options(Cu) ->
    Id = harness:proc_id(),
    {Monitor, Logger} = harness:start(Cu, Id, #{rate => 50000, cursor => earliest}),
    ?assertEqual({Monitor, Logger}, harness:start(Cu, Id, #{rate => 1, cursor => <<"other">>})),
    ?assert(lists:member({ok, already_monitored, {Id, 50000, earliest}}, harness:report(Logger))),
    ?assertEqual(1, length(hb_cron_registry:monitors())).

started_by_many_at_once_is_one_monitor(Cu) ->
    Id = harness:proc_id(),
    Self = self(),
    Starters = [spawn_link(fun() ->
        receive go -> Self ! {self(), harness:start(Cu, Id, #{})} end
    end) || _ <- lists:seq(1, 50)],
    [Starter ! go || Starter <- Starters],
    Answers = [receive {Starter, Answer} -> Answer end || Starter <- Starters],
    ?assertMatch([{_, _}], lists:usort(Answers)).

start_without_cursor_begins_after_the_latest_result(Cu) ->
    Id = harness:proc_id(),
    harness:report_pushes(Id),
    test_cu:add(Cu, Id, 5),
    {Monitor, Logger} = harness:start(Cu, Id, #{}),
    harness:await_start_cursor(Logger, test_cu:cursor(5)),
    test_cu:add(Cu, Id, 2),
    Monitor ! tick,
    harness:await_results(6, 7).

start_before_any_result_begins_at_the_first(Cu) ->
    Id = harness:proc_id(),
    harness:report_pushes(Id),
    {Monitor, Logger} = harness:start(Cu, Id, #{}),
    harness:await_logged(Logger, fun({ok, resolved_cursor, {_, Cursor}}) -> Cursor =:= earliest end),
    test_cu:add(Cu, Id, 2),
    Monitor ! tick,
    harness:await_results(1, 2).

start_with_a_failing_probe_never_begins_at_the_first(Cu) ->
    Id = harness:proc_id(),
    harness:report_pushes(Id),
    test_cu:add(Cu, Id, 3),
    test_cu:script(Cu, fun(#{kind := results}) -> {raw, test_cu:reply(500, <<"{\"error\":\"fetch failed\"}">>)};
                          (_) -> pass end),
    {Monitor, Logger} = harness:start(Cu, Id, #{}),
    [begin
        harness:eventually(fun() -> length(test_cu:requests(Cu, Id)) >= Tries end),
        Monitor ! tick
    end || Tries <- [1, 2, 3]],
    harness:await_logged(Logger, fun({error, status, {_, _, Repeats}}) -> Repeats =:= 2 end),
    ?assertEqual([], [R || #{kind := cron} = R <- test_cu:requests(Cu, Id)]),
    test_cu:script(Cu, fun(_) -> pass end),
    Monitor ! tick,
    harness:await_logged(Logger, fun({ok, recovered, {_, fetch, N}}) -> N >= 3 end),
    test_cu:add(Cu, Id, 1),
    Monitor ! tick,
    harness:await_results(4, 4).

tick_before_the_latest_cursor_is_known_polls_once_it_is(Cu) ->
    Id = harness:proc_id(),
    harness:report_pushes(Id),
    test_cu:add(Cu, Id, 3),
    Gate = harness:hold_requests(Cu),
    {Monitor, _} = harness:start(Cu, Id, #{}),
    Asked = harness:await_request(Gate, results),
    Monitor ! tick,
    %% The monitor has answered a call, so it has served the earlier tick.
    _ = sys:get_state(Monitor),
    harness:release_request(Gate, Asked),
    harness:release_request(Gate, harness:await_request(Gate, cron)).

stop_message_ends_the_monitor(Cu) ->
    {Monitor, _} = harness:start(Cu, harness:proc_id(), #{}),
    Ref = monitor(process, Monitor),
    Monitor ! stop,
    receive {'DOWN', Ref, process, _, Reason} -> ?assertEqual(normal, Reason) end.

stop_of_an_idle_monitor_is_over_when_it_returns(Cu) ->
    Id = harness:proc_id(),
    {Monitor, _} = harness:start(Cu, Id, #{}),
    ?assertEqual(ok, ?M:stop(Monitor, deadline:ms())),
    ?assertNot(is_process_alive(Monitor)),
    ?assertEqual(none, hb_cron_registry:find(Id)),
    harness:eventually(fun() -> maps:get(monitors, hb_cron_engine:counters()) =:= 0 end).

stop_of_a_monitor_that_is_dead_is_ok(Cu) ->
    {Monitor, _} = harness:start(Cu, harness:proc_id(), #{}),
    ok = ?M:stop(Monitor, deadline:ms()),
    ?assertEqual(ok, ?M:stop(Monitor, deadline:ms())),
    ?assertEqual(stop, ?M:stop(Monitor)).

stop_during_a_push_waits_for_it_or_times_out(Cu) ->
    Id = harness:proc_id(),
    Push = harness:hold_pushes(Id),
    test_cu:add(Cu, Id, 2),
    {Monitor, _} = harness:start(Cu, Id, #{cursor => earliest}),
    Monitor ! tick,
    Held = harness:await_push(Push, 1),
    ?assertEqual({error, timeout}, ?M:stop(Monitor, 10)),
    ?assert(is_process_alive(Monitor)),
    Self = self(),
    spawn_link(fun() -> Self ! {stopped, ?M:stop(Monitor, deadline:ms())} end),
    harness:release_push(Held),
    receive {stopped, Answer} -> ?assertEqual(ok, Answer) end,
    %% The second push did not begin.
    harness:no_push_held(Push).

stop_between_two_results_pushes_no_further_one(Cu) ->
    Id = harness:proc_id(),
    Push = harness:hold_pushes(Id),
    test_cu:add(Cu, Id, 100),
    {Monitor, _} = harness:start(Cu, Id, #{cursor => earliest}),
    Monitor ! tick,
    Held = harness:await_push(Push, 1),
    Monitor ! stop,
    harness:release_push(Held),
    ?assertEqual(ok, ?M:stop(Monitor, deadline:ms())),
    harness:no_push_held(Push).

start_during_the_last_push_fetches_after_it(Cu) ->
    Id = harness:proc_id(),
    Push = harness:hold_pushes(Id),
    test_cu:add(Cu, Id, 1),
    {Old, _} = harness:start(Cu, Id, #{cursor => earliest}),
    Old ! tick,
    Held = harness:await_push(Push, 1),
    %% The next page, which is empty, has been fetched.
    harness:eventually(fun() -> length(test_cu:requests(Cu, Id)) =:= 2 end),
    stop = ?M:stop(Old),
    {New, _} = harness:start(Cu, Id, #{cursor => earliest}),
    ?assertNotEqual(Old, New),
    test_cu:forget_requests(Cu),
    New ! tick,
    _ = sys:get_state(New),
    ?assertEqual([], test_cu:requests(Cu, Id)),
    harness:no_push_held(Push),
    Ref = monitor(process, Old),
    harness:release_push(Held),
    receive {'DOWN', Ref, process, _, _} -> ok end,
    %% The early tick is not lost.
    harness:release_push(harness:await_push(Push, 1)).
