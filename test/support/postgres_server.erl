%%% A private PostgreSQL server: a temporary directory, a port on loopback, an unprivileged user. It can be killed,
%%% frozen and started again, have a replica, and run out of disk. `make setup' installs PostgreSQL.
-module(postgres_server).

-export([start/0, start/1, start/2, stop/1, kill/1, restart/1, is_running/1, freeze/1, continue/1]).
%% Fail-over
-export([free_port/0, replica/2, promote/1]).
%% A full disk
-export([fill_disk/1, free_disk/1]).
-export([url/1, url/2, sql/2, sql/3, try_sql/2, port/1, processes/1]).

-export_type([server/0, options/0]).

-type options() :: #{disk => pos_integer(), environment => [{string(), string()}]}.
%% `disk': the size of a file system of its own, in MiB, which root alone can have. `environment': of its processes.

-opaque server() :: #{directory := string(), port := inet:port_number(), user := string(), programs := string(),
                      settings := [string()], options := options()}.

%% With a disk of its own. A segment of the log is recycled up to the least size.
-define(SMALL_DISK, ["min_wal_size=2MB", "max_wal_size=8MB", "wal_keep_size=32MB"]).

%% How long the server may take until it accepts connections, in ms.
-define(LIMIT, deadline:ms()).
%% How often that is tried, in ms.
-define(POLL, 50).

%% @equiv start([])
start() -> start([]).

%% Starts a server with further settings, such as `"max_connections=20"'.
start(Settings) -> start(Settings, #{}).

%% Raises `no_disk' if it cannot have a disk of its own.
-spec start([string()], options()) -> server().
start(Settings, Options) ->
    Server = new(free_port(), Settings, Options),
    {0, _} = as_user(Server, [program("initdb", Server), " -D ", data(Server), " -A trust -U postgres -E UTF8 --locale=C --no-sync",
                              [" --wal-segsize=1" || is_map_key(disk, Options)]]),
    ok = launch(Server),
    Server.

new(Port, Settings, Options) ->
    Directory = string:trim(os:cmd("mktemp -d /tmp/hb_cron_postgres.XXXXXX")),
    User = user(),
    ok = mount(Directory, Options),
    {0, _} = run("chown " ++ User ++ " " ++ Directory),
    #{directory => Directory, port => Port, user => User, programs => programs(), settings => Settings, options => Options}.

mount(Directory, #{disk := Megabytes}) ->
    case run(["mount -t tmpfs -o size=", integer_to_list(Megabytes), "m tmpfs ", Directory]) of
        {0, _} -> ok;
        {_, _} -> {0, _} = run("rmdir " ++ Directory), error(no_disk)
    end;
mount(_Directory, #{}) ->
    ok.

program(Name, #{programs := Programs}) -> [Programs, "/", Name].

data(#{directory := Directory}) -> Directory ++ "/data".

%% Starts the server again after it was killed.
restart(Server) -> launch(Server).

launch(Server) ->
    ok = spawn_server(Server),
    accepts(Server, erlang:monotonic_time(millisecond) + ?LIMIT).

spawn_server(#{directory := Directory, port := Port, settings := Settings, options := Options} = Server) ->
    Disk = case Options of #{disk := _} -> ?SMALL_DISK; #{} -> [] end,
    All = ["listen_addresses=127.0.0.1", "fsync=off", "unix_socket_directories=" ++ Directory | Settings ++ Disk],
    Environment = [[Name, "=", Value, " "] || {Name, Value} <- maps:get(environment, Options, [])],
    {0, _} = as_user(Server, ["env ", Environment, program("pg_ctl", Server), " -D ", data(Server), " -l ", Directory,
                              "/log -W start -o \"-p ", integer_to_list(Port), [[" -c ", Setting] || Setting <- All], "\""]),
    ok.

%% Starts a server that has what this one has, and follows it. It accepts no writes until it is promoted.
-spec replica(server(), inet:port_number()) -> server().
replica(#{port := Of, settings := Settings, options := Options} = Primary, Port) ->
    Replica = new(Port, Settings, Options),
    {0, _} = as_user(Primary, [program("pg_basebackup", Primary), " -h 127.0.0.1 -p ", integer_to_list(Of), " -U postgres -D ",
                               data(Replica), " -R -X stream -c fast --no-sync"]),
    ok = launch(Replica),
    Replica.

%% From now on a replica accepts writes.
promote(Replica) ->
    {0, _} = as_user(Replica, [program("pg_ctl", Replica), " -D ", data(Replica), " -w promote"]),
    ok.

%% Leaves no space on its disk.
fill_disk(#{directory := Directory}) ->
    _ = run(["cat /dev/zero >", Directory, "/filler"]),
    ok.

free_disk(#{directory := Directory}) ->
    {0, _} = run(["rm -f ", Directory, "/filler"]),
    ok.

accepts(#{directory := Directory} = Server, Until) ->
    case psql(Server, "postgres", "SELECT 1") of
        {0, _} -> ok;
        {_, Text} ->
            erlang:monotonic_time(millisecond) < Until orelse
                error({postgres, Text, os:cmd("tail -20 " ++ Directory ++ "/log")}),
            %% It ends at once if a process of the killed server still has the shared memory.
            _ = is_running(Server) orelse spawn_server(Server),
            receive after ?POLL -> accepts(Server, Until) end
    end.

%% Ends the server and removes all of it.
stop(#{directory := Directory, options := Options} = Server) ->
    _ = is_running(Server) andalso continue(Server),
    _ = as_user(Server, [program("pg_ctl", Server), " -D ", data(Server), " -m immediate stop"]),
    _ = is_map_key(disk, Options) andalso run("umount -l " ++ Directory),
    {0, _} = run("rm -rf " ++ Directory),
    ok.

%% A server ends by itself if it cannot write its log.
is_running(Server) ->
    {Status, _} = as_user(Server, [program("pg_ctl", Server), " -D ", data(Server), " status"]),
    Status =:= 0.

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

pid(Server) ->
    {ok, Text} = file:read_file(filename:join(data(Server), "postmaster.pid")),
    binary_to_integer(hd(binary:split(Text, <<"\n">>))).

%% The ids of its processes, of which the first is the parent of the others.
-spec processes(server()) -> [OsPid :: pos_integer()].
processes(Server) ->
    Pid = pid(Server),
    [Pid | [list_to_integer(Child) || Child <- string:lexemes(os:cmd(lists:concat(["pgrep -P ", Pid])), "\n")]].

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

%% The same, for SQL that may fail.
-spec try_sql(server(), string()) -> {ok, Rows :: string()} | {error, Text :: string()}.
try_sql(Server, Text) ->
    case psql(Server, "postgres", Text) of
        {0, Rows} -> {ok, string:trim(Rows)};
        {_, Said} -> {error, Said}
    end.

psql(#{port := Port} = Server, Database, Text) ->
    run([program("psql", Server), " -h 127.0.0.1 -p ", integer_to_list(Port), " -U postgres -X -q -A -t -v ON_ERROR_STOP=1 -d ",
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
