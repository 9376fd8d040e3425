%%% @doc Sees monitors end. One that was killed from outside stays dead, and that is logged; one that
%%% crashed by itself is started again from its acked cursor, later each time, and each for itself:
%%% monitors share no restart intensity.
-module(hb_process_monitor_keeper).
-behaviour(gen_server).

-export([start_link/0, watch/4, crashing/2]).
-export([init/1, handle_call/3, handle_cast/2, handle_info/2, format_status/1]).

%% The first and the longest pause before a crashed monitor is started again, in ms.
-define(FIRST, 1000).
-define(LONGEST, 300000).
%% A monitor that has lived so long, in ms, crashes for the first time again.
-define(SETTLED, 600000).

%% How often monitors are looked at, in ms, for one that has been at a push for too long.
-define(LOOK, 1000).

%% How often it looks for cursors that were left for a supervisor which never came back for them, and how
%% long they are kept, in ms.
-define(SWEEP, 60000).
-define(KEPT, 3600000).

-record(watched, {
    %% Where it notes that it is at a push.
    marks :: hb_process_monitor_marks:marks(),
    %% The push that was told of as stalled already, by when it began.
    stalled :: integer() | undefined,
    proc_id :: binary(),
    logger :: hb_process_monitor_host:logger(),
    %% How long a push may take before it is told of, in ms.
    stall :: pos_integer(),
    %% What to start it again with, once a monitor that crashes has told it.
    again = none :: none | hb_process_monitor_opts:monitor(),
    since :: integer(),
    crashes = 0 :: non_neg_integer()
}).

-record(state, {
    monitors = #{} :: #{pid() => #watched{}},
    %% How often a process's monitor has crashed lately, for its next one.
    crashes = #{} :: #{binary() => pos_integer()}
}).

-spec start_link() -> gen_server:start_ret().
start_link() ->
    gen_server:start_link({local, ?MODULE}, ?MODULE, [], []).

%% @doc Watches the calling monitor.
-spec watch(ProcId :: binary(), hb_process_monitor_host:logger(), hb_process_monitor_opts:monitor(),
            hb_process_monitor_marks:marks()) -> ok.
watch(ProcId, Logger, Options, Marks) ->
    #{cron_push_stall := Stall} = hb_process_monitor_opts:settings(Options),
    gen_server:cast(?MODULE, {watch, self(), ProcId, Logger, Stall, Marks}).

%% @doc The calling monitor is crashing, and this is what another one is to be started with, the
%% acked cursor among it.
-spec crashing(Monitor :: pid(), hb_process_monitor_opts:monitor()) -> ok.
crashing(Monitor, Options) ->
    gen_server:cast(?MODULE, {crashing, Monitor, Options}).

%% @private
-spec init([]) -> {ok, #state{}}.
init([]) ->
    %% After a restart: those there are introduce themselves again.
    lists:foreach(fun hb_process_monitor_server:engine_up/1, hb_process_monitor_registry:monitors()),
    %% What the one before saw last is not so any more.
    ok = hb_process_monitor_meter:set_stalled(0),
    ok = hb_process_monitor_meter:set_oldest_push(0),
    _ = erlang:send_after(?LOOK, self(), look),
    _ = erlang:send_after(?SWEEP, self(), sweep),
    {ok, #state{}}.

%% @private
-spec handle_call(term(), gen_server:from(), #state{}) -> {reply, {error, unknown_call}, #state{}}.
handle_call(_Call, _From, State) ->
    {reply, {error, unknown_call}, State}.

%% @private
-spec handle_cast(term(), #state{}) -> {noreply, #state{}}.
handle_cast({watch, Monitor, ProcId, Logger, Stall, Marks}, #state{monitors = Monitors, crashes = Crashes} = State)
        when not is_map_key(Monitor, Monitors) ->
    _ = monitor(process, Monitor),
    Watched = #watched{marks = Marks, proc_id = ProcId, logger = Logger, stall = Stall, since = now_ms(),
                       crashes = maps:get(ProcId, Crashes, 0)},
    {noreply, State#state{monitors = Monitors#{Monitor => Watched}, crashes = maps:remove(ProcId, Crashes)}};
handle_cast({crashing, Monitor, Options}, #state{monitors = Monitors} = State) ->
    case Monitors of
        #{Monitor := Watched} ->
            {noreply, State#state{monitors = Monitors#{Monitor := Watched#watched{again = Options}}}};
        #{} ->
            {noreply, State}
    end;
handle_cast(_Cast, State) ->
    {noreply, State}.

%% @private
-spec handle_info(term(), #state{}) -> {noreply, #state{}}.
handle_info({'DOWN', _, process, Monitor, Reason}, #state{monitors = Monitors} = State)
        when is_map_key(Monitor, Monitors) ->
    {Watched, Left} = maps:take(Monitor, Monitors),
    Again = again(Monitor, Watched),
    ok = hb_process_monitor_registry:leave(Monitor),
    {noreply, ended(Reason, Watched#watched{again = Again}, State#state{monitors = Left})};
handle_info({start, #watched{proc_id = ProcId, again = Options, crashes = Crashes} = Watched},
            #state{crashes = All} = State) ->
    case hb_process_monitor_sup:start_monitor([ProcId, Options]) of
        {ok, _} -> {noreply, State#state{crashes = All#{ProcId => Crashes}}};
        {error, Reason} -> {noreply, ended(Reason, Watched, State)}
    end;
handle_info(look, #state{monitors = Monitors} = State) ->
    Now = now_ms(),
    {Looked, Stalled, Oldest} = maps:fold(fun(Monitor, Watched, {All, Stalled, Oldest}) ->
        case look(Now, Watched) of
            {undefined, Watched} -> {All, Stalled, Oldest};
            {Began, #watched{stalled = Began} = Told} -> {All#{Monitor := Told}, Stalled + 1, min(Began, Oldest)};
            {Began, Watched} -> {All, Stalled, min(Began, Oldest)}
        end
    end, {Monitors, 0, Now}, Monitors),
    ok = hb_process_monitor_meter:set_stalled(Stalled),
    ok = hb_process_monitor_meter:set_oldest_push(Now - Oldest),
    _ = erlang:send_after(?LOOK, self(), look),
    {noreply, State#state{monitors = Looked}};
handle_info(sweep, State) ->
    _ = hb_process_monitor_registry:drop_cursors(?KEPT),
    _ = erlang:send_after(?SWEEP, self(), sweep),
    {noreply, State};
handle_info(_Stray, State) ->
    {noreply, State}.

%% No time-out ends a push: nobody knows what it has done. It is told of, once. Says when it began, too;
%% `undefined' between pushes.
look(Now, #watched{marks = Marks, stalled = Stalled, stall = Limit} = Watched) ->
    case hb_process_monitor_marks:at_push(Marks) of
        Began when is_integer(Began), Began =/= Stalled, Now - Began >= Limit ->
            #watched{proc_id = ProcId, logger = Logger} = Watched,
            hb_process_monitor_host:log(Logger, {error, push_stalled, {ProcId, {for_ms, Now - Began}}}),
            {Began, Watched#watched{stalled = Began}};
        Began ->
            {Began, Watched}
    end.

ended(Reason, _Watched, State) when Reason =:= normal; Reason =:= shutdown; Reason =:= noproc ->
    State;
ended({shutdown, _}, _Watched, State) ->
    State;
ended(killed, #watched{proc_id = ProcId, logger = Logger}, State) ->
    hb_process_monitor_host:log(Logger, {error, monitor_died, {ProcId, killed}}),
    State;
ended(Reason, #watched{again = none, proc_id = ProcId, logger = Logger}, State) ->
    %% It was stopping.
    hb_process_monitor_host:log(Logger, {error, monitor_died, {ProcId, Reason}}),
    State;
ended(Reason, #watched{proc_id = ProcId, logger = Logger, since = Since, crashes = Before} = Watched, State) ->
    Crashes = case now_ms() - Since > ?SETTLED of
        true -> 1;
        false -> Before + 1
    end,
    Pause = rand:uniform(min(?LONGEST, ?FIRST bsl min(Crashes - 1, 32))),
    hb_process_monitor_host:log(Logger, {error, monitor_crashed, {ProcId, Reason, {again_in_ms, Pause}}}),
    _ = erlang:send_after(Pause, self(), {start, Watched#watched{crashes = Crashes}}),
    State.

%% What the next one is started with, if this one did not get to say it: with what it was started with
%% itself, where the checkpoint says. Without a checkpoint that is where it began, which repeats results
%% but loses none.
again(Monitor, #watched{again = none}) ->
    case {hb_process_monitor_registry:options(Monitor), hb_process_monitor_registry:node_options()} of
        {none, _} -> none;
        %% That is for its own supervisor to do.
        {{ok, #{supervised := true}}, _} -> none;
        {{ok, Options}, #{cron_checkpoint := false}} -> Options;
        {{ok, Options}, #{}} -> Options#{cursor => undefined}
    end;
again(_Monitor, #watched{again = Told}) ->
    Told.

%% @private
%% How many and not which: there may be a hundred thousand.
-spec format_status(gen_server:format_status()) -> gen_server:format_status().
format_status(#{state := #state{monitors = Monitors, crashes = Crashes}} = Status) ->
    Status#{state := #{monitors => map_size(Monitors), to_start_again => maps:size(Crashes)}};
format_status(Status) ->
    Status.

now_ms() -> erlang:monotonic_time(millisecond).
