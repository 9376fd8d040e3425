%%% @doc The monitors of this node, and the running engine: ETS tables that live as long as the supervision tree.
%%% Every monitor writes its own rows.
-module(hb_cron_registry).

-export([create/0, mark_survivor/1]).
%% Monitors
-export([find/1, is_monitored/1, claim/6, who/1, set_options/2, release/1, stop/1, stop_process/1, leave/1, monitors/0, all_monitors/0]).
-export([owned_by/1]).
%% Monitors that crashed
-export([plan_restart/3]).
%% Inspection
-export([size/0, listing/2, listing_of/1, words/1, stopping/1, set_trouble/2, trouble/1, counts/0]).
%% The engine
-export([set_engine/3, engine/0, node_options/0, node_option/2]).
%% Push devices
-export([device/1, set_host_fault/1, host_fault/0]).

-export_type([entry/0, trouble/0]).

-type entry() :: {Monitor :: pid(), hb_cron_host_logger:logger(),
                  Options :: hb_cron_options:monitor()}.

-type trouble() :: {Class :: push_failed | push_held | result_too_large, Reason :: binary(), Failures :: pos_integer(), At :: integer(), NextTry :: integer()}.
%% Why the last push failed, how often it failed for this result, when, and when it is retried, in ms of the
%% monotonic clock.

%% {ProcId, Monitor, Logger, Options}: the monitor of ProcId. {Monitor, ProcId, StatusWords}: its process. Ordered,
%% so that it can be read in listings; all pids come before all binaries.
-define(NAMES, hb_cron_names).
%% {ProcId, Monitor, OwnLogger}: a monitor that was stopped and has not ended, and the logger that ends with it, or
%% `none'. A bag.
-define(LEAVING, hb_cron_leaving).
%% {Monitor, Trouble}: a monitor whose pushes fail. Nearly always empty.
-define(TROUBLE, hb_cron_trouble).
%% {engine, Engine, Ticker} and {{option, Key}, Value}: the options of scope node. Each has a row of its own, since
%% `cron_processes' may name 100,000 processes, and what is read is copied.
-define(ENGINE, hb_cron_current_engine).
%% A key of the process dictionary.
-define(SURVIVOR, hb_cron_survivor).

%% @doc Creates the tables; the caller owns them.
-spec create() -> ok.
create() ->
    Options = [named_table, public, {read_concurrency, true}],
    ?NAMES = ets:new(?NAMES, [ordered_set, {write_concurrency, true} | Options]),
    ?LEAVING = ets:new(?LEAVING, [bag | Options]),
    ?TROUBLE = ets:new(?TROUBLE, [set | Options]),
    ?ENGINE = ets:new(?ENGINE, [set | Options]),
    ok = hb_cron_push_notes:create(),
    %% Whether the application crashed. Otherwise no monitor is left.
    _ = hb_cron_run_state:is_stopping() orelse ets:insert(?LEAVING, survivors()),
    ok.

%% @doc Has the calling monitor, which is in a supervisor of the host, found after a crash of the application. It may
%% outlive the tables by a push, and no other monitor of its process may push meanwhile.
-spec mark_survivor(ProcId :: binary()) -> ok.
mark_survivor(ProcId) ->
    _ = put(?SURVIVOR, ProcId),
    ok.

survivors() ->
    [{ProcId, Pid, none} || Pid <- processes(), Pid =/= self(), ProcId <- marked(process_info(Pid, dictionary))].

marked({dictionary, Dictionary}) -> [ProcId || {?SURVIVOR, ProcId} <- Dictionary];
marked(undefined) -> [].

%% @doc The monitor of a process. One that is dead or stopping does not count.
-spec find(ProcId :: binary()) -> {ok, entry()} | none.
find(ProcId) ->
    case rows(?NAMES, ProcId) of
        [{_, Monitor, Logger, Options}] ->
            case is_process_alive(Monitor) of
                true -> {ok, {Monitor, Logger, Options}};
                %% The restarter reads and deletes its row.
                false -> none
            end;
        [] ->
            none
    end.

%% @doc Whether a process has a monitor, or one that crashed and will be restarted.
-spec is_monitored(ProcId :: binary()) -> boolean().
is_monitored(ProcId) ->
    HasMonitor = fun() -> rows(?NAMES, ProcId) =/= [] end,
    %% The new monitor takes its place before its planned start is removed, perhaps between the first two reads.
    HasMonitor() orelse hb_cron_restarts:is_planned(ProcId) orelse HasMonitor().

%% @doc Makes `Monitor', the calling process, the monitor of `ProcId'. Returns which older ones have not ended:
%% nothing may be fetched before they have. `Token': it is a planned start, which may have been cancelled.
-spec claim(ProcId :: binary(), Monitor :: pid(), hb_cron_host_logger:logger(),
            hb_cron_options:monitor(), hb_cron_status_words:words(), hb_cron_restarts:token() | none) ->
    {ok, Leaving :: [pid()]} | {taken, entry()} | cancelled.
claim(ProcId, Monitor, Logger, Options, Words, Token) ->
    case ets:insert_new(?NAMES, [{ProcId, Monitor, Logger, Options}, {Monitor, ProcId, Words}]) of
        true ->
            case take_restart(ProcId, Token) of
                true ->
                    {ok, [Pid || {_, Pid, _} <- ets:lookup(?LEAVING, ProcId), is_process_alive(Pid)]};
                false ->
                    ok = leave(Monitor),
                    cancelled
            end;
        false ->
            case find(ProcId) of
                {ok, Entry} ->
                    {taken, Entry};
                none ->
                    _ = [forget(Row) || {_, Dead, _, _} = Row <- ets:lookup(?NAMES, ProcId), not is_process_alive(Dead)],
                    claim(ProcId, Monitor, Logger, Options, Words, Token)
            end
    end.

%% A start by a caller replaces a planned one.
take_restart(ProcId, none) ->
    ok = drop_restart(ProcId),
    ok = hb_cron_restarts:forget(ProcId),
    true;
take_restart(ProcId, Token) ->
    hb_cron_restarts:cancel(ProcId, Token).

%% @doc A monitor died without a stop: plans its restart. `Pause' returns the pause in ms for a number of crashes;
%% crashes older than `SettledMs' do not count. `GoingOn' returns the options with which one that had registered is
%% restarted. `none': it had been stopped, or is no longer the process's monitor.
-spec plan_restart(Monitor :: pid(), {Pause :: fun((pos_integer()) -> non_neg_integer()), SettledMs :: pos_integer()},
                   GoingOn :: fun((hb_cron_options:monitor()) -> hb_cron_options:monitor())) ->
    {ok, ProcId :: binary(), hb_cron_host_logger:logger(), hb_cron_restarts:token(),
     Pause :: non_neg_integer()} | none.
plan_restart(Monitor, {Pause, Settled}, GoingOn) ->
    case who(Monitor) of
        {ok, ProcId, Logger, Options} when Options =/= stopping ->
            Ms = Pause(hb_cron_restarts:crashed(ProcId, Monitor, Settled)),
            Again = case has_registered(Monitor) of
                true -> GoingOn(Options);
                false -> Options
            end,
            Token = hb_cron_restarts:plan(ProcId, {monitor, Again}, Ms),
            %% In this order the process counts as monitored at any time.
            Owned = ets:select_delete(?NAMES, [{{ProcId, Monitor, '_', '_'}, [], [true]}]) =:= 1,
            %% A stop may have come before the restart was planned.
            case Owned andalso not lists:keymember(Monitor, 2, ets:lookup(?LEAVING, ProcId)) of
                true ->
                    {ok, ProcId, Logger, Token, Ms};
                false ->
                    _ = hb_cron_restarts:cancel(ProcId, Token),
                    none
            end;
        _ ->
            none
    end.

has_registered(Monitor) ->
    case words(Monitor) of
        {ok, _, Words} -> hb_cron_status_words:has_registered(Words);
        none -> false
    end.

%% @doc The process of a monitor, dead or alive, and its options; only the process if it is stopping.
-spec who(Monitor :: pid()) ->
    {ok, ProcId :: binary(), hb_cron_host_logger:logger(), hb_cron_options:monitor() | stopping} | none.
who(Monitor) ->
    case rows(?NAMES, Monitor) of
        [{_, ProcId, _}] ->
            case rows(?NAMES, ProcId) of
                [{_, Monitor, Logger, Options}] -> {ok, ProcId, Logger, Options};
                _ -> {ok, ProcId, undefined, stopping}
            end;
        [] ->
            none
    end.

%% @doc The calling monitor has other options from now on, unless it is stopping.
-spec set_options(ProcId :: binary(), hb_cron_options:monitor()) -> ok.
set_options(ProcId, Options) ->
    try ets:lookup_element(?NAMES, ProcId, 2) =:= self() andalso ets:update_element(?NAMES, ProcId, {4, Options}) of
        _ -> ok
    catch
        error:badarg -> ok
    end.

%% @doc A monitor is stopping: its process is free for another one, which waits for its end.
-spec release(Monitor :: pid()) -> ok.
release(Monitor) ->
    unless_gone(fun() ->
        case ets:lookup(?NAMES, Monitor) of
            [{_, ProcId, _}] -> release(ProcId, Monitor);
            [] -> ok
        end
    end).

release(ProcId, Monitor) ->
    case ets:lookup(?NAMES, ProcId) of
        [{_, Monitor, _, Options} = Row] ->
            true = ets:insert(?LEAVING, {ProcId, Monitor, hb_cron_host_logger:own(Options)}),
            forget(Row);
        _ ->
            lists:keymember(Monitor, 2, ets:lookup(?LEAVING, ProcId)) orelse
                ets:insert(?LEAVING, {ProcId, Monitor, none}),
            ok
    end.

%% @doc Stops a process, or that of this monitor, past or present, unless another start has come since: cancels its
%% restart, or frees its place. Returns which monitor must end.
-spec stop(Monitor :: pid() | binary()) -> {ok, ProcId :: binary(), Current :: pid() | none} | none.
stop(ProcId) when is_binary(ProcId) ->
    case is_monitored(ProcId) of
        true -> {ok, ProcId, stop_restarted(ProcId)};
        false -> none
    end;
stop(Monitor) ->
    case {rows(?NAMES, Monitor), hb_cron_restarts:crashed(Monitor)} of
        {[{_, ProcId, _}], Crashed} ->
            ok = release(Monitor),
            %% If it crashed at this moment, its restart may be planned already.
            ok = case Crashed of none -> ok; _ -> drop_restart(ProcId) end,
            {ok, ProcId, Monitor};
        {[], {ok, ProcId}} ->
            {ok, ProcId, stop_restarted(ProcId)};
        {[], none} ->
            none
    end.

%% @doc Frees the place of a process, and cancels a planned restart. Returns its monitors that must end, and those that
%% are ending.
-spec stop_process(ProcId :: binary()) -> [pid()].
stop_process(ProcId) ->
    _ = stop_restarted(ProcId),
    stopping(ProcId).

%% The restart is planned, or its monitor has taken its place in between.
stop_restarted(ProcId) ->
    ok = drop_restart(ProcId),
    Current = case rows(?NAMES, ProcId) of
        [{_, Successor, _, _}] -> ok = release(Successor), Successor;
        [] -> none
    end,
    ok = hb_cron_restarts:forget(ProcId),
    Current.

%% The logger that was kept for the restart ends with it.
drop_restart(ProcId) ->
    Own = [hb_cron_host_logger:own(Options) || {monitor, Options} <- hb_cron_restarts:drop(ProcId)],
    lists:foreach(fun hb_cron_host_logger:stop/1, Own).

%% @doc A monitor ends: removes its rows.
-spec leave(Monitor :: pid()) -> ok.
leave(Monitor) ->
    unless_gone(fun() ->
        case ets:lookup(?NAMES, Monitor) of
            [{_, ProcId, _}] ->
                true = ets:delete(?TROUBLE, Monitor),
                ok = hb_cron_push_notes:forget(ProcId),
                ok = release(ProcId, Monitor),
                true = ets:delete(?NAMES, Monitor),
                Own = [Logger || {_, Pid, Logger} <- ets:lookup(?LEAVING, ProcId), Pid =:= Monitor],
                true = ets:match_delete(?LEAVING, {ProcId, Monitor, '_'}),
                lists:foreach(fun hb_cron_host_logger:stop/1, Own);
            [] ->
                ok
        end
    end).

%% Inspection works while the application is not running: then the tables do not exist.
rows(Table, Key) ->
    try ets:lookup(Table, Key)
    catch error:badarg -> []
    end.

%% The tables go with the supervision tree, which a monitor may outlive by a push.
unless_gone(Fun) ->
    try Fun()
    catch error:badarg -> ok
    end.

forget(Row) ->
    %% The monitor deletes the other row, or the restarter, which logs the end.
    true = ets:delete_object(?NAMES, Row),
    ok.

%% @doc All monitors of this node.
-spec monitors() -> [pid()].
monitors() ->
    ets:select(?NAMES, [{{'_', '$1', '_', '_'}, [], ['$1']}]).

%% @doc All of them, and those that are stopping, or dead and not noticed yet.
-spec all_monitors() -> [pid()].
all_monitors() ->
    ets:select(?NAMES, [{{'$1', '_', '_'}, [], ['$1']}]).

%% @doc The processes with a monitor of which this address is the option `cron_owner'.
-spec owned_by(Address :: binary()) -> [ProcId :: binary()].
owned_by(Address) ->
    try ets:select(?NAMES, [{{'$1', '_', '_', #{kept => #{cron_owner => Address}}}, [], ['$1']}])
    catch error:badarg -> []
    end.

%% @doc Approximately how many processes are monitored on this node: one that ends may still count.
-spec size() -> non_neg_integer().
size() -> rows_of(?NAMES) div 2.

%% @doc Approximately how many monitors are stopping, and how many fail to push.
-spec counts() -> #{stopping := non_neg_integer(), troubled := non_neg_integer()}.
counts() -> #{stopping => rows_of(?LEAVING), troubled => rows_of(?TROUBLE)}.

rows_of(Table) ->
    case ets:info(Table, size) of
        undefined -> 0;
        Rows -> Rows
    end.

%% @doc At most so many monitors whose processes come after one, in the order of their ids; `<<>>' comes before
%% all.
-spec listing(After :: binary(), Limit :: pos_integer()) -> [{ProcId :: binary(), Monitor :: pid()}].
listing(After, Limit) ->
    try listing(ets:next(?NAMES, After), Limit, [])
    catch error:badarg -> []
    end.

listing(ProcId, Limit, Page) when ProcId =:= '$end_of_table'; Limit =:= 0 ->
    lists:reverse(Page);
listing(ProcId, Limit, Page) ->
    Monitor = try ets:lookup_element(?NAMES, ProcId, 2) catch error:badarg -> none end,
    case is_pid(Monitor) of
        true -> listing(ets:next(?NAMES, ProcId), Limit - 1, [{ProcId, Monitor} | Page]);
        %% It ended in between.
        false -> listing(ets:next(?NAMES, ProcId), Limit, Page)
    end.

%% @doc The listing of one process alone; empty if it has no monitor.
-spec listing_of(ProcId :: binary()) -> [{ProcId :: binary(), Monitor :: pid()}].
listing_of(ProcId) ->
    try ets:lookup_element(?NAMES, ProcId, 2) of
        Monitor -> [{ProcId, Monitor} || is_process_alive(Monitor)]
    catch
        error:badarg -> []
    end.

%% @doc A monitor's process and status words.
-spec words(Monitor :: pid()) -> {ok, ProcId :: binary(), hb_cron_status_words:words()} | none.
words(Monitor) ->
    case rows(?NAMES, Monitor) of
        [{_, ProcId, Words}] -> {ok, ProcId, Words};
        [] -> none
    end.

%% @doc The monitors of a process that are stopping and alive.
-spec stopping(ProcId :: binary()) -> [pid()].
stopping(ProcId) ->
    [Pid || {_, Pid, _} <- rows(?LEAVING, ProcId), is_process_alive(Pid)].

%% @doc The calling monitor's pushes fail, or no longer fail.
-spec set_trouble(Monitor :: pid(), trouble() | none) -> ok.
set_trouble(Monitor, none) ->
    unless_gone(fun() -> true = ets:delete(?TROUBLE, Monitor), ok end);
set_trouble(Monitor, Trouble) ->
    unless_gone(fun() -> true = ets:insert(?TROUBLE, {Monitor, Trouble}), ok end).

-spec trouble(Monitor :: pid()) -> trouble() | none.
trouble(Monitor) ->
    %% Nearly none is in the table, and an exception for each of the others would dominate the cost of a listing.
    case rows(?TROUBLE, Monitor) of
        [{_, Trouble}] -> Trouble;
        [] -> none
    end.

%% @doc Makes `Engine' the one to register with. It runs until `Ticker' is down.
-spec set_engine(hb_process_monitor_nif:engine(), Ticker :: pid(),
                 hb_cron_options:node_options()) -> ok.
set_engine(Engine, Ticker, NodeOptions) ->
    Options = [{{option, Key}, Value} || {Key, Value} <- maps:to_list(NodeOptions)],
    true = ets:insert(?ENGINE, [{engine, Engine, Ticker} | Options]),
    ok.

%% @doc The engine to register with. It may have ended meanwhile.
-spec engine() -> {ok, hb_process_monitor_nif:engine(), Ticker :: pid()} | none.
engine() ->
    case rows(?ENGINE, engine) of
        [{_, Engine, Ticker}] -> {ok, Engine, Ticker};
        [] -> none
    end.

%% @doc The options of scope node that are in force; none before the first engine runs.
-spec node_options() -> hb_cron_options:node_options().
node_options() ->
    try maps:from_list(ets:select(?ENGINE, [{{{option, '$1'}, '$2'}, [], [{{'$1', '$2'}}]}]))
    catch error:badarg -> #{}
    end.

%% @doc One of them, or a default before the first engine runs.
-spec node_option(Key :: atom(), Default) -> term() | Default.
node_option(Key, Default) ->
    try ets:lookup_element(?ENGINE, {option, Key}, 2)
    catch error:badarg -> Default
    end.

%% @doc Where monitors with the same device note that it works: the time of the last push that succeeded, in ms of
%% the monotonic clock. A fun is not shared.
-spec device(hb_cron_host:device()) -> atomics:atomics_ref().
device({_Adapter, {Fun, _Format}}) when is_function(Fun) ->
    new_device();
device(Push) ->
    case ets:lookup(?ENGINE, {device, Push}) of
        [{_, Ref}] ->
            Ref;
        [] ->
            _ = ets:insert_new(?ENGINE, {{device, Push}, new_device()}),
            ets:lookup_element(?ENGINE, {device, Push}, 2)
    end.

%% @doc A push failed because the host cannot push at all.
-spec set_host_fault(Reason :: binary()) -> ok.
set_host_fault(Reason) ->
    unless_gone(fun() -> true = ets:insert(?ENGINE, {host_fault, Reason, erlang:monotonic_time(millisecond)}), ok end).

%% @doc Why the host could not push, and when, in ms of the monotonic clock; `none' if a push has succeeded since.
-spec host_fault() -> {Reason :: binary(), At :: integer()} | none.
host_fault() ->
    case rows(?ENGINE, host_fault) of
        [{_, Reason, At}] ->
            Devices = ets:select(?ENGINE, [{{{device, '_'}, '$1'}, [], ['$1']}]),
            case lists:any(fun(Ref) -> atomics:get(Ref, 1) > At end, Devices) of
                true -> none;
                false -> {Reason, At}
            end;
        [] ->
            none
    end.

new_device() ->
    Ref = atomics:new(1, [{signed, true}]),
    ok = atomics:put(Ref, 1, erlang:monotonic_time(millisecond) - 1),
    Ref.
