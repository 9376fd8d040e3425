%%% @doc Monitors AO processes for cron results: `start(ProcID)', and from then on every result that
%%% the process's Compute Unit produces by itself is pushed, in order, at least once.
%%%
%%% This module checks arguments, sees to it that the application runs, and does nothing else.
-module(hb_process_monitor).

-export([start/1, start/2, start/3]).
-export([stop/1, stop/2]).

-export_type([process_id/0, options/0]).

-type process_id() :: binary() | string().
%% The 43 characters of an AO process id, or its 32 bytes as a binary.

-type options() :: #{
    rate => pos_integer(),
    cursor => hb_process_monitor_opts:cursor(),
    logger => pid(),
    atom() => term()
}.
%% `rate' in ms, at most 4294967295; `logger' a running hb_logger. The others, such as `cron_node',
%% are those of the README's table.

%% The modules that a call may need, the one that tells whether all are loaded last.
-define(SIBLINGS, [hb_process_monitor_host, hb_process_monitor_opts, hb_process_monitor_registry,
                   hb_process_monitor_nif, hb_process_monitor_server, hb_process_monitor_log,
                   hb_process_monitor_sup, hb_process_monitor_ticker]).

%% @equiv start(ProcID, #{})
-spec start(process_id()) -> {Monitor :: pid(), Logger :: hb_process_monitor_host:logger()}.
start(ProcID) ->
    start(ProcID, #{}).

%% @doc Starts monitoring a process. Never waits for the network.
%%
%% Without a cursor it begins after the latest result that the CU has when it can first be asked.
%% If the process is monitored on this node already, that monitor is the answer, unchanged.
%%
%% Raises `{bad_process_id, Term}', `{bad_rate, Term}', `{bad_cursor, Term}',
%% `{bad_option, Key, Value}', `{nif_not_loaded, [{Path, Reason}]}' if the Rust library is missing,
%% and `{not_started, Reason}' if the application cannot be started.
-spec start(process_id(), Rate :: pos_integer() | options()) ->
    {Monitor :: pid(), Logger :: hb_process_monitor_host:logger()}.
start(ProcID, Opts) when is_map(Opts) ->
    ok = ensure_loaded(),
    ProcId = hb_process_monitor_opts:proc_id(ProcID),
    ok = ensure_started(),
    start_monitor(ProcId, hb_process_monitor_opts:for_monitor(ProcId, Opts));
start(ProcID, Rate) ->
    start(ProcID, #{rate => Rate}).

%% @doc Starts monitoring a process after the result with the given cursor, from its first result
%% (`earliest'), or as {@link start/1} does (`undefined').
-spec start(process_id(), Rate :: pos_integer(), hb_process_monitor_opts:cursor()) ->
    {Monitor :: pid(), Logger :: hb_process_monitor_host:logger()}.
start(ProcID, Rate, Cursor) ->
    start(ProcID, #{rate => Rate, cursor => Cursor}).

%% @doc Stops a monitor: what it is pushing is finished, nothing more begins. Does not wait.
-spec stop(Monitor :: pid()) -> stop.
stop(Monitor) when is_pid(Monitor) ->
    ok = ensure_loaded(),
    %% At once and not when the monitor gets to it: a start that follows must not find it.
    ok = hb_process_monitor_registry:release(Monitor),
    Monitor ! stop.

%% @doc Stops a monitor and waits until it has ended, at most `Timeout' ms. After
%% `{error, timeout}' it is stopping still, and ends when the push that it is at returns.
-spec stop(Monitor :: pid(), timeout()) -> ok | {error, timeout}.
stop(Monitor, Timeout) when is_pid(Monitor) ->
    Ref = monitor(process, Monitor),
    stop = stop(Monitor),
    receive
        {'DOWN', Ref, process, _, _} -> ok
    after Timeout ->
        demonitor(Ref, [flush]),
        {error, timeout}
    end.

start_monitor(ProcId, Options) ->
    case hb_process_monitor_registry:find(ProcId) of
        {ok, Entry} ->
            already_monitored(ProcId, Entry);
        none ->
            try hb_process_monitor_sup:start_monitor([ProcId, Options]) of
                {ok, undefined} -> start_monitor(ProcId, Options);
                {ok, Monitor} -> {Monitor, logger_of(ProcId, Monitor)};
                {error, Reason} -> error({not_started, Reason})
            catch
                %% The tree is going down.
                exit:{Reason, _} -> error({not_started, Reason})
            end
    end.

%% Another start may have been first in between, or a stop.
logger_of(ProcId, Monitor) ->
    case hb_process_monitor_registry:find(ProcId) of
        {ok, {Monitor, Logger, _}} -> Logger;
        _ -> undefined
    end.

already_monitored(ProcId, {Monitor, Logger, #{rate := Rate, cursor := Cursor}}) ->
    ok = hb_process_monitor_host:log(Logger, {ok, already_monitored, {ProcId, Rate, Cursor}}),
    {Monitor, Logger}.

%% The application runs once its last child is there.
ensure_started() ->
    case whereis(hb_process_monitor_monitors_sup) of
        undefined -> start_application();
        _ -> ok
    end.

start_application() ->
    case hb_process_monitor_nif:loaded() of
        ok -> ok;
        {error, Tried} -> error({nif_not_loaded, Tried})
    end,
    case application:ensure_all_started(hb_process_monitor) of
        {ok, _} -> ok;
        {error, Reason} -> error({not_started, Reason})
    end.

%% A release boots in embedded mode: there a module that is not in the boot script is not loaded
%% when it is called. One caller at a time: loading a module that is loaded already purges it.
ensure_loaded() ->
    case erlang:module_loaded(hb_process_monitor_ticker) of
        true -> ok;
        false -> global:trans({?MODULE, self()}, fun load_siblings/0, [node()])
    end.

load_siblings() ->
    load(hb_process_monitor_app),
    load_application(),
    lists:foreach(fun load/1, ?SIBLINGS).

%% Dropped into another application's directory, the modules come without their .app file. Before
%% the library is loaded: its path may be in the application's environment.
load_application() ->
    _ = case application:load(hb_process_monitor) of
        {error, {already_loaded, _}} -> ok;
        {error, _} -> application:load(hb_process_monitor_app:specification());
        ok -> ok
    end,
    ok.

load(Module) ->
    case erlang:module_loaded(Module) orelse code:load_file(Module) of
        true -> ok;
        {module, Module} -> ok;
        {error, Reason} -> error({module_not_loaded, Module, Reason})
    end.
