%%% Measured runs, from the driver's side. Each is a separate OS process with its own Compute Unit, so that runs
%%% share no heap, file or connection.
-module(bench_runs).

-export([node/3, node/4, node/5, floor/3, polls/1, served_by/3, in_turn/2, say/2]).

-export_type([figures/0]).

-type figures() :: #{atom() => number() | [number()]}.

%% The limits in ms for the start of a Compute Unit, the end of a program, and a node beyond its own limit. Only a
%% failure takes this long.
-define(READY_LIMIT, 20000).
-define(PROGRAM_LIMIT, 300000).
-define(SPARE, 10000).

%% Runs `Module:measured(Run)' in a separate node, within the `limit' of the map, in ms.
-spec node(module(), map(), Cu :: {Kind :: string(), Count :: string()}) -> figures().
node(Module, Run, Cu) -> node(Module, Run, Cu, []).

%% The same, with flags for `erl'.
node(Module, Run, Cu, Flags) -> node(Module, Run, Cu, Flags, []).

%% The same, with additional environment variables.
node(Module, #{limit := Limit} = Run, {Kind, Count}, Flags, Environment) ->
    Dir = string:trim(os:cmd("mktemp -d")),
    try
        served_by(Kind, Count, fun(Url) ->
            {Listen, Port} = os_node:listen(),
            Node = os_node:start(bench_run, [integer_to_list(Port)], Flags ++ decoder_path(), Environment),
            try
                Line = os_node:accept(Listen),
                ok = os_node:send(Line, {Module, Run#{url => list_to_binary(Url), dir => Dir}}),
                {ok, Figures} = os_node:recv(Line, Limit + ?SPARE),
                0 = os_node:dead(Node),
                Figures
            catch
                Class:Reason:Stack ->
                    _ = os:cmd("kill -9 " ++ integer_to_list(os_node:os_pid(Node))),
                    erlang:raise(Class, {run_failed, Module, Run, Reason}, Stack)
            after
                gen_tcp:close(Listen)
            end
        end)
    after
        _ = file:del_dir_r(Dir)
    end.

decoder_path() ->
    case code:which(jiffy) of
        non_existing -> [];
        Beam -> ["-pa", filename:dirname(Beam)]
    end.

%% The client without the library: see test/rust/bench/src/bin/floor.rs.
%% `Least': the least number of results that must arrive.
-spec floor({Kind :: string(), Count :: string()}, [string()], Least :: pos_integer()) -> figures().
floor({Kind, Count}, Args, Least) ->
    served_by(Kind, Count, fun(Url) ->
        Floor = open_port({spawn_executable, program("floor")}, [{args, [Url | Args]}, exit_status, binary, hide]),
        [Results, Requests, Wall, Cpu, Peak] = [number(Text) || Text <- string:lexemes(output(Floor, []), " \n")],
        true = Results >= Least,
        #{results => Results, requests => Requests, seconds => Wall, per_second => Results / Wall, cpu => Cpu,
          cpu_per_million => Cpu * 1.0e6 / Results, requests_per_cpu => Requests / max(Cpu, 0.01), peak_mb => Peak}
    end).

%% What a day of each cron costs, by poller, on a simulated clock: see test/rust/bench/src/bin/polls.rs.
-spec polls([string()]) -> [{Cron :: string(), Clock :: atom(), Poller :: atom(), figures()}].
polls(Args) ->
    Polls = open_port({spawn_executable, program("polls")}, [{args, Args}, exit_status, binary, hide]),
    [begin
        {ok, Tokens, _} = erl_scan:string(Line),
        {ok, {Cron, Clock, Poller, Results, Requests, Evaluations, Median, P99}} = erl_parse:parse_term(Tokens),
        {Cron, Clock, Poller, #{results => Results, requests => Requests, evaluations => Evaluations,
                                median => Median, p99 => P99}}
     end || Line <- string:lexemes(output(Polls, []), "\n")].

output(Port, Said) ->
    receive
        {Port, {data, Data}} -> output(Port, [Said, Data]);
        {Port, {exit_status, 0}} -> binary_to_list(iolist_to_binary(Said));
        {Port, {exit_status, Status}} -> error({program_failed, Status, Said})
    after ?PROGRAM_LIMIT ->
        {os_pid, Pid} = erlang:port_info(Port, os_pid),
        _ = os:cmd("kill -9 " ++ integer_to_list(Pid)),
        error(program_did_not_end)
    end.

number(Text) ->
    try list_to_float(Text)
    catch error:badarg -> list_to_integer(Text)
    end.

%% Calls Fun(Url) while a Compute Unit serves. The unit ends with its standard input, and therefore with this node.
served_by(Kind, Count, Fun) ->
    Dir = string:trim(os:cmd("mktemp -d")),
    File = filename:join(Dir, "url"),
    Cu = open_port({spawn_executable, program("fast_cu")}, [{args, [File, Kind, Count]}, exit_status, hide]),
    try
        Url = url(Cu, File, erlang:monotonic_time(millisecond) + ?READY_LIMIT),
        Fun(Url)
    after
        _ = is_list(erlang:port_info(Cu)) andalso port_close(Cu),
        _ = file:del_dir_r(Dir)
    end.

url(Cu, File, Until) ->
    case file:read_file(File) of
        {ok, Url} ->
            binary_to_list(Url);
        {error, enoent} ->
            erlang:monotonic_time(millisecond) < Until orelse error(no_compute_unit),
            receive {Cu, {exit_status, Status}} -> error({compute_unit_ended, Status})
            after 5 -> url(Cu, File, Until)
            end
    end.

program(Name) ->
    filename:join(os:getenv("BENCH_PROGRAMS"), Name).

%% Repeats each of the runs, in the order A B C A B C …, so that varying load of the machine affects all alike.
%% Returns all figures of each, in order.
-spec in_turn(Rounds :: pos_integer(), [{Name :: atom(), fun(() -> figures())}]) -> #{Name :: atom() => [figures()]}.
in_turn(Rounds, Runs) ->
    All = [begin
        say("  round ~b of ~b: ~s", [Round, Rounds, Name]),
        {Name, Run()}
    end || Round <- lists:seq(1, Rounds), {Name, Run} <- Runs],
    maps:from_list([{Name, [Figures || {Of, Figures} <- All, Of =:= Name]} || {Name, _} <- Runs]).

%% The process's activity besides the results.
say(Format, Args) -> io:format(standard_error, Format ++ "~n", Args).
