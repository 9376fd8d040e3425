%%% A deadline for each test that runs nodes, processes or HTTP. eunit's default is 5 s, which a busy machine
%%% exceeds; only a hanging test exceeds this one.
%%%
%%% A module of such tests has this function, which eunit calls with all tests of the module:
%%%
%%%     eunit_wrapper_(Tests) -> deadline:each(Tests).
%%%
%%% deadlines_tests checks that each of these modules has it. The environment variable TEST_DEADLINE_FACTOR makes all
%%% deadlines longer, for an emulated machine.
-module(deadline).

-export([each/1, ms/0]).

%% The deadline of a test.
-define(SECONDS, 300).
%% The deadline of one event in a test.
-define(EVENT_MS, 120000).

%% How long a test may wait for an event that it has caused, in ms.
-spec ms() -> pos_integer().
ms() -> ?EVENT_MS * factor().

factor() -> list_to_integer(os:getenv("TEST_DEADLINE_FACTOR", "1")).

%% Gives each test of a set the deadline, unless it has a longer one by `{timeout, _, _}'.
-spec each(Tests) -> Tests when Tests :: term().
each(Tests) when is_list(Tests) -> [each(Test) || Test <- Tests];
each({timeout, Seconds, _} = Own) when Seconds >= ?SECONDS -> own(Own);
each({with, World, Tests}) -> [{timeout, seconds(?SECONDS), {with, World, [Test]}} || Test <- Tests];
each({setup, Setup, Tests}) -> {setup, Setup, instance(Tests)};
each({setup, A, B, Tests}) -> {setup, A, B, instance(Tests)};
each({setup, Where, Setup, Cleanup, Tests}) -> {setup, Where, Setup, Cleanup, instance(Tests)};
each({foreach, Setup, Cleanup, Tests}) -> {foreach, Setup, Cleanup, [instance(Test) || Test <- Tests]};
each({generator, Module, Function}) -> {generator, fun() -> each(Module:Function()) end};
each({test, _, _} = Test) -> {timeout, seconds(?SECONDS), Test};
each({Order, Tests}) when Order =:= inorder; Order =:= spawn -> {Order, each(Tests)};
each({Title, Tests}) when is_list(Title); is_binary(Title) -> {Title, each(Tests)};
each({Line, Test}) when is_integer(Line), is_function(Test, 0) -> {timeout, seconds(?SECONDS), {Line, Test}};
each(Test) when is_function(Test, 0) -> {timeout, seconds(?SECONDS), Test}.

%% A time-out on a single test is kept. In a group, each test has its own deadline.
own({timeout, Seconds, Tests}) ->
    {timeout, seconds(Seconds), case is_single(Tests) of true -> Tests; false -> each(Tests) end}.

is_single(Test) when is_function(Test, 0) -> true;
is_single({Line, _}) when is_integer(Line) -> true;
is_single({with, _, [_]}) -> true;
is_single({Title, Test}) -> is_list(Title) andalso is_function(Test, 0);
is_single(_) -> false.

seconds(Seconds) -> Seconds * factor().

%% The tests of a fixture: a function that makes them, or tests without arguments.
instance(Tests) when is_function(Tests, 1) -> fun(World) -> each(Tests(World)) end;
instance({with, Tests}) -> fun(World) -> each({with, World, Tests}) end;
instance(Tests) -> each(Tests).
