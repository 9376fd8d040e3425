%%% A node as an operator first has it: stock `erl', no configuration, nothing of a host. It runs an expression and
%%% lives on; the test reads what it prints.
-module(stock_node).

-export([start/2, start/3, says/2, said/1, stop/1]).

-export_type([stock_node/0]).

-type stock_node() :: {port(), OsPid :: pos_integer()}.

%% Runs an expression in a directory, which is where its checkpoint is.
-spec start(Dir :: file:filename(), Expression :: iodata()) -> stock_node().
start(Dir, Expression) -> start(Dir, Expression, #{}).

%% `env': as open_port takes it. `shell': commands before the one that becomes the node, such as `ulimit'.
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

%% Waits until what it has printed fits a regular expression. Says all that it has printed.
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

%% What it has printed so far, as far as says/2 has read it.
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
