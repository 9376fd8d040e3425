%%% A supervisor as a host has one, for monitors that are started with child specifications.
-module(test_supervisor).
-behaviour(supervisor).

-export([start_link/1, with/2]).
-export([init/1]).

start_link(Specs) -> supervisor:start_link(?MODULE, Specs).

init(Specs) -> {ok, {#{strategy => one_for_one, intensity => 10, period => 10}, Specs}}.

%% Runs a test with a supervisor of these children, and ends the supervisor.
with(Specs, Test) ->
    {ok, Supervisor} = start_link(Specs),
    try Test(Supervisor)
    after
        true = unlink(Supervisor),
        Ref = monitor(process, Supervisor),
        exit(Supervisor, shutdown),
        receive {'DOWN', Ref, process, _, _} -> ok end
    end.
