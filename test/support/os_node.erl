%%% Erlang nodes in separate OS processes: starts them, talks to them over a line, examines them from outside and
%%% ends them.
-module(os_node).

%% Nodes
-export([start/2, start/3, start/4, os_pid/1, kill/1, dead/1]).
%% Information from the system
-export([status/1, threads/1]).
%% Lines
-export([listen/0, accept/1, connect/1, send/2, recv/1, recv/2]).

-export_type([os_node/0, status/0]).

-type os_node() :: {port(), OsPid :: pos_integer()}.
%% The caller of start gets `{Port, {exit_status, Status}}' when the node ends.

-type status() :: #{rss_kb := non_neg_integer(), peak_kb := non_neg_integer(),
                    threads := pos_integer(), fds := non_neg_integer()}.

%% How long an answer on the line may take, in ms. A node without its driver ends after that.
-define(ANSWER_LIMIT, deadline:ms()).
%% How long a killed process may take to disappear, in ms. Only a failure takes this long.
-define(DEADLINE, deadline:ms()).

%% Runs `Module:main(Args)' in a node with the same code path.
start(Module, Args) -> start(Module, Args, []).

%% The same, with flags for `erl'.
start(Module, Args, Flags) -> start(Module, Args, Flags, []).

%% The same, with additional environment variables.
start(Module, Args, Flags, Environment) ->
    Erl = os:find_executable("erl"),
    %% The path of the file: code:which/1 returns no path for a module compiled for coverage.
    Paths = lists:usort([filename:absname(filename:dirname(code:where_is_file(atom_to_list(Of) ++ ".beam")))
                         || Of <- [hb_process_monitor, Module, hb_opts, ?MODULE]]),
    All = Flags ++ ["-noshell", "-noinput", "-boot", "no_dot_erlang", "-kernel", "logger_level", "error", "-pa"]
        ++ Paths ++ ["-run", atom_to_list(Module), "main" | Args],
    Node = open_port({spawn_executable, Erl}, [{args, All}, exit_status, hide, nouse_stdio,
                                               {env, [{"ERL_CRASH_DUMP_SECONDS", "0"} | Environment]}]),
    {os_pid, Pid} = erlang:port_info(Node, os_pid),
    {Node, Pid}.

os_pid({_, Pid}) -> Pid.

%% Sends SIGKILL, and returns when the node is dead.
kill({_, Pid} = Node) ->
    _ = os:cmd("kill -9 " ++ integer_to_list(Pid)),
    case dead(Node) of
        128 + 9 -> ok;
        Status -> error({node_died_by_itself, Status})
    end.

%% Waits for a node to end, and returns its exit status.
dead({Port, _}) ->
    receive {Port, {exit_status, Status}} -> Status
    after ?DEADLINE -> error(not_dead)
    end.

%% The status of a process in Linux; `self' for the caller's.
status(Pid) ->
    {ok, Status} = file:read_file(proc(Pid, "status")),
    {ok, Fds} = file:list_dir(proc(Pid, "fd")),
    #{rss_kb => field("VmRSS", Status), peak_kb => field("VmHWM", Status),
      threads => field("Threads", Status), fds => length(Fds)}.

%% The names of its threads, which Linux cuts to 15 characters.
threads(Pid) ->
    {ok, Ids} = file:list_dir(proc(Pid, "task")),
    Names = [file:read_file(filename:join([proc(Pid, "task"), Id, "comm"])) || Id <- Ids],
    [string:trim(binary_to_list(Name)) || {ok, Name} <- Names].

proc(self, What) -> filename:join("/proc/self", What);
proc(Pid, What) -> filename:join(["/proc", integer_to_list(Pid), What]).

field(Name, Status) ->
    {match, [Value]} = re:run(Status, ["\n", Name, ":\\s*([0-9]+)"], [{capture, all_but_first, binary}]),
    binary_to_integer(Value).

%% A line is a socket on loopback that carries terms.

listen() ->
    {ok, Listen} = gen_tcp:listen(0, [{ip, {127, 0, 0, 1}} | line()]),
    {ok, Port} = inet:port(Listen),
    {Listen, Port}.

accept(Listen) ->
    {ok, Line} = gen_tcp:accept(Listen, ?ANSWER_LIMIT),
    Line.

connect(Port) ->
    {ok, Line} = gen_tcp:connect({127, 0, 0, 1}, Port, line()),
    Line.

line() -> [binary, {packet, 4}, {active, false}, {nodelay, true}].

send(Line, Term) ->
    gen_tcp:send(Line, term_to_binary(Term)).

recv(Line) -> recv(Line, ?ANSWER_LIMIT).

recv(Line, Limit) ->
    {ok, Data} = gen_tcp:recv(Line, 0, Limit),
    binary_to_term(Data).
