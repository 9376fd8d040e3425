%%% @doc What {@link hb_cron_ownership} has done for single processes of owned shards: monitors are started, paused and
%%% resumed, and what the database must know is sent in a process of its own.
-module(hb_cron_ownership_jobs).

-export([start_all/1, set_paused/3, record_end/2, redeliver/4, tidy/0]).

%% @doc Starts the monitors of processes with the options that the database has. A monitor polls at once if a caller has
%% ever requested that: the request may be as new as the start.
-spec start_all([{ProcId :: binary(), hb_cron_ownership:stake(), Options :: binary(), Asked :: integer()}]) -> ok.
start_all(Starts) ->
    Made = hb_cron_options:for_monitors([{ProcId, hb_cron_cluster_options:unpack(Packed)} || {ProcId, _, Packed, _} <- Starts]),
    Outcomes = hb_cron_monitors:start_all([{ProcId, at_stake(Options, Stake)}
                                           || {{ProcId, Options}, {_, Stake, _, _}} <- lists:zip(Made, Starts)]),
    lists:foreach(fun
        ({{error, Reason}, {ProcId, {Shard, _, _}, _, _}}) ->
            not_started(ProcId, Shard, Reason);
        ({{Is, {Monitor, _}}, {ProcId, _, _, Asked}}) ->
            _ = Is =:= started andalso Asked =/= 0 andalso (Monitor ! tick),
            ok = hb_cron_unstarted:started(ProcId)
    end, lists:zip(Outcomes, Starts)).

at_stake({ok, Options}, Stake) -> {ok, Options#{stake => Stake}};
at_stake(Other, _Stake) -> Other.

%% Until its options or this host node's configuration change, no start can succeed here.
not_started(ProcId, Shard, Reason) ->
    Shown = hb_cron_secret:redact(Reason),
    ok = hb_cron_unstarted:note(ProcId, Shard, Shown),
    hb_cron_host_logger:log(undefined, {error, cluster_process_not_started, {ProcId, Shown}}).

%% @doc Has a monitor pause or continue as the options in the database say.
-spec set_paused(Monitor :: pid(), Options :: binary(), hb_cron_options:monitor()) -> ok.
set_paused(Monitor, Packed, Options) ->
    case {hb_cron_cluster_options:unpack(Packed), hb_cron_options:is_paused(Options)} of
        {{ok, Wanted}, Is} ->
            case {hb_cron_cluster_options:is_paused(Wanted), Is} of
                {true, false} -> hb_cron_monitor:pause(Monitor);
                {false, true} -> hb_cron_monitor:resume(Monitor);
                _ -> ok
            end;
        {{error, _}, _} ->
            ok
    end.

%% @doc Records that the monitor of a stopped process has ended. The caller gets `{recorded, ProcId, Generation}'.
-spec record_end(ProcId :: binary(), Generation :: integer()) -> ok.
record_end(ProcId, Generation) ->
    Owner = self(),
    _ = spawn(fun() ->
        case hb_cron_cluster_request:call({ended, ProcId, Generation}) of
            ok -> Owner ! {recorded, ProcId, Generation};
            {error, _} -> ok
        end
    end),
    ok.

%% @doc Has a monitor push a dead letter again, and tells the database of the outcome.
-spec redeliver(Monitor :: pid(), ProcId :: binary(), Id :: pos_integer(), Wish :: integer()) -> ok.
redeliver(Monitor, ProcId, Id, Wish) ->
    case hb_cron_cluster_request:call({letter, ProcId, Id}) of
        {ok, {Id, _, _, _, Result, _}, true} ->
            Outcome = try hb_cron_monitor:redeliver(Monitor, Id, binary_to_term(Result, [safe])) of
                ok -> ok;
                {error, Why} -> {error, hb_cron_sys_status:reason(Why)}
            catch
                _:Why -> {error, hb_cron_sys_status:reason(Why)}
            end,
            _ = hb_cron_cluster_request:call({settle, ProcId, Id, Wish, Outcome}),
            ok;
        %% It is gone, or was settled.
        _ ->
            ok
    end.

%% @doc Notes in the database that the cluster runs, and forgets processes of owned shards that were stopped long ago.
-spec tidy() -> ok.
tidy() ->
    Before = case hb_cron_registry:node_options() of
        #{cron_forget_stopped_after := Ms} when is_integer(Ms) -> max(1, erlang:system_time(millisecond) - Ms);
        #{} -> 0
    end,
    _ = hb_cron_cluster_request:call({tidy, Before}),
    ok.
