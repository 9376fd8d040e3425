%%% The cluster test: several host nodes in OS processes of their own share processes through a private PostgreSQL
%%% server, while faults strike them and the server. This driver, outside the nodes, records all pushes and judges
%%% them: nothing lost or skipped, no cursor moved back, repeated only after a fault, and taken over in time.
-module(clustertest).
-export([main/1, run/1]).

%% Faults come within this time of each other, in ms.
-define(WITHIN, 3000).
%% The time after which a silent node is taken for dead, in ms.
-define(TTL, 2000).
-define(PROCESSES, 60).
%% Of the cluster that grows and shrinks: the time between two results of a process, in ms, and up to how many processes
%% have results.
-define(SLOW_RATE, 5000).
-define(BUSY, 5000).

%% `erl -run clustertest main Kills Seed Nodes Processes Scenes': exit status 1 on a violation. Plays each fault once, and then
%% `Kills' of them at random; fails over; restarts all host nodes; grows and shrinks a cluster. An empty `Seed' is chosen;
%% with an empty `Scenes' all are played.
main([Kills, "", Nodes, Processes, Chosen]) ->
    main([Kills, integer_to_list(os:system_time(microsecond) rem 1000000000), Nodes, Processes, Chosen]);
main([Kills, Seed, Nodes, Processes, Chosen]) ->
    _ = rand:seed(exsss, list_to_integer(Seed)),
    All = [
        {"faults", ["each fault and ", Kills, " more, seed ", Seed], fun() -> faults(list_to_integer(Kills)) end},
        {"failover", "fail-over to a synchronous replica, twice", fun() -> run_all([fail_over, kill, fail_over, kill_database]) end},
        {"restarts", "restart of every host node under load", fun restarts/0},
        {"sizes", ["from 1 host node to ", Nodes, " and back, ", Processes, " processes"],
         fun() -> sizes(list_to_integer(Nodes), list_to_integer(Processes)) end}
    ],
    Names = string:lexemes(Chosen, " ,"),
    [] = Names -- [Name || {Name, _, _} <- All],
    Scenes = [{About, Play} || {Name, About, Play} <- All, Names =:= [] orelse lists:member(Name, Names)],
    try [scene(About, Play) || {About, Play} <- Scenes] of
        Violations -> halt(case lists:append(Violations) of [] -> 0; _ -> 1 end)
    catch
        Class:Reason:Stack ->
            io:format(standard_error, "clustertest: ~p~n~p~n", [{Class, Reason}, Stack]),
            halt(1)
    end.

scene(About, Play) ->
    io:format("~n--- ~s~n", [About]),
    #{violations := Violations} = Report = Play(),
    ok = cluster_verdict:print(Report),
    Violations.

possible(Faults) ->
    lists:filter(fun(Fault) ->
        case cluster_faults:unavailable(Fault) of
            none -> true;
            Why -> io:format("clustertest: ~s is NOT played: ~s~n", [Fault, Why]), false
        end
    end, Faults).

shuffled(List) -> [Each || {_, Each} <- lists:sort([{rand:uniform(), Each} || Each <- List])].

faults(Kills) ->
    Possible = possible(cluster_faults:all() -- [fail_over]),
    run_all(shuffled(Possible) ++ [lists:nth(rand:uniform(length(Possible)), Possible) || _ <- lists:seq(1, Kills)]).

run_all(Faults) ->
    #{said := Said} = Report = run(#{faults => Faults, processes => ?PROCESSES, verbose => true}),
    _ = [io:format("  ~-24s ~ts~n", [Fault, Reason]) || {Fault, Reason} <- lists:usort(Said)],
    cluster_verdict:with_take_over(?TTL, Report).

%% Plays the faults, one after the other, then has everything pushed.
-spec run(map()) -> cluster_verdict:report().
run(#{faults := Faults} = Options) ->
    Report = play(Options, [{Fault, fun(World) -> settle(cluster_faults:strike(Fault, World)) end} || Fault <- Faults]),
    cluster_verdict:with_limit(Report).

%% A node that has ended is replaced. Then every process is pushed again.
settle(#{nodes := Nodes, size := Size} = World) ->
    Next = case map_size(Nodes) < Size of true -> cluster_world:start_node(World); false -> World end,
    ok = cluster_world:await_pushes(Next),
    cluster_world:pause(rand:uniform(?WITHIN)),
    Next.

%% The others own all shards before the next one is stopped.
restarts() ->
    Restart = fun(World) ->
        [Oldest | _] = cluster_world:lives(World),
        whole(cluster_world:start_node(whole(cluster_world:leave(Oldest, World))))
    end,
    cluster_verdict:with_no_repeats(play(#{processes => ?PROCESSES, verbose => true}, [{restart, Restart} || _ <- lists:seq(1, 3)])).

%% One joins after the other, then one after the other leaves.
sizes(Most, Count) ->
    Options = #{processes => Count, nodes => 1, rate => ?SLOW_RATE, ahead => case Count =< ?BUSY of true -> 1; false -> 0 end,
                verbose => true},
    Join = fun(#{nodes := Nodes} = World) ->
        Before = cluster_world:owners(World),
        Joined = whole(cluster_world:start_node(World)),
        note(moved(map_size(Nodes) + 1, Before, cluster_world:owners(Joined)), Joined)
    end,
    Leave = fun(World) -> whole(cluster_world:leave(hd(cluster_world:lives(World)), World)) end,
    Changes = lists:seq(2, Most),
    Report = play(Options, [{io_lib:format("~b host nodes", [N]), Join} || N <- Changes]
                           ++ [{io_lib:format("~b host nodes", [N - 1]), Leave} || N <- lists:reverse(Changes)]),
    cluster_verdict:with_no_repeats(Report).

whole(World) ->
    ok = cluster_world:await_even(World),
    ok = cluster_world:await_pushes(World),
    World.

%% The host node that joins gets its part, and no other shard moves, except one of each host node: which of them have one
%% shard more than the others depends on their order.
moved(Nodes, Before, After) ->
    Owner = fun(Owners) -> maps:from_list([{Shard, Name} || {Name, Shards} <- maps:to_list(Owners), Shard <- Shards]) end,
    Was = Owner(Before),
    Moved = length([Shard || {Shard, Name} <- maps:to_list(Owner(After)), map_get(Shard, Was) =/= Name]),
    io:format(" moved ~b of ~b", [Moved, map_size(Was)]),
    [{moved_too_many, {nodes, Nodes}, Moved} || Moved > map_size(Was) div Nodes + Nodes].

note(Violations, #{violations := Before} = World) -> World#{violations := Before ++ Violations}.

%% Carries out the steps, and ends the world, also if one fails.
play(Options, Steps) ->
    Began = erlang:monotonic_time(millisecond),
    World = cluster_world:new(maps:merge(#{nodes => 3, ttl => ?TTL}, Options)),
    All = [{start, fun(Up) -> ok = cluster_world:await_pushes(Up), Up end} | Steps]
        ++ [{finish, fun(#{sink := Sink} = Up) -> ok = cluster_sink:finish(Sink), Up end}],
    After = lists:foldl(fun({Name, Step}, Acc) -> step(Options, Name, Step, Acc) end, World, All),
    Report = cluster_world:report(Began, After),
    ok = cluster_world:stop(After),
    Report#{faults => [Name || {Name, _} <- Steps]}.

step(Options, Name, Step, World) ->
    Began = erlang:monotonic_time(millisecond),
    Verbose = maps:get(verbose, Options, false),
    _ = Verbose andalso io:format("  ~-24s", [Name]),
    try Step(World) of
        Next ->
            _ = Verbose andalso io:format(" ~b ms~n", [erlang:monotonic_time(millisecond) - Began]),
            Next
    catch
        Class:Reason:Stack ->
            ok = cluster_world:stop(World),
            erlang:raise(Class, {Name, Reason}, Stack)
    end.
