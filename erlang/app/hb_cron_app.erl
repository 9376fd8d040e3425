%%% @doc The application: starts and stops the supervision tree, and resumes what was monitored.
-module(hb_cron_app).
-behaviour(application).

-export([start/2, prep_stop/1, stop/1]).

%% How long a host node may take to hand its shards over when the application stops, in ms. The others take over what is
%% left.
-define(LEAVE_LIMIT, 10000).
%% How long the processes of a tree that died may take to end, in ms: 100,000 monitors take seconds.
-define(END_LIMIT, 30000).
%% How long the checkpoint may take to become durable when the application stops, in ms.
-define(CLOSE_LIMIT, 3000).

%% @private
-spec start(application:start_type(), term()) -> {ok, pid()} | {error, term()}.
start(_Type, _Args) ->
    lists:foreach(fun await_end/1, [hb_cron_monitors_sup, hb_cron_cluster_sup, hb_cron_engine]),
    case hb_cron_sup:start_link() of
        {ok, Sup} ->
            Crashed = hb_cron_run_state:started(),
            _ = spawn(fun() -> resume(Crashed) end),
            {ok, Sup};
        {error, Reason} ->
            {error, Reason}
    end.

%% After the supervisor of the tree was killed, its children take a while to end, and keep their names.
await_end(Name) ->
    case whereis(Name) of
        undefined -> ok;
        Pid ->
            Ref = monitor(process, Pid),
            receive {'DOWN', Ref, process, Pid, _} -> ok
            after ?END_LIMIT -> _ = demonitor(Ref, [flush]), ok
            end
    end.

%% Starts what the configuration names, and what was monitored when the tree died.
resume(Crashed) ->
    #{cron_processes := Processes} = hb_cron_registry:node_options(),
    case hb_cron_cluster:is_on() of
        true ->
            hb_cron_cluster:add_configured(Processes);
        false ->
            _ = Crashed andalso hb_cron_start:resume_all(),
            hb_cron_start:start_configured(Processes)
    end.

%% @private
-spec prep_stop(term()) -> term().
prep_stop(State) ->
    %% Called in both cases. A tree that died is gone by now.
    _ = whereis(hb_cron_sup) =/= undefined andalso hb_cron_run_state:stopping(),
    _ = hb_cron_cluster:is_on() andalso hb_cron_ownership:leave(?LEAVE_LIMIT),
    %% The engine's process must not be in a long slice when its supervisor stops it.
    ok = case hb_cron_registry:engine() of
        {ok, Engine, _} -> hb_process_monitor_nif:interrupt(Engine);
        none -> ok
    end,
    State.

%% @private
-spec stop(term()) -> ok.
stop(_State) ->
    ok = hb_cron_observer:retire(),
    ok = hb_cron_device_registration:retire(),
    %% Called in both cases. After a crash of the tree, monitors continue from the checkpoint in memory.
    ok = case hb_cron_run_state:is_stopping() of
        true -> hb_process_monitor_nif:drop_memory();
        false -> ok
    end,
    lists:foreach(fun({Path, Reason}) ->
        hb_cron_host_logger:log(undefined, {error, checkpoint_not_durable, {Path, Reason}})
    end, hb_process_monitor_nif:close_checkpoints(?CLOSE_LIMIT)),
    hb_cron_log:hide().
