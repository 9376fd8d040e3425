%%% A double of the host's hb_logger: same exports and messages, newest entries first. Like the original it never
%%% ends by itself and keeps every entry. A test can make all calls raise.
-module(hb_logger).
-export([start/0, start/1, register/1, log/2, report/1]).
%% Only in the double
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

%% Calls a function while all logging calls raise.
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
