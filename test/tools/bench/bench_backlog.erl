%%% The speed of draining a backlog into a push that only checks the order and counts, with the CPU time and the
%%% peak memory of the whole OS process. The library acks each result, and makes acks durable with its checkpoint;
%%% plain Erlang does neither.
%%%
%%% The suite does not cover slow or distant CUs, TLS, and pushes that do work.
-module(bench_backlog).

-export([suite/1, measured/1]).

-define(DATA, "data:400").

suite(#{quick := Quick} = Options) ->
    Results = maps:get(results, Options, case Quick of true -> 20000; false -> 1000000 end),
    Rounds = 3,
    %% In total, about what plain Erlang drains in 10 s.
    Each = max(1000, Results div 100),
    Variants = [{1, Results, 500}, {1, Results, 1000}, {64, Each, 1000}],
    Measured = [{Variant, variant(Rounds, Variant)} || Variant <- Variants],
    [section(Rounds, Variant, Runs) || {Variant, Runs} <- Measured].

variant(Rounds, {Processes, Results, Limit}) ->
    bench_runs:say("backlog: ~b process(es), ~b results each, pages of ~b", [Processes, Results, Limit]),
    Cu = {?DATA, integer_to_list(Results)},
    Run = #{processes => Processes, results => Results, page => Limit, limit => 300000},
    Drain = fun(More) -> fun() -> bench_runs:node(?MODULE, maps:merge(Run, More), Cu) end end,
    Least = Processes * Results,
    Floor = fun(More) -> fun() ->
        bench_runs:floor(Cu, [integer_to_list(Limit), integer_to_list(Processes) | More], Least)
    end end,
    bench_runs:in_turn(Rounds, [
        {ours, Drain(#{who => ours})},
        {plain, Drain(#{who => plain})},
        {volatile, Drain(#{who => ours, checkpoint => false})},
        {floor, Floor([])},
        {raw, Floor(["raw"])}
    ]).

section(Rounds, {Processes, Results, Limit}, #{ours := Ours, plain := Plain, floor := Floor, raw := Raw} = Runs) ->
    Columns = [per_second, cpu_per_million, peak_mb],
    Rows = [[Label | [bench_stats:spread([maps:get(Column, Run) || Run <- maps:get(Key, Runs)]) || Column <- Columns]]
            || {Label, Key} <- [{"ours", ours}, {"plain Erlang", plain}, {"ours, no checkpoint", volatile},
                                {"floor: client and skipping parser", floor},
                                {"floor of the server: bytes alone", raw}]],
    Ratios = [[Name | [bench_stats:ratios(Column, One, Other) || Column <- Columns]]
              || {Name, One, Other} <- [{"ours / plain Erlang", Ours, Plain},
                                        {"ours / ours, no checkpoint", Ours, maps:get(volatile, Runs)},
                                        {"floor / ours", Floor, Ours},
                                        {"bytes alone / floor", Raw, Floor}]],
    #{title => io_lib:format("Backlog: ~b process~s of ~s results, pages of ~b",
                             [Processes, case Processes of 1 -> ""; _ -> "es" end, bench_table:number(Results), Limit]),
      about => io_lib:format("400 bytes of data each. ~b rounds, median (min-max). CPU is that of the client's OS "
                             "process alone.", [Rounds]),
      tables => [{["", "results/s", "CPU s per million", "peak MiB"], Rows},
                 {["by pairs", "results/s", "CPU", "peak memory"], Ratios}],
      charts => [{io_lib:format("backlog-~b-~b.svg", [Processes, Limit]),
                  bench_svg:bars(io_lib:format("Results per second: ~b process(es), pages of ~b", [Processes, Limit]), "/s",
                                 [{Label, bench_stats:medians(per_second, maps:get(Key, Runs))}
                                  || {Label, Key} <- [{"ours", ours}, {"plain Erlang", plain}, {"floor", floor}]])}]}.

measured(#{processes := Processes, results := Results, page := Limit} = Run) ->
    ok = bench_monitors:prepare(Run),
    Push = bench_push:new(#{last => Results}),
    Monitors = bench_monitors:start(Run, lists:seq(1, Processes),
                                    #{rate => 3600000, limit => Limit, push => bench_push:function(Push)}),
    ok = bench_monitors:settle(Run, Monitors),
    Cpu = bench_run:cpu_seconds(),
    Begin = bench_run:now_us(),
    bench_monitors:tick(Monitors),
    End = bench_push:drained(Processes, Begin),
    %% The last empty pages belong to a drain, and no request may follow them.
    ok = bench_monitors:settle(Run, Monitors),
    Used = bench_run:cpu_seconds() - Cpu,
    All = Processes * Results,
    All = bench_push:pushed(Push),
    #{per_second => All * 1.0e6 / (End - Begin), cpu_per_million => Used * 1.0e6 / All, peak_mb => bench_run:peak_mb()}.
