%%% @doc The calls of the API in a cluster: each changes the database, from any host node, and the owner of the process
%%% follows. {@link hb_cron_ownership} is the owner's part.
-module(hb_cron_cluster).

-export([is_on/0, start/2, start_again/1, start_all/1, add_configured/1, stop/1, stop/2, forget/1, pause/1, resume/1]).
-export([redeliver/2, discard/2, where/1, status/0]).

-export_type([node_row/0, status/0]).

-type node_row() :: #{name := binary(), me := boolean(), leaving := boolean(), beat_age := non_neg_integer() | undefined,
                      shards := non_neg_integer()}.
%% A host node: for how long its beat has not changed as far as this one has seen, in ms, and how many shards it owns.

-type status() :: #{
    connected := boolean(),
    name := binary(),
    incarnation := binary() | undefined,
    nodes := [node_row()],
    shards := non_neg_integer(),
    all_shards := pos_integer(),
    moving := non_neg_integer(),
    unread := non_neg_integer(),
    may_push := boolean(),
    unsaved_ms := non_neg_integer(),
    unconfirmed_ms := non_neg_integer() | undefined,
    ttl_ms := pos_integer(),
    error := binary() | undefined,
    latency_us := #{Lane :: atom() => {Median :: pos_integer(), P99 :: pos_integer()}},
    atom() => term()
}.
%% `shards', `moving' and `unread': those of this host node, and how many it is handing over or has yet to read.
%% `unsaved_ms': the age of the oldest ack that is not saved. `unconfirmed_ms': for how long the database has not confirmed
%% this host node; `undefined': it has not joined. `error': the last error of the database, while it lasts. `latency_us': how
%% long statements have taken at most, by connection. The counters `joins', `evictions', `burials', `claims', `hand_overs',
%% `fenced', `statements', `failures' and `restarts' count from the start of the host node.

%% How often a caller looks whether the owner has done what was requested, in ms.
-define(POLL, 50).
%% How long the owner may take for a change that callers wait for, in ms.
-define(LIMIT, 30000).
%% How long a stand-in may take to end whose process was stopped, in ms.
-define(STAND_IN_ENDS, 5000).
%% The first and the longest pause after a process of the configuration could not be added, in ms.
-define(BACKOFF, {1000, 30000}).

%% @doc Whether this host node is in a cluster.
-spec is_on() -> boolean().
is_on() ->
    hb_cron_registry:node_option(cron_cluster, undefined) =/= undefined.

%% @doc Starts monitoring a process. Returns its stand-in at once, which records the start.
-spec start(ProcId :: binary(), Given :: map()) -> hb_cron_monitors:started().
start(ProcId, Given) ->
    Packed = hb_cron_cluster_options:pack(Given),
    #{cursor := Cursor} = hb_cron_options:for_monitor(ProcId, Given),
    hb_cron_stand_ins:start(ProcId, Packed, Cursor).

%% @doc Starts monitoring a process that was stopped, with its former options, after its last ack.
-spec start_again(ProcId :: binary()) -> ok | {error, monitored | not_found | binary()}.
start_again(ProcId) ->
    case find(ProcId) of
        {ok, #{watched := false, options := Packed}} ->
            %% The last stand-in ends a moment after the stop.
            case until(fun() -> hb_cron_stand_ins:find(ProcId) =:= none end, hb_cron_deadline:new(?STAND_IN_ENDS)) of
                ok -> _ = hb_cron_stand_ins:start(ProcId, Packed, undefined), ok;
                {error, timeout} -> {error, monitored}
            end;
        {ok, _} -> {error, monitored};
        none -> {error, not_found};
        {error, Reason} -> {error, Reason}
    end.

%% @doc Starts monitoring many processes, and returns the outcome of each, in order: `already_monitored' if this host node
%% has a stand-in of the process. As after {@link start/2}, the starts are recorded soon, many of them at once.
-spec start_all([{ProcId :: binary() | none, {ok, Given :: map()} | {error, Reason :: term()}}]) ->
    [hb_process_monitor:outcome()].
start_all(All) ->
    [case packed(Given, Checked) of
        {ok, Options, Cursor} -> hb_cron_stand_ins:start_once(ProcId, Options, Cursor);
        {error, Reason} -> {error, Reason}
     end || {{ProcId, Given}, {_, Checked}} <- lists:zip(All, hb_cron_options:for_monitors(All))].

packed({ok, Given}, {ok, #{cursor := Cursor}}) ->
    try {ok, hb_cron_cluster_options:pack(Given), Cursor}
    catch error:Reason -> {error, Reason}
    end;
packed(_, {error, Reason}) ->
    {error, Reason}.

%% @doc Adds the processes of `cron_processes' that the database does not have. Those that it has are not changed, also
%% if they were stopped. Returns once all are recorded.
-spec add_configured([term()]) -> ok.
add_configured(Entries) ->
    lists:foreach(fun(Starts) -> add(Starts, 1) end, hb_cron_recorder:divide([Start || Entry <- Entries, Start <- to_add(Entry)])).

to_add(Entry) ->
    try
        {ProcId, Options} = hb_cron_process_entry:read(Entry),
        #{cursor := Cursor} = hb_cron_options:for_monitor(ProcId, Options),
        [{ProcId, hb_cron_cluster_options:pack(Options), Cursor}]
    catch
        error:Reason ->
            hb_cron_host_logger:log(undefined, {error, bad_cron_process, hb_cron_secret:redact({Entry, Reason})}),
            []
    end.

add(Starts, Failures) ->
    case hb_cron_cluster_request:call({add, Starts}) of
        {ok, _} ->
            ok;
        {error, Reason} ->
            [{ProcId, _, _} | _] = Starts,
            _ = hb_cron_retry_policy:is_reported(Failures) andalso
                hb_cron_host_logger:log(undefined, {error, not_recorded, {ProcId, add, Reason, Failures}}),
            receive after rand:uniform(hb_cron_retry_policy:longest_pause(Failures, ?BACKOFF)) -> ok end,
            add(Starts, Failures + 1)
    end.

%% @doc Stops a process, or that of a stand-in or of a monitor of this host node. Does not wait.
-spec stop(pid() | binary()) -> ok.
stop(Id) ->
    _ = case is_pid(Id) andalso hb_cron_stand_ins:process_of(Id) of
        {ok, _} -> Id ! stop;
        _ -> spawn(fun() -> stop(Id, 0) end)
    end,
    ok.

%% @doc Stops a process, or that of a stand-in or of a monitor of this host node, and waits until its owner has ended its
%% monitor and saved its acks, at most `Timeout' ms.
-spec stop(pid() | binary(), timeout()) -> ok | {error, timeout | not_durable | not_monitored}.
stop(ProcId, Timeout) when is_binary(ProcId) ->
    once_recorded(ProcId, Timeout, fun(Deadline) ->
        case find(ProcId) of
            {ok, #{watched := true}} -> stop_recorded(ProcId, Deadline);
            {error, _} -> {error, not_durable};
            _ -> {error, not_monitored}
        end
    end);
stop(Pid, Timeout) ->
    case process_of(Pid) of
        {ok, ProcId} -> once_recorded(ProcId, Timeout, fun(Deadline) -> stop_recorded(ProcId, Deadline) end);
        none -> ok
    end.

%% A stop must not overtake the start of a stand-in of this host node. If that is not recorded in time, the stand-in
%% records the stop after it.
once_recorded(ProcId, Timeout, Stop) ->
    Deadline = hb_cron_deadline:new(Timeout),
    case until(fun() -> hb_cron_stand_ins:is_recorded(ProcId) end, Deadline) of
        ok -> Stop(Deadline);
        {error, timeout} -> ok = hb_cron_stand_ins:stop(ProcId), {error, timeout}
    end.

stop_recorded(ProcId, Deadline) ->
    case hb_cron_cluster_request:call({stop, ProcId}, limit(hb_cron_deadline:left(Deadline))) of
        ok ->
            ok = hb_cron_stand_ins:gone(ProcId),
            until(fun() -> has_ended(ProcId) end, Deadline);
        {error, _} ->
            {error, not_durable}
    end.

process_of(Pid) ->
    case hb_cron_stand_ins:process_of(Pid) of
        {ok, ProcId} -> {ok, ProcId};
        none ->
            case hb_cron_registry:words(Pid) of
                {ok, ProcId, _Words} -> {ok, ProcId};
                none -> none
            end
    end.

has_ended(ProcId) ->
    case find(ProcId) of
        {ok, #{watched := false, ended := Ended}} -> Ended;
        %% It was started again, or forgotten.
        {ok, #{watched := true}} -> true;
        none -> true;
        {error, _} -> false
    end.

until(Holds, Until) ->
    case Holds() of
        true -> ok;
        false ->
            case hb_cron_deadline:left(Until) of
                0 -> {error, timeout};
                Left -> receive after min(Left, ?POLL) -> until(Holds, Until) end
            end
    end.

%% The request is made in any case.
limit(infinity) -> ?LIMIT;
limit(Timeout) -> max(1000, min(Timeout, ?LIMIT)).

%% @doc Forgets a process that is not monitored.
-spec forget(ProcId :: binary()) -> ok | {error, monitored | binary()}.
forget(ProcId) ->
    case hb_cron_cluster_request:call({forget, ProcId}) of
        %% It is unknown, or monitored.
        {error, not_found} ->
            case find(ProcId) of
                {ok, _} -> {error, monitored};
                none -> ok;
                {error, Reason} -> {error, Reason}
            end;
        Answer ->
            Answer
    end.

%% @doc Has the monitor of a process pause.
-spec pause(hb_cron_info:id()) -> ok | {error, not_monitored | not_durable}.
pause(Id) -> set_paused(Id, true).

%% @doc Has a paused monitor continue.
-spec resume(hb_cron_info:id()) -> ok | {error, not_monitored | not_durable}.
resume(Id) -> set_paused(Id, false).

set_paused(Pid, Paused) when is_pid(Pid) ->
    case process_of(Pid) of
        {ok, ProcId} -> set_paused(ProcId, Paused);
        none -> {error, not_monitored}
    end;
set_paused(ProcID, Paused) ->
    ProcId = hb_cron_process_id:new(ProcID),
    case find(ProcId) of
        {ok, #{watched := true, generation := Generation, options := Packed}} ->
            case hb_cron_cluster_options:set_paused(Paused, Packed) of
                {ok, Changed} ->
                    case hb_cron_cluster_request:call({set_options, ProcId, Generation, Changed}) of
                        ok -> ok;
                        %% It was started anew or forgotten meanwhile.
                        {error, not_found} -> set_paused(ProcId, Paused);
                        {error, _} -> {error, not_durable}
                    end;
                {error, _} ->
                    {error, not_durable}
            end;
        {ok, _} -> {error, not_monitored};
        none -> {error, not_monitored};
        {error, _} -> {error, not_durable}
    end.

%% @doc Has the owner of a process push a dead letter again, and waits until it has.
-spec redeliver(ProcId :: binary(), Id :: term()) ->
    ok | {error, not_monitored | not_found | {push_failed, Reason :: term()} | binary()}.
redeliver(ProcId, Id) when is_integer(Id), Id >= 1 ->
    case find(ProcId) of
        {ok, #{watched := true}} ->
            case hb_cron_cluster_request:call({redeliver, ProcId, Id}) of
                {ok, Wish} -> redelivered(ProcId, Id, Wish, hb_cron_deadline:new(?LIMIT));
                {error, Reason} -> {error, Reason}
            end;
        {ok, _} -> {error, not_monitored};
        none -> {error, not_monitored};
        {error, Reason} -> {error, Reason}
    end;
redeliver(_ProcId, _Id) ->
    {error, not_found}.

redelivered(ProcId, Id, Wish, Until) ->
    case hb_cron_cluster_request:call({wish, ProcId, Id, Wish}) of
        {ok, gone} -> ok;
        {ok, {refused, Reason}} -> {error, {push_failed, Reason}};
        _ ->
            case hb_cron_deadline:left(Until) of
                0 -> {error, <<"the owner of the process has not pushed it yet; it will">>};
                Left -> receive after min(Left, ?POLL) -> redelivered(ProcId, Id, Wish, Until) end
            end
    end.

%% @doc Removes a dead letter.
-spec discard(ProcId :: binary(), Id :: term()) -> ok | {error, not_found | binary()}.
discard(ProcId, Id) when is_integer(Id), Id >= 1 ->
    hb_cron_cluster_request:call({discard, ProcId, Id});
discard(_ProcId, _Id) ->
    {error, not_found}.

%% @doc The name of the host node that monitors a process, or `here'; `none' if no one does at present, `not_monitored' if
%% the process is not to be monitored.
-spec where(ProcId :: binary()) -> {ok, Name :: binary()} | here | none | not_monitored | {error, Reason :: binary()}.
where(ProcId) ->
    case find(ProcId) of
        {ok, #{watched := true, owner := undefined}} -> none;
        {ok, #{watched := true, mine := true}} -> here;
        {ok, #{watched := true, owner := Name}} -> {ok, Name};
        {ok, _} -> not_monitored;
        none -> not_monitored;
        {error, Reason} -> {error, Reason}
    end.

find(ProcId) ->
    case hb_cron_cluster_request:call({find, [ProcId]}) of
        {ok, [Row]} -> {ok, Row};
        {ok, []} -> none;
        {error, Reason} -> {error, Reason}
    end.

%% @doc What this host node sees of the cluster. Asks nothing.
-spec status() -> status() | undefined.
status() ->
    case {is_on(), hb_cron_registry:engine()} of
        {true, {ok, Engine, _}} -> hb_process_monitor_nif:cluster_status(Engine);
        _ -> undefined
    end.
