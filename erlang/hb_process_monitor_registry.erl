%%% @doc Who monitors what on this node, and which engine runs. A set of ETS tables that live as
%%% long as the supervision tree; every monitor writes its own rows.
-module(hb_process_monitor_registry).

-export([create/0]).
%% Monitors
-export([find/1, claim/4, options/1, release/1, leave/1, monitors/0]).
%% The engine
-export([set_engine/3, engine/0, node_options/0]).
%% Push devices
-export([device/1]).

-export_type([entry/0]).

-type entry() :: {Monitor :: pid(), hb_process_monitor_host:logger(),
                  Options :: hb_process_monitor_opts:monitor()}.

%% {ProcId, Monitor, Logger, Options}: who monitors ProcId. {Monitor, ProcId}: the way back.
-define(NAMES, hb_process_monitor_names).
%% {ProcId, Monitor}: who still has a push of ProcId to finish. A bag.
-define(LEAVING, hb_process_monitor_leaving).
%% {engine, Engine, Ticker, NodeOptions}
-define(ENGINE, hb_process_monitor_engine).

%% @doc Makes the tables; the caller owns them.
-spec create() -> ok.
create() ->
    Options = [named_table, public, {read_concurrency, true}],
    ?NAMES = ets:new(?NAMES, [set, {write_concurrency, true} | Options]),
    ?LEAVING = ets:new(?LEAVING, [bag | Options]),
    ?ENGINE = ets:new(?ENGINE, [set | Options]),
    ok.

%% @doc The monitor of a process. One that is dead or stopping does not count.
-spec find(ProcId :: binary()) -> {ok, entry()} | none.
find(ProcId) ->
    case ets:lookup(?NAMES, ProcId) of
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
            hb_process_monitor_opts:monitor()) -> {ok, Leaving :: [pid()]} | {taken, entry()}.
claim(ProcId, Monitor, Logger, Options) ->
    case ets:insert_new(?NAMES, [{ProcId, Monitor, Logger, Options}, {Monitor, ProcId}]) of
        true ->
            {ok, [Pid || {_, Pid} <- ets:lookup(?LEAVING, ProcId), is_process_alive(Pid)]};
        false ->
            case find(ProcId) of
                {ok, Entry} ->
                    {taken, Entry};
                none ->
                    _ = [forget(Row) || {_, Dead, _, _} = Row <- ets:lookup(?NAMES, ProcId), not is_process_alive(Dead)],
                    claim(ProcId, Monitor, Logger, Options)
            end
    end.

%% @doc What a monitor was started with, dead or alive, unless it was stopping.
-spec options(Monitor :: pid()) -> {ok, hb_process_monitor_opts:monitor()} | none.
options(Monitor) ->
    case ets:lookup(?NAMES, Monitor) of
        [{_, ProcId}] ->
            case ets:lookup(?NAMES, ProcId) of
                [{_, Monitor, _, Options}] -> {ok, Options};
                _ -> none
            end;
        [] ->
            none
    end.

%% @doc A monitor is stopping: its process is free for another one, which waits for it to end.
-spec release(Monitor :: pid()) -> ok.
release(Monitor) ->
    unless_gone(fun() ->
        case ets:lookup(?NAMES, Monitor) of
            [{_, ProcId}] -> release(ProcId, Monitor);
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
            [{_, ProcId}] ->
                ok = release(ProcId, Monitor),
                true = ets:delete(?NAMES, Monitor),
                true = ets:delete_object(?LEAVING, {ProcId, Monitor}),
                ok;
            [] ->
                ok
        end
    end).

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

%% @doc Makes `Engine' the one to register with. It runs until `Ticker' is down.
-spec set_engine(hb_process_monitor_nif:engine(), Ticker :: pid(),
                 hb_process_monitor_opts:node_options()) -> ok.
set_engine(Engine, Ticker, NodeOptions) ->
    true = ets:insert(?ENGINE, {engine, Engine, Ticker, NodeOptions}),
    ok.

%% @doc The engine to register with. It may have stopped meanwhile.
-spec engine() -> {ok, hb_process_monitor_nif:engine(), Ticker :: pid()} | none.
engine() ->
    case ets:lookup(?ENGINE, engine) of
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
