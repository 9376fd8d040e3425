%%% The cost of a drain for the rest of the node: two processes play ping-pong on the normal schedulers, and a
%%% third writes and reads a small file, while a backlog is drained. They run at a fixed pace, so that the drain
%%% loads the node and the measurement does not.
%%%
%%% The pushes limit both drains to the same results per second, half of what plain Erlang can do. Otherwise the
%%% faster one would be measured under more work.
-module(bench_pingpong).

-export([suite/1, measured/1]).

%% The time between two round trips, and between two accesses to the file, in ms.
-define(PING_EVERY, 1).
-define(FILE_EVERY, 5).
-define(FILE_BYTES, 4096).

suite(#{quick := Quick}) ->
    {Seconds, Rounds} = case Quick of true -> {1, 1}; false -> {10, 3} end,
    %% More results than can be drained.
    Cu = {"data:400", "1000000000"},
    Run = #{seconds => Seconds, per_second => infinity, limit => 60000 + Seconds * 1000},
    Drain = fun(More) -> bench_runs:node(?MODULE, maps:merge(Run, More), Cu) end,
    bench_runs:say("pingpong: what plain Erlang can", []),
    #{per_second := Most} = Drain(#{who => plain}),
    Half = max(1, round(Most / 2)),
    bench_runs:say("pingpong: ~b results per second", [Half]),
    Runs = bench_runs:in_turn(Rounds, [
        {idle, fun() -> Drain(#{who => idle}) end},
        {ours, fun() -> Drain(#{who => ours, per_second => Half}) end},
        {plain, fun() -> Drain(#{who => plain, per_second => Half}) end},
        {ours_full, fun() -> Drain(#{who => ours}) end},
        {plain_full, fun() -> Drain(#{who => plain}) end}
    ]),
    Columns = [per_second, ping_p50_us, ping_p99_us, file_p50_us, file_p99_us, cpu],
    Rows = [[Name | [bench_stats:spread([maps:get(Column, R) || R <- maps:get(Key, Runs)]) || Column <- Columns]]
            || {Name, Key} <- [{"no drain", idle}, {"ours, throttled", ours}, {"plain Erlang, throttled", plain},
                               {"ours, as fast as it can", ours_full}, {"plain Erlang, as fast as it can", plain_full}]],
    #{ours := Ours, plain := Plain} = Runs,
    Ratios = [["ours / plain Erlang, throttled" |
               [bench_stats:ratios(Column, Ours, Plain) || Column <- [ping_p99_us, file_p99_us, cpu]]]],
    [#{title => "The rest of the node while a backlog is drained",
       about => io_lib:format("One process drained in pages of 1000 for ~b s, throttled to ~s results/s, which is half of "
                              "what plain Erlang could. A round trip every ~b ms, a file of ~b bytes written and read every "
                              "~b ms. ~b rounds, median (min-max).",
                              [Seconds, bench_table:number(Half), ?PING_EVERY, ?FILE_BYTES, ?FILE_EVERY, Rounds]),
       tables => [{["", "results/s", "ping p50 us", "ping p99 us", "file p50 us", "file p99 us", "CPU s"], Rows},
                  {["by pairs", "ping p99", "file p99", "CPU"], Ratios}],
       charts => [{"pingpong.svg", bench_svg:bars("p99 of a round trip between two processes while a backlog is drained", "us",
                    [{Name, bench_stats:medians(ping_p99_us, maps:get(Key, Runs))}
                     || {Name, Key} <- [{"no drain", idle}, {"ours, throttled", ours}, {"plain, throttled", plain},
                                        {"ours, full speed", ours_full}, {"plain, full speed", plain_full}]])}]}].

measured(#{who := Who, seconds := Seconds, per_second := PerSecond, dir := Dir} = Run) ->
    Push = bench_push:new(#{per_second => PerSecond}),
    Who =:= idle orelse drain(Run, Push),
    %% The first page has arrived.
    Who =:= idle orelse bench_run:until(fun() -> bench_push:pushed(Push) > 0 end),
    Pong = spawn_link(fun pong/0),
    Until = bench_run:now_us() + Seconds * 1000000,
    File = filename:join(Dir, "small"),
    Bytes = binary:copy(<<"x">>, ?FILE_BYTES),
    {Cpu, Begin, Before} = {bench_run:cpu_seconds(), bench_run:now_us(), bench_push:pushed(Push)},
    Ping = played(?PING_EVERY, Until, fun() -> round_trip(Pong) end),
    Files = played(?FILE_EVERY, Until, fun() -> write_and_read(File, Bytes) end),
    {Trips, Written} = {results(Ping), results(Files)},
    {Used, End, After} = {bench_run:cpu_seconds() - Cpu, bench_run:now_us(), bench_push:pushed(Push)},
    #{per_second => (After - Before) * 1.0e6 / (End - Begin), cpu => Used,
      ping_p50_us => bench_stats:percentile(50, Trips), ping_p99_us => bench_stats:percentile(99, Trips),
      file_p50_us => bench_stats:percentile(50, Written), file_p99_us => bench_stats:percentile(99, Written)}.

drain(Run, Push) ->
    ok = bench_monitors:prepare(Run),
    Monitors = bench_monitors:start(Run, [1], #{rate => 3600000, limit => 1000, push => bench_push:function(Push)}),
    ok = bench_monitors:settle(Run, Monitors),
    bench_monitors:tick(Monitors).

pong() -> receive {ping, From} -> From ! pong, pong() end.

round_trip(Pong) ->
    Pong ! {ping, self()},
    receive pong -> ok end.

write_and_read(File, Bytes) ->
    ok = file:write_file(File, Bytes),
    {ok, Bytes} = file:read_file(File),
    ok.

%% Runs in a separate process, with a pause after each time. Returns the times in us.
played(Every, Until, Play) ->
    spawn_monitor(fun() -> exit({took, play(Every, Until, Play, [])}) end).

play(Every, Until, Play, Took) ->
    receive after Every -> ok end,
    Begin = erlang:monotonic_time(nanosecond),
    case bench_run:now_us() < Until of
        true ->
            ok = Play(),
            play(Every, Until, Play, [(erlang:monotonic_time(nanosecond) - Begin) / 1000 | Took]);
        false ->
            Took
    end.

results({Pid, Ref}) -> receive {'DOWN', Ref, process, Pid, {took, Took}} -> Took end.
