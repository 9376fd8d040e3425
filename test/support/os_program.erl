%%% Runs a program to its end, and returns its exit status and output.
-module(os_program).
-export([run/3]).

-define(DEADLINE, 2 * deadline:ms()).

%% `cd': the working directory; `env': as for open_port.
run(Program, Args, Options) ->
    Port = open_port({spawn_executable, Program}, [
        {args, Args}, {env, maps:get(env, Options, [])}, {cd, maps:get(cd, Options, ".")},
        exit_status, stderr_to_stdout, binary, hide]),
    collect(Port, []).

collect(Port, Said) ->
    receive
        {Port, {data, Data}} -> collect(Port, [Said, Data]);
        {Port, {exit_status, Status}} -> {Status, unicode:characters_to_list(iolist_to_binary(Said))}
    after ?DEADLINE -> error({no_end, iolist_to_binary(Said)})
    end.
