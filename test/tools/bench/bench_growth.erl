%%% How the cost of one monitor changes with their number. The polls per second of the whole node are constant: ten
%%% times the monitors have a rate ten times as long. A constant cost per poll then shows that the cost of a
%%% monitor does not depend on the others.
%%%
%%% The CU has no results: each poll is one request, whose answer is an empty page.
-module(bench_growth).

-export([suite/1, measured/1]).

%% Polls per second of all monitors.
-define(POLLS, 500).
%% With fewer monitors, the VM's own memory varies more than theirs.
-define(WEIGHABLE, 100).

suite(#{quick := Quick}) ->
    {Counts, Seconds} = case Quick of
        true -> {[1, 10, 100, 1000], 2};
        false -> {[1, 10, 100, 1000, 10000, 100000], 20}
    end,
    bench_runs:say("growth: ~w monitors", [Counts]),
    Runs = [begin
        bench_runs:say("  ~b", [Count]),
        Run = #{who => ours, monitors => Count, seconds => Seconds, limit => 180000 + Seconds * 1000},
        {Count, bench_runs:node(?MODULE, Run, {"data:0", "0"})}
    end || Count <- Counts],
    Weighed = fun(Count, Figure) -> case Count >= ?WEIGHABLE of true -> Figure; false -> none end end,
    Rows = [[Count, rate(Count), Polls, Cpu] ++ [case Weighed(Count, Each) of none -> "-"; _ -> Each end || Each <- [Vm, Rss]] ++ [Start]
            || {Count, #{per_second := Polls, cpu_per_request := Cpu, vm_each := Vm, rss_each := Rss, start_us := Start}} <- Runs],
    Line = fun(Key) -> [maps:get(Key, Figures) || {_, Figures} <- Runs] end,
    [#{title => "Growth: the same polls per second by ever more monitors",
       about => io_lib:format("About ~b polls per second in all, each of which finds nothing new. ~b s each, one round. "
                              "Memory and start as in the suite of ticks, checkpoint on.",
                              [?POLLS, Seconds]),
       tables => [{["monitors", "rate, ms", "polls/s", "CPU us per poll", "VM bytes each", "RSS bytes each", "start us each"], Rows}],
       charts => [{"growth.svg", bench_svg:lines(io_lib:format("~b polls per second by ever more monitors", [?POLLS]),
                    "monitors", Counts,
                    [{"CPU us per poll", Line(cpu_per_request)},
                     {"RSS bytes per monitor", lists:zipwith(Weighed, Counts, Line(rss_each))},
                     {"start us per monitor", Line(start_us)}])}]}].

rate(Count) -> max(1, Count * 1000 div ?POLLS).

measured(#{monitors := Count, seconds := Seconds} = Run) ->
    {Fleet, Started} = bench_fleet:start(Run, Count, rate(Count)),
    %% Work that the starts leave behind, such as a commit, does not count towards polls.
    bench_run:sleep_until(bench_run:now_us() + 2000000),
    Watched = bench_fleet:watch(Seconds * 1000000),
    _ = bench_fleet:stop(Fleet),
    maps:merge(Started, Watched).
