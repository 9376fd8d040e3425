%%% @doc A monitor: the process that stands for one AO process. The engine sends it ticks and pages of results; it
%%% pushes the results one by one, in order, and acks each. Its acked cursor is the only truth: after any crash it
%%% continues there.
-module(hb_cron_server).
-behaviour(gen_server).

-export([start_link/2, start_link/3]).
%% Spawned
-export([enter/3]).
-export([init/1, handle_call/3, handle_cast/2, handle_info/2, terminate/2, format_status/1]).

%% How long the acks of a stopped monitor may take to become durable before it ends, in ms. A caller that waits has
%% a time-out of its own.
-define(DURABLE_LIMIT, 60000).
%% How long a monitor waits that must not push at present, in ms: less than the time in which a database recovers.
-define(HELD, 200).
%% The heap of a monitor that starts among many, in words: without a collection until it hibernates. It saves one in
%% fifteen CPU seconds.
-define(START_HEAP, 1598).
%% From which time between two ticks on a heap is worth collecting after each, in ms.
-define(RARE, 5000).
%% The first and the longest pause after a part that was too large for the heap, in ms.
-define(REFUSED_BACKOFF, {1000, 300000}).

-record(state, {
    proc_id :: binary(),
    options :: hb_cron_options:monitor(),
    logger :: hb_cron_host_logger:logger(),
    pushing_with :: hb_cron_push_loop:pushing(),
    %% The next result, while its push fails.
    retrying :: hb_cron_retry:retrying(),
    %% What others read of this process without asking it.
    words :: hb_cron_status_words:words(),
    %% A monitor of the supervision tree, if this process is not in it and must end with it.
    tree = none :: none | reference(),
    %% The cursor of the last ack, or the starting point.
    cursor :: hb_cron_options:cursor(),
    %% Older monitors of the same process that still finish a push. Until they are down nothing is fetched, so that
    %% no result is pushed by two at once.
    leaving :: #{reference() => pid()},
    engine = none :: none | hb_cron_registration:registration(),
    %% A tick came while there was no engine to poll with.
    ticked = false :: boolean(),
    %% The part of a page that is being pushed, with the number of its first result.
    part = none :: none | hb_cron_push_loop:part(),
    %% A `push_next' is in the mailbox.
    pushing = false :: boolean(),
    %% The next result failed, and is retried when this timer fires or a tick comes.
    retry = none :: none | reference(),
    redelivery = hb_cron_redelivery:new() :: hb_cron_redelivery:redelivery(),
    %% This process was registered before, so the starting point is not logged again.
    known = false :: boolean(),
    %% Parts in a row for which the VM would kill this process.
    refused = 0 :: non_neg_integer(),
    %% It must not push at present.
    held = false :: boolean(),
    %% It was stopped, and ends once every ack is durable, or this timer fires.
    stopping = none :: none | {hb_process_monitor_nif:epoch(), reference()}
}).

%% @doc Starts a monitor; `ignore' if the process has one.
-spec start_link(ProcId :: binary(), hb_cron_options:monitor()) -> gen_server:start_ret().
start_link(ProcId, Options) ->
    gen_server:start_link(?MODULE, {ProcId, Options}, []).

%% @doc Starts a monitor without waiting for it, so that its supervisor is free for the next one. `Starter' is sent
%% `{Tag, Monitor, {started, Logger} | ignore | {error, Reason}}' once it has registered, or has not.
-spec start_link(ProcId :: binary(), hb_cron_options:monitor(), {Starter :: pid(), Tag :: reference()}) -> {ok, pid()}.
start_link(ProcId, Options, Report) ->
    {ok, proc_lib:spawn_opt(?MODULE, enter, [ProcId, Options, Report], [link, {min_heap_size, ?START_HEAP}])}.

%% @private
-spec enter(ProcId :: binary(), hb_cron_options:monitor(), {Starter :: pid(), Tag :: reference()}) -> ok.
enter(ProcId, Options, {Starter, Tag}) ->
    _ = put('$initial_call', {?MODULE, init, 1}),
    try init({ProcId, Options}) of
        {ok, #state{logger = Logger} = State, hibernate} ->
            {min_heap_size, Usual} = erlang:system_info(min_heap_size),
            ?START_HEAP = process_flag(min_heap_size, Usual),
            Starter ! {Tag, self(), {started, Logger}},
            gen_server:enter_loop(?MODULE, [], State, hibernate);
        ignore ->
            Starter ! {Tag, self(), ignore},
            ok
    catch
        Class:Reason:Stack ->
            Starter ! {Tag, self(), {error, Reason}},
            erlang:raise(Class, Reason, hb_cron_secret:stack(Stack))
    end.

%% @private
-spec init({binary(), hb_cron_options:monitor()}) -> {ok, #state{}, hibernate} | ignore.
init({ProcId, Given}) ->
    _ = process_flag(trap_exit, true),
    {Token, #{rate := Rate, cursor := Cursor, logger := Logger} = Options} = with_logger(token(Given)),
    Words = hb_cron_status_words:new(),
    case hb_cron_registry:claim(ProcId, self(), Logger, Options, Words, Token) of
        {ok, Leaving} ->
            ok = hb_cron_sys_status:label({hb_process_monitor, ProcId}),
            ok = hb_cron_host_logger:register_with(Logger),
            ok = register_engine(Given, Logger),
            ok = hb_cron_status_words:set_paused(Words, hb_cron_options:is_paused(Options)),
            ok = hb_cron_restarts:watch(),
            Settings = hb_cron_options:settings(Options),
            Push = hb_cron_host:device(Settings),
            Works = hb_cron_registry:device(Push),
            State = #state{
                proc_id = ProcId, options = Options, logger = Logger, cursor = Cursor,
                pushing_with = hb_cron_push_loop:new(ProcId, Logger, Push, Options, Words, Works),
                retrying = hb_cron_retry:new(), words = Words, tree = tree(ProcId, Options),
                leaving = watched(Leaving)
            },
            log(ok, started_monitor, {ProcId, Rate, Cursor}, State),
            %% It is idle for most of its life: drops what starting left on its heap.
            {ok, attach(State), hibernate};
        {taken, _Entry} ->
            ok = hb_cron_host_logger:stop(hb_cron_host_logger:own(Options)),
            ignore;
        cancelled ->
            ignore
    end.

%% Nearly always empty: a literal.
watched([]) -> #{};
watched(Leaving) -> maps:from_list([{monitor(process, Pid), Pid} || Pid <- Leaving]).

%% The engine has registered with a logger of its own when that was started.
register_engine(#{logger := Logger, own_logger := true}, Logger) -> ok;
register_engine(#{logger := undefined}, Logger) -> hb_cron_engine:register_with_new(Logger);
register_engine(#{own_logger := true}, Logger) -> hb_cron_engine:register_with_new(Logger);
register_engine(_Given, Logger) -> hb_cron_engine:register_with(Logger).

%% What tells this process that the supervision tree has ended, if it is not in the tree.
tree(ProcId, Options) ->
    case hb_cron_options:is_supervised(Options) of
        true ->
            ok = hb_cron_registry:mark_survivor(ProcId),
            monitor(process, hb_cron_sup);
        false -> none
    end.

token(Options) ->
    case maps:take(token, Options) of
        {Token, Rest} -> {Token, Rest};
        error -> {none, Options}
    end.

%% A logger that the caller did not give is started for this monitor. It outlives a crash of the monitor.
with_logger({Token, #{logger := undefined} = Options}) ->
    {Token, own_logger(Options)};
with_logger({Token, #{own_logger := true, logger := Logger} = Options}) ->
    case is_process_alive(Logger) of
        true -> {Token, Options};
        false -> {Token, own_logger(Options)}
    end;
with_logger(Given) ->
    Given.

own_logger(Options) ->
    case hb_cron_host_logger:start() of
        undefined -> Options#{logger := undefined};
        Logger -> hb_cron_options:set_own_logger(Logger, Options)
    end.

%% @private
-spec handle_call(term(), gen_server:from(), #state{}) ->
    {reply, ok | {error, term()}, #state{}} | {noreply, #state{}}.
handle_call(_Call, _From, #state{stopping = {_, _}} = State) ->
    {reply, {error, not_monitored}, State};
handle_call({redeliver, Id, Result}, From, #state{proc_id = ProcId, leaving = Leaving, redelivery = Redelivery} = State)
        when map_size(Leaving) > 0 ->
    {noreply, State#state{redelivery = hb_cron_redelivery:wait(From, {ProcId, Id, Result}, Redelivery)}};
handle_call({redeliver, Id, Result}, _From, #state{proc_id = ProcId, cursor = Cursor, pushing_with = With} = State) ->
    {Answer, Next} = hb_cron_redelivery:push({ProcId, Id, Result}, Cursor, With, State#state.redelivery),
    {reply, Answer, State#state{redelivery = Next}};
handle_call(_Call, _From, #state{} = State) ->
    {reply, {error, unknown_call}, State}.

%% @private
-spec handle_cast(term(), #state{}) -> {noreply, #state{}} | {noreply, #state{}, hibernate}.
handle_cast(_Cast, #state{stopping = {_, _}} = State) ->
    {noreply, State};
handle_cast(engine_up, State) ->
    {noreply, attach_to_new(State)};
handle_cast({pause, Paused}, #state{options = Options} = State) ->
    case hb_cron_options:is_paused(Options) of
        Paused ->
            ok = hb_cron_status_words:set_paused(State#state.words, Paused),
            {noreply, State};
        _ ->
            {noreply, set_paused(Paused, State), hibernate}
    end;
handle_cast(_Cast, #state{} = State) ->
    {noreply, State}.

%% @private
-spec handle_info(term(), #state{}) ->
    {noreply, #state{}} | {noreply, #state{}, hibernate} | {stop, normal | {shutdown, term()} | term(), #state{}}.
handle_info(Message, #state{stopping = {Epoch, Timer}} = State) ->
    stopping(Message, Epoch, Timer, State);
handle_info(push_next, State) ->
    push_next(State#state{pushing = false});
%% Ignore the message if a part is in hand: next_part/3 was called before it came.
handle_info({hb_cron, Epoch, page}, #state{engine = {_, Epoch, _}, part = Part} = State) ->
    case Part of none -> next_part(State); _ -> {noreply, State} end;
handle_info({hb_cron, Epoch, What}, #state{engine = {_, Epoch, _}} = State) ->
    {noreply, from_engine(What, State)};
handle_info({timeout, Retry, retry}, #state{retry = Retry} = State) ->
    {noreply, try_again(State#state{retry = none})};
handle_info(tick, State) ->
    tick(drop_ticks(State));
handle_info(lost, State) ->
    {stop, {shutdown, lost}, State};
handle_info(stop, State) ->
    stop(State);
handle_info({'DOWN', Ref, process, _, _}, #state{tree = Ref} = State) ->
    {stop, hb_cron_run_state:why_down(), State};
handle_info({'DOWN', Ref, process, _, _}, #state{leaving = Leaving} = State) ->
    {noreply, attach(alone(State#state{leaving = maps:remove(Ref, Leaving)}))};
%% Match #state{}: after a reload a stale state must crash, not drop messages.
handle_info(_Stray, #state{} = State) ->
    {noreply, State}.

%% Waiting ticks are served as one.
drop_ticks(State) ->
    receive tick -> drop_ticks(State)
    after 0 -> State
    end.

tick(#state{options = #{paused := true}} = State) ->
    {noreply, State};
tick(#state{retry = Retry} = State) when Retry =/= none ->
    _ = erlang:cancel_timer(Retry),
    {noreply, try_again(State#state{retry = none})};
tick(#state{engine = {Handle, _, _}} = State) ->
    polled(State#state{ticked = hb_process_monitor_nif:poll(Handle) =:= stopped});
tick(#state{engine = none} = State) ->
    {noreply, State#state{ticked = true}}.

%% Most polls find nothing. If the next tick is far away, the heap is collected again, which takes half of the memory of an
%% idle monitor: waking it had tripled its heap.
polled(#state{part = none, pushing = false, options = #{rate := Rate}} = State) when Rate >= ?RARE ->
    {noreply, State, hibernate};
polled(State) ->
    {noreply, State}.

%% Ends once every ack is durable.
stop(State) ->
    ok = hb_cron_registry:release(self()),
    {Wait, #state{redelivery = Redelivery} = Detached} = detach(false, State),
    Stopping = Detached#state{redelivery = hb_cron_redelivery:refuse_pending(Redelivery)},
    case Wait of
        %% There is no engine now: a caller that waits for the end waits for the checkpoint as well.
        durable ->
            {stop, {shutdown, detached}, Stopping};
        {wait, Epoch} ->
            Timer = erlang:start_timer(?DURABLE_LIMIT, self(), not_durable),
            {noreply, Stopping#state{stopping = {Epoch, Timer}}}
    end.

stopping({hb_cron, Epoch, durable}, Epoch, _Timer, State) ->
    {stop, normal, State};
stopping({timeout, Timer, not_durable}, _Epoch, Timer, #state{proc_id = ProcId, cursor = Cursor} = State) ->
    log(error, not_durable, {ProcId, Cursor}, State),
    {stop, {shutdown, not_durable}, State};
stopping({'DOWN', Ref, process, _, _}, _Epoch, _Timer, #state{tree = Ref} = State) ->
    {stop, hb_cron_run_state:why_down(), State};
stopping(tick, _Epoch, _Timer, State) ->
    {noreply, drop_ticks(State)};
stopping(_Message, _Epoch, _Timer, State) ->
    {noreply, State}.

%% @private
-spec terminate(term(), #state{}) -> ok.
terminate(Reason, State) ->
    %% A stopped process is not to be resumed: its registration has ended by now. The acks of any other process are
    %% in the checkpoint's book, which outlives this process.
    _ = detach(true, State),
    Supervised = hb_cron_options:is_supervised(State#state.options),
    case Reason of
        normal -> hb_cron_registry:leave(self());
        shutdown -> hb_cron_registry:leave(self());
        {shutdown, _} -> hb_cron_registry:leave(self());
        _ when Supervised ->
            log(error, monitor_died, {State#state.proc_id, Reason}, State),
            hb_cron_registry:leave(self());
        %% Its supervisor was killed, and OTP would report the end of each monitor at length: with 100,000 of them, for
        %% half a minute, in which nothing can start.
        killed ->
            true = exit(self(), kill),
            ok;
        %% The restarter finds its place, and starts another monitor with the options there.
        _ ->
            ok
    end.

%% The registration with the engine

attach(#state{engine = none, leaving = Leaving, proc_id = ProcId, options = Options} = State) when map_size(Leaving) =:= 0 ->
    %% Restarted with its first options, it continues from its last ack.
    GoOn = not State#state.known andalso hb_cron_options:goes_on(Options),
    case hb_cron_registration:register(ProcId, State#state.cursor, GoOn, Options, State#state.words) of
        {ok, {Handle, _, _} = Registration, Origin, Start} ->
            _ = State#state.ticked andalso hb_process_monitor_nif:poll(Handle),
            _ = State#state.known orelse
                hb_cron_registration:log_origin(Origin, Start, ProcId, State#state.logger),
            %% Restarted, it continues from the checkpoint. Noted beside the row, which is long, and copied to be changed.
            ok = hb_cron_status_words:set_registered(State#state.words),
            State#state{engine = Registration, cursor = Start, ticked = false, known = true};
        lost ->
            self() ! lost,
            State;
        none ->
            State
    end;
attach(State) ->
    State.

%% Fetch again what the old engine delivered and was not acked.
attach_to_new(#state{engine = {_, _, Ticker}} = State) ->
    case hb_cron_registry:engine() of {ok, _, Ticker} -> State; _ -> attach_anew(State) end;
attach_to_new(State) ->
    attach(State).

attach_anew(State) ->
    {_, Detached} = detach(true, State),
    attach(Detached).

%% Registers again, paused or not, which drops what was fetched. The pause is kept with the options, in the
%% checkpoint and for a restart.
set_paused(Paused, #state{proc_id = ProcId, cursor = Cursor, options = Options} = State) ->
    With = hb_cron_options:set_paused(Paused, Options),
    ok = hb_cron_registry:set_options(ProcId, With),
    Next = attach_anew(State#state{options = With, ticked = not Paused}),
    ok = hb_cron_status_words:set_paused(State#state.words, Paused),
    log(ok, case Paused of true -> paused; false -> continued end, {ProcId, Cursor}, Next),
    Next.

%% Returns whether there is something to wait for until every ack is durable.
detach(_Watched, #state{engine = none} = State) ->
    {durable, State};
detach(Watched, #state{engine = Registration, words = Words, retry = Retry} = State) ->
    Wait = hb_cron_registration:remove(Watched, Registration, Words),
    _ = Retry =:= none orelse erlang:cancel_timer(Retry),
    {Wait, State#state{engine = none, part = none, retry = none}}.

%% The older monitors have finished their pushes: nothing waits for them any more.
alone(#state{leaving = Leaving, cursor = Cursor, pushing_with = With, redelivery = Redelivery} = State)
        when map_size(Leaving) =:= 0 ->
    State#state{redelivery = hb_cron_redelivery:push_pending(Cursor, With, Redelivery)};
alone(State) ->
    State.

%% Messages of the engine

from_engine({resolved, Cursor}, #state{proc_id = ProcId} = State) ->
    log(ok, resolved_cursor, {ProcId, Cursor}, State),
    State#state{cursor = Cursor};
from_engine({failed, Class, Text, Repeats}, #state{proc_id = ProcId, engine = Registration, options = Options} = State) ->
    log(error, Class, {ProcId, Text, Repeats}, State),
    State#state{options = hb_cron_registration:follow_router(ProcId, Registration, Options, State#state.logger)};
from_engine({passed, From, To}, #state{proc_id = ProcId} = State) ->
    log(error, passed_errors, {ProcId, {from_ms, From}, {to_ms, To}}, State),
    State;
from_engine({recovered, Failures}, #state{proc_id = ProcId} = State) ->
    log(ok, recovered, {ProcId, fetch, Failures}, State),
    State.

%% Pushing

%% Through the mailbox, so that other messages are served between two pushes.
go_on(#state{pushing = true} = State) ->
    State;
go_on(State) ->
    self() ! push_next,
    State#state{pushing = true}.

push_next(#state{retry = none, part = {_, _, _} = Part, engine = {Handle, _, _}} = State) ->
    #state{cursor = Before, pushing_with = With} = State,
    {Pushed, Cursor, Stop} = hb_cron_push_loop:run(Handle, Part, Before, With),
    Next = recovered(Pushed, no_longer_held(Pushed, State#state{cursor = Cursor})),
    case Stop of
        done ->
            next_part(Next#state{part = none});
        {more, Rest} ->
            {noreply, go_on(Next#state{part = Rest})};
        {held, Rest} ->
            {noreply, held(Next#state{part = Rest})};
        lost ->
            {stop, {shutdown, lost}, Next#state{part = none}};
        {failed, Reason, Left, Host, Rest} ->
            {noreply, failed(Reason, Left, Host, Next#state{part = Rest})}
    end;
push_next(#state{retry = none, part = none, engine = {_, _, _}} = State) ->
    next_part(State);
push_next(State) ->
    %% The engine ended meanwhile, or a failed result waits for its time.
    {noreply, State}.

next_part(#state{engine = {Handle, _, _}, retrying = Retrying, proc_id = ProcId, cursor = Cursor} = State) ->
    case hb_cron_push_loop:next(Handle) of
        {FirstSeq, Results, EndsPage} ->
            Left = hb_cron_retry:without_pushed(Results, Retrying),
            {noreply, go_on(accepted(State#state{part = {FirstSeq, Left, EndsPage}}))};
        %% Collects what the last push left on the heap: the next one may be long in coming.
        none ->
            {noreply, State, hibernate};
        {too_large, Bytes} ->
            {noreply, refused(Bytes, State)};
        lost ->
            log(error, page_lost, {ProcId, Cursor}, State),
            {noreply, attach_anew(State)}
    end.

%% In a cluster: the database cannot be written at present, or does not know this host node.
held(State) ->
    Trouble = {push_held, <<"the database of the cluster cannot be written at present">>, 1, now_ms(), now_ms() + ?HELD},
    ok = hb_cron_registry:set_trouble(self(), Trouble),
    State#state{held = true, retry = erlang:start_timer(?HELD, self(), retry)}.

no_longer_held(Pushed, #state{held = true} = State) when Pushed > 0 ->
    ok = hb_cron_registry:set_trouble(self(), none),
    State#state{held = false};
no_longer_held(_Pushed, State) ->
    State.

%% A part that was too large for the heap is fetched again, since it may be smaller by now.
try_again(#state{refused = 0} = State) -> go_on(State);
try_again(State) -> attach_anew(State#state{ticked = true}).

%% The VM would kill this process for taking the next part, again and again.
refused(Bytes, #state{refused = Before, proc_id = ProcId, cursor = Cursor} = State) ->
    Refused = Before + 1,
    Reason = {{bytes, Bytes}, process_info(self(), max_heap_size)},
    _ = hb_cron_retry_policy:is_reported(Refused) andalso
        log(error, result_too_large, {ProcId, Cursor, {bytes, Bytes}, Refused}, State),
    Pause = rand:uniform(hb_cron_retry_policy:longest_pause(Refused, ?REFUSED_BACKOFF)),
    Trouble = {result_too_large, hb_cron_sys_status:reason(Reason), Refused, now_ms(), now_ms() + Pause},
    ok = hb_cron_registry:set_trouble(self(), Trouble),
    State#state{refused = Refused, retry = erlang:start_timer(Pause, self(), retry)}.

accepted(#state{refused = 0} = State) ->
    State;
accepted(#state{} = State) ->
    ok = hb_cron_registry:set_trouble(self(), none),
    State#state{refused = 0}.

%% What is left of the next result replaces it.
failed(Reason, Left, Host, #state{part = {Seq, [Result | Rest], EndsPage}, pushing_with = With, options = Options} = State) ->
    WorksSince = fun(Since) -> hb_cron_push_loop:works_since(Since, With) end,
    {Failures, Decision} =
        hb_cron_retry:failed(Result, {Left, Host}, now_ms(), WorksSince, hb_cron_options:settings(Options), State#state.retrying),
    _ = hb_cron_retry_policy:is_reported(Failures) andalso
        log(error, push_failed, {State#state.proc_id, maps:get(<<"cursor">>, Left), Reason, Failures}, State),
    _ = Host =:= broken andalso hb_cron_registry:set_host_fault(hb_cron_sys_status:reason(Reason)),
    Next = State#state{part = {Seq, [Left | Rest], EndsPage}},
    case Decision of
        {retry, Retrying} -> retry_later(Reason, Next#state{retrying = Retrying});
        {give_up, GivenUp, Refused} -> give_up(Reason, GivenUp, Refused, Next)
    end.

retry_later(Reason, #state{retrying = Retrying} = State) ->
    Pause = hb_cron_retry:pause(Retrying),
    Trouble = {push_failed, hb_cron_sys_status:reason(Reason), hb_cron_retry:failures(Retrying),
               now_ms(), now_ms() + Pause},
    ok = hb_cron_registry:set_trouble(self(), Trouble),
    State#state{retry = erlang:start_timer(Pause, self(), retry)}.

give_up(Reason, GivenUp, Refused, #state{part = {Seq, [#{<<"cursor">> := Cursor} = Result | Rest], EndsPage}} = State) ->
    #state{engine = {Handle, _, _}, proc_id = ProcId, options = Options} = State,
    #{cron_push_attempts := Attempts} = hb_cron_options:settings(Options),
    IsLast = EndsPage andalso Rest =:= [],
    Outcome = case hb_cron_message:undelivered(fun(What) -> not hb_cron_delivery:has_slot(What) end, Result) of
        none -> ok = hb_process_monitor_nif:ack(Handle, Seq, Cursor, IsLast), push_unfinished;
        Left ->
            case hb_cron_push_loop:give_up(Handle, Seq, Cursor, IsLast, Attempts, Left, Reason) of
                ok -> ok = hb_cron_push_meter:given_up(), dead_letter;
                full -> full
            end
    end,
    case Outcome of
        full ->
            log(error, dead_letters_full, {ProcId, Cursor, Reason}, State),
            retry_later(Reason, State#state{retrying = Refused});
        Passed ->
            ok = hb_cron_registry:set_trouble(self(), none),
            log(error, Passed, {ProcId, Cursor, Reason, Attempts}, State),
            Part = case Rest of [] -> none; _ -> {Seq + 1, Rest, EndsPage} end,
            go_on(State#state{cursor = Cursor, retrying = GivenUp, part = Part})
    end.

%% So many pushes have succeeded.
recovered(0, State) ->
    State;
recovered(_Pushed, #state{retrying = Retrying, proc_id = ProcId} = State) ->
    case hb_cron_retry:failures(Retrying) of
        0 -> ok;
        Failures ->
            ok = hb_cron_registry:set_trouble(self(), none),
            log(ok, recovered, {ProcId, push, Failures}, State)
    end,
    State#state{retrying = hb_cron_retry:succeeded(Retrying)}.

%% @private
%% Shows nothing of a result, and of a URL only the part that may be logged.
-spec format_status(gen_server:format_status()) -> gen_server:format_status().
format_status(#{state := #state{} = State} = Status) ->
    Part = case State#state.part of
        {Seq, Results, _EndsPage} -> {from, Seq, results, length(Results)};
        none -> none
    end,
    Shown = #{process => State#state.proc_id, cursor => State#state.cursor, part => Part,
              options => hb_cron_sys_status:options(State#state.options),
              attached => State#state.engine =/= none, failing => State#state.retry =/= none,
              leaving => maps:values(State#state.leaving), letters_waiting => hb_cron_redelivery:pending(State#state.redelivery)},
    hb_cron_sys_status:short(Status#{state := Shown});
format_status(Status) ->
    hb_cron_sys_status:short(Status).

now_ms() -> erlang:monotonic_time(millisecond).

log(Status, Type, Details, #state{logger = Logger}) ->
    hb_cron_host_logger:log(Logger, {Status, Type, Details}).
