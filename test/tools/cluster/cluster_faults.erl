%%% The faults of `make clustertest': what happens to host nodes, to their database, and to what is between them. After
%%% each of them the world is whole again, except for host nodes that ended.
-module(cluster_faults).

-export([all/0, unavailable/1, strike/2]).

-export_type([fault/0]).

-import(cluster_world, [lives/1, random_life/1, pause/1]).

-type fault() :: kill | pause | leave | cut | reset | slow_database | freeze_database | kill_database
               | start_without_database | read_only | full_disk | connections | revoke | jump_clock | fail_over.

%% How much later a slow database answers at most, in ms.
-define(SLOW, 500).
%% How long a push that is allowed takes to begin, on a noisy machine, in ms.
-define(SLACK, 1000).
%% How often connections are reset.
-define(RESETS, 10).
%% How many processes take connections.
-define(HOLDERS, 4).
%% How far clocks jump, in seconds.
-define(HOUR, 3600).

-spec all() -> [fault(), ...].
all() ->
    [kill, pause, leave, cut, reset, slow_database, freeze_database, kill_database, start_without_database, read_only, full_disk,
     connections, revoke, jump_clock, fail_over].

%% Why a fault cannot be played on this machine; `none': it can.
-spec unavailable(fault()) -> none | string().
unavailable(full_disk) ->
    case string:trim(os:cmd("id -u")) of "0" -> none; _ -> "only root can mount a small disk" end;
unavailable(jump_clock) ->
    case cluster_clock:new() of
        none -> "libfaketime is not installed";
        Clock -> ok = cluster_clock:remove(Clock), none
    end;
unavailable(_) ->
    none.

-spec strike(fault(), cluster_world:world()) -> cluster_world:world().
strike(Fault, World) ->
    _ = [cluster_world:call(Life, cluster_node, logged, [], World) || Life <- lives(World)],
    struck(Fault, World).

struck(kill, World) ->
    Life = random_life(World),
    taken_over(kill, Life, fun() -> cluster_world:kill_node(Life, World) end);
struck(pause, #{nodes := Nodes} = World) ->
    Life = random_life(World),
    Pid = os_node:os_pid(maps:get(Life, Nodes)),
    After = taken_over(pause, Life, fun() -> _ = os:cmd(lists:concat(["kill -STOP ", Pid])), World end),
    _ = os:cmd(lists:concat(["kill -CONT ", Pid])),
    After;
struck(leave, World) ->
    cluster_world:leave(random_life(World), World);
%% One host node alone cannot reach the database. What it has sent arrives when the others own its shards.
struck(cut, World) ->
    Life = random_life(World),
    After = taken_over(cut, Life, fun() -> ok = links(cut, [Life], World), World end),
    ok = links(pass, [Life], World),
    After;
struck(reset, #{links := Links} = World) ->
    lists:foreach(fun(_) ->
        _ = [cluster_link:reset(Link) || Of <- maps:values(Links), Link <- Of],
        pause(rand:uniform(200))
    end, lists:seq(1, ?RESETS)),
    World;
struck(slow_database, #{ttl := Ttl} = World) ->
    ok = links({delay, ?SLOW div 5 + rand:uniform(?SLOW * 4 div 5)}, lives(World), World),
    pause(Ttl + rand:uniform(2 * Ttl)),
    ok = links(pass, lives(World), World),
    World;
struck(freeze_database, #{server := Server} = World) ->
    ok = postgres_server:freeze(Server),
    Held = held(freeze_database, World),
    ok = postgres_server:continue(Server),
    Held;
struck(kill_database, #{server := Server} = World) ->
    ok = postgres_server:kill(Server),
    Held = held(kill_database, World),
    ok = postgres_server:restart(Server),
    Held;
struck(start_without_database, #{server := Server} = World) ->
    Fewer = cluster_world:kill_node(random_life(World), World),
    ok = postgres_server:kill(Server),
    Held = held(start_without_database, cluster_world:start_node(Fewer)),
    ok = postgres_server:restart(Server),
    Held;
struck(read_only, #{server := Server} = World) ->
    _ = postgres_server:sql(Server, "ALTER SYSTEM SET default_transaction_read_only = on"),
    _ = postgres_server:sql(Server, "SELECT pg_reload_conf()"),
    Held = held(read_only, World),
    _ = postgres_server:sql(Server, "ALTER SYSTEM RESET default_transaction_read_only"),
    _ = postgres_server:sql(Server, "SELECT pg_reload_conf()"),
    Held;
%% The server may end because it cannot write its log.
struck(full_disk, #{server := Server} = World) ->
    ok = postgres_server:fill_disk(Server),
    ok = write_until_full(Server),
    Held = held(full_disk, World),
    ok = postgres_server:free_disk(Server),
    _ = postgres_server:is_running(Server) orelse postgres_server:restart(Server),
    Held;
%% Other clients have all connections.
struck(connections, #{server := Server} = World) ->
    Holders = [spawn_link(fun() -> hold(postgres_server:port(Server), []) end) || _ <- lists:seq(1, ?HOLDERS)],
    ok = disconnect_all(Server),
    Held = held(connections, World),
    _ = [begin unlink(Holder), exit(Holder, kill) end || Holder <- Holders],
    Held;
struck(revoke, #{server := Server} = World) ->
    _ = postgres_server:sql(Server, "ALTER ROLE hb_cron NOLOGIN"),
    ok = disconnect_all(Server),
    Held = held(revoke, World),
    _ = postgres_server:sql(Server, "ALTER ROLE hb_cron LOGIN"),
    Held;
%% The wall clocks of a host node and of the database jump, in opposite directions.
struck(jump_clock, #{clock := OfDatabase, ttl := Ttl} = World) ->
    Clock = cluster_clock:new(),
    Jumping = cluster_world:start_node(Clock, cluster_world:leave(random_life(World), World)),
    ok = cluster_world:await_pushes(Jumping),
    lists:foreach(fun(Seconds) ->
        ok = cluster_clock:jump(Seconds, Clock),
        ok = cluster_clock:jump(-Seconds, OfDatabase),
        pause(rand:uniform(Ttl)),
        ok = cluster_world:await_pushes(Jumping)
    end, [?HOUR, -?HOUR, 0]),
    Jumping;
%% A synchronous replica follows the server, which is killed. The replica is promoted.
struck(fail_over, #{server := Primary, ports := [Here, There]} = World) ->
    Replica = postgres_server:replica(Primary, There),
    _ = postgres_server:sql(Primary, "ALTER SYSTEM SET synchronous_standby_names = '*'"),
    _ = postgres_server:sql(Primary, "SELECT pg_reload_conf()"),
    ok = cluster_world:until(fun() -> postgres_server:sql(Primary, "SELECT sync_state FROM pg_stat_replication") =:= "sync" end),
    ok = cluster_world:await_pushes(World),
    ok = postgres_server:kill(Primary),
    Held = held(fail_over, World),
    ok = postgres_server:promote(Replica),
    ok = postgres_server:stop(Primary),
    Held#{server := Replica, ports := [There, Here]}.

%% Has a host node fall silent, and measures how long the others take to own all shards.
taken_over(Fault, Life, Silence) ->
    Began = erlang:monotonic_time(millisecond),
    #{take_overs := Known} = World = Silence(),
    ok = cluster_world:await_taken_over(Life, World),
    World#{take_overs := [{Fault, erlang:monotonic_time(millisecond) - Began} | Known]}.

%% Each host node has stopped pushing, and says why: to callers, in its log and in its metrics. A push that was allowed
%% before begins soon or never.
held(Fault, #{said := Said, sink := Sink, violations := Violations} = World) ->
    Reasons = cluster_world:await_held(World),
    pause(?SLACK),
    Begun = cluster_sink:pushes(Sink),
    pause(?SLACK),
    More = cluster_sink:pushes(Sink) - Begun,
    Unsaid = lists:append([unsaid(Fault, Life, World) || Life <- lives(World)]),
    World#{said := Said ++ [{Fault, Reason} || Reason <- Reasons],
           violations := Violations ++ [{pushed_without_database, Fault, More} || More > 0] ++ Unsaid}.

unsaid(Fault, Life, World) ->
    Logged = cluster_world:call(Life, cluster_node, logged, [], World),
    Metrics = cluster_world:call(Life, hb_cron_metrics, values, [], World),
    [{no_log_entry, Fault, Life} || Logged =:= []]
        ++ [{metric, Fault, Life, Name, Value} || Name <- [cluster_connected, cluster_may_push],
                                                  Value <- [maps:get(Name, Metrics)], Value =/= 0].

links(State, Lives, #{links := Links}) ->
    lists:foreach(fun(Life) -> [cluster_link:set(State, Link) || Link <- maps:get(Life, Links)] end, Lives).

write_until_full(Server) ->
    case postgres_server:try_sql(Server, "SELECT pg_logical_emit_message(false, 'filler', repeat('x', 1000000)), pg_switch_wal()") of
        {ok, _} -> write_until_full(Server);
        {error, _} -> ok
    end.

%% Ends the connections of host nodes until they have none. While others are refused, this one may be, too.
disconnect_all(Server) ->
    Statement = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE usename = 'hb_cron'",
    cluster_world:until(fun() -> postgres_server:try_sql(Server, Statement) =:= {ok, "0"} end).

%% Takes every connection that it can have, as a client that does nothing. Superusers have connections of their own.
hold(Port, Held) ->
    {ok, Socket} = gen_tcp:connect({127, 0, 0, 1}, Port, [binary, {active, false}]),
    Parameters = <<"user", 0, "holder", 0, "database", 0, "postgres", 0, 0>>,
    ok = gen_tcp:send(Socket, <<(byte_size(Parameters) + 8):32, 196608:32, Parameters/binary>>),
    case gen_tcp:recv(Socket, 1) of
        %% AuthenticationOk
        {ok, <<"R">>} -> hold(Port, [Socket | Held]);
        _ -> gen_tcp:close(Socket), pause(5), hold(Port, Held)
    end.
