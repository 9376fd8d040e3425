%%% Many monitors at once: the time to start them, the memory of each, and the node's load while they run.
-module(bench_fleet).

-export([start/3, watch/1, grown/2, stop/1]).

%% Starts this many monitors, one after another. `before': the memory, for `grown'.
start(#{who := Who} = Run, Count, Rate) ->
    ok = bench_monitors:prepare(Run),
    Push = bench_push:new(#{}),
    Numbers = lists:seq(1, Count),
    erlang:garbage_collect(),
    Before = bench_run:memory(),
    Begin = bench_run:now_us(),
    Monitors = bench_monitors:start(Run, Numbers, #{rate => Rate, limit => 1000, push => bench_push:function(Push)}),
    Took = bench_run:now_us() - Begin,
    _ = Who =:= ours andalso bench_run:until(fun() -> maps:get(monitors, bench_monitors:counters()) =:= Count end),
    ok = quiet(),
    Fleet = #{run => Run, monitors => Monitors, before => Before},
    #{vm := Vm, rss := Rss} = grown(Fleet, Count),
    {Fleet, #{start_s => Took / 1.0e6, start_us => Took / Count, vm_each => Vm, rss_each => Rss}}.

%% Garbage in the mailboxes and heaps of shared processes does not count towards monitors. The monitors themselves
%% are not collected.
quiet() ->
    Serving = [Pid || Name <- registered(), Pid <- [whereis(Name)], is_pid(Pid)],
    lists:foreach(fun(Pid) ->
        bench_run:until(fun() -> process_info(Pid, message_queue_len) =:= {message_queue_len, 0} end),
        true = garbage_collect(Pid)
    end, Serving -- [self()]).

%% The growth of memory since they were started, in bytes per monitor.
grown(#{before := Before}, Count) ->
    maps:map(fun(Kind, Bytes) -> (Bytes - maps:get(Kind, Before)) / Count end, bench_run:memory()).

%% The library's activity within a time, in us.
watch(Us) ->
    #{ticks := Ticks, missed_ticks := Missed, fetches := Fetches} = bench_monitors:counters(),
    {Cpu, Begin} = {bench_run:cpu_seconds(), bench_run:now_us()},
    bench_run:sleep_until(Begin + Us),
    #{ticks := AllTicks, missed_ticks := AllMissed, fetches := AllFetches} = bench_monitors:counters(),
    {Used, Took} = {bench_run:cpu_seconds() - Cpu, bench_run:now_us() - Begin},
    Requests = AllFetches - Fetches,
    #{ticks => AllTicks - Ticks, missed => AllMissed - Missed, requests => Requests, cpu => Used,
      per_second => Requests * 1.0e6 / Took, cpu_per_request => Used * 1.0e6 / max(1, Requests)}.

%% Returns when all have ended, with the time in s.
stop(#{run := Run, monitors := Monitors}) ->
    Begin = bench_run:now_us(),
    ok = bench_monitors:stop(Run, Monitors),
    (bench_run:now_us() - Begin) / 1.0e6.
