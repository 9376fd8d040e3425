%%% A double of the host's hb_logger: same exports, same messages, entries newest first. Like the
%%% original it never ends by itself and keeps every entry. A test can have all of its calls raise.
-module(hb_logger).
-export([start/0, start/1, register/1, log/2, report/1]).
%% Of the double alone
-export([raising/1]).

-define(RAISES, {?MODULE, raises}).

start() -> start(undefined).
start(_Client) ->
    works(),
    spawn(fun() -> loop([]) end).

register(Logger) ->
    works(),
    Logger ! {register, self()}, ok.

log(Logger, Data) ->
    works(),
    Logger ! {log, Data}, ok.

%% Calls a function while all calls that log raise.
raising(Fun) ->
    ok = persistent_term:put(?RAISES, true),
    try Fun()
    after persistent_term:erase(?RAISES)
    end.

works() -> persistent_term:get(?RAISES, false) andalso error(no_logger).

report(Logger) ->
    Logger ! {report, self()},
    receive {report, Activity} -> Activity end.

loop(Activity) ->
    receive
        {log, Data} -> loop([Data | Activity]);
        {register, Pid} -> loop([{ok, registered, Pid} | Activity]);
        {report, Pid} -> Pid ! {report, Activity}, loop(Activity)
    end.
