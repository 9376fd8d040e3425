%%% The push of all benchmarks, for the library and the baselines: checks that each result is the next one of its
%%% process, and counts. A repeated or reordered result ends the run, and so does a lost one when the next result
%%% arrives.
%%%
%%% The state of a process is in its monitor's process dictionary, the cheapest place. A restarted monitor begins
%%% at the first result again, and therefore fails the run.
-module(bench_push).

-export([new/1, pushed/1, drained/2, function/1]).

-export_type([push/0]).

%% The number of the last result of a process, and its pace.
-define(LAST, bench_last).
-define(BEGAN, bench_began).

-opaque push() :: {counters:counters_ref(), fun((map(), map()) -> ok)}.

%% `last': the number of each process's last result, which is reported to the caller.
%% `per_second': the limit on results of one process, which the push enforces by waiting.
new(Options) ->
    Counted = counters:new(1, [write_concurrency]),
    Driver = self(),
    Last = maps:get(last, Options, none),
    PerSecond = maps:get(per_second, Options, infinity),
    {Counted, fun(#{message := #{<<"Messages">> := [#{<<"Anchor">> := Anchor}]}}, _State) ->
        Number = binary_to_integer(Anchor),
        case put(?LAST, Number) of
            Before when Before =:= Number - 1 -> ok;
            undefined when Number =:= 1 -> ok;
            Before -> exit(Driver, {out_of_order, Before, Number})
        end,
        ok = counters:add(Counted, 1, 1),
        _ = Number =:= Last andalso (Driver ! {drained, bench_run:now_us()}),
        pace(PerSecond, Number)
    end}.

function({_, Fun}) -> Fun.

%% The number of pushed results.
pushed({Counted, _}) -> counters:get(Counted, 1).

%% Waits until this many processes have had their last result. Returns when the last of them had, but not before
%% `At'.
drained(0, At) -> At;
drained(Processes, At) ->
    receive {drained, Us} -> drained(Processes - 1, max(At, Us)) end.

pace(infinity, _) ->
    ok;
pace(PerSecond, Number) ->
    Now = bench_run:now_us(),
    Began = case get(?BEGAN) of
        undefined -> put(?BEGAN, Now), Now;
        At -> At
    end,
    %% Timers have a resolution of 1 ms, so wait when the lead is as large.
    case (Number * 1000000) div PerSecond - (Now - Began) of
        Ahead when Ahead >= 1000 -> receive after Ahead div 1000 -> ok end;
        _ -> ok
    end.
