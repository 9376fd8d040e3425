%%% The current result while its push fails: the unpushed rest of it, and the conclusions. Plain data.
%%% retry_policy_props_tests covers when a result is given up, dead_letter_tests the execution.
-module(retry_tests).
-include_lib("eunit/include/eunit.hrl").

-define(M, hb_cron_retry).

-define(WHOLE, #{<<"cursor">> => <<"c">>, <<"Messages">> => [1, 2, 3]}).
-define(LEFT, #{<<"cursor">> => <<"c">>, <<"Messages">> => [2, 3]}).
-define(LESS, #{<<"cursor">> => <<"c">>, <<"Messages">> => [3]}).

eunit_wrapper_(Tests) -> deadline:each(Tests).

%% Another failure of the current result at this time, while no other monitor pushes.
failed(Result, Failure, At, Retrying) -> failed(Result, Failure, At, fun(_) -> false end, 5, Retrying).

failed(Result, Failure, At, WorksSince, Attempts, Retrying) ->
    Settings = #{cron_push_attempts => Attempts, cron_push_backoff => {1000, 300000}},
    ?M:failed(Result, Failure, At, WorksSince, Settings, Retrying).

whole_result_fails_again_counts_on_test() ->
    {1, {retry, First}} = failed(?WHOLE, {?WHOLE, unknown}, 10, ?M:new()),
    {2, {retry, Second}} = failed(?WHOLE, {?WHOLE, unknown}, 20, First),
    ?assertEqual(2, ?M:failures(Second)),
    ?assertEqual([?WHOLE], ?M:without_pushed([?WHOLE], Second)).

part_of_a_result_pushed_begins_to_count_anew_test() ->
    {1, {retry, First}} = failed(?WHOLE, {?WHOLE, unknown}, 10, ?M:new()),
    {1, {retry, Second}} = failed(?WHOLE, {?LEFT, works}, 20, First),
    {1, {retry, Third}} = failed(?LEFT, {?LESS, works}, 30, Second),
    ?assertEqual(1, ?M:failures(Third)).

%% The CU sends the whole result again after the engine's death.
result_that_comes_whole_again_is_what_was_left_of_it_test() ->
    {1, {retry, First}} = failed(?WHOLE, {?LEFT, works}, 10, ?M:new()),
    {1, {retry, Second}} = failed(?LEFT, {?LESS, works}, 20, First),
    ?assertEqual([?LESS, other], ?M:without_pushed([?WHOLE, other], Second)),
    ?assertEqual([other], ?M:without_pushed([other], Second)),
    ?assertEqual([?WHOLE], ?M:without_pushed([?WHOLE], ?M:succeeded(Second))).

%% Nothing of it was pushed, although the CU left out a key.
result_that_differs_where_the_host_is_unknown_counts_on_test() ->
    {1, {retry, First}} = failed(?WHOLE, {?WHOLE, unknown}, 10, ?M:new()),
    {2, {retry, _}} = failed(?WHOLE, {?LEFT, unknown}, 20, First).

others_are_asked_about_since_the_first_failure_test() ->
    {1, {retry, First}} = failed(?WHOLE, {?WHOLE, unknown}, 10, fun(10) -> false end, 5, ?M:new()),
    {2, {retry, Second}} = failed(?WHOLE, {?WHOLE, unknown}, 20, fun(10) -> false end, 5, First),
    {1, {retry, _}} = failed(?WHOLE, {?WHOLE, unknown}, 30, fun(30) -> true end, 5, ?M:succeeded(Second)).

last_try_gives_up_and_leaves_nothing_of_the_result_test() ->
    Twice = fun(Result, Failure, At, Before) -> failed(Result, Failure, At, fun(_) -> false end, 2, Before) end,
    {1, {retry, First}} = Twice(?WHOLE, {?LEFT, works}, 10, ?M:new()),
    {2, {give_up, GivenUp, Refused}} = Twice(?LEFT, {?LEFT, works}, 20, First),
    ?assertEqual({0, [?WHOLE]}, {?M:failures(GivenUp), ?M:without_pushed([?WHOLE], GivenUp)}),
    %% Without room for a dead letter, the rest of the result is tried again.
    ?assertEqual({2, [?LEFT]}, {?M:failures(Refused), ?M:without_pushed([?WHOLE], Refused)}),
    {3, {give_up, _, _}} = Twice(?LEFT, {?LEFT, works}, 30, Refused).

pause_is_drawn_from_below_a_bound_that_doubles_test() ->
    Ever = fun(At, Before) -> failed(?WHOLE, {?WHOLE, unknown}, At, fun(_) -> false end, infinity, Before) end,
    {1, {retry, First}} = Ever(10, ?M:new()),
    {2, {retry, Second}} = Ever(20, First),
    [begin
        Pause = ?M:pause(Retrying),
        ?assert(Pause >= 1 andalso Pause =< Bound)
     end || {Retrying, Bound} <- [{First, 1000}, {Second, 2000}], _ <- lists:seq(1, 100)].

result_that_succeeded_leaves_nothing_behind_test() ->
    {1, {retry, First}} = failed(?WHOLE, {?LEFT, works}, 10, ?M:new()),
    ?assertEqual(?M:new(), ?M:succeeded(First)),
    ?assertEqual({0, [?WHOLE]}, {?M:failures(?M:new()), ?M:without_pushed([?WHOLE], ?M:new())}).
