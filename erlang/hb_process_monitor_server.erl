%%% @doc A monitor: the process that stands for one AO process. The engine sends it ticks and pages
%%% of results; it pushes the results one by one, in order, and acks each. Its acked cursor is the
%%% only truth: whatever dies, it goes on from there.
-module(hb_process_monitor_server).
-behaviour(gen_server).

-export([start_link/2, engine_up/1]).
-export([init/1, handle_call/3, handle_cast/2, handle_info/2, terminate/2]).

-record(state, {
    proc_id :: binary(),
    options :: hb_process_monitor_opts:monitor(),
    logger :: hb_process_monitor_host:logger(),
    push :: hb_process_monitor_host:push(),
    %% After the last result acked, or where to begin.
    cursor :: hb_process_monitor_opts:cursor(),
    %% Older monitors of the same process that still finish a push. Until they are down nothing
    %% is fetched, so that no result is pushed by two at once.
    leaving :: #{reference() => pid()},
    %% The registration with the engine, and the monitor of the engine's ticker.
    engine = none :: none | {hb_process_monitor_nif:handle(), hb_process_monitor_nif:epoch(), reference()},
    %% A tick came while there was no engine to poll with.
    ticked = false :: boolean(),
    %% Pages to push, the oldest first, each with the number of its first result.
    pages = [] :: [{Seq :: pos_integer(), [map()]}],
    %% A `push_next' is in the mailbox.
    pushing = false :: boolean(),
    %% Failed pushes of the result that is next. Above 0 it waits for the next tick.
    failures = 0 :: non_neg_integer()
}).

%% @doc Starts a monitor; `ignore' if the process has one.
-spec start_link(ProcId :: binary(), hb_process_monitor_opts:monitor()) -> gen_server:start_ret().
start_link(ProcId, Options) ->
    gen_server:start_link(?MODULE, {ProcId, Options}, []).

%% @doc Tells a monitor that there is a new engine.
-spec engine_up(Monitor :: pid()) -> ok.
engine_up(Monitor) ->
    gen_server:cast(Monitor, engine_up).

%% @private
-spec init({binary(), hb_process_monitor_opts:monitor()}) -> {ok, #state{}} | ignore.
init({ProcId, #{rate := Rate, cursor := Cursor, logger := GivenLogger} = Options}) ->
    _ = process_flag(trap_exit, true),
    Logger = case GivenLogger of
        undefined -> hb_process_monitor_host:start_logger();
        _ -> GivenLogger
    end,
    case hb_process_monitor_registry:claim(ProcId, self(), Logger, Options) of
        {ok, Leaving} ->
            ok = hb_process_monitor_host:register_with(Logger),
            ok = hb_process_monitor_ticker:register_with(Logger),
            State = #state{
                proc_id = ProcId, options = Options, logger = Logger, cursor = Cursor,
                push = push_of(Options),
                leaving = maps:from_list([{monitor(process, Pid), Pid} || Pid <- Leaving])
            },
            log(ok, started_monitor, {ProcId, Rate, Cursor}, State),
            {ok, attach(State)};
        {taken, _Entry} ->
            %% A logger of our own making has nobody to log to it.
            _ = Logger =:= GivenLogger orelse exit(Logger, kill),
            ignore
    end.

push_of(#{cron_push := undefined}) -> hb_process_monitor_host:push();
push_of(#{cron_push := Push}) -> Push.

%% @private
-spec handle_call(term(), gen_server:from(), #state{}) -> {reply, {error, unknown_call}, #state{}}.
handle_call(_Call, _From, State) ->
    {reply, {error, unknown_call}, State}.

%% @private
-spec handle_cast(term(), #state{}) -> {noreply, #state{}}.
handle_cast(engine_up, State) ->
    {noreply, attach(State)};
handle_cast(_Cast, State) ->
    {noreply, State}.

%% @private
-spec handle_info(term(), #state{}) ->
    {noreply, #state{}} | {noreply, #state{}, hibernate} | {stop, normal, #state{}}.
handle_info(push_next, State) ->
    push_next(State#state{pushing = false});
handle_info({hb_cron, Epoch, What}, #state{engine = {_, Epoch, _}} = State) ->
    {noreply, from_engine(What, State)};
handle_info(tick, #state{failures = Failures, pages = [_ | _]} = State) when Failures > 0 ->
    {noreply, go_on(State)};
handle_info(tick, #state{engine = {Handle, _, _}} = State) ->
    ok = hb_process_monitor_nif:poll(Handle),
    {noreply, State};
handle_info(tick, #state{engine = none} = State) ->
    {noreply, State#state{ticked = true}};
handle_info(stop, State) ->
    {stop, normal, State};
handle_info({'DOWN', Ref, process, _, _}, #state{engine = {_, _, Ref}} = State) ->
    %% The engine is gone with its ticker, and what it sent is asked for again. A new one is
    %% announced, if it is not there already.
    {noreply, attach(detach(State))};
handle_info({'DOWN', Ref, process, _, _}, #state{leaving = Leaving} = State) ->
    {noreply, attach(State#state{leaving = maps:remove(Ref, Leaving)})};
handle_info(_Stray, State) ->
    {noreply, State}.

%% @private
-spec terminate(term(), #state{}) -> ok.
terminate(_Reason, State) ->
    ok = hb_process_monitor_registry:release(self()),
    _ = detach(State),
    hb_process_monitor_registry:leave(self()).

%% The registration with the engine

attach(#state{engine = none, leaving = Leaving} = State) when map_size(Leaving) =:= 0 ->
    case hb_process_monitor_registry:engine() of
        {ok, Engine, Ticker} -> attach(Engine, Ticker, State);
        none -> State
    end;
attach(State) ->
    State.

attach(Engine, Ticker, State) ->
    Ref = monitor(process, Ticker),
    case hb_process_monitor_nif:register(Engine, library_options(State)) of
        {ok, Handle, Epoch} ->
            ok = case State#state.ticked of
                true -> hb_process_monitor_nif:poll(Handle);
                false -> ok
            end,
            State#state{engine = {Handle, Epoch, Ref}, ticked = false};
        {error, stopped} ->
            %% The next ticker will tell.
            demonitor(Ref, [flush]),
            State
    end.

library_options(#state{proc_id = ProcId, options = Options, cursor = Cursor}) ->
    #{rate := Rate, cron_node := Nodes, cron_page_limit := PageLimit, cron_timeout := Timeout,
      cron_connect_timeout := ConnectTimeout, cron_max_page_bytes := MaxPageBytes} = Options,
    #{process => ProcId, rate => Rate, cursor => Cursor, nodes => Nodes, page_limit => PageLimit,
      connect_timeout => ConnectTimeout, timeout => Timeout, max_page_bytes => MaxPageBytes}.

detach(#state{engine = {Handle, _, Ref}} = State) ->
    ok = hb_process_monitor_nif:remove(Handle),
    demonitor(Ref, [flush]),
    State#state{engine = none, pages = [], failures = 0};
detach(State) ->
    State.

%% What the engine says

from_engine({page, FirstSeq, Results}, #state{pages = Pages} = State) ->
    go_on_if_free(State#state{pages = Pages ++ [{FirstSeq, Results}]});
from_engine({resolved, Cursor}, #state{proc_id = ProcId} = State) ->
    log(ok, resolved_cursor, {ProcId, Cursor}, State),
    State#state{cursor = Cursor};
from_engine({failed, Class, Text, Repeats}, #state{proc_id = ProcId} = State) ->
    log(error, Class, {ProcId, Text, Repeats}, State),
    State;
from_engine({recovered, Failures}, #state{proc_id = ProcId} = State) ->
    log(ok, recovered, {ProcId, fetch, Failures}, State),
    State.

%% Pushing

%% A failed push waits for its tick; a new page does not change that.
go_on_if_free(#state{failures = 0} = State) -> go_on(State);
go_on_if_free(State) -> State.

%% Through the mailbox: what else has come is served between two pushes.
go_on(#state{pushing = true} = State) ->
    State;
go_on(State) ->
    self() ! push_next,
    State#state{pushing = true}.

push_next(#state{pages = [{Seq, [Result | Rest]} | Pages], engine = {Handle, _, _}} = State) ->
    #{<<"cursor">> := Cursor} = Result,
    case push(Result, State) of
        ok ->
            ok = hb_process_monitor_nif:ack(Handle, Seq, Rest =:= []),
            Left = case Rest of
                [] -> Pages;
                _ -> [{Seq + 1, Rest} | Pages]
            end,
            Acked = recovered(State#state{cursor = Cursor, pages = Left}),
            {noreply, go_on(Acked)};
        {error, Reason} ->
            ok = hb_process_monitor_nif:nack(Handle),
            {noreply, failed(Cursor, Reason, State)}
    end;
push_next(State) ->
    %% All is pushed, or the engine went meanwhile. What a page left on the heap goes now: the
    %% next one may be long in coming.
    {noreply, State, hibernate}.

push(Result, #state{push = Push, proc_id = ProcId, cursor = Cursor, logger = Logger}) ->
    Message = #{message => Result},
    PushState = #{proc_id => ProcId, cursor => Cursor, logger => Logger},
    try
        case Push of
            {Module, Function} -> Module:Function(Message, PushState);
            Fun -> Fun(Message, PushState)
        end
    of
        {error, Reason} -> {error, Reason};
        _ -> ok
    catch
        Class:Reason -> {error, {Class, Reason}}
    end.

failed(Cursor, Reason, #state{proc_id = ProcId, failures = Failures} = State) ->
    Repeats = Failures + 1,
    %% At 1, 2, 4, 8, … as the engine does it with fetches.
    Repeats band Failures =:= 0 andalso log(error, push_failed, {ProcId, Cursor, Reason, Repeats}, State),
    State#state{failures = Repeats}.

recovered(#state{failures = 0} = State) ->
    State;
recovered(#state{failures = Failures, proc_id = ProcId} = State) ->
    log(ok, recovered, {ProcId, push, Failures}, State),
    State#state{failures = 0}.

log(Status, Type, Details, #state{logger = Logger}) ->
    hb_process_monitor_host:log(Logger, {Status, Type, Details}).
