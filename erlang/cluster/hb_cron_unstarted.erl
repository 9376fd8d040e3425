%%% @doc The processes of owned shards that this host node could not start, with the reasons: the last few, for the
%%% doctor. {@link hb_cron_ownership} notes them, and removes those whose shard another host node owns.
-module(hb_cron_unstarted).

-export([create/0, note/3, started/1, leave/1, recent/0]).

-export_type([entry/0]).

-type entry() :: {ProcId :: binary(), Reason :: term(), Ago :: non_neg_integer()}.
%% `Ago': how long ago it could not be started, in ms.

%% {ProcId, Shard, Reason, AtMs}
-define(TABLE, ?MODULE).
%% How many are kept.
-define(KEPT, 20).

%% @doc Creates the table; the caller owns it.
-spec create() -> ok.
create() ->
    ?TABLE = ets:new(?TABLE, [named_table, public, set, {read_concurrency, true}]),
    ok.

%% @doc A process could not be started. The reason must have no password in it.
-spec note(ProcId :: binary(), Shard :: non_neg_integer(), Reason :: term()) -> ok.
note(ProcId, Shard, Reason) ->
    true = ets:insert(?TABLE, {ProcId, Shard, hb_cron_excerpt:details(Reason), erlang:monotonic_time(millisecond)}),
    drop_oldest(ets:info(?TABLE, size)).

drop_oldest(Size) when Size =< ?KEPT -> ok;
drop_oldest(_) ->
    [{_, Oldest} | _] = lists:sort([{At, ProcId} || {ProcId, _, _, At} <- ets:tab2list(?TABLE)]),
    started(Oldest).

%% @doc A process was started, or is not to be monitored any more.
-spec started(ProcId :: binary()) -> ok.
started(ProcId) ->
    true = ets:delete(?TABLE, ProcId),
    ok.

%% @doc This host node does not own a shard any more.
-spec leave(Shard :: non_neg_integer()) -> ok.
leave(Shard) ->
    true = ets:match_delete(?TABLE, {'_', Shard, '_', '_'}),
    ok.

%% @doc The last ones, the newest first.
-spec recent() -> [entry()].
recent() ->
    Now = erlang:monotonic_time(millisecond),
    try lists:keysort(3, [{ProcId, Reason, max(0, Now - At)} || {ProcId, _, Reason, At} <- ets:tab2list(?TABLE)])
    catch error:badarg -> []
    end.
