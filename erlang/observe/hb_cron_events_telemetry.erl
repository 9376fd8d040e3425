%%% @doc Takes events with the host's library `telemetry', where the host has it loaded. It is called at
%%% run time alone: this project needs none of it.
-module(hb_cron_events_telemetry).
-behaviour(hb_cron_events).

-export([is_available/0, has_takers/0, execute/3]).

-define(LIBRARY, telemetry).

%% Loaded, and not only somewhere on the code path: who has attached a handler has it loaded, and nobody
%% else needs it.
-spec is_available() -> boolean().
is_available() ->
    erlang:function_exported(?LIBRARY, execute, 3) andalso erlang:function_exported(?LIBRARY, list_handlers, 1).

%% Its table goes with its application, which may not run yet.
-spec has_takers() -> boolean().
has_takers() ->
    try hb_cron_host_calls:call(?LIBRARY, list_handlers, [[hb_process_monitor]]) of
        Handlers -> Handlers =/= []
    catch
        _:_ -> false
    end.

%% A handler that fails is the library's to detach; that the library itself has gone is no reason to fail
%% a push.
-spec execute([atom(), ...], map(), map()) -> ok.
execute(Event, Measurements, Metadata) ->
    try hb_cron_host_calls:call(?LIBRARY, execute, [Event, Measurements, Metadata]) of _ -> ok
    catch _:_ -> ok
    end.
