%%% What `make clustertest' plays in: a private database, a Compute Unit, host nodes in OS processes of their own, and the
%%% links between them and the database. {@link cluster_faults} strikes it.
-module(cluster_world).

-export([new/1, stop/1, report/2]).
%% Host nodes
-export([start_node/1, start_node/2, kill_node/2, leave/2, call/5, lives/1, random_life/1, start_processes/1]).
%% Waiting
-export([await_even/1, await_taken_over/2, await_held/1, await_pushes/1, owners/1, pause/1, until/1]).

-export_type([world/0]).

-type world() :: #{server := postgres_server:server(), sink := pid(), cu := test_cu:cu(), atom() => term()}.
%% `ports': the ports of the server and of its replica, if there is one. `size': the wanted number of host nodes. `said':
%% what host nodes reported of the database, by fault.

%% Only a failure takes this long, in ms.
-define(DEADLINE, 240000).
%% How long the start of one process may take on a busy machine, in ms. Each is a transaction.
-define(START, 20).
%% How often something is looked at, in ms.
-define(POLL, 50).
%% Not more than the faults need. Few connections, so that a driver can take them all.
-define(SETTINGS, ["max_connections=60", "wal_retrieve_retry_interval=100ms"]).
%% The size of the disk that a fault fills, in MiB.
-define(DISK, 300).

%% Options: `processes', `nodes', `ttl', `rate', `ahead', `watcher', and `faults', for which the database may need a disk or
%% a clock.
-spec new(map()) -> world().
new(#{processes := Count, nodes := Nodes} = Options) ->
    Faults = maps:get(faults, Options, []),
    Clock = case lists:member(jump_clock, Faults) of true -> cluster_clock:new(); false -> none end,
    Environment = case Clock of none -> []; _ -> cluster_clock:environment(Clock) end,
    Server = start_server(lists:member(full_disk, Faults), #{environment => Environment}),
    _ = [postgres_server:sql(Server, Text) || Text <- ["CREATE ROLE hb_cron LOGIN", "CREATE ROLE holder LOGIN",
                                                       "GRANT CREATE ON DATABASE postgres TO hb_cron"]],
    Cu = test_cu:start(),
    Processes = [harness:proc_id() || _ <- lists:seq(1, Count)],
    Sink = cluster_sink:start(#{cu => Cu, processes => Processes, ahead => maps:get(ahead, Options, 20),
                                watcher => maps:get(watcher, Options, none)}),
    %% Where the replica will be.
    Other = [postgres_server:free_port() || lists:member(fail_over, Faults)],
    World = #{server => Server, ports => [postgres_server:port(Server) | Other], clock => Clock, cu => Cu, sink => Sink, processes => Processes, nodes => #{}, links => #{}, clocks => #{}, life => 0,
              size => Nodes, violations => [], take_overs => [], ttl => maps:get(ttl, Options, 2000), rate => maps:get(rate, Options, 100), said => []},
    Up = lists:foldl(fun(_, Acc) -> start_node(Acc) end, World, lists:seq(1, Nodes)),
    try
        ok = start_processes(Up),
        ok = note_back_moves(Server),
        ok = await_even(Up),
        Up
    catch
        Class:Reason:Stack -> ok = stop(Up), erlang:raise(Class, Reason, Stack)
    end.

start_server(false, Options) ->
    postgres_server:start(?SETTINGS, Options);
start_server(true, Options) ->
    try postgres_server:start(?SETTINGS, Options#{disk => ?DISK})
    catch error:no_disk -> postgres_server:start(?SETTINGS, Options)
    end.

%% Starts the monitors, by the host node that has lived longest.
start_processes(#{cu := Cu, processes := Processes, rate := Rate, server := Server} = World) ->
    Options = #{rate => Rate, cursor => earliest, cron_node => test_cu:url(Cu), cron_push => {cluster_node, push},
                cron_push_backoff => {50, 500}},
    ok = call(hd(lives(World)), cluster_node, start_all, [Processes, Options], World),
    Count = integer_to_list(length(Processes)),
    %% There may be no tables yet.
    until(fun() -> postgres_server:try_sql(Server, "SELECT count(*) FROM hb_cron.process") =:= {ok, Count} end,
          deadline() + length(Processes) * ?START).

%% A trigger notes each cursor that moves back within a start.
note_back_moves(Server) ->
    _ = postgres_server:sql(Server, "
        CREATE TABLE public.back (process text, old_seq bigint, new_seq bigint);
        CREATE FUNCTION public.note() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS
        'BEGIN IF NEW.generation = OLD.generation AND NEW.seq < OLD.seq THEN
         INSERT INTO public.back VALUES (NEW.process, OLD.seq, NEW.seq); END IF; RETURN NULL; END';
        CREATE TRIGGER note AFTER UPDATE ON hb_cron.process FOR EACH ROW EXECUTE FUNCTION public.note()"),
    ok.

%% The verdict on all that was pushed.
-spec report(Began :: integer(), world()) -> cluster_verdict:report().
report(Began, #{sink := Sink, server := Server, cu := Cu, processes := Processes, said := Said,
                violations := Noted, take_overs := TakeOvers}) ->
    Back = postgres_server:sql(Server, "SELECT count(*) FROM public.back"),
    Counts = maps:from_list([{Id, test_cu:count(Cu, Id)} || Id <- Processes]),
    #{violations := Violations} = Report = cluster_verdict:judge(cluster_sink:events(Sink), Counts),
    Report#{take_overs => lists:reverse(TakeOvers), took_ms => erlang:monotonic_time(millisecond) - Began, said => Said,
            violations := Violations ++ Noted ++ [{cursor_moved_back, Back} || Back =/= "0"]}.

-spec stop(world()) -> ok.
stop(#{server := Server, cu := Cu, sink := Sink, nodes := Nodes, links := Links, clocks := Clocks, clock := Clock}) ->
    _ = [os:cmd(lists:concat(["kill -9 ", os_node:os_pid(Node)])) || Node <- maps:values(Nodes)],
    ok = postgres_server:stop(Server),
    _ = [cluster_link:stop(Link) || Of <- maps:values(Links), Link <- Of],
    _ = [cluster_clock:remove(Each) || Each <- [Clock | maps:values(Clocks)], Each =/= none],
    ok = cluster_sink:stop(Sink),
    test_cu:stop(Cu),
    ok.

%% Host nodes

start_node(World) -> start_node(none, World).

%% With a wall clock of its own. Each host node has a link to each port at which a server may be.
-spec start_node(cluster_clock:clock() | none, world()) -> world().
start_node(Clock, #{life := Before, nodes := Nodes, links := Links, clocks := Clocks, ports := Ports, sink := Sink} = World) ->
    Life = Before + 1,
    Own = [cluster_link:start(Port) || Port <- Ports],
    Port = cluster_sink:expect(Life, host(Life, Own, World), Sink),
    Environment = case Clock of none -> []; _ -> cluster_clock:environment(Clock) end,
    Node = os_node:start(cluster_node, [integer_to_list(Port)], ["+P", "4000000"], Environment),
    ready = cluster_sink:await_ready(Life, Sink),
    World#{life := Life, nodes := Nodes#{Life => Node}, links := Links#{Life => Own}, clocks := Clocks#{Life => Clock}}.

host(Life, Links, #{ttl := Ttl}) ->
    Hosts = lists:join(",", [["127.0.0.1:", integer_to_list(cluster_link:port(Link))] || Link <- Links]),
    #{cron_cluster => iolist_to_binary(["postgresql://hb_cron@", Hosts, "/postgres?sslmode=disable"]), cron_cluster_ttl => Ttl,
      cron_push => {cluster_node, push}, cron_cluster_node => name(Life)}.

name(Life) -> <<"node-", (integer_to_binary(Life))/binary>>.

kill_node(Life, #{nodes := Nodes} = World) ->
    ok = os_node:kill(maps:get(Life, Nodes)),
    gone(Life, World).

%% Stops a host node, which hands its shards over.
leave(Life, #{nodes := Nodes, sink := Sink} = World) ->
    ok = cluster_sink:send(Life, leave, Sink),
    0 = os_node:dead(maps:get(Life, Nodes)),
    gone(Life, World).

gone(Life, #{nodes := Nodes, links := Links, clocks := Clocks} = World) ->
    {Own, Rest} = maps:take(Life, Links),
    _ = [cluster_link:stop(Link) || Link <- Own],
    {Clock, Left} = maps:take(Life, Clocks),
    _ = Clock =/= none andalso cluster_clock:remove(Clock),
    World#{nodes := maps:remove(Life, Nodes), links := Rest, clocks := Left}.

call(Life, Module, Function, Args, #{sink := Sink}) -> cluster_sink:call(Life, Module, Function, Args, Sink).

%% Those that live, the oldest first.
-spec lives(world()) -> [pos_integer()].
lives(#{nodes := Nodes}) -> lists:sort(maps:keys(Nodes)).

random_life(World) ->
    Lives = lives(World),
    lists:nth(rand:uniform(length(Lives)), Lives).

%% Waiting

%% Until all host nodes have the same number of shards, give or take one.
await_even(#{nodes := Nodes} = World) ->
    Size = map_size(Nodes),
    until(fun() ->
        Owned = [length(Shards) || {Owner, Shards} <- maps:to_list(owners(World)), Owner =/= ""],
        length(Owned) =:= Size andalso lists:sum(Owned) =:= 4096 andalso lists:max(Owned) - lists:min(Owned) < 2
    end).

%% The shards of each host node that is in the database, by its name.
-spec owners(world()) -> #{Name :: string() => [Shard :: string()]}.
owners(#{server := Server}) ->
    Rows = postgres_server:sql(Server, "SELECT n.name, s.shard FROM hb_cron.shard s JOIN hb_cron.node n ON n.incarnation = s.owner"),
    lists:foldl(fun(Row, Acc) ->
        [Name, Shard] = string:split(Row, "|"),
        maps:update_with(Name, fun(Known) -> [Shard | Known] end, [Shard], Acc)
    end, #{}, string:lexemes(Rows, "\n")).

%% Until the others own all shards, without a host node that is silent.
await_taken_over(Life, #{server := Server}) ->
    Query = lists:concat(["SELECT count(*) FROM hb_cron.shard s LEFT JOIN hb_cron.node n ON n.incarnation = s.owner ",
                          "WHERE n.name IS NULL OR n.name = '", binary_to_list(name(Life)), "'"]),
    until(fun() -> postgres_server:sql(Server, Query) =:= "0" end).

%% Until each host node has stopped pushing and says why. Returns the reasons.
-spec await_held(world()) -> [Reason :: binary()].
await_held(World) ->
    lists:usort([held(Life, false, undefined, World, deadline()) || Life <- lives(World)]).

held(Life, Held, Error, World, Until) ->
    #{may_push := May, error := Now} = call(Life, hb_cron_cluster, status, [], World),
    case {Held orelse not May, case Now of undefined -> Error; _ -> Now end} of
        {true, Reason} when Reason =/= undefined -> Reason;
        {IsHeld, Last} ->
            erlang:monotonic_time(millisecond) < Until orelse error({not_held, Life, IsHeld, Last}),
            pause(?POLL),
            held(Life, IsHeld, Last, World, Until)
    end.

await_pushes(#{sink := Sink}) -> cluster_sink:await_pushes(Sink).

%% Until Fun() is true.
until(Fun) -> until(Fun, deadline()).

until(Fun, Until) ->
    case Fun() of
        true -> ok;
        Other ->
            erlang:monotonic_time(millisecond) < Until orelse error({never_true, Other}),
            pause(?POLL),
            until(Fun, Until)
    end.

deadline() -> erlang:monotonic_time(millisecond) + ?DEADLINE.

pause(Ms) -> receive after Ms -> ok end.
