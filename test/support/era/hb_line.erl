%%% The protocol between a test and a node of the test release: lines, which are sockets on loopback that carry
%%% terms. On the first line the test calls functions. Each monitor that pushes with push/2 has its own line, on
%%% which the test accepts the results one by one.
-module(hb_line).
-export([serve/1, push/2]).

%% Connects to the test, and executes its calls. The node ends with its test.
serve(Port) ->
    ok = persistent_term:put(?MODULE, Port),
    spawn(fun() ->
        Line = connect(),
        send(Line, {control, os:getpid()}),
        loop(Line)
    end).

loop(Line) ->
    case gen_tcp:recv(Line, 0) of
        {ok, Data} ->
            {Ref, Module, Function, Args} = binary_to_term(Data),
            send(Line, {Ref, try {ok, apply(Module, Function, Args)}
                             catch Class:Reason -> {Class, Reason}
                             end}),
            loop(Line);
        {error, _} ->
            halt(1)
    end.

%% A function for `cron_push': returns the test's answer once the test has accepted the result.
push(#{message := Result}, #{proc_id := ProcId}) ->
    Line = case get(?MODULE) of
        undefined ->
            New = connect(),
            undefined = put(?MODULE, New),
            New;
        Known ->
            Known
    end,
    send(Line, {pushed, ProcId, Result}),
    {ok, Answer} = gen_tcp:recv(Line, 0),
    binary_to_term(Answer).

connect() ->
    {ok, Line} = gen_tcp:connect({127, 0, 0, 1}, persistent_term:get(?MODULE),
                                 [binary, {packet, 4}, {active, false}, {nodelay, true}]),
    Line.

send(Line, Term) -> ok = gen_tcp:send(Line, term_to_binary(Term)).
