%%% @doc The receiver of events on a host that has the library `telemetry' loaded. It is called at run time only,
%%% since this project does not depend on it.
-module(hb_cron_events_telemetry).
-behaviour(hb_cron_events).

-export([is_available/0, has_handlers/0, execute/3]).

-define(LIBRARY, telemetry).

%% Loaded, not only on the code path: a node with handlers has it loaded.
-spec is_available() -> boolean().
is_available() ->
    erlang:function_exported(?LIBRARY, execute, 3) andalso erlang:function_exported(?LIBRARY, list_handlers, 1).

%% Its table goes with its application, which may not run yet.
-spec has_handlers() -> boolean().
has_handlers() ->
    try hb_cron_host_calls:call(?LIBRARY, list_handlers, [[hb_process_monitor]]) of
        Handlers -> Handlers =/= []
    catch
        _:_ -> false
    end.

%% The library detaches a handler that fails. If the library itself has gone, the push must not fail for that.
-spec execute([atom(), ...], map(), map()) -> ok.
execute(Event, Measurements, Metadata) ->
    try hb_cron_host_calls:call(?LIBRARY, execute, [Event, Measurements, Metadata]) of _ -> ok
    catch _:_ -> ok
    end.
