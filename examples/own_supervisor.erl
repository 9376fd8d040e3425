%%% Monitors in a supervisor of your own, beside what else your application runs. It starts one again that
%%% crashes, from the last result that was pushed; one that is stopped stays stopped.
-module(own_supervisor).
-behaviour(supervisor).

-export([start_link/1, init/1]).

%% `Monitored': process ids, each with the options of `hb_process_monitor:start/2'.
start_link(Monitored) ->
    %% Started as an application of its own, it would be in `applications' of yours.
    {ok, _} = application:ensure_all_started(hb_process_monitor),
    supervisor:start_link(?MODULE, Monitored).

init(Monitored) ->
    {ok, {#{strategy => one_for_one}, [hb_process_monitor:child_spec(One) || One <- Monitored]}}.
