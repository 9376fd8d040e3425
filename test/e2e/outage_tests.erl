%%% Outages and gaps of a CU, end to end: recovery without any action of an operator. The engine's tests cover the
%%% timing on a simulated clock.
-module(outage_tests).
-include_lib("eunit/include/eunit.hrl").

eunit_wrapper_(Tests) -> deadline:each(Tests).

outage_test_() ->
    harness:tests([
        fun outage_that_ends_is_noticed_without_a_tick/1,
        fun dead_host_of_many_monitors_costs_few_requests/1,
        fun dead_host_that_comes_back_serves_all_that_waited/1,
        fun next_node_is_asked_at_once/1,
        fun all_nodes_down_and_one_back_goes_on/1,
        fun router_is_asked_again_after_failures/1,
        fun router_without_an_answer_changes_nothing/1,
        fun retry_after_is_obeyed/1,
        fun run_of_errors_is_passed_and_logged/1,
        fun cu_that_starts_over_on_a_walk_is_refused/1
    ]).

counter(Name) -> maps:get(Name, hb_cron_engine:counters()).

outage_that_ends_is_noticed_without_a_tick(Cu) ->
    Id = harness:proc_id(),
    harness:report_pushes(Id),
    test_cu:add(Cu, Id, 5),
    test_cu:script(Cu, fun(_) -> {raw, test_cu:reply(503, <<>>)} end),
    {Monitor, Logger} = harness:start(Cu, Id, #{cursor => earliest}),
    Monitor ! tick,
    harness:await_logged(Logger, fun({error, status, {_, _, 2}}) -> true end),
    test_cu:script(Cu, fun(_) -> pass end),
    harness:await_results(1, 5).

dead_host_of_many_monitors_costs_few_requests(Cu) ->
    Dead = test_cu:start(),
    test_cu:go_down(Dead),
    [harness:start(Dead, harness:proc_id(), #{rate => 200, cursor => earliest}) || _ <- lists:seq(1, 1000)],
    harness:eventually(fun() -> counter(open_breakers) =:= 1 end),
    Others = [harness:proc_id() || _ <- lists:seq(1, 20)],
    [begin
        harness:report_pushes(Id),
        harness:start(Cu, Id, #{rate => 200, cursor => earliest})
    end || Id <- Others],
    Failures = counter(failures),
    [test_cu:add(Cu, Id, 1) || Id <- Others],
    [receive {pushed, 1, _, _} -> ok end || _ <- Others],
    harness:eventually(fun() -> length(test_cu:requests(Cu)) > 400 end),
    %% At least a second has passed: at their rate they would have failed thousands of times.
    ?assert(counter(failures) - Failures < 20),
    ?assert(Failures < 60),
    test_cu:stop(Dead).

dead_host_that_comes_back_serves_all_that_waited(Cu) ->
    test_cu:go_down(Cu),
    Ids = [harness:proc_id() || _ <- lists:seq(1, 200)],
    [begin
        harness:report_pushes(Id),
        test_cu:add(Cu, Id, 1),
        harness:start(Cu, Id, #{rate => 100, cursor => earliest})
    end || Id <- Ids],
    harness:eventually(fun() -> counter(open_breakers) =:= 1 andalso counter(queued) >= 190 end),
    test_cu:come_up(Cu),
    [receive {pushed, 1, _, _} -> ok end || _ <- Ids],
    harness:no_result(),
    ?assertEqual(0, counter(open_breakers)).

next_node_is_asked_at_once(Cu) ->
    Id = harness:proc_id(),
    harness:report_pushes(Id),
    test_cu:add(Cu, Id, 2),
    Dead = test_cu:start(),
    test_cu:go_down(Dead),
    {Monitor, Logger} = harness:start(Cu, Id, #{cursor => earliest, cron_node => [test_cu:url(Dead), test_cu:url(Cu)]}),
    Monitor ! tick,
    harness:await_results(1, 2),
    harness:await_logged(Logger, fun({ok, recovered, {_, fetch, 1}}) -> true end),
    test_cu:stop(Dead).

all_nodes_down_and_one_back_goes_on(Cu) ->
    Id = harness:proc_id(),
    harness:report_pushes(Id),
    test_cu:add(Cu, Id, 2),
    Other = test_cu:start(),
    [test_cu:go_down(C) || C <- [Cu, Other]],
    {Monitor, _} = harness:start(Cu, Id, #{cursor => earliest, cron_node => [test_cu:url(Cu), test_cu:url(Other)]}),
    Monitor ! tick,
    harness:eventually(fun() -> counter(failures) >= 4 end),
    test_cu:come_up(Cu),
    harness:await_results(1, 2),
    test_cu:stop(Other).

router_is_asked_again_after_failures(Cu) ->
    Id = harness:proc_id(),
    harness:report_pushes(Id),
    test_cu:add(Cu, Id, 2),
    Dead = test_cu:start(),
    test_cu:go_down(Dead),
    route_to(Dead),
    _ = application:stop(hb_process_monitor),
    {Monitor, Logger} = hb_process_monitor:start(Id, #{rate => 3600000, cursor => earliest}),
    Monitor ! tick,
    harness:await_logged(Logger, fun({error, connect, {_, _, 1}}) -> true end),
    route_to(Cu),
    harness:await_results(1, 2),
    Url = test_cu:url(Cu),
    harness:await_logged(Logger, fun({ok, moved_node, {_, To}}) -> To =:= Url end),
    harness:unload_router(),
    test_cu:stop(Dead).

route_to(Cu) ->
    harness:load_router(lists:flatten(io_lib:format("{ok, ~p}", [binary_to_list(test_cu:url(Cu))]))).

%% If a router fails for a moment, the process must not be fetched from the local CU.
router_without_an_answer_changes_nothing(Cu) ->
    Id = harness:proc_id(),
    harness:report_pushes(Id),
    test_cu:add(Cu, Id, 2),
    route_to(Cu),
    _ = application:stop(hb_process_monitor),
    test_cu:go_down(Cu),
    {Monitor, _} = hb_process_monitor:start(Id, #{rate => 3600000, cursor => earliest}),
    harness:load_router("error(gone)"),
    Monitor ! tick,
    harness:eventually(fun() -> counter(failures) >= 2 end),
    test_cu:come_up(Cu),
    harness:await_results(1, 2),
    harness:unload_router().

retry_after_is_obeyed(Cu) ->
    Id = harness:proc_id(),
    harness:report_pushes(Id),
    test_cu:add(Cu, Id, 1),
    test_cu:script(Cu, fun(_) -> {raw, test_cu:reply(429, [{<<"retry-after">>, <<"2">>}], <<>>)} end),
    {Monitor, _} = harness:start(Cu, Id, #{rate => 20, cursor => earliest}),
    Monitor ! tick,
    harness:eventually(fun() -> test_cu:requests(Cu, Id) =/= [] end),
    test_cu:script(Cu, fun(_) -> pass end),
    %% Neither ticks nor an explicit poll hasten it.
    Monitor ! tick,
    harness:await_results(1, 1),
    [#{at := First}, #{at := Second} | _] = test_cu:requests(Cu, Id),
    ?assert(Second - First >= 2000).

%% Results 4 to 500 are errors, and no page reaches beyond them: a CU removes errors after cutting the page.
run_of_errors_is_passed_and_logged(Cu) ->
    Id = harness:proc_id(),
    harness:report_pushes(Id),
    test_cu:add(Cu, Id, 510),
    errors(Cu, 4, 500),
    {Monitor, Logger} = harness:start(Cu, Id, #{cursor => earliest, rate => 50, cron_walk_after => 200}),
    Monitor ! tick,
    harness:await_results(1, 3),
    harness:await_results(501, 510),
    harness:await_logged(Logger, fun({error, passed_errors, {For, {from_ms, From}, {to_ms, To}}}) ->
        For =:= Id andalso From < To
    end),
    harness:no_result().

%% Pages of at most 100 rows, without the rows of these numbers.
errors(Cu, First, Last) ->
    Good = fun(Numbers) -> [N || N <- Numbers, N < First orelse N > Last] end,
    test_cu:script(Cu, fun(#{kind := results}) ->
                               pass;
                          (#{query := Query}) ->
                               From = case maps:get(<<"from">>, Query, <<>>) of
                                   <<>> -> 1;
                                   Cursor -> test_cu:number(Cursor) + 1
                               end,
                               Rows = lists:seq(From, max(From - 1, min(510, From + 100))),
                               {raw, test_cu:reply(200, test_cu:page(Good(Rows), false, <<"x">>))}
                       end).

%% A CU that ignores bare times would answer a walk with the first results.
cu_that_starts_over_on_a_walk_is_refused(Cu) ->
    Id = harness:proc_id(),
    harness:report_pushes(Id),
    test_cu:add(Cu, Id, 3),
    {Monitor, Logger} = harness:start(Cu, Id, #{cursor => earliest, rate => 50, cron_walk_after => 200}),
    Monitor ! tick,
    harness:await_results(1, 3),
    Ahead = {raw, test_cu:reply(200, test_cu:page([500], false, <<"x">>))},
    Old = {raw, test_cu:reply(200, test_cu:page([1, 2, 3], false, <<"x">>))},
    Walked = fun(From) -> re:run(From, "^[0-9]+$") =/= nomatch end,
    test_cu:script(Cu, fun(#{kind := results}) -> Ahead;
                          (#{query := #{<<"from">> := From}}) ->
                               case Walked(From) of true -> Old; false -> pass end;
                          (_) -> pass
                       end),
    harness:await_logged(Logger, fun({error, cursor_regressed, {_, _, 1}}) -> true end),
    test_cu:script(Cu, fun(_) -> pass end),
    test_cu:add(Cu, Id, 1),
    harness:await_results(4, 4).
