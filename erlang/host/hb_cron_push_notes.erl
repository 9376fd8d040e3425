%%% @doc Counts, for each process, what a push reports once or ever less often: a target whose own code fails, an item
%%% that the host has no call for. The counts live as long as the supervision tree, so that neither a restart of a
%%% monitor nor its next result repeats a report.
-module(hb_cron_push_notes).

-export([create/0, count/2, remember/3, recalls/2, forget/1]).

-define(TABLE, hb_cron_push_notes).

%% @doc Creates the table; the caller owns it.
-spec create() -> ok.
create() ->
    ?TABLE = ets:new(?TABLE, [named_table, public, ordered_set, {write_concurrency, true}, {read_concurrency, true}]),
    ok.

%% @doc How often this has been noted for the process, this time included.
-spec count(ProcId :: binary(), What :: atom()) -> pos_integer().
count(ProcId, What) ->
    %% The tree may die during a push.
    try ets:update_counter(?TABLE, {ProcId, What}, 1, {{ProcId, What}, 0})
    catch error:badarg -> 1
    end.

%% @doc Remembers something about a process for a time in ms.
-spec remember(ProcId :: binary(), What :: atom(), Ms :: pos_integer()) -> ok.
remember(ProcId, What, Ms) ->
    try ets:insert(?TABLE, {{ProcId, What}, erlang:monotonic_time(millisecond) + Ms}) of
        true -> ok
    catch
        error:badarg -> ok
    end.

%% @doc Whether it is remembered.
-spec recalls(ProcId :: binary(), What :: atom()) -> boolean().
recalls(ProcId, What) ->
    try ets:lookup(?TABLE, {ProcId, What}) of
        [{_, Until}] -> erlang:monotonic_time(millisecond) < Until;
        [] -> false
    catch
        error:badarg -> false
    end.

%% @doc Forgets a process.
-spec forget(ProcId :: binary()) -> ok.
forget(ProcId) ->
    try ets:match_delete(?TABLE, {{ProcId, '_'}, '_'}) of
        true -> ok
    catch
        error:badarg -> ok
    end.
