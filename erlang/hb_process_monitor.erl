%%% @doc Monitors AO processes for cron results: `start(ProcID)', and from then on every result that
%%% the process's Compute Unit produces by itself is pushed, in order, at least once.
%%%
%%% This module is the API and its documentation: it checks arguments, sees to it that the modules are
%%% loaded, and does nothing else.
-module(hb_process_monitor).

-export([start/1, start/2, start/3]).
-export([stop/1, stop/2]).
%% The checkpoint
-export([resume_all/0, forget/1]).
%% What happens, in figures
-export([metrics/0, prometheus/0]).
%% New code for a running node
-export([reload/0, reload/1]).
%% Results that could not be pushed
-export([dead_letters/1, redeliver/2, discard/2]).
%% For operators
-export([info/1, list/0, list/1, i/0, i/1, pause/1, resume/1, doctor/0, doctor/1]).
%% In a browser
-export([dashboard/0, dashboard/1, dashboard_stop/0]).
%% In a supervisor of one's own
-export([child_spec/1, start_link/1, start_link/2, start_link/3]).

-define(DASHBOARD_PORT, 8737).

-export_type([process_id/0, options/0, dead_letter/0]).

-type process_id() :: binary() | string().
%% The 43 characters of an AO process id, or its 32 bytes as a binary.

-type options() :: #{
    rate => pos_integer(),
    cursor => hb_cron_options:cursor(),
    logger => pid(),
    paused => boolean(),
    atom() => term()
}.
%% `rate' in ms, at most 4294967295; `logger' a running hb_logger; `paused': not to poll before it is told
%% to, by {@link resume/1}. The others, such as `cron_node', are those of the README's table.

-type dead_letter() :: #{
    id := pos_integer(),
    at := non_neg_integer(),
    attempts := pos_integer(),
    cursor := binary(),
    result := map(),
    error := term()
}.
%% A result that was given up: its number, when that was in ms since the Unix epoch, how often its
%% push was tried, the result as it was pushed, and the last error.

%% @equiv start(ProcID, #{})
-spec start(process_id()) -> {Monitor :: pid(), Logger :: hb_cron_host_logger:logger()}.
start(ProcID) ->
    start(ProcID, #{}).

%% @doc Starts monitoring a process. Never waits for the network.
%%
%% Without a cursor it begins after the latest result that the CU has when it can first be asked.
%% If the process is monitored on this node already, that monitor is the answer, unchanged.
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

%% @doc Starts monitoring a process after the result with the given cursor, from its first result
%% (`earliest'), or as {@link start/1} does (`undefined').
-spec start(process_id(), Rate :: pos_integer(), hb_cron_options:cursor()) ->
    {Monitor :: pid(), Logger :: hb_cron_host_logger:logger()}.
start(ProcID, Rate, Cursor) ->
    start(ProcID, #{rate => Rate, cursor => Cursor}).

%% @doc Stops a monitor: it finishes the push under way, and begins nothing more. Does not wait. By the pid of a
%% monitor that crashed it stops the one that was started in its place.
-spec stop(Monitor :: pid()) -> stop.
stop(Monitor) when is_pid(Monitor) ->
    ok = ensure_loaded(),
    ok = hb_cron_stop:stop(Monitor),
    stop.

%% @doc Stops a monitor and waits until it has ended and its acks are durable, at most `Timeout' ms. After
%% `{error, timeout}' it is still stopping, and ends when the push under way returns. After
%% `{error, not_durable}' it has ended, and the checkpoint cannot be written: if the node ends before it can,
%% results are pushed again, and the process may be resumed. A monitor that crashed and is about to be started
%% again is not started.
-spec stop(Monitor :: pid(), timeout()) -> ok | {error, timeout | not_durable}.
stop(Monitor, Timeout) when is_pid(Monitor) ->
    ok = ensure_loaded(),
    hb_cron_stop:stop(Monitor, Timeout).

%% @doc Starts monitoring every process that was monitored when this node was last up and had not
%% been stopped, each with the options it was started with and from where it stood; one that was paused
%% is paused again. Those of {@link start_link/1} are left to their supervisors. Says what became of each.
-spec resume_all() -> [{ProcId :: binary(), {Monitor :: pid(), hb_cron_host_logger:logger()}
                                            | {error, Reason :: term()}}].
resume_all() ->
    ok = ensure_loaded(),
    hb_cron_start:resume_all().

%% @doc Forgets a process that is not monitored: its cursor, its dead letters, and that it was to be
%% resumed. Without a cursor the next start begins after the latest result. Returns once that is
%% durable. `{error, monitored}': it has a monitor, or one that is stopping, or that crashed and is about to be
%% started again; nothing was forgotten.
-spec forget(process_id()) -> ok | {error, monitored | binary()}.
forget(ProcID) ->
    Engine = engine(),
    hb_cron_stop:forget(Engine, hb_cron_process_id:new(ProcID)).

%% @doc The results of a process that could not be pushed, the oldest first.
-spec dead_letters(process_id()) -> {ok, [dead_letter()]} | {error, Reason :: binary()}.
dead_letters(ProcID) ->
    Engine = engine(),
    hb_cron_dead_letters:all(Engine, hb_cron_process_id:new(ProcID)).

%% @doc Has the monitor of a process push a dead letter once more, between two results. One that is
%% pushed is discarded.
-spec redeliver(process_id(), Id :: pos_integer()) ->
    ok | {error, not_monitored | not_found | {push_failed, Reason :: term()} | binary()}.
redeliver(ProcID, Id) ->
    Engine = engine(),
    hb_cron_dead_letters:redeliver(Engine, hb_cron_process_id:new(ProcID), Id).

%% @doc Drops a dead letter for good. Returns once that is durable.
-spec discard(process_id(), Id :: pos_integer()) -> ok | {error, not_found | binary()}.
discard(ProcID, Id) ->
    Engine = engine(),
    hb_cron_dead_letters:discard(Engine, hb_cron_process_id:new(ProcID), Id).

%% @doc The value of every metric; docs/metrics.md says what each is. Asks no process. What has happened is
%% counted from the node's start on, whatever of this application was started anew since; while it does
%% not run, there is none of anything now.
-spec metrics() -> #{Name :: atom() => hb_cron_metrics:value()}.
metrics() ->
    ok = ensure_loaded(),
    hb_cron_metrics:values().

%% @doc The same as text for Prometheus to scrape, in the exposition format 0.0.4. Where the host has the
%% library `prometheus', they are among what that shows already.
-spec prometheus() -> binary().
prometheus() ->
    ok = ensure_loaded(),
    hb_cron_prometheus:text().

%% @equiv reload(5000)
-spec reload() -> {ok, [module()]} | {error, {busy, [module()]} | {not_loaded, term()}}.
reload() -> reload(5000).

%% @doc Has the running node go on with the modules that lie on its disk, all but the library's. Monitors
%% go on and nothing is lost. Says which modules were exchanged. `{error, {busy, Modules}}': a push that
%% began two versions ago has not ended within `Timeout' ms, and nothing was exchanged.
-spec reload(Timeout :: non_neg_integer()) ->
    {ok, [module()]} | {error, {busy, [module()]} | {not_loaded, term()}}.
reload(Timeout) ->
    ok = ensure_loaded(),
    hb_cron_loader:reload(Timeout).

%% @doc How the monitor of a process fares; `undefined' if there is none. As all here that only looks on:
%% neither the application is started for it, nor is a monitor asked, which may be at a push.
-spec info(Monitor :: pid() | process_id()) -> hb_cron_info:info() | undefined.
info(MonitorOrProcID) ->
    ok = ensure_loaded(),
    hb_cron_info:info(MonitorOrProcID).

%% @doc How all monitors of this node fare, in the order of their processes.
-spec list() -> [hb_cron_info:summary()].
list() ->
    ok = ensure_loaded(),
    hb_cron_info:all().

%% @doc The same for one page of them, and the process to begin the next one after:
%% `list(#{start_after => ProcID, limit => 100, state => backing_off})'. `done': there is no more.
-spec list(hb_cron_info:list_options()) ->
    {[hb_cron_info:summary()], Next :: binary() | done}.
list(Options) ->
    ok = ensure_loaded(),
    hb_cron_info:list(Options).

%% @doc Prints the first page of {@link list/1} as a table, and how to see more.
-spec i() -> ok.
i() -> i(#{}).

%% @doc Prints a page as a table, or all about the monitor of one process.
-spec i(hb_cron_info:list_options() | pid() | process_id()) -> ok.
i(Options) when is_map(Options) ->
    ok = ensure_loaded(),
    hb_cron_console:print(hb_cron_table:page(Options));
i(MonitorOrProcID) ->
    ok = ensure_loaded(),
    hb_cron_console:print(hb_cron_table:one(hb_cron_info:info(MonitorOrProcID))).

%% @doc Has a monitor pause: after the result that it is at it pushes and polls nothing, and a tick does
%% nothing, until {@link resume/1}. It keeps its cursor, and what it had fetched beyond that is fetched
%% again then. Does not wait: until it has paused its state is `pausing'. A pause outlives the engine and
%% a crash of the monitor, and the node where {@link resume_all/0} starts it again; {@link start/1} starts
%% it unpaused.
-spec pause(Monitor :: pid() | process_id()) -> ok | {error, not_monitored}.
pause(MonitorOrProcID) ->
    ok = ensure_loaded(),
    hb_cron_info:pause(MonitorOrProcID).

%% @doc Has a monitor that has paused go on from where it stands. It polls at once.
-spec resume(Monitor :: pid() | process_id()) -> ok | {error, not_monitored}.
resume(MonitorOrProcID) ->
    ok = ensure_loaded(),
    hb_cron_info:resume(MonitorOrProcID).

%% @doc Prints what this node is configured with, what it finds of its host, whether the CU answers, and
%% what to do about what is wrong. Starts nothing, and shows no secret.
-spec doctor() -> ok.
doctor() ->
    ok = ensure_loaded(),
    hb_cron_console:print(hb_cron_doctor_report:text(hb_cron_doctor:examine(#{}))).

%% @doc The same as a term. `#{process => ProcID}': whose result the CU is asked for; `#{probe => false}':
%% it is not asked.
-spec doctor(hb_cron_doctor:options()) -> hb_cron_doctor:findings().
doctor(Options) ->
    ok = ensure_loaded(),
    hb_cron_doctor:examine(Options).

%% @equiv dashboard(8737)
-spec dashboard() -> {ok, Url :: binary()} | {error, hb_cron_dashboard:error()}.
dashboard() -> dashboard(?DASHBOARD_PORT).

%% @doc Serves the operations page on loopback, at this port, until {@link dashboard_stop/0} or the end of
%% the application, and says where: a URL to open in a browser on this machine. Whoever has that URL can see
%% and do all that the page can, so it is a secret; there is a new one each time that the page is started.
%% Where the page is served at this port already, the same URL. 0: any port that is free. Raises as
%% {@link start/2} where the application does not start, and `{bad_port, Term}'.
-spec dashboard(inet:port_number()) -> {ok, Url :: binary()} | {error, hb_cron_dashboard:error()}.
dashboard(Port) ->
    ok = ensure_loaded(),
    ok = hb_cron_start:ensure_started(),
    hb_cron_dashboard:start(Port).

%% @doc Ends the page, if there is one. Its connections are closed when this returns.
-spec dashboard_stop() -> ok.
dashboard_stop() ->
    ok = ensure_loaded(),
    hb_cron_dashboard:stop().

%% @doc For a supervisor that is to start a monitor itself: of a process, or of `{ProcID, Options}'. One
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

%% @doc Starts a monitor that is linked to the caller, its supervisor, and raises what {@link start/2}
%% raises. When it crashes, or is killed, it is for that supervisor to start it again, with the same
%% arguments: it then goes on after the last result acked. So a cursor among these is only for a process
%% that the checkpoint does not know. It ends with this application: with `{shutdown, application_stopped}'
%% where that was stopped, which no supervisor takes for a crash, else with `application_died'.
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

engine() ->
    ok = ensure_loaded(),
    hb_cron_start:engine().

%% In embedded mode not even the module that loads the others is loaded by being called.
ensure_loaded() ->
    Load = fun() -> erlang:module_loaded(hb_cron_loader) orelse code:load_file(hb_cron_loader) end,
    case erlang:module_loaded(hb_cron_loader) orelse global:trans({?MODULE, self()}, Load, [node()]) of
        true -> hb_cron_loader:ensure_loaded();
        {module, _} -> hb_cron_loader:ensure_loaded();
        {error, Reason} -> error({module_not_loaded, hb_cron_loader, Reason})
    end.
