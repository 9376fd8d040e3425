%%% @doc Carries out many starts in batches, side by side in a few processes. The batches are in the order of the process
%%% ids: neighbours are in the same pages of the checkpoint and of the registry, so each page is written once or twice, and
%%% not by nearly every commit.
%%%
%%% What a batch leaves on the heap goes with its process, and the caller's heap has the outcomes alone.
-module(hb_cron_start_batches).

-export([run/2]).
%% Spawned
-export([work/2]).

%% How many starts are in a batch.
-define(BATCH, 500).
%% How many processes carry out batches, if there are as many schedulers. More would let more monitors start at once, which
%% delays the ticks of others.
-define(WORKERS, 4).

-type start() :: {ProcId :: binary() | none, Start :: term()}.

%% @doc Calls `Run' with batches of these starts, and returns their outcomes in the order of the starts. Starts of the same
%% process are in the same batch, in their order. What `Run' raises is raised here.
-spec run([start()], Run :: fun(([start(), ...]) -> [Outcome, ...])) -> [Outcome].
run([], _Run) ->
    [];
run(Starts, Run) when length(Starts) =< ?BATCH ->
    Run(Starts);
run(Starts, Run) ->
    Numbered = [{ProcId, N, Start} || {N, {ProcId, Start}} <- lists:enumerate(Starts)],
    Batches = divide(lists:keysort(1, Numbered)),
    Count = min(?WORKERS, erlang:system_info(schedulers_online)),
    %% Linked, since they end with the caller; monitored, since the caller may trap exits.
    Workers = maps:from_list([spawn_opt(?MODULE, work, [self(), Run], [link, monitor]) || _ <- lists:seq(1, Count)]),
    {_, Outcomes} = lists:unzip(lists:keysort(1, collect(Batches, Workers, []))),
    Outcomes.

divide([]) ->
    [];
divide(Numbered) ->
    {Batch, Rest} = batch(?BATCH, Numbered, none, []),
    [Batch | divide(Rest)].

%% Entries without a valid process are all different.
batch(Left, [{ProcId, _, _} = Start | Rest], Last, Batch) when Left > 0; ProcId =:= Last, ProcId =/= none ->
    batch(Left - 1, Rest, ProcId, [Start | Batch]);
batch(_Left, Rest, _Last, Batch) ->
    {lists:reverse(Batch), Rest}.

collect(_Batches, Workers, Done) when map_size(Workers) =:= 0 ->
    lists:append(Done);
collect(Batches, Workers, Done) ->
    receive
        {?MODULE, Worker, Outcomes} when is_map_key(Worker, Workers) ->
            case Batches of
                [Batch | Rest] ->
                    Worker ! {?MODULE, Batch},
                    collect(Rest, Workers, [Outcomes | Done]);
                [] ->
                    ok = release(Worker, map_get(Worker, Workers)),
                    collect([], maps:remove(Worker, Workers), [Outcomes | Done])
            end;
        {'DOWN', Ref, process, Worker, Reason} when map_get(Worker, Workers) =:= Ref ->
            maps:foreach(fun release/2, maps:remove(Worker, Workers)),
            case Reason of
                {raised, Class, Why, Stack} -> erlang:raise(Class, Why, Stack);
                _ -> error({not_started, Reason})
            end
    end.

%% Leaves nothing of a worker in the caller's mailbox.
release(Worker, Ref) ->
    true = unlink(Worker),
    true = exit(Worker, kill),
    receive {'DOWN', Ref, process, _, _} -> ok end,
    receive {?MODULE, Worker, _} -> ok after 0 -> ok end,
    receive {'EXIT', Worker, _} -> ok after 0 -> ok end.

%% @private
%% Says that it is ready, with the outcomes of the last batch, until it is killed.
-spec work(Caller :: pid(), fun(([start(), ...]) -> [term(), ...])) -> no_return().
work(Caller, Run) ->
    Caller ! {?MODULE, self(), []},
    work_on(Caller, Run).

work_on(Caller, Run) ->
    receive
        {?MODULE, Batch} ->
            Outcomes = try Run([{ProcId, Start} || {ProcId, _, Start} <- Batch])
            catch Class:Why:Stack ->
                true = unlink(Caller),
                exit({raised, Class, Why, Stack})
            end,
            Caller ! {?MODULE, self(), lists:zipwith(fun({_, N, _}, Outcome) -> {N, Outcome} end, Batch, Outcomes)},
            work_on(Caller, Run)
    end.
