%%% A node as an operator first has it: stock `erl' without configuration and host. It evaluates an expression and
%%% keeps running; the test reads its output.
-module(stock_node).

-export([start/2, start/3, says/2, said/1, stop/1]).

-export_type([stock_node/0]).

-type stock_node() :: {port(), OsPid :: pos_integer()}.

%% Evaluates an expression in a directory, which also has the checkpoint.
-spec start(Dir :: file:filename(), Expression :: iodata()) -> stock_node().
start(Dir, Expression) -> start(Dir, Expression, #{}).

%% `env': as for open_port. `shell': commands that run before the node, such as `ulimit'.
-spec start(Dir :: file:filename(), Expression :: iodata(), Options :: map()) -> stock_node().
start(Dir, Expression, Options) ->
    Ebin = filename:absname(filename:dirname(code:where_is_file("hb_process_monitor.beam"))),
    Shell = maps:get(shell, Options, ""),
    Env = [{"ERL_CRASH_DUMP_SECONDS", "0"}, {"ERL_FLAGS", false}, {"ERL_LIBS", false} | maps:get(env, Options, [])],
    Node = open_port({spawn_executable, "/bin/sh"}, [
        {args, ["-c", [Shell, " exec \"$@\""], "sh", os:find_executable("erl"), "-noshell", "-noinput", "-pa", Ebin,
                "-eval", unicode:characters_to_binary(Expression)]},
        {env, Env}, {cd, Dir}, binary, exit_status, stderr_to_stdout, hide]),
    {os_pid, Pid} = erlang:port_info(Node, os_pid),
    {Node, Pid}.

%% Waits until the node's output matches a regular expression, and returns the output.
-spec says(stock_node(), Pattern :: iodata()) -> binary().
says(Node, Pattern) -> says(Node, Pattern, said(Node)).

says({Port, _} = Node, Pattern, Said) ->
    put({?MODULE, Port}, Said),
    case re:run(Said, Pattern, [{capture, none}, dotall]) of
        match ->
            Said;
        nomatch ->
            receive
                {Port, {data, More}} -> says(Node, Pattern, <<Said/binary, More/binary>>);
                {Port, {exit_status, Status}} -> error({node_ended, Status, Said})
            after deadline:ms() -> error({not_said, Pattern, Said})
            end
    end.

%% The output that says/2 has read so far.
-spec said(stock_node()) -> binary().
said({Port, _}) ->
    case get({?MODULE, Port}) of
        undefined -> <<>>;
        Said -> Said
    end.

-spec stop(stock_node()) -> ok.
stop({Port, Pid}) ->
    _ = os:cmd("kill -9 " ++ integer_to_list(Pid)),
    receive {Port, {exit_status, _}} -> ok end,
    _ = erase({?MODULE, Port}),
    ok.
