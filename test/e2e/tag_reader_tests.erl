%%% The crons of a process, from the tags of its message on the host: what a monitor knows of them, and that no host
%%% delays a start, whatever it does.
-module(tag_reader_tests).
-include_lib("eunit/include/eunit.hrl").

-define(READ, {hb_cache, read}).

eunit_wrapper_(Tests) -> deadline:each(Tests).

later_hosts_test_() -> [suite(Era) || Era <- [era_b, era_c]].

suite(Era) ->
    era:suite(Era, [
        {crons_of_the_tags_are_known_to_the_monitor, fun known/1},
        {process_without_crons_is_asked_for_rarely, fun no_crons/1},
        {process_that_the_host_does_not_have_is_learned, fun learned/1},
        {crons_are_told_again_after_the_engine_died, fun engine_died/1},
        {crons_are_told_after_the_reader_died, fun reader_died/1},
        {reads_are_as_far_apart_as_they_are_long, fun apart/1},
        {monitor_that_asks_at_every_tick_knows_no_crons, fun rate/1},
        {host_that_raises_exits_or_takes_all_memory_leaves_others_known, fun broken/1}
    ]).

hanging_host_test_() ->
    era:suite(era_c, [{host_that_hangs_delays_no_start_and_no_result, fun hangs/1}]).

hosts_that_are_not_read_test_() ->
    [era:suite(Era, [{process_is_not_read, fun not_read/1}]) || Era <- [era_a, era_d]].

process(World, Fields) ->
    harness:host(#{store => [#{<<"store-module">> => hb_store_fs}]}),
    World#{source := era:target(local, Fields)}.

info(#{source := Source}) -> hb_process_monitor:info(Source).

await(World, Crons) -> harness:eventually(fun() -> maps:get(crons, info(World)) =:= Crons end).

known(World) ->
    Process = process(World, #{<<"cron-interval">> => <<"\"5-minutes\", \"10-blocks\", \"2-moons\"">>}),
    _ = era:start(Process, []),
    harness:eventually(fun() -> maps:get(crons, info(Process)) =/= undefined end),
    #{crons := Crons} = info(Process),
    ?assertEqual([300, blocks, never], lists:sort(Crons)),
    ?assertMatch(#{asks := #{how := every_tick, why := untimed}}, info(Process)).

no_crons(World) ->
    Process = process(World, #{}),
    _ = era:start(Process, []),
    await(Process, []),
    harness:eventually(fun() -> maps:get(asks, info(Process)) =:= #{how => rarely} end),
    ?assertMatch(#{longest_gap := 600000, next_result := undefined}, info(Process)).

learned(World) ->
    Process = (process(World, #{}))#{source := harness:proc_id()},
    _ = era:start(Process, []),
    harness:eventually(fun() -> host_double:asked(?READ) =/= [] end),
    %% The answer of a later one shows that this one was through.
    Later = process(World, #{<<"cron-interval">> => <<"1-hour">>}),
    _ = era:start(Later, []),
    await(Later, [3600]),
    ?assertMatch(#{crons := undefined, longest_gap := 60000}, info(Process)).

engine_died(World) ->
    Process = process(World, #{<<"cron-interval">> => <<"1-hour">>}),
    _ = era:start(Process, []),
    await(Process, [3600]),
    host_double:on(?READ, fun([Id, _]) ->
        {ok, #{<<"id">> => Id, <<"type">> => <<"Process">>, <<"cron-interval">> => <<"2-hours">>}}
    end),
    _ = harness:kill(whereis(hb_cron_engine)),
    await(Process, [7200]).

reader_died(World) ->
    Process = process(World, #{<<"cron-interval">> => <<"1-hour">>}),
    _ = era:start(Process, []),
    await(Process, [3600]),
    _ = harness:kill(whereis(hb_cron_tag_reader)),
    harness:eventually(fun() -> is_pid(whereis(hb_cron_tag_reader)) end),
    Later = process(World, #{<<"cron-interval">> => <<"2-hours">>}),
    _ = era:start(Later, []),
    await(Later, [7200]).

%% Each read blocks for 50 ms, so the next one begins at least twice as long after it, whatever the load.
apart(World) ->
    Test = self(),
    host_double:on(?READ, fun(_) -> Test ! {read, erlang:monotonic_time(millisecond)}, timer:sleep(50), not_found end),
    _ = [era:start(process(World, #{}), []) || _ <- [1, 2, 3, 4]],
    [First | Later] = [receive {read, At} -> At end || _ <- [1, 2, 3, 4]],
    ?assertEqual([], [Gap || Gap <- gaps(First, Later), Gap < 98]).

gaps(_Last, []) -> [];
gaps(Last, [At | Rest]) -> [At - Last | gaps(At, Rest)].

rate(World) ->
    Process = process(World, #{<<"cron-interval">> => <<"1-hour">>}),
    _ = era:start(Process, [], #{cron_poll => rate}),
    harness:eventually(fun() -> host_double:asked(?READ) =/= [] end),
    ?assertMatch(#{crons := undefined, asks := #{how := every_tick, why := rate}, longest_gap := undefined}, info(Process)).

%% What the host does to the process that reads affects no other.
broken(World) ->
    Bad = [fun(_) -> error(badarg) end, fun(_) -> exit(kill) end, fun(_) -> exit(self(), kill) end, fun(_) -> {ok, nonsense} end,
           fun(_) -> {ok, lists:seq(1, 50000000)} end],
    Processes = [begin
        Process = process(World, #{}),
        host_double:on(?READ, fun([Id, _] = Args) ->
            case Process of #{source := Id} -> Does(Args); _ -> pass end
        end),
        _ = era:start(Process, []),
        harness:eventually(fun() -> lists:member(maps:get(source, Process), [Id || [Id, _] <- host_double:asked(?READ)]) end),
        Process
    end || Does <- Bad],
    Later = process(World, #{<<"cron-interval">> => <<"1-hour">>}),
    _ = era:start(Later, []),
    await(Later, [3600]),
    [?assertMatch(#{crons := undefined}, info(Process)) || Process <- Processes].

%% The reading process is killed, others wait, and all monitors work.
hangs(#{cu := Cu} = World) ->
    Process = process(World, #{<<"cron-interval">> => <<"1-hour">>}),
    host_double:on(?READ, fun([Id, _]) when Id =:= map_get(source, Process) -> receive never -> ok end; (_) -> pass end),
    Test = self(),
    Push = fun(_, _) -> Test ! pushed, ok end,
    [{Monitor, _}, {Second, _}] = [era:start(Each, [<<"{}">>], #{cron_push => Push})
                                   || Each <- [Process, (process(World, #{}))]],
    [receive pushed -> ok end || _ <- [1, 2]],
    harness:eventually(fun() -> readers() =/= [] end),
    [Reader] = readers(),
    harness:eventually(fun() -> not is_process_alive(Reader) end),
    ?assert(is_process_alive(Monitor) andalso is_process_alive(Second)),
    test_cu:add_nodes(Cu, maps:get(source, Process), [<<"{}">>]),
    Monitor ! tick,
    receive pushed -> ok end,
    ?assertMatch(#{crons := undefined}, info(Process)).

readers() ->
    [Pid || Pid <- processes(), {monitored_by, By} <- [process_info(Pid, monitored_by)],
            lists:member(whereis(hb_cron_tag_reader), By)].

not_read(World) ->
    Process = process(World, #{<<"cron-interval">> => <<"1-hour">>}),
    Test = self(),
    _ = era:start(Process, [<<"{}">>], #{cron_push => fun(_, _) -> Test ! pushed, ok end}),
    receive pushed -> ok end,
    ?assertMatch(#{crons := undefined}, info(Process)),
    ?assertEqual([], host_double:asked(?READ)).
