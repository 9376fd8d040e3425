%%% @doc The supervision tree: the log, the process of the engine, the restarter, the watch for hung pushes, the
%%% reader of tags, the observer, two processes of the device for HTTP, the supervisor of the monitors, the part for a
%%% cluster, and the listener. A monitor is temporary: its end affects no other process.
-module(hb_cron_sup).
-behaviour(supervisor).

-export([start_link/0, start_monitor/1]).
-export([start_monitors_link/0, init/1]).

%% How long a monitor may finish its current push when the tree stops, in ms.
-define(MONITOR_SHUTDOWN, 5000).
%% The process of the engine may have to end a slice first.
-define(ENGINE_SHUTDOWN, 2000).

-spec start_link() -> supervisor:startlink_ret().
start_link() ->
    supervisor:start_link({local, ?MODULE}, ?MODULE, tree).

%% @private
-spec start_monitors_link() -> supervisor:startlink_ret().
start_monitors_link() ->
    supervisor:start_link({local, hb_cron_monitors_sup}, ?MODULE, monitors).

%% @doc Starts a monitor; `{ok, undefined}' if there is one already.
-spec start_monitor([term()]) -> supervisor:startchild_ret().
start_monitor(Args) ->
    supervisor:start_child(hb_cron_monitors_sup, Args).

%% @private
-spec init(tree | monitors) -> {ok, {supervisor:sup_flags(), [supervisor:child_spec()]}}.
init(tree) ->
    ok = hb_cron_host:detect(),
    ok = hb_cron_configuration:create(),
    ok = hb_cron_registry:create(),
    ok = hb_cron_restarts:create(),
    ok = hb_cron_push_meter:create(),
    ok = hb_cron_hung_pushes:create(),
    ok = hb_cron_history:create(),
    {ok, {#{strategy => one_for_one, intensity => 10, period => 10}, [
        #{id => log, start => {hb_cron_log, start_link, []}},
        #{id => engine, start => {hb_cron_engine, start_link, []},
          shutdown => ?ENGINE_SHUTDOWN},
        #{id => restarter, start => {hb_cron_restarter, start_link, []}},
        #{id => hung_pushes, start => {hb_cron_hung_pushes, start_link, []}},
        #{id => tag_reader, start => {hb_cron_tag_reader, start_link, []}},
        #{id => observer, start => {hb_cron_observer, start_link, []}},
        #{id => device_replay, start => {hb_cron_device_replay, start_link, [device]}},
        #{id => device_registration, start => {hb_cron_device_registration, start_link, []}},
        #{id => monitors, start => {?MODULE, start_monitors_link, []},
          type => supervisor, shutdown => infinity},
        #{id => cluster, start => {hb_cron_cluster_sup, start_link, []}, type => supervisor, shutdown => infinity},
        #{id => listener, start => {hb_cron_listener_sup, start_link, []}, type => supervisor, shutdown => infinity}
    ]}};
init(monitors) ->
    {ok, {#{strategy => simple_one_for_one}, [
        #{id => monitor, start => {hb_cron_server, start_link, []},
          restart => temporary, shutdown => ?MONITOR_SHUTDOWN}
    ]}}.
