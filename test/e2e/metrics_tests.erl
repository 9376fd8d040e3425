%%% Metrics: each counts what its description says, and continues across deaths of all parts.
-module(metrics_tests).
-include_lib("eunit/include/eunit.hrl").

eunit_wrapper_(Tests) -> deadline:each(Tests).

all_test_() ->
    harness:tests([
        fun metrics_of_a_node_at_work_count_what_it_did/1,
        fun metrics_of_results_without_a_time_leave_out_their_lag/1,
        fun metrics_after_an_engine_death_go_on_from_where_they_were/1,
        fun metrics_of_a_stopped_application_keep_counters_only/1,
        fun failed_fetches_are_counted_by_class/1,
        fun failed_pushes_are_counted_one_by_one_and_given_up_once/1,
        fun push_that_stalls_shows_while_it_lasts/1,
        fun breaker_that_opens_is_counted_once_until_it_closes/1
    ]).

metric(Name) -> maps:get(Name, hb_process_monitor:metrics()).

count(Name) -> maps:get(count, metric(Name)).

sum(Name) -> maps:get(sum, metric(Name)).

%% The number of values above a bound in a histogram.
above(Bound, Name) ->
    #{buckets := Buckets, count := Count} = metric(Name),
    {_, Below} = lists:keyfind(Bound, 1, Buckets),
    Count - Below.

metrics_of_a_node_at_work_count_what_it_did(Cu) ->
    Histograms = [tick_lateness_seconds, fetch_duration_seconds, decode_duration_seconds, terms_duration_seconds, page_duration_seconds,
                  push_duration_seconds, lag_seconds, checkpoint_commit_duration_seconds],
    Before = hb_process_monitor:metrics(),
    Count = fun(Name) -> count(Name) - maps:get(count, maps:get(Name, Before)) end,
    Id = harness:proc_id(),
    harness:report_pushes(Id),
    test_cu:add(Cu, Id, 1500),
    {Monitor, _} = harness:start(Cu, Id, #{cursor => earliest, rate => 50}),
    harness:await_results(1, 1500),
    %% Two pages with results, and the empty one that ends the poll.
    harness:eventually(fun() -> Count(push_duration_seconds) =:= 1500 andalso Count(page_duration_seconds) =:= 2
                           andalso Count(fetch_duration_seconds) >= 3 end),
    %% Each duration is positive and in the right histogram.
    [?assert(Count(Name) > 0) || Name <- Histograms],
    ?assertEqual(1500, Count(lag_seconds)),
    ?assertEqual(2, Count(decode_duration_seconds)),
    %% The CU's results are from October 2025, so all are older than a week.
    #{buckets := Lags} = metric(lag_seconds),
    #{lag_seconds := #{buckets := LagsBefore}} = Before,
    ?assertEqual(lists:keyfind(604800.0, 1, LagsBefore), lists:keyfind(604800.0, 1, Lags)),
    Now = hb_process_monitor:metrics(),
    More = fun(Name) -> maps:get(Name, Now) - maps:get(Name, Before) end,
    ?assertEqual(1500, More(results_fetched_total)),
    ?assert(More(ticks_total) > 0),
    ?assert(More(fetches_total) >= 3),
    ?assertMatch(#{monitors := 1, engine_starts_total := _, open_breakers := 0, checkpoint_failing := 0}, Now),
    ?assert(maps:get(fetch_threads, Now) > 0),
    ?assertEqual([Name || #{name := Name} <- hb_cron_metrics:table()] -- maps:keys(Now), []),
    ok = hb_process_monitor:stop(Monitor, deadline:ms()).

metrics_of_results_without_a_time_leave_out_their_lag(Cu) ->
    Id = harness:proc_id(),
    Self = self(),
    dev_mu:route(Id, fun(#{<<"cursor">> := Cursor}, _) -> Self ! {pushed, Cursor}, ok end),
    Page = <<"{\"pageInfo\":{\"hasNextPage\":false},\"edges\":[{\"node\":{},\"cursor\":\"opaque\"}]}">>,
    Empty = <<"{\"pageInfo\":{\"hasNextPage\":false},\"edges\":[]}">>,
    test_cu:script(Cu, fun
        (#{query := #{<<"from">> := <<"opaque">>}}) -> {raw, test_cu:reply(200, Empty)};
        (_) -> {raw, test_cu:reply(200, Page)}
    end),
    {Pages, Lags} = {count(page_duration_seconds), count(lag_seconds)},
    {Monitor, _} = harness:start(Cu, Id, #{cursor => earliest}),
    Monitor ! tick,
    receive {pushed, <<"opaque">>} -> ok end,
    harness:eventually(fun() -> count(page_duration_seconds) =:= Pages + 1 end),
    ?assertEqual(Lags, count(lag_seconds)).

metrics_after_an_engine_death_go_on_from_where_they_were(Cu) ->
    Id = harness:proc_id(),
    {Monitor, _} = harness:start_and_push(Cu, Id, 10),
    harness:await_polled(Cu, Id),
    harness:eventually(fun() -> count(push_duration_seconds) >= 10 end),
    Before = hb_process_monitor:metrics(),
    killed = harness:kill(whereis(hb_cron_engine)),
    harness:eventually(fun() -> metric(engine_starts_total) > maps:get(engine_starts_total, Before) end),
    harness:eventually(fun() -> metric(monitors) =:= 1 end),
    After = hb_process_monitor:metrics(),
    [?assert(maps:get(Name, After) >= maps:get(Name, Before))
     || #{name := Name, type := counter} = Metric <- hb_cron_metrics:table(), not is_map_key(label, Metric)],
    test_cu:add(Cu, Id, 1),
    Monitor ! tick,
    harness:await_results(11, 11),
    harness:eventually(fun() -> metric(results_fetched_total) =:= maps:get(results_fetched_total, Before) + 1 end).

metrics_of_a_stopped_application_keep_counters_only(Cu) ->
    {_, _} = harness:start_and_push(Cu, harness:proc_id(), 3),
    harness:eventually(fun() -> metric(monitors) =:= 1 end),
    Results = metric(results_fetched_total),
    ok = application:stop(hb_process_monitor),
    ?assertMatch(#{monitors := 0, results_fetched_total := Results}, hb_process_monitor:metrics()),
    ?assertEqual(undefined, whereis(hb_cron_sup)).

failed_fetches_are_counted_by_class(Cu) ->
    Before = metric(fetch_failures_total),
    Id = harness:proc_id(),
    test_cu:script(Cu, fun(_) -> {raw, test_cu:reply(503, <<>>)} end),
    {Monitor, Logger} = harness:start(Cu, Id, #{cursor => earliest}),
    Monitor ! tick,
    harness:await_logged(Logger, fun({error, status, _}) -> true end),
    After = metric(fetch_failures_total),
    ?assert(maps:get(status, After) > maps:get(status, Before)),
    ?assertEqual(maps:remove(status, Before), maps:remove(status, After)).

failed_pushes_are_counted_one_by_one_and_given_up_once(Cu) ->
    harness:host(#{cron_push_attempts => 3, cron_push_backoff => {1, 1}}),
    Before = hb_process_monitor:metrics(),
    More = fun(Name) -> metric(Name) - maps:get(Name, Before) end,
    Id = harness:proc_id(),
    dev_mu:route(Id, fun(Result, _) ->
        case harness:number(Result) of
            1 -> {error, poison};
            _ -> ok
        end
    end),
    test_cu:add(Cu, Id, 2),
    {Monitor, _} = harness:start(Cu, Id, #{cursor => earliest}),
    Monitor ! tick,
    harness:eventually(fun() -> maps:get(count, metric(push_duration_seconds)) - maps:get(count, maps:get(push_duration_seconds, Before)) =:= 1 end),
    ?assertEqual({3, 1}, {More(push_failures_total), More(dead_letters_total)}),
    ?assertEqual(1, metric(dead_letters)).

push_that_stalls_shows_while_it_lasts(Cu) ->
    Id = harness:proc_id(),
    test_cu:add(Cu, Id, 1),
    Push = harness:hold_pushes(Id),
    {Above, Sum} = {above(0.1, push_duration_seconds), sum(push_duration_seconds)},
    {Monitor, _} = harness:start(Cu, Id, #{cursor => earliest, cron_push_stall => 1}),
    Monitor ! tick,
    Held = harness:await_push(Push, 1),
    harness:eventually(fun() -> metric(stalled_pushes) =:= 1 andalso metric(oldest_push_seconds) > 0.1 end),
    harness:release_push(Held),
    harness:eventually(fun() -> metric(stalled_pushes) =:= 0 andalso metric(oldest_push_seconds) == 0 end),
    ?assertEqual(Above + 1, above(0.1, push_duration_seconds)),
    ?assert(sum(push_duration_seconds) - Sum > 0.1).

breaker_that_opens_is_counted_once_until_it_closes(Cu) ->
    Opens = metric(breaker_opens_total),
    test_cu:go_down(Cu),
    [harness:start(Cu, harness:proc_id(), #{rate => 100, cursor => earliest}) || _ <- lists:seq(1, 20)],
    harness:eventually(fun() -> metric(open_breakers) =:= 1 end),
    test_cu:come_up(Cu),
    harness:eventually(fun() -> metric(open_breakers) =:= 0 end),
    ?assertEqual(Opens + 1, metric(breaker_opens_total)).
