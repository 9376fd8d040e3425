%%% Decisions on failed pushes, for every order of failures and successes, as rules on observable behaviour. The
%%% monitor that carries them out is not tested here.
-module(retry_policy_props_tests).
-include_lib("eunit/include/eunit.hrl").
%% Debian packages PropEr's header separately; only these functions of it are needed.
-import(proper_types, [frequency/1, list/1, oneof/1, range/2]).
-define(FORALL(Values, Type, Holds), proper:forall(Type, fun(Values) -> Holds end)).

-define(D, hb_cron_retry_policy).
-define(CASES, 1000).

eunit_wrapper_(Tests) -> deadline:each(Tests).

rules_test_() ->
    [{atom_to_list(Name), fun() ->
        ?assertEqual(true, proper:quickcheck(Prop, [{numtests, ?CASES}, quiet, long_result]))
    end} || {Name, Prop} <- [
        {gives_up_no_sooner_than_after_so_many_failures_in_a_row, prop_patient()},
        {gives_up_once_and_then_only_while_the_device_works, prop_suspicious()},
        {broken_host_gives_nothing_up, prop_broken()},
        {gives_up_at_the_first_chance, prop_prompt()},
        {without_a_bound_nothing_is_given_up, prop_endless()},
        {counts_the_failures_of_the_next_result, prop_counts()},
        {refused_gives_up_once_there_is_room, prop_refused()},
        {ceiling_doubles_up_to_the_longest, prop_ceiling()}
    ]].

%% Random pushes: each succeeds, or fails with what this says of the host, and with or without room for a dead
%% letter.
pushes() -> list(frequency([{5, {failed, host(), frequency([{4, true}, {1, false}])}}, {1, succeeded}])).

host() -> frequency([{2, works}, {2, unknown}, {1, broken}]).

max() -> range(1, 6).

backoff() ->
    proper_types:bind({range(1, 5000), range(0, 1000000)}, fun({First, More}) -> {First, First + More} end, false).

%% The decisions, oldest first: {Push, given_up | refused | retry | ok, failures then}.
decided(Pushes, Max) ->
    {Decided, _} = lists:mapfoldl(fun decide/2, ?D:new(Max, {1, 1}), Pushes),
    Decided.

decide(succeeded, Delivery) ->
    After = ?D:succeeded(Delivery),
    {{succeeded, ok, ?D:failures(After)}, After};
decide({failed, Host, Room} = Push, Delivery) ->
    {What, After} = case ?D:failed(Host, Delivery) of
        {give_up, GivenUp} when Room -> {given_up, GivenUp};
        %% It was not given up, so the decision concerns the previous state.
        {give_up, _} -> {refused, ?D:refused(Delivery)};
        {retry, Failed} -> {retry, Failed}
    end,
    {{Push, What, ?D:failures(After)}, After}.

%% All moments at which a result was to be given up, each with the preceding decisions, newest first.
given_up(Decided) ->
    {Found, _} = lists:foldl(fun({_, What, _} = One, {Found, Before}) ->
        {[{One, Before} || What =:= given_up orelse What =:= refused] ++ Found, [One | Before]}
    end, {[], []}, Decided),
    Found.

%% The failures of the current result, newest first.
in_a_row(Before) ->
    lists:takewhile(fun({_, What, _}) -> What =:= retry orelse What =:= refused end, Before).

%% Whether the previous result was given up and nothing was pushed since.
suspect(Before) ->
    case lists:dropwhile(fun({_, What, _}) -> What =:= retry orelse What =:= refused end, Before) of
        [{_, given_up, _} | _] -> true;
        _ -> false
    end.

prop_patient() ->
    ?FORALL({Max, Pushes}, {max(), pushes()},
        lists:all(fun({_, Before}) -> tries(in_a_row(Before)) >= Max - 1 end, given_up(decided(Pushes, Max)))).

%% Failures of a broken host are no tries.
tries(Row) -> length([Host || {{failed, Host, _}, _, _} <- Row, Host =/= broken]).

prop_broken() ->
    ?FORALL({Max, Pushes}, {max(), pushes()},
        lists:all(fun({{{failed, Host, _}, _, _}, _}) -> Host =/= broken end, given_up(decided(Pushes, Max)))).

prop_suspicious() ->
    ?FORALL({Max, Pushes}, {max(), pushes()},
        lists:all(fun({{{failed, Host, _}, _, _}, Before}) -> Host =:= works orelse not suspect(Before) end,
                  given_up(decided(Pushes, Max)))).

%% Without refusals, a result is given up as soon as the rules allow it.
prop_prompt() ->
    ?FORALL({Max, Pushes}, {max(), pushes()},
        lists:all(fun({{{failed, Host, _}, retry, _}, Before}) ->
                          Row = in_a_row(Before),
                          may_wait(Host, Row, Before, Max) orelse lists:keymember(refused, 2, Row);
                     (_) -> true
                  end, with_before(decided(Pushes, Max)))).

%% With refusals: a refused result stays the current one, and is given up as soon as there is room, without waiting
%% for another monitor.
prop_refused() ->
    ?FORALL({Max, Pushes}, {max(), pushes()},
        lists:all(fun({{{failed, Host, _}, retry, _}, Before}) -> may_wait(Host, in_a_row(Before), Before, Max);
                     (_) -> true
                  end, with_before(decided(Pushes, Max)))).

may_wait(Host, Row, Before, Max) ->
    Host =:= broken orelse tries(Row) + 1 < Max orelse (suspect(Before) andalso Host =/= works).

with_before(Decided) ->
    {All, _} = lists:mapfoldl(fun(One, Before) -> {{One, Before}, [One | Before]} end, [], Decided),
    All.

prop_endless() ->
    ?FORALL(Pushes, pushes(), given_up(decided(Pushes, infinity)) =:= []).

%% The count restarts after a success or a result given up. Otherwise it never decreases, so pauses never become
%% shorter.
prop_counts() ->
    ?FORALL({Max, Pushes}, {oneof([infinity, max()]), pushes()},
        lists:all(fun({{_, retry, Failures}, []}) -> Failures =:= 1;
                     ({{_, retry, Failures}, [{_, _, Before} | _]}) -> Failures =:= Before + 1;
                     ({{_, refused, Failures}, _}) -> Failures >= Max;
                     ({{_, _, Failures}, _}) -> Failures =:= 0
                  end, with_before(decided(Pushes, Max)))).

prop_ceiling() ->
    ?FORALL({{First, Longest} = Backoff, Max}, {backoff(), max()},
        begin
            Delivery = ?D:new(Max, Backoff),
            Ceilings = [?D:ceiling(Failures, Delivery) || Failures <- lists:seq(1, 100)],
            hd(Ceilings) =:= First andalso lists:last(Ceilings) =:= Longest andalso
                lists:all(fun({One, Next}) -> Next =:= min(Longest, 2 * One) end,
                          lists:zip(lists:droplast(Ceilings), tl(Ceilings)))
        end).
