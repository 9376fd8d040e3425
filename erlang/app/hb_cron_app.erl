%%% @doc The application, and its specification for a release in which it has no file of its own.
-module(hb_cron_app).
-behaviour(application).

-export([start/2, prep_stop/1, stop/1]).
-export([specification/0, why_down/0, is_stopping/0]).

%% Set while the application runs, and left behind if it ends otherwise than by being stopped.
-define(RUNNING, {?MODULE, running}).
%% How long the checkpoint may take to become durable when the application stops, in ms.
-define(CLOSE_LIMIT, 3000).

%% @private
-spec start(application:start_type(), term()) -> {ok, pid()} | {error, term()}.
start(_Type, _Args) ->
    case hb_cron_sup:start_link() of
        {ok, Sup} ->
            Crashed = persistent_term:get(?RUNNING, false),
            ok = persistent_term:put(?RUNNING, true),
            _ = spawn(fun() -> resume(Crashed) end),
            {ok, Sup};
        {error, Reason} ->
            {error, Reason}
    end.

%% Starts what the host's configuration names, and what was monitored when the tree died.
resume(Crashed) ->
    _ = Crashed andalso hb_process_monitor:resume_all(),
    #{cron_processes := Processes} = hb_cron_registry:node_options(),
    hb_cron_start:start_configured(Processes).

%% @private
-spec prep_stop(term()) -> term().
prep_stop(State) ->
    %% Called in either case. A tree that died by itself is gone by now.
    _ = whereis(hb_cron_sup) =/= undefined andalso persistent_term:erase(?RUNNING),
    %% The ticker is not to be in a long slice when its supervisor stops it.
    ok = case hb_cron_registry:engine() of
        {ok, Engine, _} -> hb_process_monitor_nif:interrupt(Engine);
        none -> ok
    end,
    State.

%% @private
-spec stop(term()) -> ok.
stop(_State) ->
    ok = hb_cron_observer:retire(),
    %% Called in either case. After a crash of the tree the monitors go on from there.
    ok = case is_stopping() of
        true -> hb_process_monitor_nif:drop_memory();
        false -> ok
    end,
    lists:foreach(fun({Path, Reason}) ->
        hb_cron_host:log(undefined, {error, checkpoint_not_durable, {Path, Reason}})
    end, hb_process_monitor_nif:close_checkpoints(?CLOSE_LIMIT)),
    hb_cron_log:hide().

%% @doc Why the supervision tree is down, for a monitor that is not in it. Who stops the application does
%% not want its monitors started again.
-spec why_down() -> {shutdown, application_stopped} | application_died.
why_down() ->
    case is_stopping() of
        true -> {shutdown, application_stopped};
        false -> application_died
    end.

%% @doc Whether the application is being stopped, or was.
-spec is_stopping() -> boolean().
is_stopping() -> not persistent_term:get(?RUNNING, false).

%% @doc What `hb_process_monitor.app' says, for `application:load/1'. Dropped into another
%% application's directory, the modules come without that file.
-spec specification() -> {application, hb_process_monitor, [tuple()]}.
specification() ->
    {application, hb_process_monitor, [
        {description, "Polls Compute Units for the cron results of AO processes and pushes each one"},
        {vsn, "0.1.0"},
        {modules, hb_cron_loader:modules()},
        {registered, [hb_cron_sup, hb_cron_monitors_sup,
                      hb_cron_engine, hb_cron_restarter, hb_cron_log,
                      hb_cron_observer, hb_cron_hung_pushes, hb_cron_dashboard,
                      hb_cron_dashboard_sup, hb_cron_dashboard_guard]},
        {mod, {?MODULE, []}},
        {applications, [kernel, stdlib]}
    ]}.
