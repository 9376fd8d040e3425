%%% The public calls against each other and against kills, for 20 s each with and without a checkpoint: see stress.
-module(stress_tests).
-include_lib("eunit/include/eunit.hrl").

eunit_wrapper_(Tests) -> deadline:each(Tests).

calls_and_kills_at_random_skip_nothing_test_() ->
    [{lists:concat(["checkpoint ", Checkpoint]), fun() -> holds(Checkpoint) end} || Checkpoint <- [true, false]].

holds(Checkpoint) ->
    #{violations := Violations} = Totals = stress:run(#{seconds => 20, seed => 1, checkpoint => Checkpoint}),
    ?assertEqual([], Violations),
    %% Otherwise the run tested nothing.
    [?assert(maps:get(What, Totals, 0) > 0) || What <- [pushed, forgotten, kill, crash, killed_parts]].
