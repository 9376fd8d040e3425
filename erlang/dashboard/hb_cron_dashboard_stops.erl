%%% @doc Stops monitors for the dashboard, and remembers with which options they ran, so that a stop can be taken back. The
%%% options never leave the node. Of a process that was stopped elsewhere nothing is remembered.
-module(hb_cron_dashboard_stops).

-export([create/0, stop/1, start_again/1, is_remembered/1]).

%% {ProcId, AtMs, Options}: the options of the monitor, or `cluster', where the database has them.
-define(TABLE, ?MODULE).
%% How many are remembered.
-define(KEPT, 200).
%% How long a request waits for the end of the monitor, in ms: it may be in a push.
-define(PATIENCE, 3000).

%% @doc Creates the table; the caller owns it.
-spec create() -> ok.
create() ->
    ?TABLE = ets:new(?TABLE, [named_table, public, set]),
    ok.

%% @doc Stops the monitor of a process, and remembers it. `waiting': it ends after the push under way. One in a supervisor of
%% the host is left to that.
-spec stop(ProcId :: binary()) -> ok | waiting | {error, not_durable | not_monitored | supervised}.
stop(ProcId) ->
    case {hb_cron_cluster:is_on(), hb_cron_registry:find(ProcId)} of
        {false, {ok, {_, _, #{supervised := true}}}} -> {error, supervised};
        {false, {ok, {_, _, Options}}} -> remembered(ProcId, Options, waited(hb_cron_stop:stop(ProcId, ?PATIENCE)));
        %% It crashed, and its restart is cancelled.
        {false, none} -> waited(hb_cron_stop:stop(ProcId, ?PATIENCE));
        {true, _} -> remembered(ProcId, cluster, waited(hb_cron_cluster:stop(ProcId, ?PATIENCE)))
    end.

waited({error, timeout}) -> waiting;
waited(Outcome) -> Outcome.

remembered(_ProcId, _Options, {error, not_monitored} = Outcome) ->
    Outcome;
remembered(ProcId, Options, Outcome) ->
    true = ets:insert(?TABLE, {ProcId, erlang:monotonic_time(millisecond), Options}),
    ok = drop_oldest(ets:info(?TABLE, size)),
    Outcome.

drop_oldest(Size) when Size =< ?KEPT -> ok;
drop_oldest(_) ->
    [{_, Oldest} | _] = lists:sort(ets:select(?TABLE, [{{'$1', '$2', '_'}, [], [{{'$2', '$1'}}]}])),
    true = ets:delete(?TABLE, Oldest),
    ok.

%% @doc Whether a process can be started again.
-spec is_remembered(ProcId :: binary()) -> boolean().
is_remembered(ProcId) -> ets:member(?TABLE, ProcId).

%% @doc Starts a process again as it ran before its stop, after its last ack.
-spec start_again(ProcId :: binary()) -> ok | {error, not_remembered | monitored | not_found | binary()}.
start_again(ProcId) ->
    case ets:lookup(?TABLE, ProcId) of
        [{_, _, cluster}] ->
            started(ProcId, hb_cron_cluster:start_again(ProcId));
        [{_, _, Options}] ->
            _ = hb_cron_monitors:start(ProcId, hb_cron_options:set_going_on(with_new_logger(Options))),
            started(ProcId, ok);
        [] ->
            {error, not_remembered}
    end.

%% It stays remembered while it cannot be started, as long as the database does not answer for instance.
started(_ProcId, {error, Reason}) when is_binary(Reason) -> {error, Reason};
started(ProcId, Outcome) -> true = ets:delete(?TABLE, ProcId), Outcome.

%% A logger that was started for the stopped monitor ends with it.
with_new_logger(#{own_logger := true} = Options) -> maps:remove(own_logger, Options#{logger := undefined});
with_new_logger(Options) -> Options.
