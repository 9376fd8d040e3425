%%% How a test and a node of its own release talk: lines, each a socket on loopback that carries terms.
%%% On the first the test has functions called. Each monitor whose results are pushed with push/2 has
%%% one more, on which the test takes them one by one.
-module(hb_line).
-export([serve/1, push/2]).

%% Connects to the test, and calls what it asks for. The node ends with its test.
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

%% An option `cron_push': returns when the test has taken the result, and with what it says.
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
