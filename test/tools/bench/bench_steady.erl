%%% Monitors with little work: each has one new result at every tick. The CPU time of a result is then mostly that of
%%% its requests: one, while results are expected, and for plain Erlang two, since it asks until a page is empty.
-module(bench_steady).

-export([suite/1, measured/1]).

-define(DATA, "data:400").
-define(RATE, 1000).

suite(#{quick := Quick}) ->
    {Monitors, Seconds, Rounds} = case Quick of true -> {50, 3, 1}; false -> {2000, 20, 3} end,
    bench_runs:say("steady: ~b monitors, ~b s", [Monitors, Seconds]),
    Run = #{monitors => Monitors, seconds => Seconds, limit => 60000 + Seconds * 1000},
    Steady = fun(Who) -> fun() ->
        bench_runs:node(?MODULE, Run#{who => Who}, {?DATA, "every:" ++ integer_to_list(?RATE)})
    end end,
    Each = case Quick of true -> 20; false -> 1000 end,
    Runs = bench_runs:in_turn(Rounds, [
        {ours, Steady(ours)}, {plain, Steady(plain)},
        {floor, fun() -> bench_runs:floor({?DATA, integer_to_list(Each)}, ["1", "64"], 64 * Each) end}
    ]),
    #{ours := Ours, plain := Plain, floor := Floor} = Runs,
    Spread = fun(Key, Of) -> bench_stats:spread([maps:get(Key, R) || R <- Of]) end,
    Columns = [per_second, per_tick, cpu_per_result, requests_per_cpu, peak_mb],
    [#{title => io_lib:format("Steady: ~s monitors at 1 s with a new result each tick", [bench_table:number(Monitors)]),
       about => io_lib:format("~b s after 2 s that are not counted, ~b rounds, median (min-max). Ours has its checkpoint on. "
                              "Plain Erlang's monitors are started spread over one rate, as the library spreads its own. The "
                              "floor asks for one page of one result after the other, 64 at once, as fast as it can.",
                              [Seconds, Rounds]),
       tables => [{["", "results/s", "results per monitor and s", "CPU us per result", "requests per CPU s", "peak MiB"],
                   [[Name | [Spread(Key, Of) || Key <- Columns]] || {Name, Of} <- [{"ours", Ours}, {"plain Erlang", Plain}]]
                   ++ [["floor", Spread(per_second, Floor), "", "", Spread(requests_per_cpu, Floor), Spread(peak_mb, Floor)]]},
                  {["by pairs", "CPU per result", "requests per CPU s"],
                   [["ours / plain Erlang", bench_stats:ratios(cpu_per_result, Ours, Plain),
                     bench_stats:ratios(requests_per_cpu, Ours, Plain)],
                    ["ours / floor", "", bench_stats:ratios(requests_per_cpu, Ours, Floor)]]}],
       charts => [{"steady.svg", bench_svg:bars("CPU time per result, monitors with one new result each tick", "us",
                    [{Name, bench_stats:medians(cpu_per_result, Of)} || {Name, Of} <- [{"ours", Ours}, {"plain Erlang", Plain}]])}]}].

measured(#{who := Who, monitors := Count, seconds := Seconds, url := Url} = Run) ->
    ok = bench_monitors:prepare(Run),
    Push = bench_push:new(#{}),
    Options = #{rate => ?RATE, limit => 1000, push => bench_push:function(Push)},
    Begin = bench_run:now_us(),
    Monitors = lists:append([begin
        _ = Who =:= plain andalso bench_run:sleep_until(Begin + N * ?RATE * 1000 div Count),
        bench_monitors:start(Run, [N], Options)
    end || N <- lists:seq(1, Count)]),
    bench_run:sleep_until(Begin + 1000 * ?RATE + 2000000),
    {Pushed, Asked} = {bench_push:pushed(Push), asked(Url)},
    {Cpu, From} = {bench_run:cpu_seconds(), bench_run:now_us()},
    bench_run:sleep_until(From + Seconds * 1000000),
    {Used, Until} = {bench_run:cpu_seconds() - Cpu, bench_run:now_us()},
    {Results, Requests} = {bench_push:pushed(Push) - Pushed, asked(Url) - Asked},
    %% A monitor that falls behind never settles; it ends with its node.
    _ = Who =:= ours andalso bench_monitors:stop(Run, Monitors),
    PerSecond = Results * 1.0e6 / (Until - From),
    #{per_second => PerSecond, per_tick => PerSecond / Count, cpu_per_result => Used * 1.0e6 / Results,
      requests_per_cpu => Requests / max(Used, 0.01), peak_mb => bench_run:peak_mb()}.

%% The number of requests that the CU has answered, including this one.
asked(Url) ->
    #{host := Host, port := Port} = uri_string:parse(Url),
    {ok, Socket} = gen_tcp:connect(binary_to_list(Host), Port, [binary, {active, false}, {packet, http_bin}]),
    ok = gen_tcp:send(Socket, ["GET /requests HTTP/1.1\r\nhost: ", Host, "\r\n\r\n"]),
    Length = content_length(Socket, 0),
    ok = inet:setopts(Socket, [{packet, raw}]),
    {ok, Body} = gen_tcp:recv(Socket, Length),
    ok = gen_tcp:close(Socket),
    binary_to_integer(Body).

content_length(Socket, Length) ->
    case gen_tcp:recv(Socket, 0) of
        {ok, http_eoh} -> Length;
        {ok, {http_header, _, 'Content-Length', _, Value}} -> content_length(Socket, binary_to_integer(Value));
        {ok, _} -> content_length(Socket, Length)
    end.
