%%% @doc The application's modules: lists them, loads them in embedded mode, and exchanges them on a running node.
%%% The library is not exchanged: see {@link hb_process_monitor_nif}.
-module(hb_cron_loader).

-export([modules/0, ensure_loaded/0, reload/1, specification/0]).

-define(LIBRARY_MODULE, hb_process_monitor_nif).
%% It has an on_load, so that it cannot be loaded together with others.
-define(API, hb_process_monitor).
%% Loaded last: if it is loaded, all are.
-define(LAST, hb_cron_engine).

%% All modules of the application, in the beam file: reload/1 reads there which modules a newer version has.
-modules([
    dev_process_monitor, hb_cron_answer, hb_cron_app, hb_cron_assignment, hb_cron_autostart,
    hb_cron_checkpoint, hb_cron_cluster, hb_cron_cluster_options, hb_cron_cluster_report,
    hb_cron_cluster_request, hb_cron_cluster_sup, hb_cron_configuration, hb_cron_console,
    hb_cron_dashboard, hb_cron_dashboard_api, hb_cron_dashboard_guard, hb_cron_dashboard_listing,
    hb_cron_dashboard_page, hb_cron_dashboard_stops, hb_cron_dashboard_sup, hb_cron_dashboard_survey,
    hb_cron_dashboard_web, hb_cron_data_item, hb_cron_dead_letters, hb_cron_deadline, hb_cron_delivery,
    hb_cron_device, hb_cron_device_access, hb_cron_device_monitors, hb_cron_device_options,
    hb_cron_device_owner, hb_cron_device_registration, hb_cron_device_replay, hb_cron_device_signature,
    hb_cron_doctor, hb_cron_doctor_report, hb_cron_endpoint, hb_cron_engine, hb_cron_events,
    hb_cron_events_none, hb_cron_events_telemetry, hb_cron_excerpt, hb_cron_fault, hb_cron_history,
    hb_cron_host, hb_cron_host_ao, hb_cron_host_calls, hb_cron_host_converge, hb_cron_host_identity,
    hb_cron_host_logger, hb_cron_host_mu, hb_cron_httpd, hb_cron_hung_pushes, hb_cron_info,
    hb_cron_inspection, hb_cron_json, hb_cron_lease, hb_cron_library, hb_cron_listener,
    hb_cron_listener_limit, hb_cron_listener_sup, hb_cron_listener_web, hb_cron_loader, hb_cron_log,
    hb_cron_message, hb_cron_metrics, hb_cron_monitor, hb_cron_monitors, hb_cron_node_message,
    hb_cron_observer, hb_cron_option_table, hb_cron_option_type, hb_cron_options, hb_cron_ownership,
    hb_cron_ownership_jobs, hb_cron_pause, hb_cron_process_entry, hb_cron_process_id,
    hb_cron_process_tags, hb_cron_prometheus, hb_cron_push_loop, hb_cron_push_meter, hb_cron_push_notes,
    hb_cron_recorder, hb_cron_redelivery, hb_cron_registration, hb_cron_registry, hb_cron_restarter,
    hb_cron_restarts, hb_cron_retry, hb_cron_retry_policy, hb_cron_router, hb_cron_run_state,
    hb_cron_schedule, hb_cron_secret, hb_cron_server, hb_cron_settings, hb_cron_spawn, hb_cron_stand_in,
    hb_cron_stand_in_check, hb_cron_stand_ins, hb_cron_standalone, hb_cron_standalone_arguments,
    hb_cron_standalone_push, hb_cron_standalone_status, hb_cron_start, hb_cron_start_all,
    hb_cron_start_batches, hb_cron_status_words, hb_cron_stop, hb_cron_sup, hb_cron_supervisor_child,
    hb_cron_sys_status, hb_cron_table, hb_cron_tag_reader, hb_cron_totals, hb_cron_transfer,
    hb_cron_unstarted, hb_process_monitor, hb_process_monitor_log_format, hb_process_monitor_nif
]).

%% @doc All modules of the application. The last one is loaded last.
-spec modules() -> [module(), ...].
modules() ->
    Modules = proplists:get_value(modules, ?MODULE:module_info(attributes)),
    [Module || Module <- Modules, Module =/= ?LAST] ++ [?LAST].

%% @doc Loads the modules that are not loaded. A release boots in embedded mode, in which a call does not load a
%% module that the boot script lacks. One caller at a time: loading a loaded module purges it.
-spec ensure_loaded() -> ok.
ensure_loaded() ->
    %% If the modules are part of another application, the boot script loads all of them, but not this application.
    case erlang:module_loaded(?LAST) andalso application:get_key(hb_process_monitor, vsn) =/= undefined of
        true -> ok;
        false -> alone(fun load_all/0)
    end.

load_all() ->
    ok = load(hb_cron_app),
    ok = load_application(),
    lists:foreach(fun load/1, modules()).

%% If the modules were copied into another application, they have no .app file. Called before the library is
%% loaded, whose path may be in the application's environment.
load_application() ->
    case application:load(hb_process_monitor) of
        {error, {already_loaded, _}} -> ok;
        {error, _} -> application:load(specification());
        ok -> ok
    end.

%% @doc What `hb_process_monitor.app' says, for `application:load/1'.
-spec specification() -> {application, hb_process_monitor, [tuple()]}.
specification() ->
    {application, hb_process_monitor, [
        {description, "Polls Compute Units for the cron results of AO processes and pushes each one"},
        {vsn, "0.1.0"},
        {modules, modules()},
        {registered, [hb_cron_sup, hb_cron_monitors_sup,
                      hb_cron_engine, hb_cron_restarter, hb_cron_log,
                      hb_cron_observer, hb_cron_hung_pushes, hb_cron_tag_reader, hb_cron_dashboard,
                      hb_cron_dashboard_sup, hb_cron_dashboard_guard, hb_cron_dashboard_survey,
                      hb_cron_device_registration, hb_cron_device_replay,
                      hb_cron_cluster_sup, hb_cron_recorder, hb_cron_stand_ins,
                      hb_cron_ownership, hb_cron_stand_in_check, hb_cron_listener_sup,
                      hb_cron_listener, hb_cron_listener_replay]},
        {mod, {hb_cron_app, []}},
        {applications, [kernel, stdlib]}
    ]}.

load(Module) ->
    case erlang:module_loaded(Module) orelse code:load_file(Module) of
        true -> ok;
        {module, Module} -> ok;
        {error, Reason} -> error({module_not_loaded, Module, Reason})
    end.

%% @doc Exchanges every module whose file differs from the running one, all at once, and returns which. Kills
%% nothing: if a process still runs the code before the running one, such as a push that began two reloads ago, the
%% call waits at most `Timeout' ms, and then returns `{error, {busy, Modules}}' without a change. If the modules on
%% disk call functions that the running library lacks, nothing is exchanged: that needs a restart of the node.
-spec reload(Timeout :: non_neg_integer()) ->
    {ok, [module()]} | {error, {busy, [module()]} | {not_loaded, term()}}.
reload(Timeout) ->
    alone(fun() ->
        case on_disk() of
            {Codes, []} ->
                case [File || Code <- Codes, {false, File} <- [fits_library(Code)]] of
                    [] -> reload([Code || Code <- Codes, has_changed(Code)], Timeout);
                    Files -> {error, {not_loaded, [{File, library_needs_a_restart} || File <- Files]}}
                end;
            {_, Unreadable} -> {error, {not_loaded, Unreadable}}
        end
    end).

reload(Changed, Timeout) ->
    Until = erlang:monotonic_time(millisecond) + Timeout,
    case purge([Module || {Module, _, _} <- Changed], Until) of
        [] -> exchange(Changed);
        Busy -> {error, {busy, Busy}}
    end.

%% The modules of the version on disk, which may differ from this list.
on_disk() ->
    Own = code:where_is_file(?MODULE_STRING ++ ".beam"),
    case beam_lib:chunks(Own, [attributes]) of
        {ok, {_, [{attributes, Attributes}]}} ->
            Modules = proplists:get_value(modules, Attributes, []),
            Files = [filename:join(filename:dirname(Own), atom_to_list(Module) ++ ".beam") || Module <- Modules],
            lists:partition(fun is_code/1, [read(File) || File <- Files]);
        {error, beam_lib, Reason} ->
            {[], [{Own, Reason}]}
    end.

is_code({_Module, _File, Code}) -> is_binary(Code);
is_code(_) -> false.

read(File) ->
    case file:read_file(File) of
        {ok, Code} ->
            case beam_lib:info(Code) of
                {error, beam_lib, Reason} -> {File, Reason};
                Info -> {proplists:get_value(module, Info), File, Code}
            end;
        {error, Reason} ->
            {File, Reason}
    end.

%% The running library stays. New modules that call functions it lacks would take every monitor down.
fits_library({?LIBRARY_MODULE, File, Code}) ->
    {ok, {_, [{exports, Exports}]}} = beam_lib:chunks(Code, [exports]),
    Running = erlang:get_module_info(?LIBRARY_MODULE, exports),
    {Exports -- Running =:= [], File};
fits_library(_) ->
    true.

has_changed({?LIBRARY_MODULE, _, _}) ->
    false;
has_changed({Module, _, Code}) ->
    {ok, {Module, Md5}} = beam_lib:md5(Code),
    not (erlang:module_loaded(Module) andalso erlang:get_module_info(Module, md5) =:= Md5).

exchange([]) ->
    {ok, []};
exchange(Changed) ->
    {Api, Others} = lists:partition(fun({Module, _, _}) -> Module =:= ?API end, Changed),
    case code:prepare_loading(Others) of
        {ok, Prepared} ->
            case code:finish_loading(Prepared) of
                ok -> exchange_api(Api, [Module || {Module, _, _} <- Changed]);
                {error, Reasons} -> {error, {not_loaded, Reasons}}
            end;
        {error, Reasons} ->
            {error, {not_loaded, Reasons}}
    end.

%% Last: it calls the others.
exchange_api([], Exchanged) ->
    {ok, Exchanged};
exchange_api([{Module, File, Code}], Exchanged) ->
    case code:load_binary(Module, File, Code) of
        {module, Module} -> {ok, Exchanged};
        {error, Reason} -> {error, {not_loaded, [{Module, Reason}]}}
    end.

%% The modules whose old code is still in use. A module without old code is purged at once.
purge(Modules, Until) ->
    SoftPurge = fun() -> [Module || Module <- Modules, not code:soft_purge(Module)] end,
    %% Purging asks every process, and the engine's process answers between two slices: suspended, it answers at
    %% once.
    case hb_cron_engine:without_loop(SoftPurge) of
        [] ->
            [];
        Busy ->
            case erlang:monotonic_time(millisecond) < Until of
                true ->
                    %% There is no event for it.
                    receive after 20 -> purge(Busy, Until) end;
                false ->
                    Busy
            end
    end.

alone(Fun) -> global:trans({?MODULE, self()}, Fun, [node()]).
