%%% @doc Monitors AO processes for cron results. After `start(ProcID)' every result that the process's Compute Unit
%%% produces on its timer is pushed, in order, at least once.
%%%
%%% This module is the API and its documentation: it checks arguments, loads the other modules, and has what is
%%% configured started once the host runs ({@link hb_cron_autostart}).
-module(hb_process_monitor).

-export([start/1, start/2, start/3, start_all/1]).
-export([stop/1, stop/2]).
%% The checkpoint
-export([resume_all/0, forget/1]).
%% Metrics
-export([metrics/0, prometheus/0]).
%% Reloading modules
-export([reload/0, reload/1]).
%% Dead letters
-export([dead_letters/1, redeliver/2, discard/2]).
%% Inspection
-export([info/1, list/0, list/1, i/0, i/1, pause/1, resume/1, doctor/0, doctor/1, cluster/0]).
%% Moving to a cluster and back
-export([export/1, import/1, import/2]).
%% Dashboard
-export([dashboard/0, dashboard/1, dashboard_stop/0]).
%% Supervisors of the host
-export([child_spec/1, start_link/1, start_link/2, start_link/3]).

-on_load(on_load/0).

-define(DASHBOARD_PORT, 8737).
%% How often it looks whether modules can be loaded, in ms.
-define(BOOT_POLL, 100).

-export_type([process_id/0, options/0, entry/0, outcome/0, dead_letter/0]).

-type process_id() :: binary() | string().
%% The 43 characters of an AO process id, or its 32 bytes as a binary.

-type options() :: #{
    rate => pos_integer(),
    cursor => hb_cron_options:cursor(),
    logger => pid(),
    paused => boolean(),
    atom() => term()
}.
%% `rate' in ms, at most 4294967295; `logger' a running hb_logger; `paused': whether to wait for {@link resume/1}.
%% The others, such as `cron_node', are in docs/options.md.

-type entry() :: process_id() | {process_id(), options()}.
%% A process to start, with its options.

-type outcome() :: {started | already_monitored, {Monitor :: pid(), hb_cron_host_logger:logger()}}
                 | {error, Reason :: term()}.
%% What became of an entry. `already_monitored': the process had this monitor, which was not changed. The reasons are those
%% that {@link start/2} raises, and `{bad_entry, Term}'.

-type dead_letter() :: #{
    id := pos_integer(),
    at := non_neg_integer(),
    attempts := pos_integer(),
    cursor := binary(),
    result := map(),
    error := term()
}.
%% A result that was given up: its number, its time in ms since the Unix epoch, the number of tries, the result as
%% it was pushed, and the last error.

%% @equiv start(ProcID, #{})
-spec start(process_id()) -> {Monitor :: pid(), Logger :: hb_cron_host_logger:logger()}.
start(ProcID) ->
    start(ProcID, #{}).

%% @doc Starts monitoring a process. Never waits for the network.
%%
%% Without a cursor the monitor begins after the last ack if the checkpoint knows the process, otherwise after the
%% newest result that the CU has when it first answers. If the process is monitored on this node already, that
%% monitor is returned, unchanged.
%%
%% Raises `{bad_process_id, Term}', `{bad_rate, Term}', `{bad_cursor, Term}',
%% `{bad_option, Key, Value}', `{checkpoint_unavailable, Path, Reason}' if the file of the option
%% `cron_checkpoint' cannot be used, `{nif_not_loaded, [{Path, Reason}]}' if the Rust library is missing,
%% and `{not_started, Reason}' if the application cannot be started.
-spec start(process_id(), Rate :: pos_integer() | options()) ->
    {Monitor :: pid(), Logger :: hb_cron_host_logger:logger()}.
start(ProcID, Opts) when is_map(Opts) ->
    ok = ensure_loaded(),
    ProcId = hb_cron_process_id:new(ProcID),
    hb_cron_start:start(ProcId, Opts);
start(ProcID, Rate) ->
    start(ProcID, #{rate => Rate}).

%% @doc Starts monitoring a process after the result with the given cursor, with its first result (`earliest'), or
%% as {@link start/1} does (`undefined').
-spec start(process_id(), Rate :: pos_integer(), hb_cron_options:cursor()) ->
    {Monitor :: pid(), Logger :: hb_cron_host_logger:logger()}.
start(ProcID, Rate, Cursor) ->
    start(ProcID, #{rate => Rate, cursor => Cursor}).

%% @doc Starts monitoring many processes, each as {@link start/2} does, and returns the outcome of each entry, in the order
%% of the list. An entry that is invalid stops none of the others; of entries with the same process the first valid one
%% counts. 100,000 processes take seconds, in which ticks of other monitors may come some ms later. If this node ends meanwhile,
%% processes that were started are resumed as after {@link start/2}. Can be called again with the same list.
%%
%% Raises as {@link start/2} if the application does not start.
-spec start_all([entry()]) -> [outcome()].
start_all(Entries) when length(Entries) >= 0 ->
    ok = ensure_loaded(),
    hb_cron_start_all:start_all(Entries).

%% @doc Stops a monitor: it finishes the push under way and starts no other. Does not wait. Given the pid of a
%% monitor that crashed, or the process, stops the monitor that was started in its place, or cancels its restart. In a
%% cluster a process can be stopped by any host node.
-spec stop(Monitor :: pid() | process_id()) -> stop.
stop(Id) ->
    ok = ensure_loaded(),
    Stopped = to_stop(Id),
    _ = case hb_cron_cluster:is_on() of
        true -> hb_cron_cluster:stop(Stopped);
        false -> hb_cron_stop:stop(Stopped)
    end,
    stop.

%% @doc Stops a monitor and waits until it has ended and its acks are durable, at most `Timeout' ms. After `{error,
%% timeout}' it is still stopping, and ends when the push under way returns. After `{error, not_durable}' it has
%% ended, but the checkpoint cannot be written: if the node ends before it can, results are pushed again, and the
%% process may be resumed. Given a process: `{error, not_monitored}' if it has no monitor.
-spec stop(Monitor :: pid() | process_id(), timeout()) -> ok | {error, timeout | not_durable | not_monitored}.
stop(Id, Timeout) ->
    ok = ensure_loaded(),
    Stopped = to_stop(Id),
    case hb_cron_cluster:is_on() of
        true -> hb_cron_cluster:stop(Stopped, Timeout);
        false -> hb_cron_stop:stop(Stopped, Timeout)
    end.

to_stop(Monitor) when is_pid(Monitor) -> Monitor;
to_stop(ProcID) -> hb_cron_process_id:new(ProcID).

%% @doc Starts monitoring every process that was monitored when this node was last up and was not stopped, with its
%% former options, or those of `cron_processes' if it is named there, from its last ack. A node whose boot script loads
%% this module does so by itself. A paused process is paused again. Processes of {@link start_link/1} are left
%% to their supervisors. Returns the outcome of each.
-spec resume_all() -> [{ProcId :: binary(), {Monitor :: pid(), hb_cron_host_logger:logger()}
                                            | {error, Reason :: term()}}].
resume_all() ->
    ok = ensure_loaded(),
    hb_cron_start:resume_all().

%% @doc Forgets a process that is not monitored: its cursor, its dead letters, and that it is to be resumed.
%% Without a cursor the next start begins after the newest result. Returns once that is durable. `{error,
%% monitored}': it has a monitor, one that is stopping, or one that crashed and will be restarted; nothing was
%% forgotten.
-spec forget(process_id()) -> ok | {error, monitored | binary()}.
forget(ProcID) ->
    Engine = engine(),
    case hb_cron_cluster:is_on() of
        true -> hb_cron_cluster:forget(hb_cron_process_id:new(ProcID));
        false -> hb_cron_stop:forget(Engine, hb_cron_process_id:new(ProcID))
    end.

%% @doc The results of a process that could not be pushed, the oldest first.
-spec dead_letters(process_id()) -> {ok, [dead_letter()]} | {error, Reason :: binary()}.
dead_letters(ProcID) ->
    Engine = engine(),
    hb_cron_dead_letters:all(Engine, hb_cron_process_id:new(ProcID)).

%% @doc Has the monitor of a process push a dead letter again, between two results. After a success the dead letter
%% is removed.
-spec redeliver(process_id(), Id :: pos_integer()) ->
    ok | {error, not_monitored | not_found | {push_failed, Reason :: term()} | binary()}.
redeliver(ProcID, Id) ->
    Engine = engine(),
    hb_cron_dead_letters:redeliver(Engine, hb_cron_process_id:new(ProcID), Id).

%% @doc Removes a dead letter. Returns once that is durable.
-spec discard(process_id(), Id :: pos_integer()) -> ok | {error, not_found | binary()}.
discard(ProcID, Id) ->
    Engine = engine(),
    hb_cron_dead_letters:discard(Engine, hb_cron_process_id:new(ProcID), Id).

%% @doc The value of every metric; docs/metrics.md describes them. Asks no process. Counters count from the start
%% of the node, through restarts of the application; while it does not run, gauges are zero.
-spec metrics() -> #{Name :: atom() => hb_cron_metrics:value()}.
metrics() ->
    ok = ensure_loaded(),
    hb_cron_metrics:values().

%% @doc The same as text for Prometheus, in the exposition format 0.0.4. If the host has the library `prometheus',
%% they are among its metrics already.
-spec prometheus() -> binary().
prometheus() ->
    ok = ensure_loaded(),
    hb_cron_prometheus:text().

%% @equiv reload(5000)
-spec reload() -> {ok, [module()]} | {error, {busy, [module()]} | {not_loaded, term()}}.
reload() -> reload(5000).

%% @doc Exchanges the modules of the running node for those on disk, except for the library. Monitors continue, and
%% nothing is lost. Returns which modules were exchanged. `{error, {busy, Modules}}': a push that began two
%% versions ago has not ended within `Timeout' ms, and nothing was exchanged.
-spec reload(Timeout :: non_neg_integer()) ->
    {ok, [module()]} | {error, {busy, [module()]} | {not_loaded, term()}}.
reload(Timeout) ->
    ok = ensure_loaded(),
    hb_cron_loader:reload(Timeout).

%% @doc The state of the monitor of a process; `undefined' if there is none. Like all inspection, it starts nothing
%% and asks no monitor, which may be in a push. In a cluster it asks the database for a process without a monitor on this
%% host node: `{elsewhere, Name}' if the host node of that name owns it.
-spec info(Monitor :: pid() | process_id()) -> hb_cron_info:info() | {elsewhere, Name :: binary()} | undefined.
info(MonitorOrProcID) ->
    ok = ensure_loaded(),
    hb_cron_info:info(MonitorOrProcID).

%% @doc The states of all monitors of this node, in the order of their processes.
-spec list() -> [hb_cron_info:summary()].
list() ->
    ok = ensure_loaded(),
    hb_cron_info:all().

%% @doc One listing of them, and the process after which the next one begins: `list(#{start_after => ProcID, limit
%% => 100, state => backing_off})'. `done': there is no more.
-spec list(hb_cron_info:list_options()) ->
    {[hb_cron_info:summary()], Next :: binary() | done}.
list(Options) ->
    ok = ensure_loaded(),
    hb_cron_info:list(Options).

%% @doc Prints the first listing of {@link list/1} as a table, and the call for the next one; in a cluster its state, too.
-spec i() -> ok.
i() -> i(#{}).

%% @doc Prints a listing as a table, or everything about the monitor of one process.
-spec i(hb_cron_info:list_options() | pid() | process_id()) -> ok.
i(Options) when is_map(Options) ->
    ok = ensure_loaded(),
    hb_cron_console:print([hb_cron_cluster_report:line(hb_cron_cluster:status()), hb_cron_table:listing(Options)]);
i(MonitorOrProcID) ->
    ok = ensure_loaded(),
    hb_cron_console:print(hb_cron_table:one(hb_cron_info:info(MonitorOrProcID))).

%% @doc Pauses a monitor: after its current result it pushes and polls nothing, and a tick does nothing, until
%% {@link resume/1}. It keeps its cursor; pages that were fetched are fetched again then. The monitor is not waited for:
%% until it has paused, its state is `pausing'. A pause outlives the engine, crashes of the monitor, and the node if
%% the process is resumed; {@link start/1} starts it unpaused. `ok': that is durable. `{error, not_durable}': it
%% pauses, but the checkpoint cannot be written at present: if the node ends before it can, the process is resumed
%% unpaused.
-spec pause(Monitor :: pid() | process_id()) -> ok | {error, not_monitored | not_durable}.
pause(MonitorOrProcID) ->
    ok = ensure_loaded(),
    case hb_cron_cluster:is_on() of
        true -> hb_cron_cluster:pause(MonitorOrProcID);
        false -> hb_cron_pause:pause(MonitorOrProcID)
    end.

%% @doc Resumes a monitor that has paused. It polls at once. `{error, not_durable}': it continues, but if the node ends
%% now, the process is resumed paused.
-spec resume(Monitor :: pid() | process_id()) -> ok | {error, not_monitored | not_durable}.
resume(MonitorOrProcID) ->
    ok = ensure_loaded(),
    case hb_cron_cluster:is_on() of
        true -> hb_cron_cluster:resume(MonitorOrProcID);
        false -> hb_cron_pause:resume(MonitorOrProcID)
    end.

%% @doc Writes all processes of the cluster, with their cursors and dead letters, to a new checkpoint file, which a node
%% without a cluster can use. What is acked meanwhile may be missing: stop all host nodes but this one, and stop or pause
%% the processes, to move away for good.
-spec export(Path :: file:name_all()) -> {ok, hb_cron_transfer:moved()} | {error, not_in_a_cluster | binary()}.
export(Path) ->
    ok = ensure_loaded(),
    ok = hb_cron_start:ensure_started(),
    hb_cron_transfer:export(Path).

%% @equiv import(Path, #{})
-spec import(Path :: file:name_all()) -> {ok, hb_cron_transfer:moved()} | {error, not_in_a_cluster | binary()}.
import(Path) -> import(Path, #{}).

%% @doc Adds the processes of a checkpoint file, with their cursors and dead letters, to the cluster. Those that the
%% cluster has are not changed, so an import can be repeated; with `#{replace => true}' they begin where they were in the
%% file. No node may have the file open.
-spec import(Path :: file:name_all(), #{replace => boolean()}) ->
    {ok, hb_cron_transfer:moved()} | {error, not_in_a_cluster | binary()}.
import(Path, Options) ->
    ok = ensure_loaded(),
    ok = hb_cron_start:ensure_started(),
    Replaces = maps:get(replace, Options, false),
    is_boolean(Replaces) andalso map_size(maps:remove(replace, Options)) =:= 0 orelse error({bad_option, import, Options}),
    hb_cron_transfer:import(Path, Replaces).

%% @doc Prints the options, what the node finds of its host, whether the CU answers, and what to do about what is
%% wrong. Starts nothing, and shows no secret.
-spec doctor() -> ok.
doctor() ->
    ok = ensure_loaded(),
    hb_cron_console:print(hb_cron_doctor_report:text(hb_cron_doctor:examine(#{}))).

%% @doc Returns the same as a term. `#{process => ProcID}': the process that the CU is asked for; `#{probe =>
%% false}': the CU is not asked.
-spec doctor(hb_cron_doctor:options()) -> hb_cron_doctor:findings().
doctor(Options) ->
    ok = ensure_loaded(),
    hb_cron_doctor:examine(Options).

%% @doc What this host node sees of its cluster: the host nodes, their shards, the connection to the database.
%% `undefined' outside a cluster, and while the application does not run. Asks no process and no database.
-spec cluster() -> hb_cron_cluster:status() | undefined.
cluster() ->
    ok = ensure_loaded(),
    hb_cron_cluster:status().

%% @equiv dashboard(8737)
-spec dashboard() -> {ok, Url :: binary()} | {error, hb_cron_dashboard:error()}.
dashboard() -> dashboard(?DASHBOARD_PORT).

%% @doc Serves the dashboard on loopback, at this port, until {@link dashboard_stop/0} or the end of the
%% application. Returns the URL to open in a browser on this machine. The URL is a secret: it allows everything
%% that the dashboard can do. It is new each time the dashboard starts; if it is served at this port already, the
%% URL is the same. Port 0: any free port. Raises as {@link start/2} if the application does not start, and
%% `{bad_port, Term}'.
-spec dashboard(inet:port_number()) -> {ok, Url :: binary()} | {error, hb_cron_dashboard:error()}.
dashboard(Port) ->
    ok = ensure_loaded(),
    ok = hb_cron_start:ensure_started(),
    hb_cron_dashboard:start(Port).

%% @doc Stops the dashboard, if it runs. Its connections are closed when this returns.
-spec dashboard_stop() -> ok.
dashboard_stop() ->
    ok = ensure_loaded(),
    hb_cron_dashboard:stop().

%% @doc The child specification for a supervisor of the host: of a process, or of `{ProcID, Options}'. A monitor
%% that was stopped with {@link stop/1} stays stopped.
-spec child_spec(process_id() | {process_id(), options()}) -> supervisor:child_spec().
child_spec({ProcID, Options}) ->
    ok = ensure_loaded(),
    hb_cron_supervisor_child:child_spec(hb_cron_process_id:new(ProcID), Options);
child_spec(ProcID) ->
    child_spec({ProcID, #{}}).

%% @equiv start_link(ProcID, #{})
-spec start_link(process_id()) -> {ok, Monitor :: pid()} | {error, {already_started, pid()} | term()}.
start_link(ProcID) -> start_link(ProcID, #{}).

%% @doc Starts a monitor that is linked to the caller, its supervisor, and raises what {@link start/2} raises. If
%% it crashes or is killed, that supervisor restarts it with the same arguments, and it continues after the last
%% ack: a cursor among the arguments counts only if the checkpoint does not know the process. It ends with this
%% application: with `{shutdown, application_stopped}' if that was stopped, which no supervisor takes for a crash,
%% otherwise with `application_died'.
-spec start_link(process_id(), Rate :: pos_integer() | options()) ->
    {ok, Monitor :: pid()} | {error, {already_started, pid()} | term()}.
start_link(ProcID, Opts) when is_map(Opts) ->
    ok = ensure_loaded(),
    ProcId = hb_cron_process_id:new(ProcID),
    hb_cron_supervisor_child:start_link(ProcId, Opts);
start_link(ProcID, Rate) ->
    start_link(ProcID, #{rate => Rate}).

%% @doc The same, with a cursor.
-spec start_link(process_id(), Rate :: pos_integer(), hb_cron_options:cursor()) ->
    {ok, Monitor :: pid()} | {error, {already_started, pid()} | term()}.
start_link(ProcID, Rate, Cursor) ->
    start_link(ProcID, #{rate => Rate, cursor => Cursor}).

%% A release loads this module while it boots, and a failure or a wait here would stop or delay that.
on_load() ->
    _ = try spawn(fun autostart/0)
        catch error:system_limit -> none
        end,
    ok.

%% The other module is loaded as soon as that is possible. From then on nothing runs code of this one.
autostart() ->
    try autostart_is_loaded() of
        true -> hb_cron_autostart:run();
        false -> ok
    catch
        _:_ -> ok
    end.

autostart_is_loaded() ->
    case whereis(code_server) of
        undefined -> receive after ?BOOT_POLL -> autostart_is_loaded() end;
        _ -> erlang:module_loaded(hb_cron_autostart) orelse element(1, code:load_file(hb_cron_autostart)) =:= module
    end.

engine() ->
    ok = ensure_loaded(),
    hb_cron_start:engine().

%% In embedded mode a call does not load a module, not even the loader.
ensure_loaded() ->
    Load = fun() -> erlang:module_loaded(hb_cron_loader) orelse code:load_file(hb_cron_loader) end,
    case erlang:module_loaded(hb_cron_loader) orelse global:trans({?MODULE, self()}, Load, [node()]) of
        true -> hb_cron_loader:ensure_loaded();
        {module, _} -> hb_cron_loader:ensure_loaded();
        {error, Reason} -> error({module_not_loaded, hb_cron_loader, Reason})
    end.
