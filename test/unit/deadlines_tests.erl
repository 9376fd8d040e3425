%%% No test relies on eunit's default time-out of 5 s: every test module passes its tests to `deadline', which
%%% gives each one a deadline that only a hanging test exceeds.
-module(deadlines_tests).
-include_lib("eunit/include/eunit.hrl").

eunit_wrapper_(Tests) -> deadline:each(Tests).

module_of_tests_has_deadlines_test_() ->
    [_ | _] = Files = filelib:wildcard(harness:checkout("test/*/*_tests.erl")),
    [{filename:basename(File), fun() ->
        {ok, Text} = file:read_file(File),
        ?assertMatch({_, _}, binary:match(Text, <<"\neunit_wrapper_(Tests) -> deadline:each(Tests).\n">>))
    end} || File <- Files].

test_in_any_fixture_gets_a_deadline_test_() ->
    Test = fun() -> ok end,
    Of = fun(_) -> ok end,
    Setup = fun() -> world end,
    [{Name, fun() -> ?assertEqual([], without(deadline:each(Set))) end} || {Name, Set} <- [
        {"function", Test},
        {"line", {17, Test}},
        {"title", {"title", Test}},
        {"list", [Test, {"title", [Test, Test]}]},
        {"exported test", {test, ?MODULE, no_test}},
        {"generator", {generator, ?MODULE, module_of_tests_has_deadlines_test_}},
        {"with", {with, world, [Of, Of]}},
        {"setup", {setup, Setup, Test}},
        {"setup and cleanup", {setup, Setup, Of, {with, [Of, Of]}}},
        {"setup with a process", {setup, spawn, Setup, Of, fun(world) -> [Test] end}},
        {"foreach", {foreach, Setup, Of, [{with, [Of]}, fun(world) -> Test end, Test]}},
        {"inorder", {inorder, [Test]}},
        {"longer deadline of a group", {timeout, 1000, [Test, Test]}},
        {"longer deadline of a test", {timeout, 1000, {"title", Test}}}
    ]].

deadline_of_its_own_too_short_is_an_error_test() ->
    ?assertError(function_clause, deadline:each({timeout, 5, fun() -> ok end})).

%% The tests of a set without a deadline.
without({timeout, _, _}) -> [];
without({generator, Generate}) -> without(Generate());
without({setup, _, Tests}) -> of_world(Tests);
without({setup, _, _, Tests}) -> of_world(Tests);
without({setup, _, _, _, Tests}) -> of_world(Tests);
without({foreach, _, _, Tests}) -> lists:flatmap(fun of_world/1, Tests);
without({Order, Tests}) when Order =:= inorder; is_list(Order) -> without(Tests);
without(Tests) when is_list(Tests) -> lists:flatmap(fun without/1, Tests);
without(Test) -> [Test].

of_world(Tests) when is_function(Tests, 1) -> without(Tests(world));
of_world(Tests) -> without(Tests).
