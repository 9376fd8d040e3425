%%% @doc Owns the engine and runs its loop, one slice after the other. Between two slices it serves the messages
%%% that came before the last one ended, so no number of messages holds up the loop. When this process ends, the
%%% engine ends with it; the next one creates a new engine, and the monitors register with that.
-module(hb_cron_engine).
-behaviour(gen_server).

-export([start_link/0, register_with/1, register_with_new/1, read_mail/0, counters/0, without_loop/1]).
-export([init/1, handle_call/3, handle_cast/2, handle_info/2, handle_continue/2, terminate/2, format_status/1]).

%% How long a slice may last, in ms. A slice queues behind the host's file operations, so it ends early only if
%% this process has messages, after half a second, or is interrupted.
-define(SLICE, 60000).
%% The same while the application starts or stops.
-define(SHORT_SLICE, 100).
%% The same on a node with one dirty IO scheduler, where the host's file operations wait for the slice.
-define(ONE_SCHEDULER_SLICE, 5).

%% With how many loggers it registers between two slices, and how long a slice lasts while there are more, in ms.
-define(LOGGERS, 100).
-define(LOGGERS_SLICE, 20).

-record(state, {
    engine :: hb_process_monitor_nif:engine(),
    %% Loggers that this process has registered with.
    loggers = #{} :: #{pid() => true},
    %% Loggers of one monitor each that it has yet to register with.
    unregistered = [] :: [pid()]
}).

-spec start_link() -> gen_server:start_ret().
start_link() ->
    gen_server:start_link({local, ?MODULE}, ?MODULE, [], []).

%% @doc Registers this process with a monitor's logger. hb_logger registers its caller, so this process must make
%% the call.
-spec register_with(hb_cron_host_logger:logger()) -> ok.
register_with(undefined) -> ok;
register_with(Logger) -> cast({register_with, Logger}).

%% @doc The same with a logger that was started for one monitor, with which this process has not registered.
-spec register_with_new(hb_cron_host_logger:logger()) -> ok.
register_with_new(undefined) -> ok;
register_with_new(Logger) -> cast({register_with_new, Logger}).

cast(Message) ->
    ok = gen_server:cast(?MODULE, Message),
    case hb_cron_registry:engine() of
        {ok, Engine, _} -> hb_process_monitor_nif:mail(Engine);
        none -> ok
    end.

%% @doc Ends the slice early if this process has messages, such as those of `sys:get_status/1': a slice does not
%% see the mailbox. To be called about once a second.
-spec read_mail() -> ok.
read_mail() ->
    case hb_cron_registry:engine() of
        {ok, Engine, Ticker} ->
            case process_info(Ticker, message_queue_len) of
                {message_queue_len, Length} when Length > 0 -> hb_process_monitor_nif:mail(Engine);
                _ -> ok
            end;
        none ->
            ok
    end.

%% @doc What the engine has done and holds.
-spec counters() -> #{atom() => non_neg_integer()}.
counters() ->
    case hb_cron_registry:engine() of
        {ok, Engine, _Ticker} -> hb_process_monitor_nif:counters(Engine);
        none -> #{}
    end.

%% @doc Calls a function while this process is suspended and the loop does not run. The function must be brief:
%% nothing ticks meanwhile.
-spec without_loop(fun(() -> Answer)) -> Answer.
without_loop(Fun) ->
    %% In a process of its own, which resumes this one even if the caller is killed: otherwise nothing would tick
    %% any more.
    Caller = self(),
    {Sleeper, Ref} = spawn_monitor(fun() -> keep_suspended(Caller) end),
    receive
        {Sleeper, asleep} ->
            try Fun()
            after
                Sleeper ! {Caller, wake},
                receive {'DOWN', Ref, process, _, _} -> ok end
            end;
        %% No application, no engine, or a process that has just died: nothing runs.
        {'DOWN', Ref, process, _, _} ->
            Fun()
    end.

keep_suspended(Caller) ->
    Ref = monitor(process, Caller),
    try suspend()
    of Ticker ->
        Caller ! {self(), asleep},
        receive {Caller, wake} -> ok; {'DOWN', Ref, process, _, _} -> ok end,
        %% It may have died meanwhile.
        try sys:resume(Ticker) catch exit:_ -> ok end
    catch
        _:_ -> ok
    end.

suspend() ->
    {ok, Engine, Ticker} = hb_cron_registry:engine(),
    %% Without a time limit: a late suspend would never be followed by a resume.
    {_, Ref} = spawn_monitor(fun() -> sys:suspend(Ticker, infinity) end),
    ok = suspended(Engine, Ref),
    Ticker.

%% Ends the slice that runs, and the next one if it began before the suspend arrived.
suspended(Engine, Ref) ->
    ok = hb_process_monitor_nif:interrupt(Engine),
    receive {'DOWN', Ref, process, _, normal} -> ok;
            {'DOWN', Ref, process, _, Reason} -> exit(Reason)
    after 5 -> suspended(Engine, Ref)
    end.

%% @private
-spec init([]) -> {ok, #state{}, {continue, tell_monitors}} | {stop, {shutdown, term()}}.
init([]) ->
    _ = process_flag(trap_exit, true),
    %% Between two slices nothing ticks: it must not wait behind many monitors that start.
    _ = process_flag(priority, high),
    #{cron_max_inflight := MaxInflight, cron_max_buffered_bytes := MaxBuffered,
      cron_checkpoint := Checkpoint, cron_checkpoint_interval := Interval,
      cron_dead_letters_max := LettersMax, cron_dead_letters_max_bytes := LetterBytes,
      cron_forget_stopped_after := ForgetAfter, cron_cacertfile := CaCertFile} = Options = hb_cron_options:for_node(),
    New = #{max_inflight => MaxInflight, max_buffered => MaxBuffered, checkpoint => path(Checkpoint),
            checkpoint_interval => Interval, dead_letters_max => LettersMax,
            dead_letters_max_bytes => LetterBytes,
            expire_after => case ForgetAfter of infinity -> 0; _ -> ForgetAfter end,
            cacertfile => path(CaCertFile), cluster => cluster(Options)},
    case hb_process_monitor_nif:new(New) of
        {ok, Engine} ->
            ok = hb_cron_registry:set_engine(Engine, self(), Options),
            {ok, #state{engine = Engine}, {continue, tell_monitors}};
        {error, Reason} ->
            {stop, {shutdown, Reason}}
    end.

cluster(#{cron_cluster := undefined}) ->
    false;
cluster(#{cron_cluster := Url, cron_cluster_node := Name, cron_cluster_ttl := Ttl}) ->
    #{url => hb_cron_secret:reveal(Url), ttl => Ttl, name => case Name of undefined -> default_name(); _ -> Name end}.

default_name() ->
    {ok, Machine} = inet:gethostname(),
    unicode:characters_to_binary([Machine, $-, os:getpid()]).

path(None) when None =:= false; None =:= undefined -> false;
path(Path) -> unicode:characters_to_binary(Path).

%% @private
-spec handle_continue(tell_monitors, #state{}) -> {noreply, #state{}}.
handle_continue(tell_monitors, State) ->
    %% A monitor writes its row before it looks for an engine, so none is missed.
    lists:foreach(fun hb_cron_monitor:engine_up/1, hb_cron_registry:monitors()),
    ok = warn_of_schedulers(),
    self() ! run,
    {noreply, State}.

warn_of_schedulers() ->
    case erlang:system_info(dirty_io_schedulers) of
        1 -> hb_cron_host_logger:log(undefined, {error, one_dirty_io_scheduler, {start_the_node_with, '+SDio', 10}});
        _ -> ok
    end.

%% @private
-spec handle_call(term(), gen_server:from(), #state{}) -> {reply, {error, unknown_call}, #state{}}.
handle_call(_Call, _From, State) ->
    {reply, {error, unknown_call}, State}.

%% @private
-spec handle_cast(term(), #state{}) -> {noreply, #state{}}.
handle_cast({register_with, Logger}, #state{loggers = Loggers} = State) when not is_map_key(Logger, Loggers) ->
    _ = monitor(process, Logger),
    ok = hb_cron_host_logger:register_with(Logger),
    {noreply, State#state{loggers = Loggers#{Logger => true}}};
handle_cast({register_with_new, Logger}, #state{unregistered = Loggers} = State) ->
    {noreply, State#state{unregistered = [Logger | Loggers]}};
handle_cast(_Cast, State) ->
    {noreply, State}.

%% @private
-spec handle_info(term(), #state{}) -> {noreply, #state{}} | {stop, engine_stopped, #state{}}.
handle_info(run, #state{engine = Engine} = State) ->
    #state{unregistered = Loggers} = Next = register_some(?LOGGERS, State),
    Slice = case Loggers of [] -> slice(); _ -> min(?LOGGERS_SLICE, slice()) end,
    case hb_process_monitor_nif:run(Engine, Slice) of
        ok ->
            self() ! run,
            {noreply, Next};
        _StoppedOrBusy ->
            {stop, engine_stopped, Next}
    end;
handle_info({'DOWN', _, process, Logger, _}, #state{loggers = Loggers} = State) ->
    {noreply, State#state{loggers = maps:remove(Logger, Loggers)}};
handle_info(_Stray, State) ->
    {noreply, State}.

%% Many monitors may have started at once, and nothing ticks meanwhile.
register_some(Left, #state{unregistered = [Logger | Loggers]} = State) when Left > 0 ->
    ok = hb_cron_host_logger:register_with(Logger),
    register_some(Left - 1, State#state{unregistered = Loggers});
register_some(_Left, State) ->
    State.

slice() ->
    case erlang:system_info(dirty_io_schedulers) of
        1 -> ?ONE_SCHEDULER_SLICE;
        _ ->
            case hb_cron_run_state:is_stopping() of
                true -> ?SHORT_SLICE;
                false -> ?SLICE
            end
    end.

%% @private
-spec format_status(gen_server:format_status()) -> gen_server:format_status().
format_status(#{state := #state{engine = Engine, loggers = Loggers}} = Status) ->
    Shown = #{counters => hb_process_monitor_nif:counters(Engine), loggers => map_size(Loggers)},
    hb_cron_sys_status:short(Status#{state := Shown});
format_status(Status) ->
    Status.

%% @private
-spec terminate(term(), #state{}) -> ok.
terminate(_Reason, #state{engine = Engine}) ->
    hb_process_monitor_nif:stop(Engine).
