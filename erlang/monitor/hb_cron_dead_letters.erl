%%% @doc Dead letters, results that were given up: reads them from the checkpoint in batches, has them pushed
%%% again, and removes them. {@link hb_cron_retry_policy} decides when a result is given up; the monitor pushes it.
-module(hb_cron_dead_letters).

-export([all/2, batch/4, redeliver/3, discard/3]).

-export_type([packed/0]).

-type packed() :: hb_process_monitor_nif:letter().
%% As the checkpoint has it: the result and the error, perhaps megabytes, are not decoded.

%% How many are read at a time, and how many bytes of them. The checkpoint's writer waits meanwhile.
-define(BATCH, 100).
-define(BYTES, 4194304).
%% How long a redelivery may take to become durable, in ms.
-define(DURABLE, 30000).

%% @doc All dead letters of a process, the oldest first.
-spec all(hb_process_monitor_nif:engine(), ProcId :: binary()) ->
    {ok, [hb_process_monitor:dead_letter()]} | {error, Reason :: binary()}.
all(Engine, ProcId) -> all(Engine, ProcId, 0, []).

all(Engine, ProcId, After, Read) ->
    case batch(Engine, ProcId, After, ?BATCH) of
        {ok, Batch, Next, _} ->
            Letters = [unpacked(Letter) || Letter <- Batch],
            case Next of
                done -> {ok, lists:append(lists:reverse([Letters | Read]))};
                _ -> all(Engine, ProcId, Next, [Letters | Read])
            end;
        {error, Reason} ->
            {error, Reason}
    end.

unpacked({Id, At, Attempts, Cursor, Result, Error}) ->
    #{id => Id, at => At, attempts => Attempts, cursor => Cursor,
      result => binary_to_term(Result), error => binary_to_term(Error)}.

%% @doc One batch: at most so many, with numbers after one; the number after which the next batch begins, or
%% `done'; and how many the process has. A batch of large ones is shorter.
-spec batch(hb_process_monitor_nif:engine(), ProcId :: binary(), After :: non_neg_integer(), Limit :: pos_integer()) ->
    {ok, [packed()], Next :: pos_integer() | done, All :: non_neg_integer()} | {error, Reason :: binary()}.
batch(Engine, ProcId, After, Limit) ->
    case hb_cron_checkpoint:letters(Engine, ProcId, After, {Limit, ?BYTES}) of
        {ok, Batch, true, All} -> {ok, Batch, element(1, lists:last(Batch)), All};
        {ok, Batch, false, All} -> {ok, Batch, done, All};
        {error, Reason} -> {error, Reason}
    end.

%% @doc Has the monitor of a process push a dead letter again. After a success it is removed.
-spec redeliver(hb_process_monitor_nif:engine(), ProcId :: binary(), Id :: pos_integer()) ->
    ok | {error, not_monitored | not_found | {push_failed, Reason :: term()} | binary()}.
redeliver(Engine, ProcId, Id) ->
    case hb_cron_cluster:is_on() of
        true -> hb_cron_cluster:redeliver(ProcId, Id);
        false -> redeliver_here(Engine, ProcId, Id)
    end.

redeliver_here(Engine, ProcId, Id) ->
    case {hb_cron_registry:find(ProcId), one(Engine, ProcId, Id)} of
        {none, _} -> {error, not_monitored};
        {_, {error, Reason}} -> {error, Reason};
        {{ok, {Monitor, _, _}}, {ok, Result}} ->
            try hb_cron_monitor:redeliver(Monitor, Id, Result) of
                %% The monitor has removed it. What is left is to wait until that is durable.
                ok -> hb_cron_checkpoint:flush(Engine, ?DURABLE);
                {error, not_found} -> {error, not_found};
                {error, not_monitored} -> {error, not_monitored};
                {error, Reason} -> {error, {push_failed, Reason}}
            catch
                exit:_ -> {error, not_monitored}
            end
    end.

one(Engine, ProcId, Id) when is_integer(Id), Id >= 1 ->
    case batch(Engine, ProcId, Id - 1, 1) of
        {ok, [{Id, _, _, _, Result, _}], _, _} -> {ok, binary_to_term(Result)};
        {ok, _, _, _} -> {error, not_found};
        {error, Reason} -> {error, Reason}
    end;
one(_Engine, _ProcId, _Id) ->
    {error, not_found}.

%% @doc Removes a dead letter. Returns once that is durable.
-spec discard(hb_process_monitor_nif:engine(), ProcId :: binary(), Id :: pos_integer()) ->
    ok | {error, not_found | binary()}.
discard(Engine, ProcId, Id) ->
    case hb_cron_cluster:is_on() of
        true -> hb_cron_cluster:discard(ProcId, Id);
        false -> hb_cron_checkpoint:discard(Engine, ProcId, Id)
    end.
