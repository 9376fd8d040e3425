%%% The calls of the API on a host node that is in a cluster, the only one of it. cluster_tests has several host nodes.
-module(cluster_calls_tests).
-include_lib("eunit/include/eunit.hrl").

eunit_wrapper_(Tests) -> deadline:each(Tests).

-define(TTL, 2000).
%% Longer than the test may take.
-define(LONG, 600000).

all_test_() ->
    {setup, fun postgres_server:start/0, fun postgres_server:stop/1, fun(Server) ->
        [{foreach, fun() -> setup(Server) end, fun(Cu) -> cleanup(Server, Cu) end, [{with, [Test]} || Test <- [
            fun started_process_is_pushed_in_order/1,
            fun process_started_twice_has_one_stand_in_and_one_monitor/1,
            fun stopped_process_ends_and_continues_where_it_was/1,
            fun stopped_process_started_again_keeps_its_options/1,
            fun stop_without_waiting_ends_the_process/1,
            fun stop_reaches_the_process_by_the_pid_of_its_monitor/1,
            fun process_stopped_by_its_id_ends/1,
            fun process_stopped_before_its_start_is_recorded_ends/1,
            fun cursor_of_a_watched_process_is_not_overruled/1,
            fun forgotten_process_is_unknown/1,
            fun pause_lasts_and_resume_ends_it/1,
            fun tick_to_the_stand_in_polls/1,
            fun dead_letter_is_redelivered/1,
            fun redelivery_that_fails_says_why/1,
            fun dead_letter_is_discarded/1,
            fun stand_in_ends_if_its_process_is_stopped_elsewhere/1,
            fun stand_in_of_an_earlier_stop_ends_at_its_first_check/1,
            fun application_that_stops_hands_over_and_goes_on/1,
            fun application_without_its_database_stops/1,
            fun monitor_that_is_killed_is_restarted/1,
            fun ownership_that_is_killed_keeps_its_monitors/1,
            fun engine_that_is_killed_keeps_its_monitors/1,
            fun configured_processes_are_added_once/1,
            fun process_stopped_long_ago_is_forgotten/1,
            fun cluster_exported_and_imported_is_the_same/1,
            fun node_with_a_checkpoint_moves_to_a_cluster/1,
            fun transfer_that_cannot_be_is_an_error/1,
            fun many_started_processes_are_pushed_by_their_owner/1,
            fun entry_of_many_that_is_invalid_is_its_own_outcome/1,
            fun recorder_that_is_killed_meanwhile_loses_no_start/1,
            fun database_lost_meanwhile_gets_every_start/1,
            fun option_that_cannot_move_is_refused/1,
            fun start_link_is_refused/1
        ]]}]
    end}.

setup(Server) ->
    ok = persistent_term:put({?MODULE, server}, Server),
    harness:setup(#{cron_cluster => postgres_server:url(Server), cron_cluster_ttl => ?TTL, cron_cluster_node => <<"one">>,
                    cron_push_attempts => 1}).

cleanup(Server, Cu) ->
    harness:cleanup(Cu),
    _ = postgres_server:sql(Server, "DROP SCHEMA IF EXISTS hb_cron CASCADE"),
    ok.

start(Cu, Id) -> start(Cu, Id, #{cursor => earliest}).

%% Polls at once.
start(Cu, Id, Options) ->
    {StandIn, Logger} = hb_process_monitor:start(Id, maps:merge(#{rate => 3600000, cron_node => test_cu:url(Cu)}, Options)),
    StandIn ! tick,
    {StandIn, Logger}.

%% Starts a process that pushes so many results, and waits for the last one.
start_and_push(Cu, Id, Count) ->
    harness:report_pushes(Id),
    test_cu:add(Cu, Id, Count),
    {StandIn, _} = start(Cu, Id),
    harness:await_results(1, Count),
    StandIn.

monitor_of(Id) ->
    harness:eventually(fun() -> hb_cron_registry:find(Id) =/= none end),
    {ok, {Monitor, _, _}} = hb_cron_registry:find(Id),
    Monitor.

started_process_is_pushed_in_order(Cu) ->
    Id = harness:proc_id(),
    StandIn = start_and_push(Cu, Id, 25),
    ?assertNotEqual(StandIn, monitor_of(Id)),
    ?assertEqual(here, hb_cron_cluster:where(Id)).

process_started_twice_has_one_stand_in_and_one_monitor(Cu) ->
    Id = harness:proc_id(),
    StandIn = start_and_push(Cu, Id, 3),
    ?assertMatch({StandIn, _}, start(Cu, Id)),
    test_cu:add(Cu, Id, 2),
    StandIn ! tick,
    harness:await_results(4, 5),
    harness:no_result().

stopped_process_ends_and_continues_where_it_was(Cu) ->
    Id = harness:proc_id(),
    StandIn = start_and_push(Cu, Id, 3),
    Monitor = monitor_of(Id),
    ok = hb_process_monitor:stop(StandIn, infinity),
    ?assertNot(is_process_alive(Monitor)),
    harness:eventually(fun() -> not is_process_alive(StandIn) end),
    ?assertEqual(not_monitored, hb_cron_cluster:where(Id)),
    test_cu:add(Cu, Id, 2),
    {_, _} = start(Cu, Id, #{}),
    harness:await_results(4, 5).

stopped_process_started_again_keeps_its_options(Cu) ->
    Id = harness:proc_id(),
    _ = start_and_push(Cu, Id, 3),
    ?assertEqual({error, not_found}, hb_cron_cluster:start_again(harness:proc_id())),
    ?assertEqual({error, monitored}, hb_cron_cluster:start_again(Id)),
    #{rate := Rate} = hb_process_monitor:info(Id),
    ok = hb_process_monitor:stop(Id, infinity),
    ok = hb_cron_cluster:start_again(Id),
    test_cu:add(Cu, Id, 2),
    harness:eventually(fun() -> is_map(hb_process_monitor:info(Id)) end),
    ?assertMatch(#{rate := Rate}, hb_process_monitor:info(Id)),
    monitor_of(Id) ! tick,
    harness:await_results(4, 5).

stop_without_waiting_ends_the_process(Cu) ->
    Id = harness:proc_id(),
    StandIn = start_and_push(Cu, Id, 1),
    Monitor = monitor_of(Id),
    stop = hb_process_monitor:stop(StandIn),
    harness:eventually(fun() -> not is_process_alive(Monitor) andalso not is_process_alive(StandIn) end).

stop_reaches_the_process_by_the_pid_of_its_monitor(Cu) ->
    Id = harness:proc_id(),
    _ = start_and_push(Cu, Id, 1),
    ok = hb_process_monitor:stop(monitor_of(Id), infinity),
    ?assertEqual(not_monitored, hb_cron_cluster:where(Id)).

process_stopped_by_its_id_ends(Cu) ->
    Id = harness:proc_id(),
    ?assertEqual({error, not_monitored}, hb_process_monitor:stop(Id, infinity)),
    StandIn = start_and_push(Cu, Id, 1),
    Monitor = monitor_of(Id),
    ok = hb_process_monitor:stop(Id, infinity),
    ?assertNot(is_process_alive(Monitor)),
    harness:eventually(fun() -> not is_process_alive(StandIn) end),
    ?assertEqual({error, not_monitored}, hb_process_monitor:stop(Id, infinity)).

process_stopped_before_its_start_is_recorded_ends(Cu) ->
    [Waited, Unwaited] = Ids = [harness:proc_id() || _ <- "ab"],
    {_, _} = start(Cu, harness:proc_id()),
    harness:eventually(fun() -> recorded() =:= "1" end),
    ok = sys:suspend(hb_cron_recorder),
    StandIns = [element(1, start(Cu, Id)) || Id <- Ids],
    ?assertEqual({error, timeout}, hb_process_monitor:stop(Waited, 0)),
    stop = hb_process_monitor:stop(Unwaited),
    %% The tick, and the stop.
    harness:eventually(fun() -> lists:all(fun(Pid) -> process_info(Pid, message_queue_len) =:= {message_queue_len, 2} end, StandIns) end),
    ok = sys:resume(hb_cron_recorder),
    harness:eventually(fun() -> not lists:any(fun is_process_alive/1, StandIns) end),
    ?assertEqual([not_monitored, not_monitored], [hb_cron_cluster:where(Id) || Id <- Ids]).

cursor_of_a_watched_process_is_not_overruled(Cu) ->
    Id = harness:proc_id(),
    StandIn = start_and_push(Cu, Id, 3),
    {StandIn, _} = start(Cu, Id, #{cursor => earliest}),
    test_cu:add(Cu, Id, 1),
    StandIn ! tick,
    harness:await_results(4, 4).

forgotten_process_is_unknown(Cu) ->
    Id = harness:proc_id(),
    StandIn = start_and_push(Cu, Id, 3),
    ?assertEqual({error, monitored}, hb_process_monitor:forget(Id)),
    ok = hb_process_monitor:stop(StandIn, infinity),
    ok = hb_process_monitor:forget(Id),
    ok = hb_process_monitor:forget(Id),
    %% It begins with its first result.
    {_, _} = start(Cu, Id),
    harness:await_results(1, 3).

pause_lasts_and_resume_ends_it(Cu) ->
    Id = harness:proc_id(),
    StandIn = start_and_push(Cu, Id, 2),
    ok = hb_process_monitor:pause(Id),
    harness:await_state(Id, paused),
    test_cu:add(Cu, Id, 2),
    StandIn ! tick,
    exit(monitor_of(Id), kill),
    harness:await_state(Id, paused),
    ok = hb_process_monitor:resume(Id),
    harness:await_results(3, 4),
    ?assertEqual({error, not_monitored}, hb_process_monitor:pause(harness:proc_id())).

tick_to_the_stand_in_polls(Cu) ->
    Id = harness:proc_id(),
    StandIn = start_and_push(Cu, Id, 1),
    test_cu:add(Cu, Id, 1),
    StandIn ! tick,
    harness:await_results(2, 2).

%% A process whose first result was given up.
with_dead_letter(Cu, Failures) ->
    Id = harness:proc_id(),
    harness:fail_pushes(Id, [fun() -> {error, broken} end || _ <- lists:seq(1, Failures)]),
    test_cu:add(Cu, Id, 2),
    {_, _} = start(Cu, Id),
    harness:await_results(2, 2),
    harness:eventually(fun() -> length(letters(Id)) =:= 1 end),
    Id.

letters(Id) ->
    {ok, Letters} = hb_process_monitor:dead_letters(Id),
    Letters.

dead_letter_is_redelivered(Cu) ->
    Id = with_dead_letter(Cu, 1),
    [#{id := 1, attempts := 1, error := broken, cursor := Cursor}] = letters(Id),
    ?assertEqual(test_cu:cursor(1), Cursor),
    ok = hb_process_monitor:redeliver(Id, 1),
    harness:await_results(1, 1),
    ?assertEqual([], letters(Id)),
    ?assertEqual({error, not_found}, hb_process_monitor:redeliver(Id, 1)).

redelivery_that_fails_says_why(Cu) ->
    Id = with_dead_letter(Cu, 1),
    harness:fail_pushes(Id, [fun() -> {error, still_broken} end]),
    {error, {push_failed, Reason}} = hb_process_monitor:redeliver(Id, 1),
    ?assertMatch({_, _}, binary:match(Reason, <<"still_broken">>)),
    ?assertMatch([_], letters(Id)),
    ok = hb_process_monitor:redeliver(Id, 1).

dead_letter_is_discarded(Cu) ->
    Id = with_dead_letter(Cu, 1),
    ok = hb_process_monitor:discard(Id, 1),
    ?assertEqual([], letters(Id)),
    ?assertEqual({error, not_found}, hb_process_monitor:discard(Id, 1)).

%% Another host node changes the database alone.
stand_in_ends_if_its_process_is_stopped_elsewhere(Cu) ->
    [Stopped, Left] = [harness:proc_id(), harness:proc_id()],
    [StandIn, Other] = [start_and_push(Cu, Id, 1) || Id <- [Stopped, Left]],
    ok = check_stand_ins(),
    ok = check_stand_ins(),
    ?assertEqual([], hb_cron_stand_ins:to_check(#{})),
    ok = hb_cron_cluster_request:call({stop, Stopped}),
    ok = check_stand_ins(),
    harness:eventually(fun() -> not is_process_alive(StandIn) end),
    ?assert(is_process_alive(Other)).

%% The mark of the shard is the same in both checks: the start was not recorded at the first one, as far as this host node
%% knew.
stand_in_of_an_earlier_stop_ends_at_its_first_check(Cu) ->
    Id = harness:proc_id(),
    StandIn = start_and_push(Cu, Id, 1),
    true = ets:update_element(hb_cron_stand_ins, Id, {4, unrecorded}),
    ok = hb_cron_cluster_request:call({stop, Id}),
    ok = check_stand_ins(),
    ?assert(is_process_alive(StandIn)),
    ok = hb_cron_stand_ins:recorded(Id),
    ok = check_stand_ins(),
    harness:eventually(fun() -> not is_process_alive(StandIn) end).

%% Returns once the stand-ins were checked.
check_stand_ins() ->
    hb_cron_stand_in_check ! check,
    _ = sys:get_state(hb_cron_stand_in_check),
    ok.

application_that_stops_hands_over_and_goes_on(Cu) ->
    Id = harness:proc_id(),
    _ = start_and_push(Cu, Id, 3),
    ok = application:stop(hb_process_monitor),
    test_cu:add(Cu, Id, 2),
    ok = hb_cron_start:ensure_started(),
    harness:await_results(4, 5),
    ?assertEqual([{Id, monitor_of(Id)}], [{P, M} || {P, {M, _}} <- hb_process_monitor:resume_all()]).

%% It does not wait for a database that nothing can be handed over through.
application_without_its_database_stops(Cu) ->
    Id = harness:proc_id(),
    _ = start_and_push(Cu, Id, 3),
    harness:eventually(fun() -> postgres_server:sql(server(), "SELECT seq FROM hb_cron.process") =:= "3" end),
    ok = postgres_server:freeze(server()),
    ?assertEqual({error, not_confirmed}, hb_cron_ownership:leave(?LONG)),
    ok = application:stop(hb_process_monitor),
    ok = postgres_server:continue(server()),
    test_cu:add(Cu, Id, 2),
    ok = hb_cron_start:ensure_started(),
    harness:await_results(4, 5).

monitor_that_is_killed_is_restarted(Cu) ->
    Id = harness:proc_id(),
    StandIn = start_and_push(Cu, Id, 3),
    Monitor = monitor_of(Id),
    killed = harness:kill(Monitor),
    _ = harness:await_monitor_after(Id, Monitor),
    test_cu:add(Cu, Id, 2),
    StandIn ! tick,
    harness:await_results(4, 5).

ownership_that_is_killed_keeps_its_monitors(Cu) ->
    Id = harness:proc_id(),
    StandIn = start_and_push(Cu, Id, 3),
    Monitor = monitor_of(Id),
    killed = harness:kill(whereis(hb_cron_ownership)),
    Other = harness:proc_id(),
    _ = start_and_push(Cu, Other, 2),
    ?assertEqual(Monitor, monitor_of(Id)),
    ok = hb_process_monitor:stop(StandIn, infinity),
    ?assertNot(is_process_alive(Monitor)).

engine_that_is_killed_keeps_its_monitors(Cu) ->
    Id = harness:proc_id(),
    StandIn = start_and_push(Cu, Id, 3),
    Monitor = monitor_of(Id),
    killed = harness:kill(whereis(hb_cron_engine)),
    test_cu:add(Cu, Id, 2),
    harness:eventually(fun() -> whereis(hb_cron_engine) =/= undefined end),
    StandIn ! tick,
    harness:await_results(4, 5),
    ?assertEqual(Monitor, monitor_of(Id)).

entries(Cu, Ids) -> [{Id, #{rate => 3600000, cron_node => test_cu:url(Cu), cursor => earliest}} || Id <- Ids].

%% There may be no tables yet.
recorded() -> element(2, postgres_server:try_sql(persistent_term:get({?MODULE, server}), "SELECT count(*) FROM hb_cron.process WHERE watched")).

many_started_processes_are_pushed_by_their_owner(Cu) ->
    Ids = [harness:proc_id() || _ <- lists:seq(1, 1500)],
    Outcomes = hb_process_monitor:start_all(entries(Cu, Ids)),
    lists:foreach(fun({Id, {started, {StandIn, _}}}) ->
        ?assertEqual({ok, Id}, hb_cron_stand_ins:process_of(StandIn))
    end, lists:zip(Ids, Outcomes)),
    ?assertEqual([{already_monitored, Started} || {started, Started} <- Outcomes], hb_process_monitor:start_all(entries(Cu, Ids))),
    harness:eventually(fun() -> lists:all(fun(Id) -> hb_cron_registry:find(Id) =/= none end, Ids) end),
    ?assertEqual("1500", recorded()),
    Last = lists:last(Ids),
    harness:report_pushes(Last),
    test_cu:add(Cu, Last, 3),
    {started, {StandIn, _}} = lists:last(Outcomes),
    StandIn ! tick,
    harness:await_results(1, 3).

entry_of_many_that_is_invalid_is_its_own_outcome(Cu) ->
    [One, Other] = Ids = [harness:proc_id() || _ <- "ab"],
    Large = #{cron_push => {large, list_to_atom(lists:duplicate(255, $a))}, rate => 0},
    ?assertMatch([{started, {StandIn, _}}, {error, {bad_process_id, <<"short">>}}, {error, {bad_option, logger, _}},
                  {error, {bad_rate, 0}}, {already_monitored, {StandIn, _}}, {started, {_, _}}],
                 hb_process_monitor:start_all([hd(entries(Cu, [One])), <<"short">>, {Other, #{logger => self()}}, {Other, Large}
                                               | entries(Cu, [One, Other])])),
    harness:eventually(fun() -> lists:all(fun(Id) -> hb_cron_registry:find(Id) =/= none end, Ids) end),
    ?assertEqual("2", recorded()).

%% Its callers repeat their starts.
recorder_that_is_killed_meanwhile_loses_no_start(Cu) ->
    {_, _} = start(Cu, harness:proc_id()),
    harness:eventually(fun() -> recorded() =:= "1" end),
    ok = sys:suspend(hb_cron_recorder),
    Recorder = whereis(hb_cron_recorder),
    Ids = [harness:proc_id() || _ <- lists:seq(1, 100)],
    _ = hb_process_monitor:start_all(entries(Cu, Ids)),
    harness:eventually(fun() -> process_info(Recorder, message_queue_len) =:= {message_queue_len, 100} end),
    killed = harness:kill(Recorder),
    harness:eventually(fun() -> lists:all(fun(Id) -> hb_cron_registry:find(Id) =/= none end, Ids) end),
    ?assertEqual("101", recorded()).

database_lost_meanwhile_gets_every_start(Cu) ->
    Server = persistent_term:get({?MODULE, server}),
    {_, _} = start(Cu, harness:proc_id()),
    harness:eventually(fun() -> recorded() =:= "1" end),
    Ids = [harness:proc_id() || _ <- lists:seq(1, 3000)],
    Started = hb_process_monitor:start_all(entries(Cu, Ids)),
    ok = postgres_server:kill(Server),
    ?assertEqual([], [Other || Other <- Started, element(1, Other) =/= started]),
    _ = postgres_server:restart(Server),
    harness:eventually(fun() -> recorded() =:= "3001" end),
    harness:eventually(fun() -> lists:all(fun(Id) -> hb_cron_registry:find(Id) =/= none end, Ids) end),
    StandIns = [StandIn || {_, {StandIn, _}} <- Started],
    ?assert(lists:all(fun is_process_alive/1, StandIns)).

configured_processes_are_added_once(Cu) ->
    [Added, Stopped] = [harness:proc_id(), harness:proc_id()],
    StandIn = start_and_push(Cu, Stopped, 1),
    ok = hb_process_monitor:stop(StandIn, infinity),
    ok = application:stop(hb_process_monitor),
    harness:report_pushes(Added),
    test_cu:add(Cu, Added, 2),
    Options = #{rate => 100, cron_node => test_cu:url(Cu), cursor => earliest},
    Same = maps:from_list([{Key, hb_opts:get(Key)} || Key <- [cron_cluster, cron_cluster_ttl, cron_cluster_node]]),
    hb_opts:set(Same#{cron_processes => [{Added, Options}, {Stopped, Options}]}),
    hb_cron_configuration:expire(),
    ok = hb_cron_start:ensure_started(),
    harness:await_results(1, 2),
    ?assertEqual(not_monitored, hb_cron_cluster:where(Stopped)).

process_stopped_long_ago_is_forgotten(Cu) ->
    [Stopped, Watched] = [harness:proc_id(), harness:proc_id()],
    ok = hb_process_monitor:stop(start_and_push(Cu, Stopped, 1), infinity),
    _ = start_and_push(Cu, Watched, 1),
    Count = "SELECT count(*) FROM hb_cron.process",
    ok = hb_cron_ownership_jobs:tidy(),
    ?assertEqual("2", postgres_server:sql(server(), Count)),
    ok = application:stop(hb_process_monitor),
    Same = maps:from_list([{Key, hb_opts:get(Key)} || Key <- [cron_cluster, cron_cluster_ttl, cron_cluster_node]]),
    harness:host(Same#{cron_forget_stopped_after => 1}),
    ok = hb_cron_start:ensure_started(),
    harness:eventually(fun() ->
        ok = hb_cron_ownership_jobs:tidy(),
        postgres_server:sql(server(), Count) =:= "1"
    end).

%% All that the database has of processes and dead letters, without what is new at each import.
contents(Server) ->
    [postgres_server:sql(Server, Query) || Query <- [
        "SELECT process, shard, watched, encode(options, 'hex'), encode(position, 'hex'), last_letter, at
         FROM hb_cron.process ORDER BY process",
        "SELECT process, id, at, attempts, encode(cursor, 'hex'), encode(error, 'hex'), encode(result, 'hex')
         FROM hb_cron.letter ORDER BY process, id"]].

server() -> persistent_term:get({?MODULE, server}).

cluster_exported_and_imported_is_the_same(Cu) ->
    Id = with_dead_letter(Cu, 1),
    Stopped = harness:proc_id(),
    ok = hb_process_monitor:stop(start_and_push(Cu, Stopped, 3), infinity),
    ok = hb_process_monitor:pause(Id),
    harness:await_state(Id, paused),
    File = harness:checkpoint() ++ ".exported",
    ?assertEqual({ok, #{processes => 2, dead_letters => 1, left => 0}}, hb_process_monitor:export(File)),
    ?assertMatch({error, <<"the file exists", _/binary>>}, hb_process_monitor:export(File)),
    Before = contents(server()),
    ?assertEqual({ok, #{processes => 0, dead_letters => 0, left => 2}}, hb_process_monitor:import(File)),
    ?assertEqual(Before, contents(server())),
    ?assertEqual({ok, #{processes => 2, dead_letters => 1, left => 0}}, hb_process_monitor:import(File, #{replace => true})),
    ?assertEqual(Before, contents(server())),
    _ = postgres_server:sql(server(), "DELETE FROM hb_cron.process"),
    ?assertEqual({ok, #{processes => 2, dead_letters => 1, left => 0}}, hb_process_monitor:import(File)),
    ?assertEqual(Before, contents(server())),
    harness:await_state(Id, paused).

node_with_a_checkpoint_moves_to_a_cluster(Cu) ->
    Cluster = maps:from_list([{Key, hb_opts:get(Key)} || Key <- [cron_cluster, cron_cluster_ttl, cron_cluster_node]]),
    Id = harness:proc_id(),
    harness:host(#{}),
    {Monitor, _} = harness:start_and_push(Cu, Id, 4),
    ok = application:stop(hb_process_monitor),
    ?assertNot(is_process_alive(Monitor)),
    harness:host(Cluster),
    ?assertEqual({ok, #{processes => 1, dead_letters => 0, left => 0}}, hb_process_monitor:import(harness:checkpoint())),
    test_cu:add(Cu, Id, 2),
    {StandIn, _} = start(Cu, Id, #{}),
    ?assert(is_process_alive(StandIn)),
    harness:await_results(5, 6).

transfer_that_cannot_be_is_an_error(_Cu) ->
    ?assertMatch({error, <<"there is no such file">>}, hb_process_monitor:import("no such file")),
    ?assertError({bad_option, import, #{replaces := true}}, hb_process_monitor:import("file", #{replaces => true})),
    ok = application:stop(hb_process_monitor),
    harness:host(#{}),
    ?assertEqual({error, not_in_a_cluster}, hb_process_monitor:export("file")).

option_that_cannot_move_is_refused(Cu) ->
    Id = harness:proc_id(),
    Push = fun(_, _) -> ok end,
    ?assertError({bad_option, cron_push, _}, start(Cu, Id, #{cron_push => Push})),
    ?assertError({bad_option, logger, _}, start(Cu, Id, #{logger => self()})),
    harness:eventually(fun() -> hb_cron_cluster:where(Id) =:= not_monitored end).

start_link_is_refused(_Cu) ->
    ?assertError({not_in_a_cluster, start_link}, hb_process_monitor:start_link(harness:proc_id(), #{})).
