%%% @doc The application, and its specification for a release in which it has no file of its own.
-module(hb_process_monitor_app).
-behaviour(application).

-export([start/2, stop/1]).
-export([specification/0]).

%% @private
-spec start(application:start_type(), term()) -> {ok, pid()} | {error, term()}.
start(_Type, _Args) ->
    hb_process_monitor_sup:start_link().

%% @private
-spec stop(term()) -> ok.
stop(_State) ->
    ok.

%% @doc What `hb_process_monitor.app' says, for `application:load/1'. Dropped into another
%% application's directory, the modules come without that file.
-spec specification() -> {application, hb_process_monitor, [tuple()]}.
specification() ->
    {application, hb_process_monitor, [
        {description, "Polls Compute Units for the cron results of AO processes and pushes each one"},
        {vsn, "0.1.0"},
        {modules, modules()},
        {registered, [hb_process_monitor_sup, hb_process_monitor_monitors_sup,
                      hb_process_monitor_ticker, hb_process_monitor_log]},
        {mod, {?MODULE, []}},
        {applications, [kernel, stdlib]}
    ]}.

modules() ->
    [hb_process_monitor, hb_process_monitor_app, hb_process_monitor_host, hb_process_monitor_log,
     hb_process_monitor_nif, hb_process_monitor_opts, hb_process_monitor_registry,
     hb_process_monitor_server, hb_process_monitor_sup, hb_process_monitor_ticker].
