%%% @doc Records starts in the database of a cluster. While one request is under way, later starts gather, and the next
%%% request has all of them, up to a limit: a transaction for each start would take as long as the database takes to
%%% sync, a hundred thousand times.
%%%
%%% Starts are recorded in the order of their shards, round and round, so that each request changes few shards: the owner
%%% of a shard reads all of its processes again when it has changed.
%%%
%%% A start waits here in the call of its stand-in ({@link hb_cron_stand_in}), which repeats it after an error. So this
%%% process may end at any time.
-module(hb_cron_recorder).
-behaviour(gen_server).

-export([start_link/0, start/1, divide/1]).
%% For itself
-export([request/1]).
-export([init/1, handle_call/3, handle_cast/2, handle_info/2, format_status/1]).

%% How many starts one request has at most, and from how many bytes of options on it has no further one. It delays
%% requests of other kinds by a few hundredths of a second.
-define(MOST, 500).
-define(MOST_BYTES, 1000000).

%% Before all keys of starts that wait.
-define(FIRST, {0, 0}).

-type key() :: {Shard :: non_neg_integer(), Number :: integer()}.
-type waiting(Caller) :: gb_trees:tree(key(), {Caller, hb_cron_cluster_request:start()}).

-record(state, {
    waiting = gb_trees:empty() :: waiting(gen_server:from()),
    %% The key of the last start that was requested.
    last = ?FIRST :: key(),
    %% The process of the request under way, and the starts of that, in order.
    under_way = none :: none | {reference(), [gen_server:from()]}
}).

-spec start_link() -> gen_server:start_ret().
start_link() ->
    gen_server:start_link({local, ?MODULE}, ?MODULE, [], []).

%% @doc Records a start. The answer is that of {@link hb_cron_cluster_request:call/1}: whether the process was started,
%% or was monitored already.
-spec start(hb_cron_cluster_request:start()) -> {ok, IsStarted :: boolean()} | {error, Reason :: binary()}.
start(Start) ->
    try gen_server:call(?MODULE, {start, Start}, infinity)
    catch exit:_ -> {error, <<"the process that records starts has ended">>}
    end.

%% @doc Divides starts into lists that one request each may have, in an order in which few shards change in each.
-spec divide([Start]) -> [[Start, ...]] when Start :: hb_cron_cluster_request:start().
divide(Starts) ->
    parts(lists:foldl(fun(Start, Waiting) -> add(none, Start, Waiting) end, gb_trees:empty(), Starts)).

parts(Waiting) ->
    case take(?FIRST, Waiting) of
        {[], _, _} -> [];
        {First, _, Rest} -> [[Start || {_, Start} <- First] | parts(Rest)]
    end.

add(Caller, {ProcId, _, _} = Start, Waiting) ->
    Key = {hb_process_monitor_nif:cluster_shard(ProcId), erlang:unique_integer([monotonic, positive])},
    gb_trees:insert(Key, {Caller, Start}, Waiting).

%% Takes the starts of one request, from a key on.
-spec take(key(), waiting(Caller)) -> {[{Caller, hb_cron_cluster_request:start()}], key(), waiting(Caller)}.
take(After, Waiting) -> take(After, Waiting, ?MOST, ?MOST_BYTES, []).

take(After, Waiting, Most, Bytes, Taken) when Most > 0, Bytes > 0 ->
    case gb_trees:next(gb_trees:iterator_from(After, Waiting)) of
        {Key, {_, {_, Options, _}} = Next, _} ->
            take(Key, gb_trees:delete(Key, Waiting), Most - 1, Bytes - byte_size(Options), [Next | Taken]);
        none when After =:= ?FIRST -> {lists:reverse(Taken), After, Waiting};
        none -> take(?FIRST, Waiting, Most, Bytes, Taken)
    end;
take(After, Waiting, _, _, Taken) ->
    {lists:reverse(Taken), After, Waiting}.

%% @private
-spec init([]) -> {ok, #state{}, hibernate}.
init([]) ->
    {ok, #state{}, hibernate}.

%% @private
-spec handle_call(term(), gen_server:from(), #state{}) -> {noreply, #state{}} | {reply, {error, unknown_call}, #state{}}.
handle_call({start, Start}, From, #state{waiting = Waiting} = State) ->
    {noreply, go_on(State#state{waiting = add(From, Start, Waiting)})};
handle_call(_Call, _From, State) ->
    {reply, {error, unknown_call}, State}.

%% @private
-spec handle_cast(term(), #state{}) -> {noreply, #state{}}.
handle_cast(_Cast, State) ->
    {noreply, State}.

%% @private
-spec handle_info(term(), #state{}) -> {noreply, #state{}} | {noreply, #state{}, hibernate}.
handle_info({'DOWN', Ref, process, _, Reason}, #state{under_way = {Ref, Callers}} = State) ->
    ok = answer(Callers, Reason),
    case go_on(State#state{under_way = none}) of
        #state{under_way = none} = Idle -> {noreply, Idle, hibernate};
        Next -> {noreply, Next}
    end;
handle_info(_Stray, State) ->
    {noreply, State}.

go_on(#state{under_way = none, waiting = Waiting, last = Last} = State) ->
    case take(Last, Waiting) of
        {[], _, _} -> State;
        {Next, Key, Rest} ->
            {Callers, Starts} = lists:unzip(Next),
            {_, Ref} = spawn_monitor(?MODULE, request, [Starts]),
            State#state{waiting = Rest, last = Key, under_way = {Ref, Callers}}
    end;
go_on(State) ->
    State.

%% @private
%% A process that exits with the answer to a request.
-spec request([hb_cron_cluster_request:start()]) -> no_return().
request(Starts) ->
    exit({answer, hb_cron_cluster_request:call({start, Starts})}).

answer(Callers, {answer, {ok, Each}}) ->
    lists:foreach(fun({From, Changed}) -> gen_server:reply(From, {ok, Changed}) end, lists:zip(Callers, Each));
answer(Callers, Reason) ->
    Error = case Reason of
        {answer, {error, Why}} -> Why;
        _ -> <<"the request failed">>
    end,
    lists:foreach(fun(From) -> gen_server:reply(From, {error, Error}) end, Callers).

%% @private
%% How many, not which: their options may hold passwords, also in a message.
-spec format_status(gen_server:format_status()) -> gen_server:format_status().
format_status(#{state := #state{waiting = Waiting, under_way = UnderWay}} = Status) ->
    Busy = case UnderWay of none -> 0; {_, Callers} -> length(Callers) end,
    Shown = maps:without([message, log], Status),
    hb_cron_sys_status:short(Shown#{state := #{waiting => gb_trees:size(Waiting), under_way => Busy}});
format_status(Status) ->
    hb_cron_sys_status:short(Status).
