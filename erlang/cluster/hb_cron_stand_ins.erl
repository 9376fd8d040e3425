%%% @doc The stand-ins of this host node: a table that lives as long as the supervision tree, and their supervisor. Each
%%% process has at most one.
-module(hb_cron_stand_ins).
-behaviour(supervisor).

-export([create/0, start_link/0, start/3, start_once/3, find/1, process_of/1, claim/3, recorded/1, is_recorded/1, to_check/1, checked/1,
         leave/2, stop/1, gone/1, count/0]).
-export([init/1]).

%% {ProcId, StandIn, Logger, Stage, Shard} and {StandIn, ProcId}. The stage: `unrecorded', the start is not in the database;
%% `unchecked', it is; `checked', the process was monitored at a check since then.
-define(TABLE, hb_cron_stand_ins).

%% @doc Creates the table; the caller owns it.
-spec create() -> ok.
create() ->
    ?TABLE = ets:new(?TABLE, [named_table, public, ordered_set, {read_concurrency, true}]),
    ok.

-spec start_link() -> supervisor:startlink_ret().
start_link() ->
    supervisor:start_link({local, ?MODULE}, ?MODULE, []).

%% @private
-spec init([]) -> {ok, {supervisor:sup_flags(), [supervisor:child_spec()]}}.
init([]) ->
    {ok, {#{strategy => simple_one_for_one}, [
        #{id => stand_in, start => {hb_cron_stand_in, start_link, []}, restart => temporary}
    ]}}.

%% @doc Starts the stand-in of a process, which records the start; if there is one, that is the answer.
-spec start(ProcId :: binary(), Options :: binary(), hb_cron_options:cursor()) ->
    {StandIn :: pid(), hb_cron_host_logger:logger()}.
start(ProcId, Options, Cursor) ->
    case start_once(ProcId, Options, Cursor) of
        {error, Reason} -> error(Reason);
        {_, StandIn} -> StandIn
    end.

%% @doc The same, and whether there was one.
-spec start_once(ProcId :: binary(), Options :: binary(), hb_cron_options:cursor()) ->
    {started | already_monitored, {StandIn :: pid(), hb_cron_host_logger:logger()}} | {error, {not_started, Reason :: term()}}.
start_once(ProcId, Options, Cursor) ->
    case find(ProcId) of
        {ok, Found} ->
            {already_monitored, Found};
        none ->
            try supervisor:start_child(?MODULE, [ProcId, Options, Cursor]) of
                {ok, undefined} -> start_once(ProcId, Options, Cursor);
                {ok, StandIn} -> {started, {StandIn, logger_of(ProcId, StandIn)}};
                {error, Reason} -> {error, {not_started, Reason}}
            catch
                %% The tree is going down.
                exit:{Reason, _} -> {error, {not_started, Reason}}
            end
    end.

%% It may have ended in between.
logger_of(ProcId, StandIn) ->
    case find(ProcId) of
        {ok, {StandIn, Logger}} -> Logger;
        _ -> undefined
    end.

%% @doc The stand-in of a process.
-spec find(ProcId :: binary()) -> {ok, {StandIn :: pid(), hb_cron_host_logger:logger()}} | none.
find(ProcId) ->
    case ets:lookup(?TABLE, ProcId) of
        [{_, StandIn, Logger, _, _}] ->
            case is_process_alive(StandIn) of
                true -> {ok, {StandIn, Logger}};
                false -> ok = leave(ProcId, StandIn), none
            end;
        [] ->
            none
    end.

%% @doc The process of a stand-in.
-spec process_of(pid()) -> {ok, ProcId :: binary()} | none.
process_of(StandIn) ->
    try ets:lookup(?TABLE, StandIn) of
        [{_, ProcId}] -> {ok, ProcId};
        [] -> none
    catch
        error:badarg -> none
    end.

%% @doc Makes a process the stand-in of `ProcId', unless there is one.
-spec claim(ProcId :: binary(), StandIn :: pid(), hb_cron_host_logger:logger()) -> boolean().
claim(ProcId, StandIn, Logger) ->
    ets:insert_new(?TABLE, [{ProcId, StandIn, Logger, unrecorded, hb_process_monitor_nif:cluster_shard(ProcId)},
                           {StandIn, ProcId}]).

%% @doc The start of a process is in the database.
-spec recorded(ProcId :: binary()) -> ok.
recorded(ProcId) ->
    _ = ets:update_element(?TABLE, ProcId, {4, unchecked}),
    ok.

%% @doc Whether it is. A process without a stand-in on this host node was started by another one.
-spec is_recorded(ProcId :: binary()) -> boolean().
is_recorded(ProcId) ->
    try ets:lookup_element(?TABLE, ProcId, 4) =/= unrecorded
    catch error:badarg -> true
    end.

%% @doc The processes to be looked for: those of these shards, and those that were not checked since their start was
%% recorded.
-spec to_check(#{Shard :: non_neg_integer() => term()}) -> [ProcId :: binary()].
to_check(Shards) ->
    ets:select(?TABLE, [{{'$1', '_', '_', '$2', '$3'},
                         [{'=/=', '$2', unrecorded},
                          {'orelse', {'=:=', '$2', unchecked}, {is_map_key, '$3', {const, Shards}}}],
                         ['$1']}]).

%% @doc A process is monitored. A stand-in that has just replaced that of the check is left.
-spec checked(ProcId :: binary()) -> ok.
checked(ProcId) ->
    Checked = [{{ProcId, '$1', '$2', unchecked, '$3'}, [], [{{{const, ProcId}, '$1', '$2', checked, '$3'}}]}],
    _ = ets:select_replace(?TABLE, Checked),
    ok.

%% @doc A stand-in ends.
-spec leave(ProcId :: binary(), StandIn :: pid()) -> ok.
leave(ProcId, StandIn) ->
    true = ets:match_delete(?TABLE, {ProcId, StandIn, '_', '_', '_'}),
    true = ets:delete(?TABLE, StandIn),
    ok.

%% @doc Has the stand-in of a process end that is not monitored any more.
-spec gone(ProcId :: binary()) -> ok.
gone(ProcId) -> tell(ProcId, gone).

%% @doc Has the stand-in of a process stop it.
-spec stop(ProcId :: binary()) -> ok.
stop(ProcId) -> tell(ProcId, stop).

tell(ProcId, Message) ->
    case find(ProcId) of
        {ok, {StandIn, _}} -> StandIn ! Message, ok;
        none -> ok
    end.

%% @doc Approximately how many there are.
-spec count() -> non_neg_integer().
count() ->
    case ets:info(?TABLE, size) of
        undefined -> 0;
        Rows -> Rows div 2
    end.
