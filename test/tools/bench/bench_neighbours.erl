%%% What a node full of monitors does to its normal schedulers, and what the work of its neighbours does to its
%%% ticks. Unlike the other suites it asserts: it fails if a bound of the README is broken.
%%%
%%% Ticks: a sample of the monitors ticks once a second, and the time at which each tick reaches its monitor is
%%% traced. Lateness is the distance from the monitor's own earliest tick within its grid. It is measured while the
%%% node is quiet, while 12 processes wait in `forget/1' for a disk whose fsync hangs, while 400 processes of the
%%% host sync files, and while 20,000 monitors that each have a logger of their own are started. They are stopped
%%% after the measurement: then as many processes wait for a scheduler as end, and each tick waits among them.
%%%
%%% Schedulers: `long_schedule' reports each process that ran for over 1 ms. The system's own scheduler counts there
%%% too. Therefore the node's one scheduler thread has a CPU of its own, all other threads share another one, and a
%%% control run of the same shape in plain Erlang says what the machine adds.
-module(bench_neighbours).

-export([suite/1, measured/1]).
%% For tracing, also by bench_starts
-export([collect/1, ask/1, earliest_of/1, figures/2]).

%% The time between the ticks of a monitor, and of a sampled one, in ms.
-define(RATE, 60000).
-define(SAMPLE_RATE, 1000).
-define(SAMPLE, 200).
%% The bound of `long_schedule', in ms.
-define(LONG, 1).
%% If a scheduler is preempted this much more often than the control's, the machine is not the only cause.
-define(NOISE, 3).

suite(#{quick := Quick}) ->
    {Count, Starts, Seconds} = case Quick of true -> {5000, 1000, 5}; false -> {100000, 20000, 20} end,
    bench_runs:say("neighbours: ~b monitors", [Count]),
    Dir = string:trim(os:cmd("mktemp -d")),
    {Library, Control} = {filename:join(Dir, "hang_sync.so"), filename:join(Dir, "control")},
    "" = os:cmd(lists:join(" ", ["cc -shared -fPIC -Wall -o", Library, "test/support/hang_sync.c", "-ldl"])),
    Environment = [{"LD_PRELOAD", Library}, {"HANG_SYNC", Control}],
    Run = #{monitors => Count, starts => Starts, seconds => Seconds, control => Control, limit => 1200000},
    Node = fun(Who, Pinned, Flags) ->
        bench_runs:say("  ~s~s", [Who, case Pinned of true -> ", one scheduler with a CPU of its own"; false -> "" end]),
        bench_runs:node(?MODULE, Run#{who => Who, pinned => Pinned}, {"data:0", "0"}, ["+P", "4000000", "+c", "false" | Flags], Environment)
    end,
    %% Without time correction, so that the clocks of the engine and the traces run alike.
    Late = Node(ours, false, []),
    Control1 = Node(plain, false, []),
    [Ours, Plain] = [Node(Who, true, ["+S", "1:1"]) || Who <- [ours, plain]],
    _ = file:del_dir_r(Dir),
    {[lateness(Count, Starts, Late, Control1), schedules(Count, Ours, Plain)], fun() -> bounds(Late, Ours, Plain, Quick) end}.

lateness(Count, Starts, Ours, Plain) ->
    #{title => io_lib:format("Lateness of ticks: ~s monitors at ~b s", [bench_table:number(Count), ?RATE div 1000]),
      about => io_lib:format("~b of them tick each second and are watched. Syncing: 400 processes of the host write and sync a "
                             "file each. Starts: ~s monitors with a logger each are started. Plain Erlang: as many "
                             "processes that sleep on timers.", [?SAMPLE, bench_table:number(Starts)]),
      tables => [{["", "ours p50 ms", "p99 ms", "max ms", "ticks", "plain p50 ms", "p99 ms", "max ms"],
                  [[Name | [maps:get(K, maps:get(Phase, Ours)) || K <- [p50, p99, max, ticks]]
                    ++ [maps:get(K, maps:get(Phase, Plain)) || K <- [p50, p99, max]]]
                   || {Phase, Name} <- phases()]}]}.

schedules(Count, Ours, Plain) ->
    #{title => io_lib:format("Over ~b ms on a normal scheduler: ~s monitors", [?LONG, bench_table:number(Count)]),
      about => "One scheduler thread with a CPU of its own; all other threads, the CU and the driver share another one.",
      tables => [{["", "ours", "longest ms", "plain Erlang", "longest ms"],
                  [[Name, maps:get(long, maps:get(Phase, Ours)), maps:get(longest, maps:get(Phase, Ours)),
                    maps:get(long, maps:get(Phase, Plain)), maps:get(longest, maps:get(Phase, Plain))]
                   || {Phase, Name} <- phases()]},
                 {["longest of ours, ms", "in", "out"],
                  [[Ms, io_lib:format("~p", [In]), io_lib:format("~p", [Out])]
                   || {Phase, _} <- phases(), {Ms, In, Out} <- maps:get(where, maps:get(Phase, Ours))]}]}.

phases() -> [{quiet, "quiet"}, {hung, "12 in forget/1, fsync hangs"}, {syncing, "400 sync files"}, {starts, "starts"}].

%% The small sizes only show that everything works.
bounds(_, _, _, true) -> ok;
bounds(Late, Ours, Plain, false) ->
    #{quiet := #{p99 := Quiet}} = Late,
    Broken = [{late, Phase, P99, quiet, Quiet} || {Phase, _} <- phases(), #{p99 := P99} <- [maps:get(Phase, Late)], P99 > 2 * Quiet]
        ++ [{long_schedule, Phase, Long, control, Controlled, Where}
            || {Phase, _} <- phases(), #{long := Long, where := Where} <- [maps:get(Phase, Ours)],
               #{long := Controlled} <- [maps:get(Phase, Plain)], Long > Controlled + ?NOISE],
    case Broken of
        [] -> ok;
        _ -> error({bounds_broken, Broken})
    end.

%% In the node

measured(#{monitors := Count, pinned := Pinned, seconds := Seconds} = Run) ->
    Fleet = started(Run, Count),
    Collector = spawn_link(?MODULE, collect, [#{ticks => #{}, long => []}]),
    Sample = maps:get(sample, Fleet),
    _ = [1 = erlang:trace(Pid, true, ['receive', monotonic_timestamp, {tracer, Collector}]) || Pid <- Sample],
    _ = Pinned andalso pin(),
    _ = erlang:system_monitor(Collector, [{long_schedule, ?LONG}]),
    Figures = [{Phase, phase(Phase, Run, Fleet, Collector, Seconds)} || {Phase, _} <- phases()],
    Earliest = earliest_of([Ticks || {_, #{ticks := Ticks}} <- Figures]),
    maps:from_list([{Phase, figures(Raw, Earliest)} || {Phase, Raw} <- Figures]).

%% The earliest place of each monitor within the period.
earliest_of(All) ->
    Times = lists:foldl(fun(Ticks, Before) -> maps:merge_with(fun(_, A, B) -> A ++ B end, Before, Ticks) end, #{}, All),
    maps:map(fun(_, Of) -> earliest(lists:usort([Time rem period() || Time <- Of])) end, Times).

%% The earliest place within the period: the one after the longest gap of the circle, at which most ticks arrive.
earliest([First | Rest] = Places) ->
    {_, Place} = lists:max(lists:zipwith(fun(Before, After) -> {After - Before, After} end, Places,
                                         Rest ++ [First + period()])),
    Place rem period().

started(#{who := ours} = Run, Count) ->
    {Fleet, _} = bench_fleet:start(Run, Count, ?RATE),
    Push = fun(_, State) -> {ok, State} end,
    Sample = bench_monitors:start(Run, lists:seq(Count + 1, Count + ?SAMPLE), #{rate => ?SAMPLE_RATE, limit => 1000, push => Push}),
    Fleet#{sample => Sample};
started(#{who := plain}, Count) ->
    Sleepers = [spawn_link(fun() -> sleeper(?RATE, rand:uniform(?RATE)) end) || _ <- lists:seq(1, Count)],
    #{monitors => Sleepers, sample => [spawn_link(fun() -> sleeper(?SAMPLE_RATE, rand:uniform(?SAMPLE_RATE)) end) || _ <- lists:seq(1, ?SAMPLE)]}.

sleeper(Rate, Phase) ->
    Start = erlang:monotonic_time(millisecond) + Phase,
    _ = erlang:send_after(Start, self(), tick, [{abs, true}]),
    ticking(Rate, Start).

ticking(Rate, Due) ->
    receive tick -> ok end,
    _ = erlang:send_after(Due + Rate, self(), tick, [{abs, true}]),
    ticking(Rate, Due + Rate).

%% The load of a phase lasts from its beginning to its end.
phase(Phase, Run, Fleet, Collector, Seconds) ->
    End = begun(Phase, Run, Fleet),
    _ = ask(Collector),
    Begin = bench_run:now_us(),
    After = during(Phase, Run),
    bench_run:sleep_until(Begin + Seconds * 1000000),
    Raw = ask(Collector),
    ok = After(),
    ok = End(),
    %% Wait for the aftermath of this phase.
    bench_run:sleep_until(bench_run:now_us() + 3000000),
    Raw.

begun(hung, #{who := ours, control := Control}, _) ->
    ok = file:write_file(Control, <<>>),
    Callers = [spawn_monitor(fun() -> ok = hb_process_monitor:forget(bench_monitors:id(N)) end) || N <- lists:seq(1000001, 1000012)],
    fun() ->
        [true = is_process_alive(Caller) || {Caller, _} <- Callers],
        ok = file:delete(Control),
        [receive {'DOWN', Ref, process, _, normal} -> ok end || {_, Ref} <- Callers],
        ok
    end;
begun(syncing, #{dir := Dir}, _) ->
    Self = self(),
    Writers = [spawn_monitor(fun() -> write(filename:join(Dir, "synced" ++ integer_to_list(N)), Self) end) || N <- lists:seq(1, 400)],
    [receive {writing, Writer} -> ok end || {Writer, _} <- Writers],
    fun() ->
        [exit(Writer, kill) || {Writer, _} <- Writers],
        [receive {'DOWN', Ref, process, _, _} -> ok end || {_, Ref} <- Writers],
        ok
    end;
begun(_, _, _) ->
    fun() -> ok end.

write(Path, Driver) ->
    {ok, File} = file:open(Path, [write, raw, binary]),
    Driver ! {writing, self()},
    write(File).

write(File) ->
    ok = file:write(File, <<0:8000>>),
    ok = file:sync(File),
    write(File).

during(starts, #{who := ours, starts := Starts} = Run) ->
    Numbers = lists:seq(2000001, 2000000 + Starts),
    #{url := Url} = Run,
    Push = fun(_, State) -> {ok, State} end,
    Monitors = [begin
        Logger = spawn(fun() -> forget() end),
        {Monitor, _} = hb_process_monitor:start(bench_monitors:id(N), #{rate => ?RATE, cron_push => Push, cursor => earliest,
                                                                       cron_node => Url, logger => Logger}),
        {Monitor, Logger}
    end || N <- Numbers],
    fun() ->
        ok = bench_monitors:stop(Run, [Monitor || {Monitor, _} <- Monitors]),
        [exit(Logger, kill) || {_, Logger} <- Monitors],
        ok
    end;
during(starts, #{who := plain, starts := Starts}) ->
    Pids = [begin
        Logger = spawn(fun() -> forget() end),
        {ok, Pid} = proc_lib:start(proc_lib, init_ack, [{ok, Logger}]),
        {Pid, spawn(fun() -> sleeper(?RATE, rand:uniform(?RATE)) end), Logger}
    end || _ <- lists:seq(1, Starts)],
    fun() ->
        [begin exit(Sleeper, kill), exit(Logger, kill) end || {_, Sleeper, Logger} <- Pids],
        ok
    end;
during(_, _) ->
    fun() -> ok end.

forget() -> receive _ -> forget() end.

%% @private Receives the traces and `long_schedule' reports. The driver takes and resets them.
collect(#{ticks := Ticks, long := Long} = Got) ->
    receive
        {trace_ts, Pid, 'receive', tick, Time} ->
            collect(Got#{ticks := maps:update_with(Pid, fun(Times) -> [Time | Times] end, [Time], Ticks)});
        {trace_ts, _, 'receive', _, _} ->
            collect(Got);
        {monitor, Pid, long_schedule, Info} ->
            collect(Got#{long := [{Pid, Info} | Long]});
        {take, From} ->
            From ! {taken, self(), Got},
            collect(#{ticks => #{}, long => []})
    end.

ask(Collector) ->
    Collector ! {take, self()},
    receive {taken, Collector, Got} -> Got end.

period() -> erlang:convert_time_unit(?SAMPLE_RATE, millisecond, native).

figures(#{ticks := Ticks, long := Long}, Earliest) ->
    Late = lists:sort([to_ms(late(T rem period(), maps:get(Pid, Earliest))) || {Pid, Times} <- maps:to_list(Ticks), T <- Times]),
    Count = length(Late),
    At = fun(Share) -> lists:nth(max(1, round(Count * Share)), Late) end,
    Where = [{proplists:get_value(timeout, Info), proplists:get_value(in, Info), proplists:get_value(out, Info)} || {_, Info} <- Long],
    #{ticks => Count, p50 => At(0.5), p99 => At(0.99), max => At(1), long => length(Long),
      longest => lists:max([0 | [Ms || {Ms, _, _} <- Where]]), where => lists:sublist(lists:reverse(lists:sort(Where)), 10)}.

late(Place, Earliest) when Place >= Earliest -> Place - Earliest;
late(Place, Earliest) -> Place - Earliest + period().

to_ms(Native) -> erlang:convert_time_unit(Native, native, microsecond) / 1000.

%% The scheduler alone on the first CPU, all other threads on the others.
pin() ->
    Tasks = "/proc/self/task",
    {ok, Ids} = file:list_dir(Tasks),
    Named = [{Id, string:trim(binary_to_list(Name))} || Id <- Ids, {ok, Name} <- [file:read_file(filename:join([Tasks, Id, "comm"]))]],
    [_] = [Id || {Id, Name} <- Named, scheduler(Name)],
    lists:foreach(fun({Id, Name}) ->
        Cpus = case scheduler(Name) of true -> "0"; false -> "1-" ++ integer_to_list(erlang:system_info(logical_processors) - 1) end,
        _ = os:cmd("taskset -cp " ++ Cpus ++ " " ++ Id)
    end, Named),
    ok.

%% The names of threads in OTP 25 and later.
scheduler(Name) -> lists:prefix("1_scheduler", Name) orelse lists:prefix("erts_sched_1", Name).
