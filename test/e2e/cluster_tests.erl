%%% Several host nodes in one cluster, in OS processes of their own: faults strike them and the database, and nothing is
%%% lost. `make clustertest' plays more of them.
-module(cluster_tests).
-include_lib("eunit/include/eunit.hrl").

eunit_wrapper_(Tests) -> deadline:each(Tests).

nodes_and_database_that_fail_lose_nothing_test_() ->
    {timeout, 600, fun() ->
        Faults = [kill, pause, kill_database],
        #{violations := Violations, owners := Owners, pushes := Pushes} =
            clustertest:run(#{faults => Faults, processes => 12}),
        ?assertEqual([], Violations),
        ?assert(Owners >= 2),
        ?assert(Pushes > 0)
    end}.

%% The verdict itself

-define(ID, <<"process">>).

pushes(Life, Numbers) ->
    [{What, Life, ?ID, Number, Number} || Number <- Numbers, What <- [pushing, pushed]].

judged(Events, Count) -> cluster_verdict:judge(Events, #{?ID => Count}).

pushes_in_order_violate_nothing_test() ->
    ?assertMatch(#{violations := [], repeated := 0, owners := 2}, judged(pushes(1, [1, 2]) ++ pushes(2, [3]), 3)).

repeat_after_a_take_over_is_counted_test() ->
    ?assertMatch(#{violations := [], repeated := 1}, judged(pushes(1, [1, 2]) ++ pushes(2, [2, 3]), 3)).

push_that_never_ended_is_no_repeat_test() ->
    Events = pushes(1, [1]) ++ [{pushing, 1, ?ID, 2, 2}] ++ pushes(2, [2]),
    ?assertMatch(#{violations := [], repeated := 0}, judged(Events, 2)).

skipped_result_is_a_violation_test() ->
    ?assertMatch(#{violations := [{skipped, ?ID, {after_number, 1}, 3, _}, {lost, ?ID, 2}]},
                 judged(pushes(1, [1]) ++ pushes(2, [3]), 3)).

result_that_was_never_pushed_is_a_violation_test() ->
    ?assertMatch(#{violations := [{lost, ?ID, 2}]}, judged(pushes(1, [1]), 2)).

take_over_after_its_limit_is_a_violation_test() ->
    Report = #{violations => [], take_overs => [{kill, 3000}, {pause, 3001}]},
    ?assertMatch(#{violations := [{taken_over_late, pause, {ms, 3001}}]}, cluster_verdict:with_take_over(2000, Report)).
