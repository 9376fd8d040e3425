%%% A headless Chromium, controlled over its DevTools protocol on a pipe: JSON texts separated by NUL. It evaluates
%%% scripts in the page, presses keys, takes pictures, and keeps all messages of the console and the network.
%%% page_seen judges the page.
-module(browser).
-export([start/1, stop/1, open/2, value/2, until/2, key/2, pointer/3, dark/2, size/3, picture/2]).
-export([complaints/1, asked/1]).

%% The limit of every step, in ms.
-define(DEADLINE, 30000).

%% Starts a browser with a new profile in a directory. Returns its process.
start(Dir) ->
    Caller = self(),
    {Pid, Ref} = spawn_monitor(fun() -> init(Caller, Dir) end),
    receive
        {Pid, ready} -> demonitor(Ref, [flush]), Pid;
        {'DOWN', Ref, process, _, Reason} -> error({browser, Reason})
    end.

stop(Browser) -> call(Browser, stop).

open(Browser, Url) ->
    #{} = command(Browser, <<"Page.navigate">>, #{url => Url}),
    ok.

%% The value of an expression in the page.
value(Browser, Expression) ->
    Params = #{expression => unicode:characters_to_binary(Expression), returnByValue => true, awaitPromise => true},
    case command(Browser, <<"Runtime.evaluate">>, Params) of
        #{<<"exceptionDetails">> := Details} -> error({exception, Details});
        #{<<"result">> := #{<<"value">> := Value}} -> Value;
        #{<<"result">> := #{<<"type">> := <<"undefined">>}} -> undefined
    end.

%% Waits until an expression is true.
until(Browser, Expression) -> until(Browser, Expression, erlang:monotonic_time(millisecond) + ?DEADLINE).

until(Browser, Expression, Until) ->
    Value = try value(Browser, Expression) catch error:{exception, Details} -> Details end,
    case Value of
        true -> ok;
        _ ->
            erlang:monotonic_time(millisecond) < Until orelse error({never_true, Expression, Value}),
            %% The page has no event for it.
            receive after 50 -> until(Browser, Expression, Until) end
    end.

%% Presses a named key, or that of a character.
key(Browser, Key) ->
    {Code, Text} = case Key of
        <<"Tab">> -> {9, #{}};
        <<"Enter">> -> {13, #{text => <<"\r">>}};
        <<"Escape">> -> {27, #{}};
        <<Char>> -> {Char, #{text => Key}}
    end,
    [command(Browser, <<"Input.dispatchKeyEvent">>, maps:merge(Extra, #{type => Type, key => Key, code => Key, windowsVirtualKeyCode => Code}))
     || {Type, Extra} <- [{<<"keyDown">>, Text}, {<<"keyUp">>, #{}}]],
    ok.

%% Moves the mouse.
pointer(Browser, X, Y) ->
    #{} = command(Browser, <<"Input.dispatchMouseEvent">>, #{type => <<"mouseMoved">>, x => X, y => Y, pointerType => <<"mouse">>}),
    ok.

%% The size of the window.
size(Browser, Width, Height) ->
    #{} = command(Browser, <<"Emulation.setDeviceMetricsOverride">>, #{width => Width, height => Height, deviceScaleFactor => 1, mobile => Width < 600}),
    ok.

dark(Browser, Dark) ->
    Value = case Dark of true -> <<"dark">>; false -> <<"light">> end,
    #{} = command(Browser, <<"Emulation.setEmulatedMedia">>, #{features => [#{name => <<"prefers-color-scheme">>, value => Value}]}),
    ok.

%% The whole page as a PNG.
picture(Browser, Path) ->
    #{<<"data">> := Data} = command(Browser, <<"Page.captureScreenshot">>, #{format => <<"png">>, captureBeyondViewport => true}),
    ok = filelib:ensure_dir(Path),
    file:write_file(Path, base64:decode(Data)).

%% Errors on the console, and failures of the network.
complaints(Browser) -> call(Browser, complaints).

%% The URLs of all requests.
asked(Browser) -> call(Browser, asked).

command(Browser, Method, Params) -> call(Browser, {command, Method, Params}).

call(Browser, What) ->
    Ref = monitor(process, Browser),
    Browser ! {self(), Ref, What},
    receive
        {Ref, Answer} -> demonitor(Ref, [flush]), Answer;
        {'DOWN', Ref, process, _, Reason} -> error({browser, Reason})
    after ?DEADLINE -> error({browser, no_answer, What})
    end.

%% The process that owns the pipe

init(Caller, Dir) ->
    _ = monitor(process, Caller),
    Chromium = "exec chromium --headless --no-sandbox --disable-gpu --disable-dev-shm-usage --no-first-run "
               "--disable-background-networking --disable-component-update --disable-extensions --hide-scrollbars "
               "--force-color-profile=srgb --lang=en --window-size=1280,1180 --remote-debugging-pipe "
               "--user-data-dir='" ++ Dir ++ "' about:blank 3<&0 4>&1 </dev/null >'" ++ Dir ++ "/log' 2>&1",
    Port = open_port({spawn_executable, "/bin/sh"}, [{args, ["-c", Chromium]}, binary, stream, exit_status]),
    State = #{port => Port, next => 1, waiting => #{}, buffer => <<>>, session => none, complaints => [], asked => []},
    {Found, S1} = wait(<<"Target.getTargets">>, #{}, State),
    [Target | _] = [Id || #{<<"type">> := <<"page">>, <<"targetId">> := Id} <- maps:get(<<"targetInfos">>, Found)],
    {#{<<"sessionId">> := Session}, S2} = wait(<<"Target.attachToTarget">>, #{targetId => Target, flatten => true}, S1),
    Ready = lists:foldl(fun(Method, S) -> element(2, wait(Method, #{}, S)) end, S2#{session := Session},
                        [<<"Page.enable">>, <<"Runtime.enable">>, <<"Log.enable">>, <<"Network.enable">>]),
    Caller ! {self(), ready},
    loop(Ready).

loop(#{port := Port} = State) ->
    receive
        {From, Ref, {command, Method, Params}} ->
            loop(send(Method, Params, {From, Ref}, State));
        {From, Ref, complaints} ->
            From ! {Ref, lists:reverse(maps:get(complaints, State))},
            loop(State);
        {From, Ref, asked} ->
            From ! {Ref, lists:usort(maps:get(asked, State))},
            loop(State);
        {From, Ref, stop} ->
            Ended = closed(Port),
            From ! {Ref, Ended};
        {'DOWN', _, process, _, _} ->
            closed(Port);
        {Port, {data, Data}} ->
            loop(took(Data, State));
        {Port, {exit_status, Status}} ->
            exit({chromium_ended, Status})
    end.

%% The browser ends with its pipe.
closed(Port) ->
    true = port_close(Port),
    ok.

%% Sends a command and handles events until the answer arrives.
wait(Method, Params, State) ->
    Ref = make_ref(),
    answered(Ref, send(Method, Params, {self(), Ref}, State)).

answered(Ref, #{port := Port} = State) ->
    receive
        {Ref, Answer} -> {Answer, State};
        {Port, {data, Data}} -> answered(Ref, took(Data, State));
        {Port, {exit_status, Status}} -> exit({chromium_ended, Status})
    after ?DEADLINE -> exit(chromium_is_silent)
    end.

send(Method, Params, Waiting, #{port := Port, next := Id, session := Session, waiting := All} = State) ->
    Message = #{id => Id, method => Method, params => Params},
    InSession = case Session of none -> Message; _ -> Message#{sessionId => Session} end,
    true = port_command(Port, [hb_cron_json:encode(InSession), 0]),
    State#{next := Id + 1, waiting := All#{Id => Waiting}}.

took(Data, #{buffer := Before} = State) ->
    [Rest | Messages] = lists:reverse(binary:split(<<Before/binary, Data/binary>>, <<0>>, [global])),
    lists:foldr(fun(Message, S) -> heard(json_text:decode(Message), S) end, State#{buffer := Rest}, Messages).

heard(#{<<"id">> := Id} = Message, #{waiting := All} = State) ->
    {{From, Ref}, Left} = maps:take(Id, All),
    From ! {Ref, maps:get(<<"result">>, Message, Message)},
    State#{waiting := Left};
heard(#{<<"method">> := Method, <<"params">> := Params}, #{complaints := Complaints, asked := Asked} = State) ->
    case {Method, Params} of
        {<<"Runtime.exceptionThrown">>, _} -> State#{complaints := [Params | Complaints]};
        {<<"Runtime.consoleAPICalled">>, _} -> State#{complaints := [Params | Complaints]};
        {<<"Log.entryAdded">>, _} -> State#{complaints := [Params | Complaints]};
        {<<"Network.requestWillBeSent">>, #{<<"request">> := #{<<"url">> := Url}}} -> State#{asked := [Url | Asked]};
        _ -> State
    end.
