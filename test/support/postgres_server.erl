%%% A private PostgreSQL server: a temporary directory, a port on loopback, an unprivileged user. It can be killed,
%%% frozen and started again. `make setup' installs PostgreSQL.
-module(postgres_server).

-export([start/0, start/1, stop/1, kill/1, restart/1, freeze/1, continue/1, url/1, url/2, sql/2, sql/3, port/1]).

-export_type([server/0]).

-opaque server() :: #{directory := string(), port := inet:port_number(), user := string(), programs := string(),
                      settings := [string()]}.

%% How long the server may take until it accepts connections, in ms.
-define(LIMIT, deadline:ms()).
%% How often that is tried, in ms.
-define(POLL, 50).

%% @equiv start([])
start() -> start([]).

%% Starts a server with further settings, such as `"max_connections=20"'.
start(Settings) ->
    Directory = string:trim(os:cmd("mktemp -d /tmp/hb_cron_postgres.XXXXXX")),
    User = user(),
    Programs = programs(),
    {0, _} = run("chown " ++ User ++ " " ++ Directory),
    Server = #{directory => Directory, port => free_port(), user => User, programs => Programs, settings => Settings},
    {0, _} = as_user(Server, [Programs, "/initdb -D ", Directory, "/data -A trust -U postgres -E UTF8 --locale=C --no-sync"]),
    ok = launch(Server),
    Server.

%% Starts the server again after it was killed.
restart(Server) -> launch(Server).

launch(#{directory := Directory, port := Port, programs := Programs, settings := Settings} = Server) ->
    Options = ["listen_addresses=127.0.0.1", "fsync=off", "unix_socket_directories=" ++ Directory | Settings],
    {0, _} = as_user(Server, [Programs, "/pg_ctl -D ", Directory, "/data -l ", Directory, "/log -W start -o \"-p ",
                              integer_to_list(Port), [[" -c ", Option] || Option <- Options], "\""]),
    accepts(Server, erlang:monotonic_time(millisecond) + ?LIMIT).

accepts(#{directory := Directory} = Server, Until) ->
    case psql(Server, "postgres", "SELECT 1") of
        {0, _} -> ok;
        {_, Text} ->
            erlang:monotonic_time(millisecond) < Until orelse
                error({postgres, Text, os:cmd("tail -20 " ++ Directory ++ "/log")}),
            receive after ?POLL -> accepts(Server, Until) end
    end.

%% Ends the server and removes all of it.
stop(#{directory := Directory, programs := Programs} = Server) ->
    _ = continue(Server),
    _ = as_user(Server, [Programs, "/pg_ctl -D ", Directory, "/data -m immediate stop"]),
    {0, _} = run("rm -rf " ++ Directory),
    ok.

%% Sends SIGKILL to all of its processes.
kill(Server) ->
    Pid = pid(Server),
    _ = os:cmd(lists:concat(["pkill -9 -P ", Pid, "; kill -9 ", Pid])),
    gone(Pid, erlang:monotonic_time(millisecond) + ?LIMIT).

gone(Pid, Until) ->
    case filelib:is_dir(lists:concat(["/proc/", Pid])) of
        false -> ok;
        true ->
            erlang:monotonic_time(millisecond) < Until orelse error(postgres_not_dead),
            receive after ?POLL -> gone(Pid, Until) end
    end.

%% Stops all of its processes, which keep their connections.
freeze(Server) -> signal("STOP", Server).

continue(Server) -> signal("CONT", Server).

signal(Signal, Server) ->
    Pid = pid(Server),
    _ = os:cmd(lists:concat(["kill -", Signal, " ", Pid, "; pkill -", Signal, " -P ", Pid])),
    ok.

pid(#{directory := Directory}) ->
    {ok, Text} = file:read_file(filename:join(Directory, "data/postmaster.pid")),
    binary_to_integer(hd(binary:split(Text, <<"\n">>))).

port(#{port := Port}) -> Port.

%% The URL for `cron_cluster'.
url(#{port := Port}) -> url(Port, "postgres").

url(#{port := Port}, User) -> url(Port, User);
url(Port, User) ->
    iolist_to_binary(io_lib:format("postgresql://~ts@127.0.0.1:~b/postgres?sslmode=disable", [User, Port])).

%% Executes SQL, and returns the rows as text.
sql(Server, Text) -> sql(Server, "postgres", Text).

sql(Server, Database, Text) ->
    {0, Rows} = psql(Server, Database, Text),
    string:trim(Rows).

psql(#{port := Port, programs := Programs}, Database, Text) ->
    run([Programs, "/psql -h 127.0.0.1 -p ", integer_to_list(Port), " -U postgres -X -q -A -t -v ON_ERROR_STOP=1 -d ",
         Database, " -c \"", Text, "\""]).

%% Newer ones first.
programs() ->
    case lists:reverse(lists:sort(filelib:wildcard("/usr/lib/postgresql/*/bin"))) of
        [Programs | _] -> Programs;
        [] -> filename:dirname(os:find_executable("initdb"))
    end.

%% PostgreSQL does not run as root.
user() ->
    case string:trim(os:cmd("id -u")) of
        "0" -> "postgres";
        _ -> string:trim(os:cmd("id -un"))
    end.

as_user(#{user := User}, Command) ->
    case string:trim(os:cmd("id -un")) of
        User -> run(["cd / && ", Command]);
        _ -> run(["cd / && setpriv --reuid=", User, " --regid=", User, " --clear-groups ", Command])
    end.

run(Command) ->
    Marked = os:cmd(unicode:characters_to_list(["(", Command, ") 2>&1; echo \"~$?\""])),
    [Text, Status] = string:split(Marked, "~", trailing),
    {list_to_integer(string:trim(Status)), Text}.

free_port() ->
    {ok, Socket} = gen_tcp:listen(0, [{ip, {127, 0, 0, 1}}]),
    {ok, Port} = inet:port(Socket),
    ok = gen_tcp:close(Socket),
    Port.
