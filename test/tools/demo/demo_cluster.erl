%%% The driver of `make demo-cluster': three host nodes share twelve processes through a private PostgreSQL server, live.
%%% One is killed, the others take over, another one joins, and one stops. At the end it prints how many results were
%%% lost and pushed again. It ends within a minute, with exit status 1 if a result was lost or out of order.
-module(demo_cluster).
-export([main/0]).

-define(PROCESSES, 12).
-define(RATE, 250).
%% After so many ms without a sign of life a host node counts as dead.
-define(TTL, 2000).
%% How long each part is shown, and how often counts are, in ms.
-define(SHOWN, 4000).
-define(EVERY, 1000).

main() ->
    _ = logger:set_primary_config(level, error),
    Began = now_ms(),
    Screen = spawn_link(fun() -> screen(#{began => Began, owners => #{}, counts => #{}, due => now_ms() + ?EVERY}) end),
    say(Screen, "a private PostgreSQL server, a Compute Unit and three host nodes start", []),
    World = cluster_world:new(#{processes => ?PROCESSES, nodes => 3, rate => ?RATE, ttl => ?TTL, ahead => 1, watcher => Screen}),
    ok = cluster_world:await_pushes(World),
    say(Screen, "they share ~b processes, each with a new result every ~b ms: ~ts", [?PROCESSES, ?RATE, shards(World)]),
    ok = cluster_world:pause(?SHOWN),
    say(Screen, "--- kill -9 node-2: the others take over after ~b ms without a sign of life", [?TTL]),
    Killed = whole(cluster_world:kill_node(2, World)),
    say(Screen, "all processes are pushed again: ~ts", [shards(Killed)]),
    ok = cluster_world:pause(?SHOWN),
    say(Screen, "--- node-4 joins: each of the others hands over a part", []),
    Joined = whole(cluster_world:start_node(Killed)),
    say(Screen, "the shards are even again: ~ts", [shards(Joined)]),
    ok = cluster_world:pause(?SHOWN),
    say(Screen, "--- node-1 stops regularly: it hands everything over, and repeats nothing", []),
    #{sink := Sink} = Left = whole(cluster_world:leave(1, Joined)),
    say(Screen, "the shards are even again: ~ts", [shards(Left)]),
    ok = cluster_world:pause(?SHOWN),
    say(Screen, "--- no more results are produced", []),
    ok = cluster_sink:finish(Sink),
    Report = cluster_verdict:with_limit(cluster_world:report(Began, Left)),
    ok = cluster_world:stop(Left),
    Screen ! {stop, self()},
    receive {stopped, Screen} -> ok end,
    halt(summary(Report)).

whole(World) ->
    ok = cluster_world:await_even(World),
    ok = cluster_world:await_pushes(World),
    World.

shards(World) ->
    lists:join(", ", [io_lib:format("~ts ~b shards", [Name, length(Shards)])
                      || {Name, Shards} <- lists:sort(maps:to_list(cluster_world:owners(World)))]).

summary(#{results := Results, pushes := Pushes, repeated := Repeated, longest_gap_ms := Gap, violations := Violations}) ->
    Lost = length([lost || Violation <- Violations, element(1, Violation) =:= lost]),
    io:format("~nresults ~b, pushes ~b, lost ~b, pushed again ~b; longest pause of a process ~b ms~n",
              [Results, Pushes, Lost, Repeated, Gap]),
    case Violations of
        [] -> 0;
        _ -> io:format("VIOLATED: ~p~n", [Violations]), 1
    end.

%% Prints which host node pushes what.

say(Screen, Format, Args) -> Screen ! {say, io_lib:format(Format, Args)}, ok.

screen(#{owners := Owners, counts := Counts, due := Due} = State) ->
    receive
        {pushed, Life, ProcId, _Number} ->
            screen(State#{owners := Owners#{ProcId => Life}, counts := maps:update_with(Life, fun(N) -> N + 1 end, 1, Counts)});
        {say, Text} ->
            line(Text, State),
            screen(State);
        {stop, From} ->
            From ! {stopped, self()}
    after max(0, Due - now_ms()) ->
        _ = map_size(Counts) > 0 andalso line(counted(State), State),
        screen(State#{counts := #{}, due := Due + ?EVERY})
    end.

counted(#{owners := Owners, counts := Counts}) ->
    lists:join(", ", [io_lib:format("node-~b pushes ~b processes (~b results)",
                                    [Life, length([Id || {Id, By} <- maps:to_list(Owners), By =:= Life]), Count])
                      || {Life, Count} <- lists:sort(maps:to_list(Counts))]).

line(Text, #{began := Began}) -> io:format("~6.2f s  ~ts~n", [(now_ms() - Began) / 1000, Text]).

now_ms() -> erlang:monotonic_time(millisecond).
