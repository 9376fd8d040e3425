%%% The lateness and the cost of ticks.
%%%
%%% A registration that never polls gets a single tick: until the poll that answers it, the points of its grid
%%% count as missed. Therefore the cost of ticks alone is measured with many registrations that get one tick each:
%%% every process registers ten times, with ten process ids, and notes how late each tick arrives. A tick is due at
%%% the request of the registration plus the offset of the grid (bench_grid), so the time of a registration to
%%% reach the engine counts as lateness. Only ticks that are due after the last registration count, and the second
%%% points of the grids lie beyond them.
%%%
%%% For comparison, as many processes with as many due times sleep until the next one.
%%%
%%% The suite then measures ordinary monitors that poll a CU without new results: the time to start them, the
%%% memory of each, and whether they miss ticks.
-module(bench_ticks).

-export([suite/1, measured/1]).

%% Lateness is counted in steps of this many us. The last step includes everything above.
-define(STEP, 20).
-define(STEPS, 50000).
%% A tick must not arrive before it is due. Two clocks are read in between.
-define(EARLY, 1000).

suite(#{quick := Quick}) ->
    {Processes, Rate, Rounds} = case Quick of true -> {2000, 3000, 1}; false -> {100000, 40000, 2} end,
    bench_runs:say("ticks: ~b processes with 10 registrations each, rate ~b ms", [Processes, Rate]),
    Run = #{what => alone, processes => Processes, each => 10, rate => Rate, limit => 300000},
    Cu = {"data:0", "0"},
    #{ours := Ours, plain := Plain} = bench_runs:in_turn(Rounds, [
        {Who, fun() -> bench_runs:node(?MODULE, Run#{who => Who, checkpoint => false}, Cu) end} || Who <- [ours, plain]]),
    Columns = [per_second, p50_ms, p99_ms, max_ms, lost, cpu_per_million],
    Rows = [[Name | [bench_stats:spread([maps:get(Key, R) || R <- Runs]) || Key <- Columns]]
            || {Name, Runs} <- [{"ours", Ours}, {"sleeping processes", Plain}]],
    PollRate = case Quick of true -> 5000; false -> 60000 end,
    bench_runs:say("ticks: ~b monitors that poll, rate ~b ms", [Processes, PollRate]),
    Polling = Run#{what => polling, rate => PollRate, limit => 300000 + PollRate},
    #{ours := [Polled | _], plain := [Started | _]} = bench_runs:in_turn(1, [
        {Who, fun() -> bench_runs:node(?MODULE, Polling#{who => Who}, Cu) end} || Who <- [ours, plain]]),
    [#{title => io_lib:format("Ticks alone: ~s processes with 10 registrations each", [bench_table:number(Processes)]),
       about => io_lib:format("Each registration gets one tick within ~b s; those due after all had registered are counted. "
                              "Lateness at the receiving process, in ms; a sleeping process's timer knows whole ms and "
                              "rounds them up. ~b rounds, median (min-max).", [Rate div 1000, Rounds]),
       tables => [{["", "ticks/s", "p50 ms", "p99 ms", "max ms", "missing", "CPU s per million"], Rows},
                  {["by pairs", "CPU"], [["ours / sleeping processes", bench_stats:ratios(cpu_per_million, Ours, Plain)]]}]},
     #{title => io_lib:format("Monitors that poll: ~s at ~b s", [bench_table:number(Processes), PollRate div 1000]),
       about => "Started one after the other by one process, checkpoint on; the CU has no results, so that each poll is "
                "one request. Then watched for one rate. Plain Erlang's monitors are started beside it for what they "
                "take, but do not tick: started together they would all ask at once.",
       tables => [{["", "ours", "plain Erlang"],
                   [[Name, maps:get(Key, Polled), case Key of rss_polled -> ""; _ -> maps:get(Key, Started, "") end]
                    || {Name, Key} <- [{"start of all, s", start_s}, {"start of one, us", start_us},
                                       {"VM memory per monitor, bytes", vm_each}, {"RSS per monitor, bytes", rss_each},
                                       {"RSS per monitor after a poll each, bytes", rss_polled},
                                       {"ticks", ticks}, {"ticks missed", missed}, {"requests", requests},
                                       {"CPU s", cpu}, {"CPU us per request", cpu_per_request}]]}]}].

measured(#{what := polling} = Run) -> polling(Run);
measured(#{what := alone, who := Who, processes := Processes, each := Each, rate := Rate} = Run) ->
    Counts = counters:new(?STEPS + 2, []),
    Window = atomics:new(2, []),
    Register = registering(Run),
    Self = self(),
    Pids = [spawn_link(fun() -> receiver(Self, Run, Ids, Register, Counts, Window) end) || Ids <- ids(Processes, Each)],
    %% Preparation has ended when its answer arrives.
    [receive {ready, Pid} -> ok end || Pid <- Pids],
    Begin = bench_run:now_us(),
    enlist(Who, Pids, Each, 0),
    From = bench_run:now_us() + 50000,
    Until = Begin + Rate * 1000,
    true = Until - From > 500000,
    ok = atomics:put(Window, 2, Until),
    ok = atomics:put(Window, 1, From),
    bench_run:sleep_until(From),
    Cpu = bench_run:cpu_seconds(),
    bench_run:sleep_until(Until),
    Used = bench_run:cpu_seconds() - Cpu,
    %% Late ticks may still arrive.
    bench_run:sleep_until(Until + 1000000),
    0 = counters:get(Counts, ?STEPS + 2),
    All = [counters:get(Counts, N) || N <- lists:seq(1, ?STEPS + 1)],
    Ticks = lists:sum(All),
    Due = expected(Pids, From, Until),
    #{per_second => Ticks * 1.0e6 / (Until - From), cpu_per_million => Used * 1.0e6 / Ticks, lost => Due - Ticks,
      p50_ms => within(All, Ticks * 0.5), p99_ms => within(All, Ticks * 0.99), max_ms => within(All, Ticks)}.

%% The number of ticks that were due.
expected(Pids, From, Until) ->
    [Pid ! {due_between, self(), From, Until} || Pid <- Pids],
    lists:sum([receive {due, Pid, Count} -> Count end || Pid <- Pids]).

%% The function that registers the calling process. Registrations differ only in their ids, so everything else is
%% prepared once.
registering(#{who := plain}) ->
    fun(_Id) -> none end;
registering(#{rate := Rate, url := Url} = Run) ->
    ok = bench_monitors:prepare(Run),
    {ok, Engine, _} = hb_cron_registry:engine(),
    Any = bench_monitors:id(0),
    Options = hb_cron_options:for_monitor(Any, #{rate => Rate, cron_node => Url, cursor => earliest}),
    Library = hb_cron_options:for_library(Any, earliest, Options),
    fun(Id) ->
        {ok, Handle, _, _} = hb_process_monitor_nif:register(Engine, Library#{process := Id}),
        Handle
    end.

ids(Processes, Each) ->
    [[bench_monitors:id(N * Each + M) || M <- lists:seq(1, Each)] || N <- lists:seq(1, Processes)].

%% In small groups, each of which reaches the engine before the next one begins. This shortens the time to reach
%% it, and makes the due times more precise.
enlist(_, [], _, _) -> ok;
enlist(Who, Pids, Each, Before) ->
    {Now, Later} = lists:split(min(20, length(Pids)), Pids),
    [Pid ! register || Pid <- Now],
    [receive {registered, Pid} -> ok end || Pid <- Now],
    After = Before + length(Now) * Each,
    _ = Who =:= ours andalso in_engine(After),
    enlist(Who, Later, Each, After).

in_engine(Count) ->
    case maps:get(monitors, bench_monitors:counters()) of
        Count -> ok;
        _ -> in_engine(Count)
    end.

receiver(Driver, #{who := Who, rate := Rate}, Ids, Register, Counts, Window) ->
    Phases = [{Id, bench_grid:phase(Id, Rate)} || Id <- Ids],
    Driver ! {ready, self()},
    receive register -> ok end,
    %% A registration ends when its handle is garbage-collected.
    {Handles, Due} = lists:unzip([begin
        Now = bench_run:now_us(),
        {Register(Id), Now + Phase}
    end || {Id, Phase} <- Phases]),
    Driver ! {registered, self()},
    Sorted = lists:sort(Due),
    await(Who, Sorted, {Sorted, Handles}, Counts, Window).

await(Who, [Due | Later], All, Counts, Window) ->
    Timeout = case Who of
        ours -> infinity;
        plain -> max(0, Due - bench_run:now_us() + 999) div 1000
    end,
    receive
        tick -> came(Due, Counts, Window), await(Who, Later, All, Counts, Window);
        {due_between, Driver, From, Until} -> answer(Driver, From, Until, All)
    after Timeout ->
        came(Due, Counts, Window),
        await(Who, Later, All, Counts, Window)
    end;
await(_, [], All, _, _) ->
    receive {due_between, Driver, From, Until} -> answer(Driver, From, Until, All) end.

answer(Driver, From, Until, {Due, _Handles}) ->
    Driver ! {due, self(), length([At || At <- Due, At >= From, At < Until])}.

came(Due, Counts, Window) ->
    From = atomics:get(Window, 1),
    case From > 0 andalso Due >= From andalso Due < atomics:get(Window, 2) of
        true ->
            case bench_run:now_us() - Due of
                Early when Early < -?EARLY -> counters:add(Counts, ?STEPS + 2, 1);
                Late -> counters:add(Counts, min(?STEPS, max(0, Late) div ?STEP) + 1, 1)
            end;
        false -> ok
    end.

%% The lateness in ms that this share of ticks does not exceed.
within(Counts, Ticks) -> within(Counts, Ticks, 1).

within([Count | Counts], Ticks, Step) when Count < Ticks, Counts =/= [] -> within(Counts, Ticks - Count, Step + 1);
within(_, _, Step) -> Step * ?STEP / 1000.

polling(#{processes := Processes, rate := Rate, who := Who} = Run) ->
    Tick = case Who of ours -> Rate; plain -> 3600000 end,
    {Fleet, Started} = bench_fleet:start(Run, Processes, Tick),
    Watched = case Who of
        ours -> bench_fleet:watch(Rate * 1000);
        plain -> #{}
    end,
    #{rss := Polled} = bench_fleet:grown(Fleet, Processes),
    _ = bench_fleet:stop(Fleet),
    maps:merge(Started, Watched#{rss_polled => Polled}).
