%%% A small run of the load test, for every commit: that bad ones cost the good ones little is here a
%%% matter of fractions of a second, not of figures; those are `make fairness'.
-module(fairness_tests).
-include_lib("eunit/include/eunit.hrl").

few_hundred_monitors_among_bad_ones_are_served_test_() ->
    {timeout, 120, fun() ->
        Level = maps:get(level, logger:get_primary_config()),
        Report = fairness:run(#{monitors => 500, seconds => 16, rounds => 1}),
        ok = logger:set_primary_config(level, Level),
        #{among := [#{p99 := P99, pushes := Pushes}], threads := {Threads, Bound}, lost := Lost} = Report,
        ?assertEqual(0, Lost),
        ?assert(Threads =< Bound),
        ?assert(Pushes > 200),
        %% A good one that waited for a bad one's place would wait for seconds.
        ?assert(P99 < 500)
    end}.
