%%% @doc Planned starts: of monitors that crashed, and of processes that could not be resumed. They are in tables
%%% of the supervision tree, so they outlive {@link hb_cron_restarter}, which carries them out.
-module(hb_cron_restarts).

-export([create/0]).
%% Planned starts
-export([plan/3, not_started/4, start_of/2, cancel/2, drop/1, is_planned/1, all/0, refused/1, set_options/2]).
%% Crashes
-export([watch/0, pause/1, crashed/3, crashed/1, settle/1, forget/1]).

-export_type([token/0, start/0]).

-type token() :: reference().
%% Identifies one planned start. If its token is gone from the table, the start was cancelled.

-type start() :: {monitor, hb_cron_options:monitor()} | {given, Options :: map()} | {kept, binary()}.
%% The options of a start: those of the monitor that crashed, those of the host's configuration, or those that the
%% checkpoint kept. The last two may be refused now and valid later.

%% {ProcId, Token, Start, DueMs, Reason}: a planned start, due at a time of the monotonic clock, and why the last
%% one failed; `none' after a crash.
-define(RESTARTS, ?MODULE).
%% {ProcId, Count, SinceMs, Monitors}: how often the process's monitor crashed lately, when it last did, and the
%% latest pids. A caller may stop the process by one of these.
-define(CRASHES, hb_cron_crashes).
%% {Monitor, ProcId}: the process of these pids.
-define(CRASHED, hb_cron_crashed).
%% How many of them are kept.
-define(KNOWN, 8).
%% The process that carries the starts out.
-define(RESTARTER, hb_cron_restarter).
%% The first and the longest pause before a start, in ms.
-define(BACKOFF, {1000, 300000}).

%% @doc Creates the tables; the caller owns them.
-spec create() -> ok.
create() ->
    _ = [Name = ets:new(Name, [named_table, public, set, {read_concurrency, true}])
         || Name <- [?RESTARTS, ?CRASHES, ?CRASHED]],
    ok.

%% @doc Plans a start in so many ms. It replaces an earlier one.
-spec plan(ProcId :: binary(), start(), Ms :: non_neg_integer()) -> token().
plan(ProcId, Start, Ms) -> plan(ProcId, Start, Ms, none).

plan(ProcId, Start, Ms, Reason) ->
    Token = make_ref(),
    true = ets:insert(?RESTARTS, {ProcId, Token, Start, now_ms() + Ms, Reason}),
    Token.

%% @doc A process could not be started, for the `Failures'th time. Plans another try; logs at 1, 2, 4, 8, ...
-spec not_started(ProcId :: binary(), start(), Reason :: term(), Failures :: pos_integer()) -> ok.
not_started(ProcId, Start, Reason, Failures) ->
    Pause = pause(Failures),
    Token = plan(ProcId, Start, Pause, Reason),
    ok = gen_server:cast(?RESTARTER, {planned, ProcId, Token, Pause, Failures}),
    hb_cron_retry_policy:is_reported(Failures) andalso
        hb_cron_host_logger:log(undefined, {error, not_started, {ProcId, Reason, {again_in_ms, Pause}}}),
    ok.

%% @doc The pause before a start after so many failures, in ms.
-spec pause(Failures :: pos_integer()) -> pos_integer().
pause(Failures) -> rand:uniform(hb_cron_retry_policy:longest_pause(Failures, ?BACKOFF)).

%% @doc Has the restarter watch the calling monitor, which is in the registry.
-spec watch() -> ok.
watch() ->
    gen_server:cast(?RESTARTER, {watch, self()}).

%% @doc The options of a planned start; `cancelled' if it is gone.
-spec start_of(ProcId :: binary(), token()) -> {ok, start()} | cancelled.
start_of(ProcId, Token) ->
    case rows(?RESTARTS, ProcId) of
        [{_, Token, Start, _, _}] -> {ok, Start};
        _ -> cancelled
    end.

%% @doc Removes a planned start; false if it is gone.
-spec cancel(ProcId :: binary(), token()) -> boolean().
cancel(ProcId, Token) ->
    ets:select_delete(?RESTARTS, [{{ProcId, Token, '_', '_', '_'}, [], [true]}]) =:= 1.

%% @doc Removes the planned start of a process, and returns its options.
-spec drop(ProcId :: binary()) -> [start()].
drop(ProcId) ->
    [Start || {_, _, Start, _, _} <- ets:take(?RESTARTS, ProcId)].

%% @doc Whether a process's monitor crashed and will be restarted.
-spec is_planned(ProcId :: binary()) -> boolean().
is_planned(ProcId) ->
    case rows(?RESTARTS, ProcId) of
        [{_, _, {monitor, _}, _, _}] -> true;
        _ -> false
    end.

%% @doc All planned starts, and in how many ms each is due.
-spec all() -> [{ProcId :: binary(), token(), InMs :: non_neg_integer()}].
all() ->
    Now = now_ms(),
    try [{ProcId, Token, max(0, Due - Now)} || {ProcId, Token, _, Due, _} <- ets:tab2list(?RESTARTS)]
    catch error:badarg -> []
    end.

%% @doc At most so many processes that could not be started, and why.
-spec refused(Most :: pos_integer()) -> [{ProcId :: binary(), Reason :: term()}].
refused(Most) ->
    Refused = [{{'$1', '_', {'$2', '_'}, '_', '$3'}, [{'=/=', '$2', monitor}], [{{'$1', '$3'}}]}],
    try ets:select(?RESTARTS, Refused, Most) of
        {Rows, _Next} -> Rows;
        '$end_of_table' -> []
    catch
        error:badarg -> []
    end.

%% @doc Changes the options of a planned start. `none': none is planned.
-spec set_options(ProcId :: binary(), fun((start()) -> start())) -> {ok, start()} | none.
set_options(ProcId, Change) ->
    case rows(?RESTARTS, ProcId) of
        [{_, Token, Start, Due, Reason}] ->
            Changed = Change(Start),
            %% Only if it is still the same one.
            Replace = [{{ProcId, Token, '_', Due, '_'}, [], [{const, {ProcId, Token, Changed, Due, Reason}}]}],
            case ets:select_replace(?RESTARTS, Replace) of
                1 -> {ok, Changed};
                0 -> none
            end;
        [] ->
            none
    end.

%% @doc A process's monitor crashed. Returns how often it crashed with less than `SettledMs' between two crashes.
-spec crashed(ProcId :: binary(), Monitor :: pid(), SettledMs :: pos_integer()) -> Count :: pos_integer().
crashed(ProcId, Monitor, Settled) ->
    Now = now_ms(),
    {Before, Known} = case ets:lookup(?CRASHES, ProcId) of
        [{_, Count, Since, Pids}] when Now - Since =< Settled -> {Count, Pids};
        [{_, _, _, Pids}] -> {0, Pids};
        [] -> {0, []}
    end,
    {Kept, Dropped} = lists:split(min(?KNOWN, length(Known) + 1), [Monitor | Known]),
    _ = [ets:delete(?CRASHED, Pid) || Pid <- Dropped],
    true = ets:insert(?CRASHED, {Monitor, ProcId}),
    true = ets:insert(?CRASHES, {ProcId, Before + 1, Now, Kept}),
    Before + 1.

%% @doc The process of a monitor that crashed, unless it was started again or stopped since.
-spec crashed(Monitor :: pid()) -> {ok, ProcId :: binary()} | none.
crashed(Monitor) ->
    case rows(?CRASHED, Monitor) of
        [{_, ProcId}] -> {ok, ProcId};
        [] -> none
    end.

%% @doc Forgets crashes of processes that are no longer monitored.
-spec settle(IsMonitored :: fun((ProcId :: binary()) -> boolean())) -> ok.
settle(IsMonitored) ->
    Crashed = ets:select(?CRASHES, [{{'$1', '_', '_', '_'}, [], ['$1']}]),
    lists:foreach(fun forget/1, [ProcId || ProcId <- Crashed, not IsMonitored(ProcId)]).

%% @doc The process was started or stopped: removes its planned start and its crashes.
-spec forget(ProcId :: binary()) -> ok.
forget(ProcId) ->
    _ = drop(ProcId),
    _ = [ets:delete(?CRASHED, Pid) || {_, _, _, Pids} <- ets:take(?CRASHES, ProcId), Pid <- Pids],
    ok.

%% Inspection works while the application is not running: then there are no tables.
rows(Table, Key) ->
    try ets:lookup(Table, Key)
    catch error:badarg -> []
    end.

now_ms() -> erlang:monotonic_time(millisecond).
