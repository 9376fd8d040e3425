%%% The counters of pushes: singly or together, and from many processes at once, each push is counted in the right
%%% bucket.
-module(push_meter_tests).
-include_lib("eunit/include/eunit.hrl").

-define(METER, hb_cron_push_meter).

eunit_wrapper_(Tests) -> deadline:each(Tests).

%% The pushes that were counted while Fun() ran.
counted(Fun) ->
    #{push := {Before, Over, Sum}} = ?METER:read(),
    Fun(),
    #{push := {After, OverAfter, SumAfter}} = ?METER:read(),
    Counts = [{Bound, Count - Then} || {{Bound, Count}, {Bound, Then}} <- lists:zip(After, Before), Count =/= Then],
    {Counts, OverAfter - Over, SumAfter - Sum}.

push_all(Times) ->
    ?METER:settle(lists:foldl(fun ?METER:pushed/2, ?METER:tally(), Times)).

push_of_each_length_is_counted_at_its_bound_test() ->
    #{push := {Buckets, _, _}} = ?METER:read(),
    [begin
        ?assertEqual({[{Bound, 1}], 0, Bound}, counted(fun() -> push_all([Bound]) end)),
        Above = counted(fun() -> push_all([Bound + 1]) end),
        ?assertNotMatch({[{Bound, _}], _, _}, Above)
    end || {Bound, _} <- Buckets],
    {Longest, _} = lists:last(Buckets),
    ?assertEqual({[], 1, Longest + 1}, counted(fun() -> push_all([Longest + 1]) end)).

quick_pushes_of_a_whole_page_are_counted_together_test() ->
    Times = [N rem 26 || N <- lists:seq(1, 10000)],
    ?assertEqual({[{25, 10000}], 0, lists:sum(Times)}, counted(fun() -> push_all(Times) end)).

tally_that_is_empty_counts_nothing_test() ->
    ?assertEqual({[], 0, 0}, counted(fun() -> push_all([]) end)).

pushes_of_many_processes_at_once_are_all_counted_test() ->
    Times = [1, 30, 700, 2000000],
    Counted = counted(fun() ->
        Pids = [spawn_monitor(fun() -> [push_all(Times) || _ <- lists:seq(1, 1000)] end) || _ <- lists:seq(1, 8)],
        [receive {'DOWN', Ref, process, Pid, Reason} -> normal = Reason end || {Pid, Ref} <- Pids]
    end),
    ?assertEqual({[{25, 8000}, {100, 8000}, {1000, 8000}, {2500000, 8000}], 0, 8000 * lists:sum(Times)}, Counted).
