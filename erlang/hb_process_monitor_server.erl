%%% @doc A monitor: the process that stands for one AO process. The engine sends it ticks and pages
%%% of results; it pushes the results one by one, in order, and acks each. Its acked cursor is the
%%% only truth: whatever dies, it goes on from there.
-module(hb_process_monitor_server).
-behaviour(gen_server).

-export([start_link/2, engine_up/1, pause/1, resume/1, redeliver/2]).
-export([init/1, handle_call/3, handle_cast/2, handle_info/2, terminate/2, format_status/1]).

-record(state, {
    proc_id :: binary(),
    options :: hb_process_monitor_opts:monitor(),
    logger :: hb_process_monitor_host:logger(),
    pushing_with :: hb_process_monitor_pushing:pushing(),
    delivery :: hb_process_monitor_delivery:delivery(),
    %% What others read of this process without asking it.
    marks :: hb_process_monitor_marks:marks(),
    %% Of the supervision tree, where this process is not in it and must end with it.
    tree = none :: none | reference(),
    %% After the last result acked, or where to begin.
    cursor :: hb_process_monitor_opts:cursor(),
    %% Older monitors of the same process that still finish a push. Until they are down nothing
    %% is fetched, so that no result is pushed by two at once.
    leaving :: #{reference() => pid()},
    %% The registration with the engine, and the ticker that runs it.
    engine = none :: none | {hb_process_monitor_nif:handle(), hb_process_monitor_nif:epoch(), Ticker :: pid()},
    %% A tick came while there was no engine to poll with.
    ticked = false :: boolean(),
    %% The part of a page that is being pushed, with the number of its first result.
    part = none :: none | hb_process_monitor_pushing:part(),
    %% A `push_next' is in the mailbox.
    pushing = false :: boolean(),
    %% The result that is next failed, and is tried again when this timer fires or a tick comes.
    retry = none :: none | reference(),
    %% When it first failed, in ms of the monotonic clock.
    failing_since = 0 :: integer(),
    %% The result that is next as the CU gave it, once some of it has been pushed, and what is left. It
    %% outlives the part: after an engine's death the same result comes whole again.
    remains = none :: none | {Whole :: map(), Left :: map()},
    %% What is left of dead letters of which some has been pushed since.
    letters = #{} :: #{Whole :: map() => Left :: map()},
    %% Those who want one pushed, and wait for the older monitors to be through with theirs.
    waiting = [] :: [{gen_server:from(), Whole :: map()}],
    %% It was registered before: what the checkpoint says of its start is no news.
    known = false :: boolean()
}).

%% How long the checkpoint may take to become durable before the monitor ends, in ms. Whoever waits
%% for the end has a time-out of their own; this one only bounds what is left behind.
-define(DURABLE_LIMIT, 60000).

%% @doc Starts a monitor; `ignore' if the process has one.
-spec start_link(ProcId :: binary(), hb_process_monitor_opts:monitor()) -> gen_server:start_ret().
start_link(ProcId, Options) ->
    gen_server:start_link(?MODULE, {ProcId, Options}, []).

%% @doc Tells a monitor that there is a new engine.
-spec engine_up(Monitor :: pid()) -> ok.
engine_up(Monitor) ->
    gen_server:cast(Monitor, engine_up).

%% @doc Tells a monitor to pause after the result that it is at.
-spec pause(Monitor :: pid()) -> ok.
pause(Monitor) ->
    gen_server:cast(Monitor, {pause, true}).

%% @doc Tells a monitor that has paused to go on.
-spec resume(Monitor :: pid()) -> ok.
resume(Monitor) ->
    gen_server:cast(Monitor, {pause, false}).

%% @doc Pushes a dead letter's result once more, between two results.
-spec redeliver(Monitor :: pid(), Result :: map()) -> ok | {error, Reason :: term()}.
redeliver(Monitor, Result) ->
    gen_server:call(Monitor, {redeliver, Result}, infinity).

%% @private
-spec init({binary(), hb_process_monitor_opts:monitor()}) -> {ok, #state{}, hibernate} | ignore.
init({ProcId, #{rate := Rate, cursor := Cursor, logger := GivenLogger} = Options}) ->
    _ = process_flag(trap_exit, true),
    Logger = case GivenLogger of
        undefined -> hb_process_monitor_host:start_logger();
        _ -> GivenLogger
    end,
    Marks = hb_process_monitor_marks:new(),
    case hb_process_monitor_registry:claim(ProcId, self(), Logger, Options, Marks) of
        {ok, Leaving} ->
            ok = hb_process_monitor_status:label({hb_process_monitor, ProcId}),
            ok = hb_process_monitor_host:register_with(Logger),
            ok = hb_process_monitor_ticker:register_with(Logger),
            ok = hb_process_monitor_marks:set_paused(Marks, is_paused(Options)),
            ok = hb_process_monitor_keeper:watch(),
            Settings = hb_process_monitor_opts:settings(Options),
            Push = hb_process_monitor_host:device(Settings),
            Works = hb_process_monitor_registry:device(Push),
            State = #state{
                proc_id = ProcId, options = Options, logger = Logger,
                cursor = hb_process_monitor_supervised:first_cursor(ProcId, Cursor, Options),
                pushing_with = hb_process_monitor_pushing:new(ProcId, Logger, Push, Options, Marks, Works),
                delivery = delivery(Settings), marks = Marks, tree = hb_process_monitor_supervised:tree(Options),
                leaving = maps:from_list([{monitor(process, Pid), Pid} || Pid <- Leaving])
            },
            log(ok, started_monitor, {ProcId, Rate, Cursor}, State),
            %% Most of its life it waits: without what starting left on its heap.
            {ok, attach(State), hibernate};
        {taken, _Entry} ->
            %% A logger of our own making has nobody to log to it.
            _ = Logger =:= GivenLogger orelse exit(Logger, kill),
            ignore
    end.

is_paused(Options) -> maps:get(paused, Options, false).

%% Without a checkpoint there is no place for dead letters: nothing is given up.
delivery(#{cron_push_attempts := Attempts, cron_push_backoff := Backoff}) ->
    Max = case hb_process_monitor_registry:node_options() of
        #{cron_checkpoint := false} -> infinity;
        #{} -> Attempts
    end,
    hb_process_monitor_delivery:new(Max, Backoff).

%% @private
-spec handle_call(term(), gen_server:from(), #state{}) ->
    {reply, ok | {error, term()}, #state{}} | {noreply, #state{}}.
handle_call({redeliver, Result}, From, #state{leaving = Leaving, waiting = Waiting} = State)
        when map_size(Leaving) > 0 ->
    {noreply, State#state{waiting = [{From, Result} | Waiting]}};
handle_call({redeliver, Result}, _From, State) ->
    {Answer, Next} = push_letter(Result, State),
    {reply, Answer, Next};
handle_call(_Call, _From, #state{} = State) ->
    {reply, {error, unknown_call}, State}.

%% @private
-spec handle_cast(term(), #state{}) -> {noreply, #state{}} | {noreply, #state{}, hibernate}.
handle_cast(engine_up, State) ->
    {noreply, attach_to_new(State)};
handle_cast({pause, Paused}, #state{options = Options} = State) ->
    case is_paused(Options) of
        Paused ->
            ok = hb_process_monitor_marks:set_paused(State#state.marks, Paused),
            {noreply, State};
        _ ->
            {noreply, set_paused(Paused, State), hibernate}
    end;
handle_cast(_Cast, #state{} = State) ->
    {noreply, State}.

%% @private
-spec handle_info(term(), #state{}) ->
    {noreply, #state{}} | {noreply, #state{}, hibernate} | {stop, normal | {shutdown, term()} | term(), #state{}}.
handle_info(push_next, State) ->
    push_next(State#state{pushing = false});
handle_info({hb_cron, Epoch, What}, #state{engine = {_, Epoch, _}} = State) ->
    {noreply, from_engine(What, State)};
handle_info({timeout, Retry, retry}, #state{retry = Retry} = State) ->
    {noreply, go_on(State#state{retry = none})};
handle_info(tick, #state{options = #{paused := true}} = State) ->
    {noreply, State};
handle_info(tick, #state{retry = Retry} = State) when Retry =/= none ->
    _ = erlang:cancel_timer(Retry),
    {noreply, go_on(State#state{retry = none})};
handle_info(tick, #state{engine = {Handle, _, _}} = State) ->
    {noreply, State#state{ticked = hb_process_monitor_nif:poll(Handle) =:= stopped}};
handle_info(tick, #state{engine = none} = State) ->
    {noreply, State#state{ticked = true}};
handle_info(stop, State) ->
    {stop, normal, State};
handle_info({'DOWN', Ref, process, _, _}, #state{tree = Ref} = State) ->
    {stop, hb_process_monitor_app:why_down(), State};
handle_info({'DOWN', Ref, process, _, _}, #state{leaving = Leaving} = State) ->
    {noreply, attach(push_letters(State#state{leaving = maps:remove(Ref, Leaving)}))};
%% A state of another shape, after a reload, is an end that the keeper sees, and not a Monitor that hears
%% nothing any more.
handle_info(_Stray, #state{} = State) ->
    {noreply, State}.

%% @private
-spec terminate(term(), #state{}) -> ok.
terminate(Reason, #state{proc_id = ProcId, options = Options, cursor = Cursor} = State) ->
    ok = case hb_process_monitor_supervised:is_supervised(Options) of
        true when Reason =/= normal ->
            ok = hb_process_monitor_registry:leave_cursor(ProcId, Cursor),
            hb_process_monitor_keeper:ending(Reason, stays);
        _ ->
            hb_process_monitor_keeper:ending(Reason, Options#{cursor := Cursor})
    end,
    ok = hb_process_monitor_registry:release(self()),
    %% Only who is stopped is not to be resumed.
    ok = await_durable(detach(Reason =/= normal, State)),
    hb_process_monitor_registry:leave(self()).

await_durable({durable, _State}) ->
    ok;
await_durable({{wait, Epoch}, _State}) ->
    receive {hb_cron, Epoch, durable} -> ok
    after ?DURABLE_LIMIT -> ok
    end.

%% The registration with the engine

attach(#state{engine = none, leaving = Leaving} = State) when map_size(Leaving) =:= 0 ->
    case hb_process_monitor_registry:engine() of
        {ok, Engine, Ticker} -> attach(Engine, Ticker, State);
        none -> State
    end;
attach(State) ->
    State.

attach(Engine, Ticker, #state{proc_id = ProcId, options = Options, cursor = Cursor} = State) ->
    Library = hb_process_monitor_opts:for_library(ProcId, Cursor, Options),
    GoOn = not State#state.known andalso hb_process_monitor_supervised:is_supervised(Options),
    case hb_process_monitor_nif:register(Engine, Library#{go_on => GoOn}) of
        {ok, Handle, Epoch, {Origin, Start}} ->
            _ = State#state.ticked andalso hb_process_monitor_nif:poll(Handle),
            ok = hb_process_monitor_marks:set_epoch(State#state.marks, Epoch),
            State#state.known orelse log_origin(Origin, Start, State),
            State#state{engine = {Handle, Epoch, Ticker}, cursor = Start, ticked = false, known = true};
        {error, stopped} ->
            %% The next ticker will tell.
            State
    end.

%% What the one before sent is asked for again.
attach_to_new(#state{engine = {_, _, Ticker}} = State) ->
    case hb_process_monitor_registry:engine() of
        {ok, _, Ticker} -> State;
        _ -> attach_anew(State)
    end;
attach_to_new(State) ->
    attach(State).

attach_anew(State) ->
    {_, Detached} = detach(true, State),
    attach(Detached).

%% Registered anew, as what it is now: what was fetched for it goes, and holds up nobody. The pause is
%% kept with its options, in the checkpoint and for a next monitor.
set_paused(Paused, #state{proc_id = ProcId, cursor = Cursor, options = #{kept := Kept} = Options} = State) ->
    With = case Paused of
        true -> Options#{paused => true, kept := Kept#{paused => true}};
        false -> maps:remove(paused, Options#{kept := maps:remove(paused, Kept)})
    end,
    ok = hb_process_monitor_registry:set_options(ProcId, With),
    Next = attach_anew(State#state{options = With, ticked = not Paused}),
    ok = hb_process_monitor_marks:set_paused(State#state.marks, Paused),
    log(ok, case Paused of true -> paused; false -> continued end, {ProcId, Cursor}, Next),
    Next.

log_origin(new, _Start, _State) ->
    ok;
log_origin(resumed, Start, #state{proc_id = ProcId} = State) ->
    log(ok, resumed, {ProcId, Start}, State);
log_origin({overruled, Stored}, Start, #state{proc_id = ProcId} = State) ->
    log(ok, checkpoint_overruled, {ProcId, {stored, Stored}, {given, Start}}, State);
log_origin({stale, Stored}, _Start, #state{proc_id = ProcId} = State) ->
    log(error, stale_cursor, {ProcId, Stored, from_the_latest_result}, State).

%% Says whether there is something to wait for until all that was acked is durable.
detach(Watched, #state{engine = {Handle, Epoch, _}, retry = Retry} = State) ->
    Wait = case hb_process_monitor_nif:remove(Handle, Watched) of
        durable -> durable;
        wait -> {wait, Epoch}
    end,
    ok = hb_process_monitor_marks:set_epoch(State#state.marks, 0),
    _ = Retry =:= none orelse erlang:cancel_timer(Retry),
    {Wait, State#state{engine = none, part = none, retry = none}};
detach(_Watched, State) ->
    {durable, State}.

%% What the engine says

from_engine({page, FirstSeq, Results, EndsPage}, #state{part = none} = State) ->
    go_on(State#state{part = {FirstSeq, without_pushed(Results, State), EndsPage}});
from_engine({resolved, Cursor}, #state{proc_id = ProcId} = State) ->
    log(ok, resolved_cursor, {ProcId, Cursor}, State),
    State#state{cursor = Cursor};
from_engine({failed, Class, Text, Repeats}, #state{proc_id = ProcId} = State) ->
    log(error, Class, {ProcId, Text, Repeats}, State),
    ask_router(State);
from_engine({passed, From, To}, #state{proc_id = ProcId} = State) ->
    log(error, passed_errors, {ProcId, {from_ms, From}, {to_ms, To}}, State),
    State;
from_engine(lost, #state{proc_id = ProcId, cursor = Cursor} = State) ->
    log(error, page_lost, {ProcId, Cursor}, State),
    attach_anew(State);
from_engine({recovered, Failures}, #state{proc_id = ProcId} = State) ->
    log(ok, recovered, {ProcId, fetch, Failures}, State),
    State.

%% The process may have moved to another CU: the host's router is asked again, as often as a
%% failure is worth a report.
ask_router(#state{options = #{routed := true} = Options, proc_id = ProcId, engine = {Handle, _, _}} = State) ->
    #{cron_node := Nodes} = hb_process_monitor_opts:settings(Options),
    case hb_process_monitor_host_router:nodes_of(ProcId) of
        {Source, [Node | _] = Others} when Source =/= default, Others =/= Nodes ->
            case hb_process_monitor_nif:move_to(Handle, Others) of
                ok ->
                    log(ok, moved_node, {ProcId, hb_process_monitor_host_router:origin(Node)}, State),
                    State#state{options = hb_process_monitor_opts:moved(Others, Options)};
                {error, {bad_node, _}} ->
                    %% What the router says is no CU: the old one may come back.
                    State
            end;
        _ ->
            State
    end;
ask_router(State) ->
    State.

%% Pushing

%% Through the mailbox: what else has come is served between two pushes.
go_on(#state{pushing = true} = State) ->
    State;
go_on(State) ->
    self() ! push_next,
    State#state{pushing = true}.

push_next(#state{retry = none, part = {_, _, _} = Part, engine = {Handle, _, _}} = State) ->
    #state{cursor = Before, pushing_with = With} = State,
    {Pushed, Cursor, Stop} = hb_process_monitor_pushing:run(Handle, Part, Before, With),
    Next = recovered(Pushed, State#state{cursor = Cursor}),
    case Stop of
        done ->
            next_part(Handle, Next#state{part = none});
        {more, Rest} ->
            {noreply, go_on(Next#state{part = Rest})};
        {failed, Reason, Left, Host, Rest} ->
            {noreply, failed(Reason, Left, Host, Next#state{part = Rest})}
    end;
push_next(State) ->
    %% The engine went meanwhile, or a failed result waits for its time.
    {noreply, State}.

next_part(Handle, State) ->
    case hb_process_monitor_nif:next_part(Handle) of
        true -> {noreply, State};
        %% What the last one left on the heap goes now: the next may be long in coming.
        false -> {noreply, State, hibernate}
    end.

%% What was pushed of the first result before the engine died is not pushed again.
without_pushed([Whole | Rest], #state{remains = {Whole, Left}}) -> [Left | Rest];
without_pushed(Results, _State) -> Results.

%% A dead letter. What of it was pushed is not pushed again, should the rest fail.
push_letter(Whole, #state{letters = Letters, cursor = Cursor, pushing_with = With} = State) ->
    Result = maps:get(Whole, Letters, Whole),
    case hb_process_monitor_pushing:one(Result, Cursor, With) of
        ok -> {ok, State#state{letters = maps:remove(Whole, Letters)}};
        {error, Reason, Result} -> {{error, Reason}, State};
        {error, Reason, Left} -> {{error, Reason}, State#state{letters = Letters#{Whole => Left}}}
    end.

push_letters(#state{leaving = Leaving, waiting = Waiting} = State) when map_size(Leaving) =:= 0 ->
    lists:foldr(fun({From, Whole}, Before) ->
        {Answer, Next} = push_letter(Whole, Before),
        ok = gen_server:reply(From, Answer),
        Next
    end, State#state{waiting = []}, Waiting);
push_letters(State) ->
    State.

%% What is left of the result that is next takes its place.
failed(Reason, Left, Host, #state{part = {Seq, [Result | Rest], EndsPage}} = State) ->
    %% A result may differ from what is left of it in nothing that is pushed, such as a key that the CU
    %% left out. If nothing shows that the host works, nothing was pushed.
    Delivery = case Host =:= unknown orelse Left =:= Result of
        true -> State#state.delivery;
        %% Some of it has been pushed: this is the first failure of the rest.
        false -> hb_process_monitor_delivery:succeeded(State#state.delivery)
    end,
    Remains = case State#state.remains of
        {Whole, Result} -> {Whole, Left};
        _ when Left =/= Result -> {Result, Left};
        _ -> none
    end,
    Since = case hb_process_monitor_delivery:failures(Delivery) of
        0 -> now_ms();
        _ -> State#state.failing_since
    end,
    DeviceWorks = Host =:= works orelse hb_process_monitor_pushing:works_since(Since, State#state.pushing_with),
    log_failure(Left, Reason, hb_process_monitor_delivery:failures(Delivery) + 1, State),
    Next = State#state{failing_since = Since, remains = Remains, part = {Seq, [Left | Rest], EndsPage}},
    case hb_process_monitor_delivery:failed(DeviceWorks, Delivery) of
        {retry, Failed} -> retry_later(Reason, Next#state{delivery = Failed});
        {give_up, GivenUp} -> give_up(Reason, GivenUp, Next)
    end.

retry_later(Reason, #state{delivery = Delivery} = State) ->
    Failures = hb_process_monitor_delivery:failures(Delivery),
    Pause = rand:uniform(hb_process_monitor_delivery:ceiling(Failures, Delivery)),
    Trouble = {hb_process_monitor_status:reason(Reason), Failures, now_ms(), now_ms() + Pause},
    ok = hb_process_monitor_registry:set_trouble(self(), Trouble),
    State#state{retry = erlang:start_timer(Pause, self(), retry)}.

give_up(Reason, GivenUp, #state{part = {Seq, [#{<<"cursor">> := Cursor} = Result | Rest], EndsPage}} = State) ->
    #state{engine = {Handle, _, _}, proc_id = ProcId, options = Options} = State,
    #{cron_push_attempts := Attempts} = hb_process_monitor_opts:settings(Options),
    case hb_process_monitor_nif:give_up(Handle, Seq, Cursor, EndsPage andalso Rest =:= [], Attempts,
                                        term_to_binary(Result), term_to_binary(Reason)) of
        ok ->
            ok = hb_process_monitor_registry:set_trouble(self(), none),
            ok = hb_process_monitor_meter:given_up(),
            log(error, dead_letter, {ProcId, Cursor, Reason, Attempts}, State),
            Passed = State#state{cursor = Cursor, delivery = GivenUp, remains = none},
            case Rest of
                [] ->
                    _ = hb_process_monitor_nif:next_part(Handle),
                    Passed#state{part = none};
                _ ->
                    go_on(Passed#state{part = {Seq + 1, Rest, EndsPage}})
            end;
        full ->
            log(error, dead_letters_full, {ProcId, Cursor, Reason}, State),
            %% Nothing was given up, so nothing is to be concluded from it.
            retry_later(Reason, State#state{delivery = hb_process_monitor_delivery:refused(State#state.delivery)})
    end.

log_failure(#{<<"cursor">> := Cursor}, Reason, Failures, #state{proc_id = ProcId} = State) ->
    %% At 1, 2, 4, 8, … as the engine does it with fetches.
    Failures band (Failures - 1) =:= 0 andalso
        log(error, push_failed, {ProcId, Cursor, Reason, Failures}, State).

%% So many pushes have succeeded.
recovered(0, State) ->
    State;
recovered(_Pushed, #state{delivery = Delivery, proc_id = ProcId} = State) ->
    case hb_process_monitor_delivery:failures(Delivery) of
        0 -> ok;
        Failures ->
            ok = hb_process_monitor_registry:set_trouble(self(), none),
            log(ok, recovered, {ProcId, push, Failures}, State)
    end,
    State#state{delivery = hb_process_monitor_delivery:succeeded(Delivery), remains = none}.

%% @private
%% Nothing of a result, and no more of a URL than may be logged.
-spec format_status(gen_server:format_status()) -> gen_server:format_status().
format_status(#{state := #state{} = State} = Status) ->
    Part = case State#state.part of
        {Seq, Results, _EndsPage} -> {from, Seq, results, length(Results)};
        none -> none
    end,
    Shown = #{process => State#state.proc_id, cursor => State#state.cursor, part => Part,
              options => hb_process_monitor_status:options(State#state.options),
              attached => State#state.engine =/= none, failing => State#state.retry =/= none,
              leaving => maps:values(State#state.leaving), letters_waiting => length(State#state.waiting)},
    hb_process_monitor_status:short(Status#{state := Shown});
format_status(Status) ->
    hb_process_monitor_status:short(Status).

now_ms() -> erlang:monotonic_time(millisecond).

log(Status, Type, Details, #state{logger = Logger}) ->
    hb_process_monitor_host:log(Logger, {Status, Type, Details}).
