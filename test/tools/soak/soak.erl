%%% The soak test: a node with a few hundred monitors, in a separate OS process, works for a while against a CU
%%% with random faults. Every second it is examined from inside and outside. At the end nothing may have grown, and
%%% every result must have been pushed in order.
%%%
%%% Leaves `soak.csv' and `soak.svg', on which the verdict is based. It does not measure speed: the CU runs in this
%%% process, in Erlang.
-module(soak).
-export([main/1]).

-define(OUT, "_build/soak").
-define(RATE, 1000).
-define(PAGE_LIMIT, 50).
-define(SECOND, 1000).
%% Each second one of this many processes gets up to this many results.
-define(GROWS_ONE_OF, 3).
-define(GROWS_BY, 5).
%% The longest duration of a fault, and the longest time from its beginning to that of the next one, in s.
-define(FAULT_LASTS, 8).
-define(FAULT_EVERY, 8).
%% How long the remaining pushes may take once the faults are over, in s. Only a failure takes this long.
-define(SETTLES, 180).

%% `erl -run soak main Minutes Monitors Seed': exit status 1 if anything grew or was lost.
main([Minutes, Monitors, Seed]) ->
    _ = logger:set_primary_config(level, none),
    io:format("soak: ~s min, ~s monitors, seed ~s~n", [Minutes, Monitors, Seed]),
    _ = rand:seed(exsss, list_to_integer(Seed)),
    Violations = run(list_to_integer(Minutes) * 60, list_to_integer(Monitors)),
    halt(case Violations of [] -> 0; _ -> 1 end).

run(Seconds, Monitors) ->
    Dir = string:trim(os:cmd("mktemp -d")),
    ok = filelib:ensure_dir(filename:join(?OUT, "x")),
    {Listen, Port} = os_node:listen(),
    Node = os_node:start(soak_node, [integer_to_list(Port)]),
    Line = os_node:accept(Listen),
    Cu = test_cu:start(#{data_bytes => 200}),
    Ids = [harness:proc_id() || _ <- lists:seq(1, Monitors)],
    Tell = fun(Order) -> ok = os_node:send(Line, Order), os_node:recv(Line) end,
    Options = #{rate => ?RATE, cron_node => test_cu:url(Cu), cron_page_limit => ?PAGE_LIMIT,
                cron_push => {soak_node, push}},
    World = #{cu => Cu, ids => Ids, node => Node, tell => Tell, restart => fun() -> Tell({start, Ids, Options}) end},
    try
        ok = Tell({host, #{cron_checkpoint => filename:join(Dir, "checkpoint.redb"), cron_timeout => 3000,
                           cron_connect_timeout => 1000, cron_push_attempts => infinity,
                           cron_push_backoff => {50, 1000}}}),
        ok = Tell({start, Ids, Options#{cursor => earliest}}),
        {Samples, Faults} = soaked(Seconds, World),
        soak_chart:write(filename:join(?OUT, "soak.svg"), Samples, Faults),
        Settled = settled(World),
        Last = lists:last(Samples),
        Violations = soak_verdict:of_results(Settled, Tell(sample)) ++ soak_verdict:of_samples(Samples),
        soak_verdict:print(Samples, Faults, Last, Settled, Violations),
        Violations
    after
        %% After a failure the node may have ended with its line.
        try _ = os_node:kill(Node), ok catch _:_ -> ok end,
        test_cu:stop(Cu),
        _ = file:del_dir_r(Dir)
    end.

%% Runs second by second, with recurring faults, all of which are over at the end.
soaked(Seconds, World) ->
    {ok, Csv} = file:open(filename:join(?OUT, "soak.csv"), [write]),
    ok = file:write(Csv, soak_verdict:csv_header()),
    Began = now_ms(),
    {Samples, Faults} = second(1, Seconds, Began, Csv, World, #{active => [], next => 1, past => [], samples => []}),
    ok = file:close(Csv),
    {Samples, Faults}.

second(Second, Last, _Began, _Csv, World, #{active := Active, past := Past, samples := Samples}) when Second > Last ->
    [ok = soak_faults:ends(Fault, World) || {Fault, _, _} <- Active],
    {lists:reverse(Samples), lists:reverse([{Fault, From, Last} || {Fault, From, _} <- Active] ++ Past)};
second(Second, Last, Began, Csv, World, State) ->
    wait_until(Began + Second * ?SECOND),
    grow(World),
    #{samples := Samples} = Faulty = faults(Second, World, State),
    Sample = (sample(World))#{second => Second},
    ok = file:write(Csv, soak_verdict:csv_line(Sample)),
    second(Second + 1, Last, Began, Csv, World, Faulty#{samples := [Sample | Samples]}).

%% The clock of the samples, the only wait by time in this test.
wait_until(At) ->
    receive after max(0, At - now_ms()) -> ok end.

grow(#{cu := Cu, ids := Ids}) ->
    ok = forgotten(Cu),
    _ = [test_cu:add(Cu, Id, rand:uniform(?GROWS_BY)) || Id <- Ids, rand:uniform(?GROWS_ONE_OF) =:= 1],
    ok.

%% Forget the CU's record of requests, which only other tests need.
forgotten(Cu) ->
    true = test_cu:forget_requests(Cu),
    ok.

faults(Second, World, #{active := Active, next := Next, past := Past} = State) ->
    {Over, Stay} = lists:partition(fun({_, _, Until}) -> Until =< Second end, Active),
    [ok = soak_faults:ends(Fault, World) || {Fault, _, _} <- Over],
    Ended = State#{active := Stay, past := [{Fault, From, Second} || {Fault, From, _} <- Over] ++ Past},
    case Second >= Next of
        true -> begin_one(Second, World, Ended);
        false -> Ended
    end.

begin_one(Second, #{tell := Tell} = World, #{active := Active} = State) ->
    Free = [Fault || Fault <- soak_faults:kinds(),
                     not lists:any(fun({Other, _, _}) -> soak_faults:exclude(Fault, Other) end, Active)],
    Fault = lists:nth(rand:uniform(length(Free)), Free),
    ok = soak_faults:begins(Fault, Tell, World),
    State#{active := [{Fault, Second, Second + rand:uniform(?FAULT_LASTS)} | Active],
           next := Second + rand:uniform(?FAULT_EVERY)}.

sample(#{tell := Tell, node := Node}) ->
    maps:merge(Tell(sample), os_node:status(os_node:os_pid(Node))).

%% Waits until all is pushed. Returns for each process the number of results, and the last one pushed.
settled(#{restart := Restart} = World) ->
    ok = Restart(),
    settled(World, now_ms() + ?SETTLES * ?SECOND).

settled(#{cu := Cu, ids := Ids, tell := Tell} = World, Until) ->
    Pushed = Tell(last),
    Settled = [{Id, test_cu:count(Cu, Id), maps:get(Id, Pushed, 0)} || Id <- Ids],
    case lists:all(fun({_, Has, Last}) -> Has =:= Last end, Settled) orelse now_ms() > Until of
        true -> Settled;
        false -> wait_until(now_ms() + ?SECOND), settled(World, Until)
    end.

now_ms() -> erlang:monotonic_time(millisecond).
