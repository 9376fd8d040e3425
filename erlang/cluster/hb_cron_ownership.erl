%%% @doc The owner's part in a cluster: starts and stops the monitors of the shards that this host node owns. The
%%% library tells it which processes are in them, when a shard is lost, and when one is to be handed over.
%%%
%%% It keeps no truth of its own: the database has what is monitored, and the registry has which monitors run. After a
%%% crash its successor has all shards read again. A monitor whose shard was lost meanwhile ends by itself, at its next
%%% ack or registration.
-module(hb_cron_ownership).
-behaviour(gen_server).

-export([start_link/0, leave/1]).
-export([init/1, handle_call/3, handle_cast/2, handle_info/2, handle_continue/2, format_status/1]).

-export_type([stake/0]).

-type stake() :: {Shard :: non_neg_integer(), Epoch :: integer(), Generation :: integer()}.
%% The ownership and the start that a monitor belongs to.

-type row() :: {ProcId :: binary(), Watched :: boolean(), Ended :: boolean(), Options :: binary(),
                Generation :: integer(), Asked :: integer()}.

%% How many monitors are started before messages are read again.
-define(SLICE, 50).
%% How often a request that failed is repeated, and a host node that leaves looks for the database, in ms.
-define(REPEAT, 1000).

%% How often the database is tidied, in ms.
-define(TIDY_EVERY, 60000).

-record(shard, {
    epoch :: integer(),
    stage = held :: held | stops | saves,
    %% The processes that the database has, with their starts, and the last request of each to be polled.
    processes = #{} :: #{ProcId :: binary() => {Generation :: integer(), Asked :: integer()}}
}).

-record(state, {
    shards = #{} :: #{Shard :: non_neg_integer() => #shard{}},
    starts = queue:new() :: queue:queue({ProcId :: binary(), stake(), Options :: binary(), Asked :: integer()}),
    %% A `start_some' is in the mailbox.
    starting = false :: boolean(),
    %% Monitors that end, with their processes.
    ending = #{} :: #{reference() => {ProcId :: binary(), Shard :: non_neg_integer(), pid()}},
    %% Stopped processes whose end is to be recorded.
    ended = #{} :: #{ProcId :: binary() => Generation :: integer()},
    %% The flush before a shard is given, by the number of its answer.
    saving = #{} :: #{Number :: pos_integer() => {Shard :: non_neg_integer(), Epoch :: integer()}},
    %% Redeliveries under way.
    redelivering = #{} :: #{pid() => {ProcId :: binary(), Id :: pos_integer()}},
    leaving = none :: none | gen_server:from()
}).

-spec start_link() -> gen_server:start_ret().
start_link() ->
    gen_server:start_link({local, ?MODULE}, ?MODULE, [], []).

%% @doc Hands all shards over, and leaves the cluster. Waits for that at most so many ms. `not_confirmed': the database has
%% not confirmed this host node for a TTL, so that the other host nodes take over what they can, and nothing is left to be
%% handed over.
-spec leave(Timeout :: pos_integer()) -> ok | {error, timeout | not_confirmed}.
leave(Timeout) ->
    try gen_server:call(?MODULE, leave, Timeout)
    catch exit:_ -> {error, timeout}
    end.

%% @private
-spec init([]) -> {ok, #state{}, {continue, attach}}.
init([]) -> {ok, #state{}, {continue, attach}}.

%% @private
-spec handle_continue(attach, #state{}) -> {noreply, #state{}}.
handle_continue(attach, State) ->
    with_engine(fun hb_process_monitor_nif:cluster_attach/1),
    _ = erlang:send_after(?REPEAT, self(), repeat),
    _ = erlang:send_after(?TIDY_EVERY, self(), tidy),
    {noreply, State}.

%% @private
-spec handle_call(term(), gen_server:from(), #state{}) -> {noreply, #state{}} | {reply, {error, unknown_call}, #state{}}.
handle_call(leave, From, State) ->
    with_engine(fun hb_process_monitor_nif:cluster_leave/1),
    _ = erlang:send_after(?REPEAT, self(), check_confirmed),
    {noreply, State#state{leaving = From}};
handle_call(_Call, _From, State) ->
    {reply, {error, unknown_call}, State}.

%% @private
-spec handle_cast(term(), #state{}) -> {noreply, #state{}}.
handle_cast(_Cast, State) ->
    {noreply, State}.

%% @private
-spec handle_info(term(), #state{}) -> {noreply, #state{}}.
handle_info({hb_cron_cluster, {owned, Shard, Epoch, Rows, Wishes}}, State) ->
    {noreply, redeliver(Wishes, owned(Shard, Epoch, Rows, State))};
handle_info({hb_cron_cluster, {lost, Stakes}}, State) ->
    {noreply, lists:foldl(fun lost/2, State, Stakes)};
handle_info({hb_cron_cluster, {stop, Stakes}}, State) ->
    {noreply, lists:foldl(fun hand_over/2, State, Stakes)};
handle_info({hb_cron_cluster, left}, #state{leaving = From} = State) ->
    _ = From =:= none orelse gen_server:reply(From, ok),
    {noreply, State#state{leaving = none}};
handle_info(start_some, State) ->
    {noreply, start_some(State#state{starting = false})};
handle_info({'DOWN', Ref, process, Pid, _}, #state{ending = Ending, redelivering = Redelivering} = State) ->
    case maps:take(Ref, Ending) of
        {{ProcId, Shard, _}, Rest} -> {noreply, has_ended(ProcId, Shard, State#state{ending = Rest})};
        error -> {noreply, State#state{redelivering = maps:remove(Pid, Redelivering)}}
    end;
handle_info({hb_cron_answer, Number, Answer}, #state{saving = Saving} = State) ->
    case maps:take(Number, Saving) of
        {{Shard, Epoch}, Rest} -> {noreply, saved(Answer, Shard, Epoch, State#state{saving = Rest})};
        error -> {noreply, State}
    end;
handle_info({save, Shard, Epoch}, State) ->
    {noreply, save(Shard, Epoch, State)};
handle_info({recorded, ProcId, Generation}, #state{ended = Ended} = State) ->
    case Ended of
        #{ProcId := Generation} -> {noreply, State#state{ended = maps:remove(ProcId, Ended)}};
        #{} -> {noreply, State}
    end;
handle_info(repeat, #state{ended = Ended} = State) ->
    maps:foreach(fun hb_cron_ownership_jobs:record_end/2, Ended),
    _ = erlang:send_after(?REPEAT, self(), repeat),
    {noreply, State};
handle_info(check_confirmed, #state{leaving = none} = State) ->
    {noreply, State};
handle_info(check_confirmed, #state{leaving = From} = State) ->
    case hb_cron_cluster:status() of
        #{unconfirmed_ms := For, ttl_ms := Ttl} when is_integer(For), For < Ttl ->
            _ = erlang:send_after(?REPEAT, self(), check_confirmed),
            {noreply, State};
        _ ->
            _ = gen_server:reply(From, {error, not_confirmed}),
            {noreply, State#state{leaving = none}}
    end;
handle_info(tidy, State) ->
    _ = spawn(fun hb_cron_ownership_jobs:tidy/0),
    _ = erlang:send_after(?TIDY_EVERY, self(), tidy),
    {noreply, State};
handle_info(_Stray, State) ->
    {noreply, State}.

%% Processes of owned shards

-spec owned(Shard :: non_neg_integer(), Epoch :: integer(), [row()], #state{}) -> #state{}.
owned(Shard, Epoch, Rows, #state{shards = Shards} = State) ->
    case Shards of
        #{Shard := #shard{epoch = Epoch, stage = held} = Known} -> owned(Shard, Known, Rows, State, Epoch);
        %% It is being handed over.
        #{Shard := #shard{epoch = Epoch}} -> State;
        #{Shard := #shard{epoch = Other}} -> owned(Shard, Epoch, Rows, lost({Shard, Other}, State));
        #{} -> owned(Shard, #shard{epoch = Epoch}, Rows, State, Epoch)
    end.

owned(Shard, #shard{processes = Before} = Known, Rows, State, Epoch) ->
    Now = maps:from_list([{ProcId, {Generation, Asked}} || {ProcId, _, _, _, Generation, Asked} <- Rows]),
    Forgotten = maps:keys(maps:without(maps:keys(Now), Before)),
    Without = lists:foldl(fun(ProcId, Acc) -> end_monitor(ProcId, Shard, Acc) end, State, Forgotten),
    #state{shards = Shards} = Without,
    Next = Without#state{shards = Shards#{Shard => Known#shard{processes = Now}}},
    lists:foldl(fun(Row, Acc) ->
        follow(Row, Shard, Epoch, maps:get(element(1, Row), Before, none), Acc)
    end, Next, Rows).

follow({ProcId, true, _Ended, Packed, Generation, Asked}, Shard, Epoch, Before, State) ->
    Stake = {Shard, Epoch, Generation},
    case hb_cron_registry:find(ProcId) of
        {ok, {Monitor, _, #{stake := Stake} = Options}} ->
            ok = hb_cron_ownership_jobs:set_paused(Monitor, Packed, Options),
            ok = case Before of
                {Generation, Other} when Other =/= Asked -> Monitor ! tick, ok;
                _ -> ok
            end,
            State;
        {ok, {_, _, #{stake := _}}} ->
            start_later({ProcId, Stake, Packed, Asked}, end_monitor(ProcId, Shard, State));
        _ ->
            case hb_cron_restarts:is_planned(ProcId) of
                %% It crashed, and has the same stake, or a restart that fails.
                true -> start_later({ProcId, Stake, Packed, Asked}, end_monitor(ProcId, Shard, State));
                false -> start_later({ProcId, Stake, Packed, Asked}, State)
            end
    end;
follow({ProcId, false, Ended, _Packed, Generation, _Asked}, Shard, _Epoch, _Before, State) ->
    ok = hb_cron_unstarted:started(ProcId),
    #state{ended = ToRecord} = Next = end_monitor(ProcId, Shard, State),
    case Ended orelse is_ending(ProcId, Next) of
        true -> Next;
        false ->
            ok = hb_cron_ownership_jobs:record_end(ProcId, Generation),
            Next#state{ended = ToRecord#{ProcId => Generation}}
    end.

start_later(Start, #state{starts = Starts, starting = Starting} = State) ->
    _ = Starting orelse (self() ! start_some),
    State#state{starts = queue:in(Start, Starts), starting = true}.

%% Messages are served between two slices: a shard may be lost again before its last monitor is started.
start_some(#state{starts = Starts} = State) ->
    {Some, Rest} = take(?SLICE, Starts, []),
    ok = hb_cron_ownership_jobs:start_all([Start || {ProcId, Stake, _, _} = Start <- Some, is_current(ProcId, Stake, State)]),
    IsLast = queue:is_empty(Rest),
    _ = IsLast orelse (self() ! start_some),
    State#state{starts = Rest, starting = not IsLast}.

take(0, Starts, Some) ->
    {lists:reverse(Some), Starts};
take(Left, Starts, Some) ->
    case queue:out(Starts) of
        {{value, Start}, Rest} -> take(Left - 1, Rest, [Start | Some]);
        {empty, _} -> {lists:reverse(Some), Starts}
    end.

is_current(ProcId, {Shard, Epoch, Generation}, #state{shards = Shards}) ->
    case Shards of
        #{Shard := #shard{epoch = Epoch, stage = held, processes = #{ProcId := {Generation, _}}}} -> true;
        #{} -> false
    end.

%% The monitor finishes its push and saves its acks.
end_monitor(ProcId, Shard, #state{ending = Ending} = State) ->
    case hb_cron_registry:stop_process(ProcId) of
        [] ->
            State;
        Pids ->
            lists:foreach(fun(Pid) -> Pid ! stop end, Pids),
            Known = [Pid || {_, _, Pid} <- maps:values(Ending)],
            Refs = [{monitor(process, Pid), {ProcId, Shard, Pid}} || Pid <- Pids -- Known],
            State#state{ending = maps:merge(Ending, maps:from_list(Refs))}
    end.

is_ending(ProcId, #state{ending = Ending}) ->
    lists:keymember(ProcId, 1, maps:values(Ending)).

has_ended(ProcId, Shard, #state{shards = Shards, ended = ToRecord} = State) ->
    case Shards of
        #{Shard := #shard{stage = stops, epoch = Epoch}} ->
            save_if_ended(Shard, Epoch, State);
        #{Shard := #shard{processes = #{ProcId := {Generation, _}}}} ->
            %% Whether it was stopped is in the database: what is recorded of a watched process has no effect.
            case is_ending(ProcId, State) orelse hb_cron_registry:is_monitored(ProcId) of
                true -> State;
                false ->
                    ok = hb_cron_ownership_jobs:record_end(ProcId, Generation),
                    State#state{ended = ToRecord#{ProcId => Generation}}
            end;
        #{} ->
            State
    end.

%% Shards that leave this host node

%% Another host node may own it: nothing is saved.
lost({Shard, Epoch}, #state{shards = Shards, ended = Ended} = State) ->
    case Shards of
        #{Shard := #shard{epoch = Epoch, processes = Processes}} ->
            ok = hb_cron_unstarted:leave(Shard),
            lists:foreach(fun(ProcId) ->
                lists:foreach(fun(Pid) -> Pid ! lost end, hb_cron_registry:stop_process(ProcId))
            end, maps:keys(Processes)),
            State#state{shards = maps:remove(Shard, Shards), ended = maps:without(maps:keys(Processes), Ended)};
        #{} ->
            State
    end.

hand_over({Shard, Epoch}, #state{shards = Shards} = State) ->
    case Shards of
        #{Shard := #shard{epoch = Epoch, stage = held, processes = Processes} = Known} ->
            Stops = State#state{shards = Shards#{Shard := Known#shard{stage = stops}}},
            Next = lists:foldl(fun(ProcId, Acc) -> end_monitor(ProcId, Shard, Acc) end, Stops, maps:keys(Processes)),
            save_if_ended(Shard, Epoch, Next);
        #{Shard := _} ->
            State;
        %% Its processes have not been read: none of them is monitored here.
        #{} ->
            save_if_ended(Shard, Epoch, State#state{shards = Shards#{Shard => #shard{epoch = Epoch, stage = stops}}})
    end.

save_if_ended(Shard, Epoch, #state{ending = Ending} = State) ->
    case lists:keymember(Shard, 2, maps:values(Ending)) of
        true -> State;
        false -> save(Shard, Epoch, State)
    end.

%% All acks must be durable before the next owner reads the cursors.
save(Shard, Epoch, #state{shards = Shards, saving = Saving} = State) ->
    case {Shards, hb_cron_registry:engine()} of
        {#{Shard := #shard{epoch = Epoch} = Known}, {ok, Engine, _}} ->
            Number = hb_process_monitor_nif:flush(Engine),
            State#state{shards = Shards#{Shard := Known#shard{stage = saves}}, saving = Saving#{Number => {Shard, Epoch}}};
        {#{Shard := #shard{epoch = Epoch}}, none} ->
            _ = erlang:send_after(?REPEAT, self(), {save, Shard, Epoch}),
            State;
        _ ->
            State
    end.

saved(ok, Shard, Epoch, #state{shards = Shards} = State) ->
    ok = hb_cron_unstarted:leave(Shard),
    with_engine(fun(Engine) -> hb_process_monitor_nif:cluster_stopped(Engine, Shard, Epoch) end),
    case Shards of
        #{Shard := #shard{epoch = Epoch}} -> State#state{shards = maps:remove(Shard, Shards)};
        #{} -> State
    end;
saved({error, _}, Shard, Epoch, State) ->
    _ = erlang:send_after(?REPEAT, self(), {save, Shard, Epoch}),
    State.

%% Redelivery

redeliver(Wishes, State) -> lists:foldl(fun redeliver_one/2, State, Wishes).

redeliver_one({ProcId, Id, Wish}, #state{redelivering = Redelivering} = State) ->
    case {lists:member({ProcId, Id}, maps:values(Redelivering)), hb_cron_registry:find(ProcId)} of
        {false, {ok, {Monitor, _, _}}} ->
            {Pid, _} = spawn_monitor(fun() -> hb_cron_ownership_jobs:redeliver(Monitor, ProcId, Id, Wish) end),
            State#state{redelivering = Redelivering#{Pid => {ProcId, Id}}};
        _ ->
            State
    end.

with_engine(Fun) ->
    _ = case hb_cron_registry:engine() of
        {ok, Engine, _} -> Fun(Engine);
        none -> ok
    end,
    ok.

%% @private
%% How many, not which.
-spec format_status(gen_server:format_status()) -> gen_server:format_status().
format_status(#{state := #state{} = State} = Status) ->
    Shown = #{shards => map_size(State#state.shards), starts => queue:len(State#state.starts),
              ending => map_size(State#state.ending), redelivering => map_size(State#state.redelivering)},
    hb_cron_sys_status:short(Status#{state := Shown});
format_status(Status) ->
    hb_cron_sys_status:short(Status).
