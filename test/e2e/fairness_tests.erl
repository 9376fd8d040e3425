%%% A small load test for every commit. It only checks that bad monitors delay good ones by fractions of a second;
%%% `make fairness' measures figures.
-module(fairness_tests).
-include_lib("eunit/include/eunit.hrl").

eunit_wrapper_(Tests) -> deadline:each(Tests).

few_hundred_monitors_among_bad_ones_are_served_test_() ->
    {timeout, 600, fun() ->
        Level = maps:get(level, logger:get_primary_config()),
        Report = fairness:run(#{monitors => 500, seconds => 16, rounds => 1}),
        ok = logger:set_primary_config(level, Level),
        #{among := [#{p99 := P99, pushes := Pushes}], ratio := Ratio, threads := {Threads, Bound}, lost := Lost} = Report,
        ?assertEqual(0, Lost),
        ?assert(Threads =< Bound),
        ?assert(Pushes > 200),
        %% A good monitor that waits behind a bad one waits for seconds, and far longer than without bad ones in
        %% the same run. A busy machine makes both slow.
        ?assertMatch({_, _, true}, {P99, Ratio, P99 < 1000 orelse Ratio < 10})
    end}.
