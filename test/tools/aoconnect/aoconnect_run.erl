%%% AO's own client against the listener: `make aoconnect'. The client runs in Node; this module has the node that it
%%% drives, and prints what happens. On a failure the exit status is 1.
-module(aoconnect_run).

-export([main/1]).

-define(M, hb_process_monitor).
-define(LIMIT, 120000).

%% `erl -run aoconnect_run main DIRECTORY': where the client is installed.
main([Directory]) ->
    Client = open_port({spawn_executable, os:find_executable("node")},
                       [{args, ["client.mjs"]}, {cd, Directory}, {line, 1000}, binary, exit_status]),
    Address = line(Client),
    io:format("client with the wallet ~s~n", [Address]),
    Id = harness:proc_id(),
    Cu = harness:setup(),
    _ = restart(Cu, Address),
    harness:report_pushes(Id),
    <<"ok">> = call(Client, monitor, Id),
    #{monitor := Monitor} = ?M:info(Id),
    harness:eventually(fun() -> maps:get(cursor, ?M:info(Id)) =/= undefined end),
    _ = test_cu:add(Cu, Id, 3),
    harness:await_results(1, 3),
    io:format("3 results were pushed~n"),
    <<"ok">> = call(Client, monitor, Id),
    #{monitor := Monitor} = ?M:info(Id),
    _ = restart(Cu, Address),
    [_] = ?M:resume_all(),
    _ = test_cu:add(Cu, Id, 2),
    harness:await_results(4, 5),
    io:format("2 results were pushed after a restart~n"),
    <<"ok">> = call(Client, unmonitor, Id),
    undefined = ?M:info(Id),
    <<"failed", _/binary>> = call(Client, unmonitor, Id),
    _ = restart(Cu, harness:proc_id()),
    <<"failed", _/binary>> = call(Client, monitor, Id),
    undefined = ?M:info(Id),
    harness:cleanup(Cu),
    true = port_close(Client),
    io:format("aoconnect: all as promised~n"),
    halt(0).

%% Starts the application; it is stopped if it runs.
restart(Cu, Address) ->
    _ = application:stop(hb_process_monitor),
    harness:host(#{cron_node => test_cu:url(Cu), default_cron_rate => 200, cron_monitor_port => 0, cron_monitor_access => [Address]}),
    ok = hb_cron_start:ensure_started(),
    harness:eventually(fun() -> hb_cron_listener:endpoint() =/= none end).

call(Client, Call, Id) ->
    {_, Port} = hb_cron_listener:endpoint(),
    true = port_command(Client, [atom_to_list(Call), " http://127.0.0.1:", integer_to_list(Port), " ", Id, "\n"]),
    Answer = line(Client),
    io:format("~s ~s: ~s~n", [Call, Id, Answer]),
    Answer.

line(Client) ->
    receive
        {Client, {data, {eol, Line}}} -> Line;
        {Client, {exit_status, Status}} -> error({client_ended, Status})
    after ?LIMIT -> error(client_is_silent)
    end.
