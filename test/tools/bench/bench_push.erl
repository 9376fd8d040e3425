%%% The push of all benchmarks, the same for the library and for what it is compared to: it checks that
%%% each result is the next one of its process, and counts. A result that is repeated or out of order ends
%%% the run, and so does one that is lost, when the next one comes.
%%%
%%% What it knows of a process is in the dictionary of the monitor, which is the cheapest place there is:
%%% so a monitor that was started anew begins at the first result again, and fails the run.
-module(bench_push).

-export([new/1, pushed/1, drained/2, function/1]).

-export_type([push/0]).

%% The number of the result that a process had last, and its pace.
-define(LAST, bench_last).
-define(BEGAN, bench_began).

-opaque push() :: {counters:counters_ref(), fun((map(), map()) -> ok)}.

%% `last': the number of each process's last result, of which the caller is told.
%% `per_second': no more than so many by one process, by making its monitor wait.
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

%% How many results have been pushed.
pushed({Counted, _}) -> counters:get(Counted, 1).

%% Waits until so many processes have had their last result. Says when the last of them had, at the
%% earliest at `At'.
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
    %% A timer knows ms: it waits when it is as much ahead.
    case (Number * 1000000) div PerSecond - (Now - Began) of
        Ahead when Ahead >= 1000 -> receive after Ahead div 1000 -> ok end;
        _ -> ok
    end.
