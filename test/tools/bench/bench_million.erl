%%% A million monitors in one node: starting, running and stopping them, with the cost. Runs only on request: it
%%% needs several GB of memory and some minutes.
-module(bench_million).

-export([suite/1, measured/1]).

%% At this rate, a million of them make 1,667 polls per second.
-define(RATE, 600000).

suite(#{quick := Quick}) ->
    {Count, Seconds} = case Quick of true -> {20000, 2}; false -> {1000000, 60} end,
    bench_runs:say("million: ~b monitors", [Count]),
    Run = #{who => ours, monitors => Count, seconds => Seconds, limit => 1800000},
    Figures = bench_runs:node(?MODULE, Run, {"data:0", "0"}, ["+P", "4000000"]),
    [#{title => io_lib:format("~s monitors at ~b s", [bench_table:number(Count), ?RATE div 1000]),
       about => io_lib:format("One node with +P 4000000, one logger for all, checkpoint on, a CU without results. Started one "
                              "after the other by one process, watched for ~b s, stopped together. One run.", [Seconds]),
       tables => [{["", "figure"], [[Name, maps:get(Key, Figures)] || {Name, Key} <- [
           {"start of all, s", start_s}, {"start of one, us", start_us}, {"stop of all, s", stop_s},
           {"VM memory per monitor, bytes", vm_each}, {"RSS per monitor, bytes", rss_each}, {"RSS, MiB", rss_mb},
           {"peak RSS, MiB", peak_mb}, {"ticks while watched", ticks}, {"ticks missed", missed}, {"requests", requests},
           {"CPU s while watched", cpu}]]}]}].

measured(#{monitors := Count, seconds := Seconds} = Run) ->
    {Fleet, Started} = bench_fleet:start(Run, Count, ?RATE),
    Watched = bench_fleet:watch(Seconds * 1000000),
    Rss = bench_run:rss_mb(),
    Stop = bench_fleet:stop(Fleet),
    maps:merge(Started, Watched#{rss_mb => Rss, stop_s => Stop, peak_mb => bench_run:peak_mb()}).
