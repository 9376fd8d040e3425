%%% A double of the host's hb_logger: same exports, same messages, entries newest first. Like the
%%% original it never ends by itself and keeps every entry.
-module(hb_logger).
-export([start/0, start/1, register/1, log/2, report/1]).

start() -> start(undefined).
start(_Client) -> spawn(fun() -> loop([]) end).

register(Logger) -> Logger ! {register, self()}, ok.

log(Logger, Data) -> Logger ! {log, Data}, ok.

report(Logger) ->
    Logger ! {report, self()},
    receive {report, Activity} -> Activity end.

loop(Activity) ->
    receive
        {log, Data} -> loop([Data | Activity]);
        {register, Pid} -> loop([{ok, registered, Pid} | Activity]);
        {report, Pid} -> Pid ! {report, Activity}, loop(Activity)
    end.
