%%% A short crash test: ten kills, as in `make crashtest'. Also tests that its judge detects violations.
-module(crash_tests).
-include_lib("eunit/include/eunit.hrl").

eunit_wrapper_(Tests) -> deadline:each(Tests).

killed_node_loses_nothing_and_repeats_little_test_() ->
    {timeout, 600, fun() ->
        Report = crashtest:run(#{kills => 10, seed => seed()}),
        ?assertMatch(#{violations := []}, Report),
        #{results := Results, pushed := Pushed} = Report,
        ?assert(Results > 0 andalso Pushed >= Results)
    end}.

%% Without a checkpoint a killed node loses results. If the judge missed that, the test above would prove nothing.
killed_node_without_a_checkpoint_is_detected_test_() ->
    {timeout, 600, fun() ->
        #{violations := Violations} = crashtest:run(#{kills => 4, seed => 1, patience => 1000,
                                                       host => #{cron_checkpoint => false}}),
        ?assertMatch([_ | _], [lost || {lost, _, _} <- Violations])
    end}.

%% Printed with a failure, to repeat it. The times of the kills still vary.
seed() ->
    Seed = os:system_time(microsecond) rem 1000000000,
    io:format("seed ~b~n", [Seed]),
    Seed.

%% Runs the judge on two made-up lives of a process, killed at 1000 and 2000 ms. A push is {Number, At, Commits,
%% TookUs}.
judged(First, Second, Count) ->
    Lives = [#{pushes => #{<<"p">> => Pushes}, killed => Killed, not_resumed => []}
             || {Pushes, Killed} <- [{First, 1000}, {Second, 2000}]],
    #{violations := Violations} = crashtest:judge(Lives, #{<<"p">> => Count}),
    Violations.

judge_test_() ->
    Lately = [{N, 990, 5, 0} || N <- [1, 2, 3]],
    Again = fun(Numbers) -> [{N, 1500, 1, 0} || N <- Numbers] end,
    [?_assertEqual([], judged(Lately, Again([2, 3, 4]), 4)),
     ?_assertEqual([], judged([], Again([1, 2]), 2)),
     ?_assertEqual([{lost, <<"p">>, 5}], judged(Lately, Again([4]), 5)),
     ?_assertEqual([{out_of_order, 2, <<"p">>, 3, 5}, {lost, <<"p">>, 4}], judged(Lately, Again([2, 3, 5]), 5)),
     ?_assertMatch([{skipped, 2, <<"p">>, _, _}, {lost, <<"p">>, 4}], judged(Lately, Again([5]), 5)),
     %% 2 was acked after 5 commits, and 7 commits were seen.
     ?_assertEqual([{durable_and_pushed_again, 2, <<"p">>, 2}],
                   judged([{1, 970, 5, 0}, {2, 980, 5, 0}, {3, 985, 5, 0}, {4, 990, 7, 0}], Again([2, 3, 4]), 4)),
     %% The same with 6 commits: the next one may have begun before the ack.
     ?_assertEqual([], judged([{1, 970, 5, 0}, {2, 980, 5, 0}, {3, 990, 6, 0}], Again([2, 3]), 3)),
     ?_assertMatch([{pushed_again_too_late, 2, <<"p">>, 1, _}], judged([{1, 100, 0, 0}], Again([1]), 1))].
