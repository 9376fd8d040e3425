%%% Calls the NIF a million times with terms of every kind. `make abuse' does it any number of times.
-module(nif_abuse_tests).
-include_lib("eunit/include/eunit.hrl").

-define(CALLS, 1000000).
%% The time limit, in ms. Only a failure takes this long.
-define(LIMIT, 280000).

eunit_wrapper_(Tests) -> deadline:each(Tests).

functions_with_any_terms_refuse_them_and_leak_nothing_test_() ->
    {timeout, 300, fun() ->
        {Listen, Port} = os_node:listen(),
        Node = os_node:start(abuse, [integer_to_list(Number) || Number <- [?CALLS, seed(), Port]]),
        Report = os_node:recv(os_node:accept(Listen), ?LIMIT),
        ok = gen_tcp:close(Listen),
        ?assertEqual(0, os_node:dead(Node)),
        ?assertMatch(#{violations := []}, Report),
        #{badarg := Refused, answers := Taken} = Report,
        ?assert(Refused > ?CALLS div 4 andalso Taken > ?CALLS div 4)
    end}.

%% Printed with a failure, to repeat it.
seed() ->
    Seed = os:system_time(microsecond) rem 1000000000,
    io:format("seed ~b~n", [Seed]),
    Seed.
