%%% What a cluster costs, on one machine with its PostgreSQL server: a drain with and without it, through one and three
%%% host nodes; how fast cursors are saved, beside redb; how long a take-over after `kill -9' lasts; and what an idle
%%% cluster does. Both databases sync their files.
%%%
%%% The suite does not cover a database on another machine, where each statement also takes the network's time.
-module(bench_cluster).

-export([suite/1]).

-import(bench_cluster_nodes, [run/3, call/4, until/1]).

-define(DATA, "data:400").
%% Longer than the suite.
-define(HOUR, 3600000).

suite(#{quick := Quick} = Options) ->
    {Results, Savers, Rounds, Fleets, Sizes, Seconds} = case Quick of
        true -> {2000, 200, 1, [2000], [0, 1, 3], 5};
        false -> {20000, 1000, 3, [10000, 100000], [0, 1, 3, 10], 30}
    end,
    Counts = case Options of #{fleet := Fleet} -> [Fleet]; #{} -> Fleets end,
    [drains(64, Results, Rounds), saves(Savers, max(100, Results div 20), Rounds), take_over(Counts),
     idle(lists:max(Counts), Sizes, Seconds)].

%% A drain

drains(Processes, Results, Rounds) ->
    bench_runs:say("cluster: drains of ~b processes, ~b results each", [Processes, Results]),
    Drain = fun(Nodes) -> fun() -> drain(Nodes, Processes, Results, #{}) end end,
    #{alone := Alone, one := One, three := Three} =
        bench_runs:in_turn(Rounds, [{alone, Drain(0)}, {one, Drain(1)}, {three, Drain(3)}]),
    Columns = [per_second, cpu_per_million, server_per_million],
    Rows = [[Name | [spread(Column, Runs) || Column <- Columns]]
            || {Name, Runs} <- [{"no cluster", Alone}, {"cluster of 1", One}, {"cluster of 3", Three}]],
    Ratios = [[Name | [bench_stats:ratios(Column, Runs, Against) || Column <- [per_second, cpu_per_million]]]
              || {Name, Runs, Against} <- [{"cluster of 1 / no cluster", One, Alone}, {"3 / 1", Three, One}]],
    #{title => io_lib:format("Drain: ~b processes of ~s results", [Processes, bench_table:number(Results)]),
      about => io_lib:format("Pages of 1000, 400 bytes of data each. ~b rounds, median (min-max). From the start of the monitors "
                             "to the last push. Host nodes, database and CU share the machine, so three host nodes have no more "
                             "cores than one.", [Rounds]),
      tables => [{["", "results/s", "CPU s per million: host nodes", "database"], Rows},
                 {["by pairs", "results/s", "CPU of host nodes"], Ratios}],
      charts => []}.

spread(Key, Runs) -> bench_stats:spread([maps:get(Key, Run) || Run <- Runs]).

%% `Host': further options of the host.
drain(Nodes, Processes, Results, Host) ->
    run(Nodes, #{cu => {?DATA, integer_to_list(Results)}, host => Host}, fun(#{nodes := [First | _] = All, url := Url} = Cluster) ->
        %% Also creates the counters.
        0 = bench_cluster_nodes:pushed(Cluster),
        {Cpu, Server} = bench_cluster_nodes:cpu(Cluster),
        Begin = bench_run:now_us(),
        ok = call(First, bench_cluster_nodes, begin_all,
                  [lists:seq(1, Processes), #{rate => 1000, cursor => earliest, cron_page_limit => 1000, cron_node => Url}]),
        Total = Processes * Results,
        ok = until(fun() -> bench_cluster_nodes:pushed(Cluster) >= Total end),
        Us = bench_run:now_us() - Begin,
        {CpuAfter, ServerAfter} = bench_cluster_nodes:cpu(Cluster),
        Total = bench_cluster_nodes:pushed(Cluster),
        Commits = [call(Node, bench_cluster_nodes, commits, []) || Node <- All],
        Count = lists:sum([N || {N, _, _} <- Commits]),
        #{per_second => Total * 1.0e6 / Us, cpu_per_million => (CpuAfter - Cpu) * 1.0e6 / Total,
          server_per_million => (ServerAfter - Server) * 1.0e6 / Total, commits => Count * 1.0e6 / Us,
          cursors => Count * Processes * 1.0e6 / Us,
          commit_ms => lists:sum([S || {_, S, _} <- Commits]) * 1000 / max(1, Count),
          commit_p99_ms => lists:max([milliseconds(Bound) || {_, _, Bound} <- Commits])}
    end).

milliseconds(infinity) -> 1.0e6;
milliseconds(Seconds) -> Seconds * 1000.

%% Saving

saves(Processes, Results, Rounds) ->
    bench_runs:say("cluster: saving cursors of ~b processes", [Processes]),
    Save = fun(Nodes) -> fun() -> drain(Nodes, Processes, Results, #{cron_checkpoint_interval => 1}) end end,
    #{redb := Redb, cluster := Cluster} = bench_runs:in_turn(Rounds, [{redb, Save(0)}, {cluster, Save(1)}]),
    Columns = [cursors, commits, commit_ms, commit_p99_ms, per_second],
    #{title => io_lib:format("Saving: ~s processes that ack all the time", [bench_table:number(Processes)]),
      about => io_lib:format("Commits follow each other at once (cron_checkpoint_interval of 1 ms) while a backlog of ~b results of "
                             "each process is drained. ~b rounds, median (min-max). Cursors: commits times processes, an upper "
                             "bound; a cursor that did not change is not saved.", [Results, Rounds]),
      tables => [{["", "cursors/s, at most", "commits/s", "commit ms, mean", "commit ms, 99 % below", "results/s"],
                  [[Name | [spread(Column, Runs) || Column <- Columns]] || {Name, Runs} <- [{"redb", Redb}, {"PostgreSQL", Cluster}]]},
                 {["by pairs", "cursors/s", "commit ms"],
                  [["PostgreSQL / redb", bench_stats:ratios(cursors, Cluster, Redb), bench_stats:ratios(commit_ms, Cluster, Redb)]]}],
      charts => []}.

%% Take-over

take_over(Counts) ->
    Rows = [[bench_table:number(Count) | take_over_of(Count)] || Count <- Counts],
    #{title => "Take-over: one of three host nodes is killed",
      about => "cron_cluster_ttl is 6000 ms, during which a silent host node counts as alive. From kill -9. One run for each number "
               "of processes.",
      tables => [{["processes", "ms until all shards have an owner", "ms until all monitors run"], Rows}],
      charts => []}.

take_over_of(Count) ->
    bench_runs:say("cluster: take-over of ~b processes", [Count]),
    run(3, #{cu => {"data:0", "0"}}, fun(Cluster) ->
        ok = populate(Count, Cluster),
        #{server := Server} = Left = bench_cluster_nodes:kill(Cluster),
        Begin = bench_run:now_us(),
        Orphans = "SELECT count(*) FROM hb_cron.shard WHERE owner IS NULL OR owner NOT IN (SELECT incarnation FROM hb_cron.node)
                   UNION ALL SELECT count(*) FROM hb_cron.node",
        ok = until(fun() -> postgres_server:sql(Server, Orphans) =:= "0\n2" end),
        Owned = bench_run:now_us() - Begin,
        ok = until(fun() -> bench_cluster_nodes:monitors(Left) =:= Count end),
        [Owned / 1000, (bench_run:now_us() - Begin) / 1000]
    end).

%% Starts monitors that have nothing to do.
populate(Count, #{nodes := [First | _], url := Url} = Cluster) ->
    ok = call(First, bench_cluster_nodes, begin_many, [lists:seq(1, Count), #{rate => ?HOUR, cursor => earliest, cron_node => Url}]),
    until(fun() -> bench_cluster_nodes:monitors(Cluster) =:= Count end).

%% Idle

idle(Count, Sizes, Seconds) ->
    Rows = [begin
        bench_runs:say("cluster: idle, ~b host nodes, ~b processes", [Nodes, Count]),
        #{statements := Statements, node := Node, server := Server} = idle_of(Nodes, Count, Seconds),
        [size_name(Nodes), Statements, Node, Server]
    end || Nodes <- Sizes],
    #{title => io_lib:format("Idle: ~s processes at an hour", [bench_table:number(Count)]),
      about => io_lib:format("~b s without a tick. CPU in percent of one core. One run.", [Seconds]),
      tables => [{["", "statements/s in all", "CPU % of a host node", "CPU % of the database"], Rows}],
      charts => []}.

size_name(0) -> "no cluster";
size_name(Nodes) -> io_lib:format("cluster of ~b", [Nodes]).

idle_of(Nodes, Count, Seconds) ->
    run(Nodes, #{cu => {"data:0", "0"}}, fun(#{nodes := All} = Cluster) ->
        ok = populate(Count, Cluster),
        %% What the starts leave behind does not count.
        bench_run:sleep_until(bench_run:now_us() + 2000000),
        {Before, {Cpu, Server}, Begin} = {statements(Cluster), bench_cluster_nodes:cpu(Cluster), bench_run:now_us()},
        bench_run:sleep_until(Begin + Seconds * 1000000),
        {After, {CpuAfter, ServerAfter}, End} = {statements(Cluster), bench_cluster_nodes:cpu(Cluster), bench_run:now_us()},
        PerSecond = fun(Grown) -> Grown * 1.0e6 / (End - Begin) end,
        #{statements => PerSecond(After - Before), node => 100 * PerSecond(CpuAfter - Cpu) / length(All),
          server => 100 * PerSecond(ServerAfter - Server)}
    end).

statements(#{nodes := Nodes}) ->
    lists:sum([maps:get(cluster_statements_total, call(Node, hb_cron_metrics, values, [])) || Node <- Nodes]).
