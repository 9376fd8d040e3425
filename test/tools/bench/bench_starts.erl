%%% Starting many monitors: all at once with `start_all/1', and one after the other with `start/2', each with a logger of
%%% its own as on a host, and with one logger for all; starting again after the node, the tree or the engine ended; what
%%% the starts do to the ticks of monitors that run; and how many starts a cluster records a second.
%%%
%%% Plain Erlang starts as many processes in the same node, before the monitors: each has a timer and a row in an ordered
%%% table, and where monitors have loggers, a second process. So a ratio is of two times of the same seconds.
-module(bench_starts).

-export([suite/1, measured/1]).

-import(bench_cluster_nodes, [run/3, call/4, until/1]).

%% Longer than the suite.
-define(HOUR, 3600000).
%% The time between two ticks of a monitor that is watched, in ms, and their number.
-define(SAMPLE_RATE, 1000).
-define(SAMPLE, 200).

suite(#{quick := Quick} = Options) ->
    {Default, Rounds, Seconds} = case Quick of true -> {2000, 1, 3}; false -> {100000, 1, 10} end,
    Count = maps:get(fleet, Options, Default),
    [starts(Count, Rounds), again(Count, Rounds), lateness(Count, Seconds), cluster(Count, Quick)].

in_node(Run) ->
    bench_runs:node(?MODULE, Run#{who => ours, limit => 900000}, {"data:0", "0"}, ["+P", "4000000"]).

%% Starts

starts(Count, Rounds) ->
    bench_runs:say("starts: ~b monitors", [Count]),
    Kinds = [{all_own, "start_all, a logger each", all, own}, {one_own, "one by one, a logger each", one, own},
             {all_shared, "start_all, one logger", all, shared}, {one_shared, "one by one, one logger", one, shared}],
    Figures = bench_runs:in_turn(Rounds, [
        {Kind, fun() -> in_node(#{what => starts, how => How, logger => Logger, count => Count}) end} || {Kind, _, How, Logger} <- Kinds]),
    Columns = [seconds, durable, cpu, plain, ratio],
    #{title => io_lib:format("Starts: ~s monitors", [bench_table:number(Count)]),
      about => io_lib:format("Checkpoint on, all with the same options, from the first result on. s: until "
                             "start_all or the last start has returned. Durable: until all can be resumed after kill -9. CPU: of "
                             "the whole OS process until then. Plain Erlang: spawned and registered in the same node before. ~b "
                             "rounds, median (min-max).", [Rounds]),
      tables => [{["", "s", "durable, s", "CPU s", "plain Erlang, s", "s / plain Erlang"],
                  [[Name | [spread(Column, maps:get(Kind, Figures)) || Column <- Columns]] || {Kind, Name, _, _} <- Kinds]}],
      charts => []}.

spread(Key, Runs) -> bench_stats:spread([maps:get(Key, Run) || Run <- Runs]).

%% Starts without a caller

again(Count, Rounds) ->
    bench_runs:say("starts: ~b monitors again", [Count]),
    Kinds = [{resume, "resume_all after a stop"}, {configured, "cron_processes at the first start"},
             {tree, "the supervision tree was killed"}, {engine, "the engine was killed"}],
    Figures = bench_runs:in_turn(Rounds, [{What, fun() -> in_node(#{what => What, how => all, logger => own, count => Count}) end}
                                          || {What, _} <- Kinds]),
    #{title => io_lib:format("Again: ~s monitors", [bench_table:number(Count)]),
      about => io_lib:format("Until all have registered with the engine, each with a logger of its own. ~b rounds, median (min-max).", [Rounds]),
      tables => [{["", "s", "plain Erlang, s", "s / plain Erlang"],
                  [[Name | [spread(Column, maps:get(What, Figures)) || Column <- [seconds, plain, ratio]]]
                   || {What, Name} <- Kinds]}],
      charts => []}.

%% Ticks meanwhile

lateness(Count, Seconds) ->
    bench_runs:say("starts: ticks while ~b monitors start", [Count]),
    #{quiet := Quiet, starts := Starts} = in_node(#{what => lateness, logger => own, count => Count, seconds => Seconds}),
    #{title => io_lib:format("Ticks while ~s monitors start", [bench_table:number(Count)]),
      about => io_lib:format("~b monitors tick once a second. Lateness: of a tick at its monitor, from the monitor's earliest place in "
                             "the second. One run: ~b s without starts, then until start_all has returned.", [?SAMPLE, Seconds]),
      tables => [{["", "p50 ms", "p99 ms", "max ms", "ticks"],
                  [[Name | [maps:get(Key, Of) || Key <- [p50, p99, max, ticks]]]
                   || {Name, Of} <- [{"no starts", Quiet}, {"start_all", Starts}]]}],
      charts => []}.

%% A cluster

cluster(Count, Quick) ->
    bench_runs:say("starts: ~b processes in a cluster", [Count]),
    Fewer = case Quick of true -> 500; false -> 10000 end,
    Rows = [begin
        #{returned := Returned, recorded := Recorded, running := Running} = in_cluster(Nodes, How, Starts),
        [Name, Starts, Returned / 1.0e6, Recorded / 1.0e6, Running / 1.0e6, Starts * 1.0e6 / Recorded]
    end || {Name, Nodes, How, Starts} <- [{"start_all, 1 host node", 1, all, Count}, {"start_all, 3 host nodes", 3, all, Count},
                                          {"start, one by one, 1 host node", 1, one, min(Count, Fewer)}]],
    #{title => "Starts in a cluster",
      about => "All by one host node. The database syncs, on the same machine. Returned: the stand-ins are there. Recorded: every start "
               "is in the database. Running: every monitor has registered on its host node. One run each.",
      tables => [{["", "processes", "returned, s", "recorded, s", "running, s", "recorded/s"], Rows}],
      charts => []}.

in_cluster(Nodes, How, Count) ->
    run(Nodes, #{cu => {"data:0", "0"}}, fun(#{nodes := [First | _], url := Url, server := Server} = Cluster) ->
        Options = #{rate => ?HOUR, cursor => earliest, cron_node => Url},
        Begin = bench_run:now_us(),
        _ = call(First, bench_cluster_nodes, case How of all -> begin_many; one -> begin_all end, [lists:seq(1, Count), Options]),
        Returned = bench_run:now_us() - Begin,
        All = integer_to_list(Count),
        ok = until(fun() -> postgres_server:sql(Server, "SELECT count(*) FROM hb_cron.process") =:= All end),
        Recorded = bench_run:now_us() - Begin,
        ok = until(fun() -> bench_cluster_nodes:monitors(Cluster) =:= Count end),
        #{returned => Returned, recorded => Recorded, running => bench_run:now_us() - Begin}
    end).

%% In the node

measured(#{what := starts, how := How, count := Count} = Run) ->
    ok = bench_monitors:prepare(Run),
    {Ids, Options} = {ids(Count), options(Run)},
    Plain = plain(Run, Ids),
    {Cpu, Begin} = {bench_run:cpu_seconds(), bench_run:now_us()},
    ok = start(How, Ids, Options),
    Took = bench_run:now_us() - Begin,
    ok = registered(Count),
    {ok, Engine, _} = hb_cron_registry:engine(),
    ok = hb_cron_checkpoint:flush(Engine, infinity),
    Durable = bench_run:now_us() - Begin,
    #{seconds => Took / 1.0e6, durable => Durable / 1.0e6, cpu => bench_run:cpu_seconds() - Cpu, plain => Plain / 1.0e6,
      ratio => Took / Plain};
measured(#{what := configured, count := Count} = Run) ->
    {Ids, Options} = {ids(Count), options(Run)},
    Plain = plain(Run, Ids),
    Begin = bench_run:now_us(),
    ok = bench_monitors:prepare(Run#{options => #{cron_processes => [{Id, Options} || Id <- Ids]}}),
    ok = registered(Count),
    took(Begin, Plain);
measured(#{what := lateness, count := Count, seconds := Seconds} = Run) ->
    ok = bench_monitors:prepare(Run),
    Sample = bench_monitors:start(Run, lists:seq(1, ?SAMPLE), #{rate => ?SAMPLE_RATE, limit => 1000, push => fun nothing/2}),
    {Ids, Options} = {[bench_monitors:id(N) || N <- lists:seq(1000001, 1000000 + Count)], options(Run)},
    Collector = spawn_link(bench_neighbours, collect, [#{ticks => #{}, long => []}]),
    bench_run:sleep_until(bench_run:now_us() + 2000000),
    _ = [1 = erlang:trace(Pid, true, ['receive', monotonic_timestamp, {tracer, Collector}]) || Pid <- Sample],
    _ = bench_neighbours:ask(Collector),
    bench_run:sleep_until(bench_run:now_us() + Seconds * 1000000),
    #{ticks := Quiet} = bench_neighbours:ask(Collector),
    ok = start(all, Ids, Options),
    #{ticks := Starting} = bench_neighbours:ask(Collector),
    Earliest = bench_neighbours:earliest_of([Quiet, Starting]),
    #{quiet => bench_neighbours:figures(#{ticks => Quiet, long => []}, Earliest),
      starts => bench_neighbours:figures(#{ticks => Starting, long => []}, Earliest)};
measured(#{what := What, how := How, count := Count} = Run) ->
    ok = bench_monitors:prepare(Run),
    {Ids, Options} = {ids(Count), options(Run)},
    ok = start(How, Ids, Options),
    ok = registered(Count),
    {ok, _, Ticker} = hb_cron_registry:engine(),
    Plain = plain(Run, Ids),
    Begin = begun(What, Ticker),
    ok = registered(Count),
    took(Begin, Plain).

took(Begin, Plain) ->
    Took = bench_run:now_us() - Begin,
    #{seconds => Took / 1.0e6, plain => Plain / 1.0e6, ratio => Took / Plain}.

%% Returns when it began.
begun(resume, _) ->
    ok = application:stop(hb_process_monitor),
    {ok, _} = application:ensure_all_started(hb_process_monitor),
    Begin = bench_run:now_us(),
    _ = hb_process_monitor:resume_all(),
    Begin;
begun(tree, Ticker) ->
    Begin = bench_run:now_us(),
    exit(whereis(hb_cron_sup), kill),
    bench_run:until(fun() ->
        _ = application:ensure_all_started(hb_process_monitor),
        another(Ticker)
    end),
    Begin;
begun(engine, Ticker) ->
    Begin = bench_run:now_us(),
    exit(Ticker, kill),
    bench_run:until(fun() -> another(Ticker) end),
    Begin.

another(Ticker) ->
    case hb_cron_registry:engine() of
        {ok, _, Ticker} -> false;
        {ok, _, _} -> true;
        none -> false
    end.

registered(Count) ->
    bench_run:until(fun() -> maps:get(monitors, bench_monitors:counters(), 0) =:= Count end).

start(all, Ids, Options) ->
    [] = [Other || Other <- hb_process_monitor:start_all([{Id, Options} || Id <- Ids]), element(1, Other) =/= started],
    ok;
start(one, Ids, Options) ->
    lists:foreach(fun(Id) -> {_, _} = hb_process_monitor:start(Id, Options) end, Ids).

%% Not in the order of their registration.
ids(Count) -> [Id || {_, Id} <- lists:sort([{erlang:phash2(N), bench_monitors:id(N)} || N <- lists:seq(1, Count)])].

options(#{url := Url, logger := Logger}) ->
    Options = #{rate => ?HOUR, cursor => earliest, cron_node => Url},
    case Logger of
        own -> Options;
        shared -> Options#{logger => spawn(fun forget/0)}
    end.

nothing(_, State) -> {ok, State}.

%% The time in which plain Erlang spawns and registers as many processes, in us.
plain(#{logger := Logger}, Ids) ->
    Table = ets:new(plain, [ordered_set, public, {write_concurrency, true}, {read_concurrency, true}]),
    true = erlang:garbage_collect(),
    Begin = bench_run:now_us(),
    Pids = [begin
        Own = case Logger of own -> [spawn(fun forget/0)]; shared -> [] end,
        Pid = spawn(fun() -> _ = erlang:send_after(?HOUR, self(), tick), forget() end),
        true = ets:insert_new(Table, {Id, Pid}),
        [Pid | Own]
    end || Id <- Ids],
    Took = bench_run:now_us() - Begin,
    lists:foreach(fun(Of) -> [exit(Pid, kill) || Pid <- Of] end, Pids),
    true = ets:delete(Table),
    Took.

forget() -> receive _ -> forget() end.
