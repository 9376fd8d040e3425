%%% @doc Tells the engine the crons of monitored processes, as far as the host knows the tags of their messages ({@link
%%% hb_cron_process_tags}). A monitor leaves its process here when it has registered, and waits for nothing: until the
%%% engine knows its tags, and without them, its crons are learned from results.
%%%
%%% Processes are read one at a time, each in a process of its own with a limit of time and of memory, since the host's
%%% calls may hang. After each read there is a pause of the same length: a HyperBEAM takes 5 to 45 ms, and for 100,000
%%% processes a scheduler would have little else to do for half an hour. After one that hangs, none is read for a while.
-module(hb_cron_tag_reader).
-behaviour(gen_server).

-export([start_link/0, read/2]).
%% Spawned
-export([report/1]).
-export([init/1, handle_call/3, handle_cast/2, handle_info/2, format_status/1]).

%% How long a read may take, and how long none begins after one that took longer, in ms.
-define(LIMIT, 5000).
-define(PAUSE, 60000).
%% The heap of a read, in words.
-define(HEAP, 16#1000000).
%% How many processes may wait. Those beyond are learned.
-define(MOST, 1000000).

-record(state, {
    %% The latest registration of each process that waits, and the order of these.
    handles = #{} :: #{ProcId :: binary() => hb_process_monitor_nif:handle()},
    order = queue:new() :: queue:queue(binary()),
    reading = none :: none | {ProcId :: binary(), hb_process_monitor_nif:handle(), pid(), reference(),
                             Timer :: reference(), BeganMs :: integer()},
    is_paused = false :: boolean()
}).

-spec start_link() -> gen_server:start_ret().
start_link() ->
    gen_server:start_link({local, ?MODULE}, ?MODULE, [], []).

%% @doc Has the tags of a process read, and told to the engine for the monitor with this handle. Returns at once.
-spec read(ProcId :: binary(), hb_process_monitor_nif:handle()) -> ok.
read(ProcId, Handle) ->
    case hb_cron_process_tags:is_readable() of
        true -> gen_server:cast(?MODULE, {read, ProcId, Handle});
        false -> ok
    end.

%% @private
-spec init([]) -> {ok, #state{}}.
init([]) -> {ok, #state{}}.

%% @private
-spec handle_call(term(), gen_server:from(), #state{}) -> {reply, {error, unknown_call}, #state{}}.
handle_call(_Call, _From, State) ->
    {reply, {error, unknown_call}, State}.

%% @private
-spec handle_cast(term(), #state{}) -> {noreply, #state{}}.
handle_cast({read, ProcId, Handle}, #state{handles = Handles, order = Order} = State) ->
    case Handles of
        #{ProcId := _} -> {noreply, State#state{handles = Handles#{ProcId := Handle}}};
        #{} when map_size(Handles) >= ?MOST -> {noreply, State};
        #{} -> {noreply, next(State#state{handles = Handles#{ProcId => Handle}, order = queue:in(ProcId, Order)})}
    end;
handle_cast(_Cast, State) ->
    {noreply, State}.

%% @private
-spec handle_info(term(), #state{}) -> {noreply, #state{}} | {noreply, #state{}, hibernate}.
handle_info({'DOWN', Ref, process, _, Ended}, #state{reading = {_, Handle, _, Ref, Timer, Began}} = State) ->
    _ = erlang:cancel_timer(Timer),
    case Ended of
        {tags, {ok, Tags}} -> ok = hb_process_monitor_nif:set_crons(Handle, Tags);
        _ -> ok
    end,
    _ = erlang:send_after(now_ms() - Began, self(), continue),
    {noreply, State#state{reading = none, is_paused = true}};
handle_info({timeout, Timer, hangs}, #state{reading = {ProcId, _, Reader, Ref, Timer, _}} = State) ->
    true = demonitor(Ref, [flush]),
    true = exit(Reader, kill),
    ok = hb_cron_host_logger:log(undefined, {error, tags_not_read, {ProcId, {after_ms, ?LIMIT}}}),
    _ = erlang:send_after(?PAUSE, self(), continue),
    {noreply, State#state{reading = none, is_paused = true}};
handle_info(continue, State) ->
    case next(State#state{is_paused = false}) of
        %% It may be long until the next monitor starts.
        #state{reading = none} = Idle -> {noreply, Idle, hibernate};
        Reading -> {noreply, Reading}
    end;
handle_info(_Stray, State) ->
    {noreply, State}.

%% Begins to read the next process, if none is being read.
next(#state{reading = none, is_paused = false, handles = Handles, order = Order} = State) ->
    case queue:out(Order) of
        {empty, _} ->
            State;
        {{value, ProcId}, Rest} ->
            {Handle, Others} = maps:take(ProcId, Handles),
            %% What the host leaves in its caller's mailbox, or links to it, ends with this process.
            {Reader, Ref} = spawn_opt(?MODULE, report, [ProcId],
                [monitor, {max_heap_size, #{size => ?HEAP, kill => true, error_logger => false}}]),
            Timer = erlang:start_timer(?LIMIT, self(), hangs),
            State#state{handles = Others, order = Rest, reading = {ProcId, Handle, Reader, Ref, Timer, now_ms()}}
    end;
next(State) ->
    State.

%% @private
-spec report(ProcId :: binary()) -> no_return().
report(ProcId) -> exit({tags, tags(ProcId)}).

tags(ProcId) ->
    try hb_cron_process_tags:cron_intervals(ProcId)
    catch _:_ -> unknown
    end.

%% @private
-spec format_status(gen_server:format_status()) -> gen_server:format_status().
format_status(#{state := #state{handles = Handles, reading = Reading, is_paused = IsPaused}} = Status) ->
    Shown = #{waiting => map_size(Handles), reading => Reading =/= none, is_paused => IsPaused},
    hb_cron_sys_status:short(Status#{state := Shown});
format_status(Status) ->
    hb_cron_sys_status:short(Status).

now_ms() -> erlang:monotonic_time(millisecond).
