%%% @doc Who monitors what on this node, and which engine runs. A set of ETS tables that live as
%%% long as the supervision tree; every monitor writes its own rows.
-module(hb_process_monitor_registry).

-export([create/0]).
%% Monitors
-export([find/1, claim/5, who/1, set_options/2, release/1, leave/1, monitors/0]).
%% For those who look on
-export([size/0, page/2, page_of/1, marks/1, stopping/1, set_trouble/2, trouble/1, counts/0]).
%% Where a monitor stood, for the next one without a checkpoint
-export([leave_cursor/2, take_cursor/1, drop_cursors/1]).
%% The engine
-export([set_engine/3, engine/0, node_options/0]).
%% Push devices
-export([device/1]).

-export_type([entry/0, trouble/0]).

-type entry() :: {Monitor :: pid(), hb_process_monitor_host:logger(),
                  Options :: hb_process_monitor_opts:monitor()}.

-type trouble() :: {Reason :: binary(), Failures :: pos_integer(), At :: integer(), NextTry :: integer()}.
%% Why the last push failed, how often it did for this result, when, and when it is tried again, in ms of
%% the monotonic clock.

%% {ProcId, Monitor, Logger, Options}: who monitors ProcId. {Monitor, ProcId, Marks}: the way back. In
%% order, so that it can be read page by page; all pids come before all binaries.
-define(NAMES, hb_process_monitor_names).
%% {ProcId, Monitor}: who still has a push of ProcId to finish. A bag.
-define(LEAVING, hb_process_monitor_leaving).
%% {Monitor, Trouble}: whose pushes fail. Nearly none.
-define(TROUBLE, hb_process_monitor_trouble).
%% {ProcId, Cursor, At}: where one ended that somebody else is to start again, and when, in ms of the
%% monotonic clock.
-define(LEFT, hb_process_monitor_left).
%% {engine, Engine, Ticker, NodeOptions}
-define(ENGINE, hb_process_monitor_engine).

%% @doc Makes the tables; the caller owns them.
-spec create() -> ok.
create() ->
    Options = [named_table, public, {read_concurrency, true}],
    ?NAMES = ets:new(?NAMES, [ordered_set, {write_concurrency, true} | Options]),
    ?LEAVING = ets:new(?LEAVING, [bag | Options]),
    ?TROUBLE = ets:new(?TROUBLE, [set | Options]),
    ?LEFT = ets:new(?LEFT, [set | Options]),
    ?ENGINE = ets:new(?ENGINE, [set | Options]),
    ok.

%% @doc The monitor of a process. One that is dead or stopping does not count.
-spec find(ProcId :: binary()) -> {ok, entry()} | none.
find(ProcId) ->
    case rows(?NAMES, ProcId) of
        [{_, Monitor, Logger, Options}] ->
            case is_process_alive(Monitor) of
                true -> {ok, {Monitor, Logger, Options}};
                %% Its row is the keeper's to read and to delete.
                false -> none
            end;
        [] ->
            none
    end.

%% @doc Makes the calling process the monitor of `ProcId'. Says who is still finishing a push of
%% it: nothing may be fetched before they are down.
-spec claim(ProcId :: binary(), Monitor :: pid(), hb_process_monitor_host:logger(),
            hb_process_monitor_opts:monitor(), hb_process_monitor_marks:marks()) ->
    {ok, Leaving :: [pid()]} | {taken, entry()}.
claim(ProcId, Monitor, Logger, Options, Marks) ->
    case ets:insert_new(?NAMES, [{ProcId, Monitor, Logger, Options}, {Monitor, ProcId, Marks}]) of
        true ->
            {ok, [Pid || {_, Pid} <- ets:lookup(?LEAVING, ProcId), is_process_alive(Pid)]};
        false ->
            case find(ProcId) of
                {ok, Entry} ->
                    {taken, Entry};
                none ->
                    _ = [forget(Row) || {_, Dead, _, _} = Row <- ets:lookup(?NAMES, ProcId), not is_process_alive(Dead)],
                    claim(ProcId, Monitor, Logger, Options, Marks)
            end
    end.

%% @doc Whose monitor that is, dead or alive, and what it was started with; once it is stopping, only whose.
-spec who(Monitor :: pid()) ->
    {ok, ProcId :: binary(), hb_process_monitor_host:logger(), hb_process_monitor_opts:monitor() | stopping} | none.
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

%% @doc The calling monitor, unless it is stopping, has other options from now on.
-spec set_options(ProcId :: binary(), hb_process_monitor_opts:monitor()) -> ok.
set_options(ProcId, Options) ->
    case ets:lookup(?NAMES, ProcId) of
        [{_, Monitor, _, _}] when Monitor =:= self() -> ets:update_element(?NAMES, ProcId, {4, Options}), ok;
        _ -> ok
    end.

%% @doc A monitor is stopping: its process is free for another one, which waits for it to end.
-spec release(Monitor :: pid()) -> ok.
release(Monitor) ->
    unless_gone(fun() ->
        case ets:lookup(?NAMES, Monitor) of
            [{_, ProcId, _}] -> release(ProcId, Monitor);
            [] -> ok
        end
    end).

release(ProcId, Monitor) ->
    true = ets:insert(?LEAVING, {ProcId, Monitor}),
    case ets:lookup(?NAMES, ProcId) of
        [{_, Monitor, _, _} = Row] -> forget(Row);
        _ -> ok
    end.

%% @doc A monitor ends; all that it wrote goes.
-spec leave(Monitor :: pid()) -> ok.
leave(Monitor) ->
    unless_gone(fun() ->
        case ets:lookup(?NAMES, Monitor) of
            [{_, ProcId, _}] ->
                true = ets:delete(?TROUBLE, Monitor),
                ok = release(ProcId, Monitor),
                true = ets:delete(?NAMES, Monitor),
                true = ets:delete_object(?LEAVING, {ProcId, Monitor}),
                ok;
            [] ->
                ok
        end
    end).

%% Who only looks on may do so while the application does not run: then there is nothing.
rows(Table, Key) ->
    try ets:lookup(Table, Key)
    catch error:badarg -> []
    end.

%% The tables go with the supervision tree, and a monitor may outlive it by a push.
unless_gone(Fun) ->
    try Fun()
    catch error:badarg -> ok
    end.

forget({_, Monitor, _, _} = Row) ->
    true = ets:delete_object(?NAMES, Row),
    %% A dead monitor cannot delete its other rows by itself.
    is_process_alive(Monitor) orelse ets:delete(?NAMES, Monitor),
    ok.

%% @doc All monitors of this node.
-spec monitors() -> [pid()].
monitors() ->
    ets:select(?NAMES, [{{'_', '$1', '_', '_'}, [], ['$1']}]).

%% @doc How many processes are monitored on this node, about: while one ends it may still count.
-spec size() -> non_neg_integer().
size() -> rows_of(?NAMES) div 2.

%% @doc How many monitors are stopping, and how many fail at a push, about, likewise.
-spec counts() -> #{stopping := non_neg_integer(), troubled := non_neg_integer()}.
counts() -> #{stopping => rows_of(?LEAVING), troubled => rows_of(?TROUBLE)}.

rows_of(Table) ->
    case ets:info(Table, size) of
        undefined -> 0;
        Rows -> Rows
    end.

%% @doc At most so many monitors whose processes come after one, in the order of their ids; `<<>>' comes
%% before all.
-spec page(After :: binary(), Limit :: pos_integer()) -> [{ProcId :: binary(), Monitor :: pid()}].
page(After, Limit) ->
    try page(ets:next(?NAMES, After), Limit, [])
    catch error:badarg -> []
    end.

page(ProcId, Limit, Page) when ProcId =:= '$end_of_table'; Limit =:= 0 ->
    lists:reverse(Page);
page(ProcId, Limit, Page) ->
    Monitor = try ets:lookup_element(?NAMES, ProcId, 2) catch error:badarg -> none end,
    case is_pid(Monitor) of
        true -> page(ets:next(?NAMES, ProcId), Limit - 1, [{ProcId, Monitor} | Page]);
        %% It ended in between.
        false -> page(ets:next(?NAMES, ProcId), Limit, Page)
    end.

%% @doc The page that holds one process alone; empty if it has no monitor.
-spec page_of(ProcId :: binary()) -> [{ProcId :: binary(), Monitor :: pid()}].
page_of(ProcId) ->
    try ets:lookup_element(?NAMES, ProcId, 2) of
        Monitor -> [{ProcId, Monitor} || is_process_alive(Monitor)]
    catch
        error:badarg -> []
    end.

%% @doc A monitor's process, and what it notes of itself.
-spec marks(Monitor :: pid()) -> {ok, ProcId :: binary(), hb_process_monitor_marks:marks()} | none.
marks(Monitor) ->
    case rows(?NAMES, Monitor) of
        [{_, ProcId, Marks}] -> {ok, ProcId, Marks};
        [] -> none
    end.

%% @doc The monitors of a process that are stopping, and still there.
-spec stopping(ProcId :: binary()) -> [pid()].
stopping(ProcId) ->
    [Pid || {_, Pid} <- rows(?LEAVING, ProcId), is_process_alive(Pid)].

%% @doc The calling monitor's pushes fail, or do not any more.
-spec set_trouble(Monitor :: pid(), trouble() | none) -> ok.
set_trouble(Monitor, none) ->
    unless_gone(fun() -> true = ets:delete(?TROUBLE, Monitor), ok end);
set_trouble(Monitor, Trouble) ->
    unless_gone(fun() -> true = ets:insert(?TROUBLE, {Monitor, Trouble}), ok end).

-spec trouble(Monitor :: pid()) -> trouble() | none.
trouble(Monitor) ->
    %% Nearly none is in it, and an exception for each of the others would be what a list takes longest for.
    case rows(?TROUBLE, Monitor) of
        [{_, Trouble}] -> Trouble;
        [] -> none
    end.

%% @doc A monitor that somebody else starts again ends here.
-spec leave_cursor(ProcId :: binary(), hb_process_monitor_opts:cursor()) -> ok.
leave_cursor(ProcId, Cursor) ->
    unless_gone(fun() -> true = ets:insert(?LEFT, {ProcId, Cursor, erlang:monotonic_time(millisecond)}), ok end).

%% @doc Where the one before left off, told once.
-spec take_cursor(ProcId :: binary()) -> {ok, hb_process_monitor_opts:cursor()} | none.
take_cursor(ProcId) ->
    case ets:take(?LEFT, ProcId) of
        [{_, Cursor, _}] -> {ok, Cursor};
        [] -> none
    end.

%% @doc Drops what was left longer than so many ms ago: nobody comes for it any more.
-spec drop_cursors(OlderMs :: non_neg_integer()) -> non_neg_integer().
drop_cursors(OlderMs) ->
    Before = erlang:monotonic_time(millisecond) - OlderMs,
    ets:select_delete(?LEFT, [{{'_', '_', '$1'}, [{'<', '$1', Before}], [true]}]).

%% @doc Makes `Engine' the one to register with. It runs until `Ticker' is down.
-spec set_engine(hb_process_monitor_nif:engine(), Ticker :: pid(),
                 hb_process_monitor_opts:node_options()) -> ok.
set_engine(Engine, Ticker, NodeOptions) ->
    true = ets:insert(?ENGINE, {engine, Engine, Ticker, NodeOptions}),
    ok.

%% @doc The engine to register with. It may have stopped meanwhile.
-spec engine() -> {ok, hb_process_monitor_nif:engine(), Ticker :: pid()} | none.
engine() ->
    case rows(?ENGINE, engine) of
        [{_, Engine, Ticker, _}] -> {ok, Engine, Ticker};
        [] -> none
    end.

%% @doc The options of scope node that are in force; none before the first engine runs.
-spec node_options() -> hb_process_monitor_opts:node_options().
node_options() ->
    try ets:lookup_element(?ENGINE, engine, 4)
    catch error:badarg -> #{}
    end.

%% @doc Where the monitors that push with the same device note that it works: the time of the last
%% push that succeeded, in ms of the monotonic clock. A fun is nobody else's.
-spec device(hb_process_monitor_host:device()) -> atomics:atomics_ref().
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

new_device() ->
    Ref = atomics:new(1, [{signed, true}]),
    ok = atomics:put(Ref, 1, erlang:monotonic_time(millisecond) - 1),
    Ref.
