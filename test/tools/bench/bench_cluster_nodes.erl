%%% Host nodes of a measured cluster, from the driver's side: a private PostgreSQL server that syncs, a Compute Unit, and
%%% nodes in OS processes of their own. Also what runs in such a node: a push that counts.
-module(bench_cluster_nodes).

-export([run/3]).
%% The driver's calls
-export([start/2, kill/1, call/4, sum/4, until/1, pushed/1, monitors/1, cpu/1]).
%% Called in a node
-export([push/2, pushes/0, begin_all/2, begin_many/2, commits/0]).

-export_type([cluster/0]).

-type cluster() :: #{server := postgres_server:server() | none, url := binary(), nodes := [{os_node:os_node(), gen_tcp:socket()}],
                     atom() => term()}.

%% Only a failure takes this long, in ms.
-define(LIMIT, 600000).
-define(POLL, 10).

%% Calls `Fun' with a cluster of so many host nodes that share all shards; of one node without a cluster, if there are 0.
run(Nodes, #{cu := {Kind, Count}} = Options, Fun) ->
    Server = case Nodes of 0 -> none; _ -> postgres_server:start(["fsync=on", "shared_buffers=256MB"]) end,
    Dir = string:trim(os:cmd("mktemp -d")),
    try
        bench_runs:served_by(Kind, Count, fun(Url) ->
            Before = #{server => Server, url => list_to_binary(Url), nodes => [], dir => Dir, options => Options},
            Cluster = lists:foldl(fun start/2, Before, lists:seq(1, max(1, Nodes))),
            ok = await_even(Cluster),
            try Fun(Cluster)
            after
                [os:cmd("kill -9 " ++ integer_to_list(os_node:os_pid(Node))) || {Node, _} <- maps:get(nodes, Cluster)]
            end
        end)
    after
        _ = Server =/= none andalso postgres_server:stop(Server),
        _ = file:del_dir_r(Dir)
    end.

%% Adds a host node.
start(Number, #{nodes := Nodes} = Cluster) ->
    {Listen, Port} = os_node:listen(),
    Node = os_node:start(cluster_node, [integer_to_list(Port)], ["+P", "4000000"]),
    Line = os_node:accept(Listen),
    orders = os_node:recv(Line),
    ok = os_node:send(Line, #{host => host(Number, Cluster), life => Number}),
    {ready, Number} = os_node:recv(Line),
    ok = gen_tcp:close(Listen),
    Cluster#{nodes := Nodes ++ [{Node, Line}]}.

host(Number, #{server := Server, dir := Dir, options := Options}) ->
    Own = case Server of
        none -> #{cron_checkpoint => unicode:characters_to_binary(filename:join(Dir, "checkpoint.redb"))};
        _ -> #{cron_cluster => postgres_server:url(Server), cron_cluster_node => integer_to_binary(Number)}
    end,
    maps:merge(Own#{cron_push => {?MODULE, push}}, maps:get(host, Options, #{})).

await_even(#{server := none}) ->
    ok;
await_even(#{server := Server, nodes := Nodes}) ->
    Query = lists:concat(["SELECT count(*) = ", length(Nodes), " AND sum(c) = 4096 AND max(c) - min(c) < 2 FROM (SELECT count(*) AS c
             FROM hb_cron.shard s JOIN hb_cron.node n ON n.incarnation = s.owner GROUP BY owner) o"]),
    %% There may be no tables yet.
    until(fun() -> postgres_server:try_sql(Server, Query) =:= {ok, "t"} end).

%% Kills the last host node.
kill(#{nodes := Nodes} = Cluster) ->
    {Node, Line} = lists:last(Nodes),
    ok = os_node:kill(Node),
    ok = gen_tcp:close(Line),
    Cluster#{nodes := lists:droplast(Nodes)}.

call({_, Line}, Module, Function, Args) ->
    ok = os_node:send(Line, {call, Module, Function, Args}),
    {answer, Answer} = os_node:recv(Line, ?LIMIT),
    Answer.

%% The sum of what a function returns in each host node.
sum(#{nodes := Nodes}, Module, Function, Args) ->
    lists:sum([call(Node, Module, Function, Args) || Node <- Nodes]).

pushed(Cluster) -> sum(Cluster, ?MODULE, pushes, []).

%% The monitors of all host nodes.
monitors(#{nodes := Nodes}) ->
    lists:sum([maps:get(monitors, call(Node, hb_cron_engine, counters, [])) || Node <- Nodes]).

%% The CPU seconds of all host nodes, and of the server.
-spec cpu(cluster()) -> {Nodes :: float(), Server :: float()}.
cpu(#{server := Server} = Cluster) ->
    Pids = case Server of none -> []; _ -> postgres_server:processes(Server) end,
    {sum(Cluster, bench_run, cpu_seconds, []), lists:sum([0.0 | [bench_run:cpu_seconds(Pid) || Pid <- Pids]])}.

until(Fun) -> until(Fun, erlang:monotonic_time(millisecond) + ?LIMIT).

until(Fun, Until) ->
    case Fun() of
        true -> ok;
        false ->
            erlang:monotonic_time(millisecond) < Until orelse error(late),
            receive after ?POLL -> until(Fun, Until) end
    end.

%% In a node

%% A repeated or reordered result of a monitor fails its push, and then no drain ends.
push(#{message := #{<<"Messages">> := [#{<<"Anchor">> := Anchor}]}}, _State) ->
    Number = binary_to_integer(Anchor),
    case put(?MODULE, Number) of
        undefined -> ok;
        Before when Before =:= Number - 1 -> ok
    end,
    counters:add(counted(), 1, 1).

%% Made by the first push or question, whichever comes first.
counted() ->
    case persistent_term:get(?MODULE, none) of
        none ->
            _ = global:trans({?MODULE, self()}, fun() ->
                persistent_term:get(?MODULE, none) =:= none
                    andalso persistent_term:put(?MODULE, counters:new(1, [write_concurrency]))
            end, [node()]),
            persistent_term:get(?MODULE);
        Counted ->
            Counted
    end.

pushes() -> counters:get(counted(), 1).

%% Starts monitors of the processes with these numbers.
begin_all(Numbers, Options) ->
    0 = pushes(),
    lists:foreach(fun(Number) -> {_, _} = hb_process_monitor:start(bench_monitors:id(Number), Options) end, Numbers).

%% The same by one call.
begin_many(Numbers, Options) ->
    Outcomes = hb_process_monitor:start_all([{bench_monitors:id(Number), Options} || Number <- Numbers]),
    [] = [Other || Other <- Outcomes, element(1, Other) =/= started],
    ok.

%% How many commits the checkpoint has made, how many seconds they took, and which bound 99 % of them did not exceed.
commits() ->
    #{checkpoint_commit_duration_seconds := #{buckets := Buckets, sum := Sum, count := Count}} = hb_cron_metrics:values(),
    [{Bound, _} | _] = [Bucket || {_, Below} = Bucket <- Buckets, Below >= Count * 0.99],
    {Count, Sum, Bound}.
