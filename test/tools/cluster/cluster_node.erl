%%% A host node of a cluster, in an OS process of its own: asks its driver for orders, and pushes every result to the
%%% driver, which judges what arrives.
-module(cluster_node).
-export([main/1]).
%% Called by the driver
-export([start_all/2, logged/0]).
%% The push of its monitors
-export([push/2]).
%% A handler of OTP's logger
-export([log/2]).

%% `erl -run cluster_node main Port': `Port' is where the driver listens.
main([Port]) ->
    ok = persistent_term:put(?MODULE, list_to_integer(Port)),
    _ = spawn(fun() ->
        try live()
        catch Class:Reason:Stack -> io:format(standard_error, "~p~n", [{Class, Reason, Stack}])
        end,
        halt(1)
    end),
    ok.

live() ->
    Line = connect(),
    ok = os_node:send(Line, orders),
    #{host := Host, life := Life} = os_node:recv(Line),
    ok = persistent_term:put({?MODULE, life}, Life),
    ok = keep_log(),
    hb_opts:set(Host),
    ok = hb_cron_start:ensure_started(),
    ok = os_node:send(Line, {ready, Life}),
    obey(Line).

obey(Line) ->
    case os_node:recv(Line, infinity) of
        {call, Module, Function, Args} ->
            Answer = try apply(Module, Function, Args)
                     catch Class:Reason -> {Class, Reason}
                     end,
            ok = os_node:send(Line, {answer, Answer}),
            obey(Line);
        leave ->
            ok = application:stop(hb_process_monitor),
            halt(0)
    end.

%% Starts a monitor of each process.
start_all(ProcIds, Options) ->
    lists:foreach(fun(ProcId) -> {_, _} = hb_process_monitor:start(ProcId, Options) end, ProcIds).

%% The log is full of what the driver does to this node, so it is not printed. What it says of the cluster is kept for
%% the driver.
keep_log() ->
    ?MODULE = ets:new(?MODULE, [named_table, public, bag]),
    ok = logger:set_primary_config(level, warning),
    ok = logger:set_handler_config(default, level, none),
    logger:add_handler(?MODULE, ?MODULE, #{}).

log(#{msg := {report, #{what := record, text := <<"cluster: ", _/binary>> = Text}}}, _Config) ->
    ets:insert(?MODULE, {text, Text});
log(_Event, _Config) ->
    ok.

%% What was logged of the cluster since the last call, as warnings or errors.
logged() -> [Text || {text, Text} <- ets:take(?MODULE, text)].

%% Two messages: when the push begins, and when it ends. In between the driver may kill or freeze this node.
push(#{message := Result}, #{proc_id := ProcId}) ->
    Number = harness:number(Result),
    Line = line(),
    Life = persistent_term:get({?MODULE, life}),
    ok = os_node:send(Line, {pushing, Life, ProcId, Number}),
    recorded = os_node:recv(Line),
    ok = os_node:send(Line, {pushed, Life, ProcId, Number}),
    recorded = os_node:recv(Line),
    ok.

%% Each monitor has its own line, for its life.
line() ->
    case get(?MODULE) of
        undefined ->
            Line = connect(),
            undefined = put(?MODULE, Line),
            Line;
        Line ->
            Line
    end.

connect() -> os_node:connect(persistent_term:get(?MODULE)).
