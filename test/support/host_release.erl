%%% Releases for tests (era_a, era_b): builds one, copies it, boots a node in embedded mode, as an operator does,
%%% and controls the node over lines (see era/hb_line.erl). The tests install into it and judge.
-module(host_release).

%% Files
-export([build/1, copy/2, link/2, snapshot/1, app/1]).
%% Nodes
-export([boot/3, boot/4, call/4, os_node/1, kill/1]).

-export_type([booted/0]).

-type booted() :: #{node := os_node:os_node(), line := gen_tcp:socket(), acceptor := pid()}.

-define(DEADLINE, deadline:ms()).

%% Builds the release of an era, if it has changed. Returns its path.
build(Era) ->
    Base = filename:absname(filename:join("_build", Era)),
    Rebar = os:find_executable("rebar3"),
    {0, _} = os_program:run(Rebar, ["release"], #{cd => filename:absname(filename:join("test/support", Era)),
                                              env => [{"REBAR_BASE_DIR", Base}]}),
    filename:join(Base, "default/rel/hb").

%% Preserves mtimes.
copy(Release, To) ->
    {0, _} = os_program:run("/bin/cp", ["-a", Release, To], #{}),
    To.

%% The same on one file system, for tests that write only to files of the application hb: all other files are
%% links, which saves disk access.
link(Release, To) ->
    {0, _} = os_program:run("/bin/cp", ["-al", Release, To], #{}),
    ok = file:del_dir_r(app(To)),
    _ = copy(app(Release), app(To)),
    To.

%% The complete state of a directory.
snapshot(Dir) ->
    {0, Names} = os_program:run("/bin/sh", ["-c", "find . -printf '%p %y %m %U:%G %T@ %l\\n' | LC_ALL=C sort"], #{cd => Dir}),
    {0, Hashes} = os_program:run("/bin/sh", ["-c", "find . -type f -exec sha256sum {} + | LC_ALL=C sort"], #{cd => Dir}),
    {string:lexemes(Names, "\n"), string:lexemes(Hashes, "\n")}.

%% The directory of the application.
app(Release) -> filename:join(Release, "lib/hb-0.0.1").

%% Boots a node in a separate working directory. `Take' is called with each result that the node pushes with
%% hb_line:push/2, in the order of each monitor. Its return value becomes that of the push.
boot(Release, Cwd, Take) -> boot(Release, Cwd, Take, #{}).

%% `logger => stock': keeps the release's logger, and sends the node's output to the test as port messages, which
%% stock_node:says/2 reads. `config => Terms': the content of `sys.config'. `env': additional variables.
boot(Release, Cwd, Take, Options) ->
    {Listen, Port} = os_node:listen(),
    Test = self(),
    Acceptor = spawn_link(fun() -> accept(Listen, Test, Take) end),
    ok = gen_tcp:controlling_process(Listen, Acceptor),
    [Erts] = filelib:wildcard(filename:join(Release, "erts-*/bin")),
    Vsn = filename:join(Release, "releases/0.0.1"),
    Config = case Options of
        #{config := Terms} ->
            File = filename:join(Cwd, "sys.config"),
            ok = file:write_file(File, io_lib:format("~tp.~n", [Terms])),
            File;
        #{} -> filename:join(Vsn, "sys")
    end,
    Logger = maps:get(logger, Options, quiet),
    Node = open_port({spawn_executable, filename:join(Erts, "erlexec")}, [
        {args, ["-boot", filename:join(Vsn, "start"), "-config", Config, "-mode", "embedded",
                "-noshell", "-noinput" | case Logger of quiet -> ["-kernel", "logger_level", "error"]; stock -> [] end]},
        {env, [{"ROOTDIR", Release}, {"BINDIR", Erts}, {"EMU", "beam"}, {"PROGNAME", "hb"},
               {"HB_TEST_PORT", integer_to_list(Port)}, {"ERL_CRASH_DUMP_SECONDS", "0"},
               {"ERL_LIBS", false}, {"ERL_FLAGS", false} | maps:get(env, Options, [])]},
        {cd, Cwd}, exit_status, hide | case Logger of quiet -> [nouse_stdio]; stock -> [binary, stderr_to_stdout] end]),
    {os_pid, Pid} = erlang:port_info(Node, os_pid),
    receive
        {Acceptor, line, Line} -> #{node => {Node, Pid}, line => Line, acceptor => Acceptor};
        {Node, {exit_status, Status}} -> error({did_not_boot, Status})
    after ?DEADLINE -> error(did_not_boot)
    end.

%% Calls a function on the node: `{ok, Value}' or `{Class, Reason}'.
call(#{line := Line}, Module, Function, Args) ->
    Ref = make_ref(),
    ok = os_node:send(Line, {Ref, Module, Function, Args}),
    {Ref, Answer} = os_node:recv(Line),
    Answer.

os_node(#{node := Node}) -> Node.

%% With SIGKILL.
kill(#{node := Node, acceptor := Acceptor}) ->
    ok = os_node:kill(Node),
    unlink(Acceptor),
    exit(Acceptor, kill),
    ok.

%% The first line serves calls; each further one belongs to a monitor.
accept(Listen, Test, Take) ->
    {ok, Line} = gen_tcp:accept(Listen),
    case os_node:recv(Line) of
        {control, _} ->
            ok = gen_tcp:controlling_process(Line, Test),
            Test ! {self(), line, Line};
        {pushed, _, Result} ->
            Taker = spawn_link(fun() ->
                receive go -> ok end,
                take(Line, Result, Take)
            end),
            ok = gen_tcp:controlling_process(Line, Taker),
            Taker ! go
    end,
    accept(Listen, Test, Take).

take(Line, Result, Take) ->
    _ = os_node:send(Line, Take(Result)),
    case gen_tcp:recv(Line, 0) of
        {ok, Data} ->
            {pushed, _, Next} = binary_to_term(Data),
            take(Line, Next, Take);
        {error, _} ->
            ok
    end.
