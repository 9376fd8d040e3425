%%% What is kept of each process: bounded, the newest first, of no other process, and nothing of texts without an end.
-module(history_tests).
-include_lib("eunit/include/eunit.hrl").

eunit_wrapper_(Tests) -> deadline:each(Tests).

all_test_() ->
    {foreach, fun() -> ok = hb_cron_history:create(), ok = hb_cron_history:keep_pushes() end,
     fun(_) -> true = ets:delete(hb_cron_history) end,
     [{with, [T]} || T <- [fun failure_is_kept_with_its_details/1, fun entry_of_no_process_is_not_kept/1, fun start_is_not_kept/1,
                           fun many_failures_keep_the_newest_ones/1, fun failures_of_others_in_the_bucket_are_not_shown/1,
                           fun long_details_are_cut/1, fun many_processes_take_bounded_memory/1, fun pushes_keep_the_newest_ones/1,
                           fun pushes_of_others_in_the_bucket_are_not_shown/1, fun push_with_large_numbers_is_kept/1,
                           fun ao_cursor_tells_the_lag/1]]}.

of_process(Id) -> hb_cron_history:of_process(Id).

failure_is_kept_with_its_details(_) ->
    Id = harness:proc_id(),
    ok = hb_cron_history:note(error, push_failed, {Id, <<"cursor">>, refused, 3}),
    ok = hb_cron_history:note(ok, recovered, {Id, push, 3}),
    ?assertMatch([_, _], of_process(Id)),
    ?assertMatch([#{status := error, details := [<<"cursor">>, refused, 3], at := _}], [E || #{what := push_failed} = E <- of_process(Id)]),
    ?assertMatch([#{status := ok, details := [push, 3]}], [E || #{what := recovered} = E <- of_process(Id)]).

entry_of_no_process_is_not_kept(_) ->
    [ok = hb_cron_history:note(error, failed, Details)
     || Details <- [none, {}, {no_process, 1}, {<<"short">>, 1}, {binary:copy(<<"!">>, 43), 1}, [], <<"text">>, {<<1:1>>}]],
    ?assertEqual(0, ets:info(hb_cron_history, size)).

%% 100,000 starts would replace everything.
start_is_not_kept(_) ->
    Id = harness:proc_id(),
    [ok = hb_cron_history:note(ok, What, {Id, 1000, undefined}) || What <- [started_monitor, resolved_cursor, resumed, already_monitored]],
    ?assertEqual([], of_process(Id)).

many_failures_keep_the_newest_ones(_) ->
    Id = harness:proc_id(),
    [ok = hb_cron_history:note(error, failed, {Id, N}) || N <- lists:seq(1, 100)],
    Kept = lists:sort([N || #{details := [N]} <- of_process(Id)]),
    ?assertEqual(lists:seq(101 - length(Kept), 100), Kept),
    ?assert(length(Kept) > 5).

failures_of_others_in_the_bucket_are_not_shown(_) ->
    Id = harness:proc_id(),
    Others = [harness:proc_id() || _ <- lists:seq(1, 3000)],
    [ok = hb_cron_history:note(error, failed, {Other, Other}) || Other <- Others],
    ?assertEqual([], of_process(Id)),
    Shown = [{Other, Details} || Other <- Others, #{details := [Details]} <- of_process(Other)],
    ?assert(length(Shown) > 1000),
    [?assertEqual(Other, Details) || {Other, Details} <- Shown].

long_details_are_cut(_) ->
    Id = harness:proc_id(),
    ok = hb_cron_history:note(error, push_failed, {Id, <<"cursor">>, binary:copy(<<"long">>, 100000)}),
    [#{details := Details}] = of_process(Id),
    ?assert(erlang:external_size(Details) < 3000).

many_processes_take_bounded_memory(_) ->
    Fill = fun() ->
        [ok = hb_cron_history:note(error, push_failed, {harness:proc_id(), binary:copy(<<"x">>, 450)}) || _ <- lists:seq(1, 20000)],
        {ets:info(hb_cron_history, size), ets:info(hb_cron_history, memory) * erlang:system_info(wordsize)}
    end,
    {Size, Bytes} = Fill(),
    ?assertMatch({Size, _}, Fill()),
    ?assert(Bytes < 3000000).

pushes_keep_the_newest_ones(_) ->
    Id = harness:proc_id(),
    [ok = hb_cron_history:pushed(Id, N, 1000 * N, undefined) || N <- lists:seq(1, 100)],
    Kept = lists:sort([{N, Us} || #{what := pushed, lag := undefined, count := N, us := Us} <- of_process(Id)]),
    ?assertEqual([{Nth, 1000 * Nth} || Nth <- lists:seq(101 - length(Kept), 100)], Kept),
    ?assert(length(Kept) > 5).

%% More processes than buckets.
pushes_of_others_in_the_bucket_are_not_shown(_) ->
    Ids = [harness:proc_id() || _ <- lists:seq(1, 20000)],
    Numbered = lists:zip(lists:seq(1, 20000), Ids),
    [ok = hb_cron_history:pushed(Id, N, N, undefined) || {N, Id} <- Numbered],
    Shown = [{N, Count} || {N, Id} <- Numbered, #{count := Count} <- of_process(Id)],
    ?assert(length(Shown) > 15000),
    [?assertEqual(N, Count) || {N, Count} <- Shown],
    ?assertEqual([], of_process(harness:proc_id())).

push_with_large_numbers_is_kept(_) ->
    Id = harness:proc_id(),
    ok = hb_cron_history:pushed(Id, 1 bsl 30, 1 bsl 60, undefined),
    ?assertMatch([#{count := Count, us := Us}] when Count > 1000000 andalso Us > 1000000000, of_process(Id)).

ao_cursor_tells_the_lag(_) ->
    Id = harness:proc_id(),
    Time = erlang:system_time(millisecond) - 5000,
    Cursor = base64:encode(iolist_to_binary(hb_cron_json:encode(#{timestamp => Time, ordinate => <<"1">>, cron => <<"0-10-seconds">>, sort => <<"ASC">>}))),
    ok = hb_cron_history:pushed(Id, 1, 10, Cursor),
    ?assertMatch([#{lag := Lag}] when Lag >= 5000, of_process(Id)).
