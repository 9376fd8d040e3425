%%% What an operator sees of a cluster, on a private server, with this node as the only host node: the status, the
%%% doctor, metrics, the console and the dashboard, while all is well and in each kind of trouble.
-module(cluster_view_tests).
-include_lib("eunit/include/eunit.hrl").

-define(M, hb_process_monitor).
%% The processes that only a cluster has.
-define(PROCESSES, [hb_cron_cluster_sup, hb_cron_recorder, hb_cron_stand_ins, hb_cron_ownership]).
-define(NAME, <<"view-1">>).
%% A host node that exists in the database only.
-define(OTHER, "other").
-define(OTHER_ID, "00000000-0000-4000-8000-000000000001").

eunit_wrapper_(Tests) -> deadline:each(Tests).

outside_test_() ->
    harness:tests([fun node_outside_a_cluster_shows_none_of_it/1]).

inside_test_() ->
    {setup, fun postgres_server:start/0, fun postgres_server:stop/1, fun(Server) ->
        {foreach, fun() -> join(Server) end, fun leave/1,
         [{with, [T]} || T <- [
            fun cluster_of_one_shows_its_node_and_all_shards/1,
            fun healthy_cluster_gets_no_advice_except_on_the_checkpoint/1,
            fun metrics_of_a_cluster_are_its_status/1,
            fun counters_of_a_cluster_survive_the_application/1,
            fun table_of_monitors_begins_with_the_cluster/1,
            fun dashboard_gets_the_cluster/1,
            fun process_of_another_host_node_is_elsewhere/1,
            fun process_of_another_host_node_is_stopped_by_its_id/1,
            fun process_that_cannot_be_started_is_a_finding/1,
            fun acks_that_are_refused_are_counted/1,
            fun eviction_is_counted_and_found/1,
            fun database_killed_is_shown_until_it_is_back/1,
            fun database_frozen_is_shown_until_it_is_back/1
         ]]}
    end}.

join(Server) ->
    Cu = harness:setup(#{cron_cluster => postgres_server:url(Server), cron_cluster_node => ?NAME, cron_cluster_ttl => 6000}),
    ok = hb_cron_start:ensure_started(),
    ok = await(#{connected => true, may_push => true, shards => 4096, unread => 0}),
    #{cu => Cu, server => Server}.

leave(#{cu := Cu, server := Server}) ->
    _ = application:stop(hb_process_monitor),
    _ = postgres_server:sql(Server, "DROP SCHEMA hb_cron CASCADE"),
    harness:cleanup(Cu).

%% Waits until the status has these values.
await(Values) ->
    harness:eventually(fun() ->
        Status = ?M:cluster(),
        Values =:= maps:with(maps:keys(Values), Status) orelse Status
    end).

metric(Name) -> maps:get(Name, ?M:metrics()).

cluster_metrics() ->
    [{Name, Value} || {Name, Value} <- maps:to_list(?M:metrics()), lists:prefix("cluster_", atom_to_list(Name))].

found(Part) -> [Level || {Level, What, <<_, _/binary>>} <- advice(), binary:match(What, Part) =/= nomatch].

advice() -> maps:get(advice, ?M:doctor(#{probe => false})).

doctor_text() -> unicode:characters_to_binary(hb_cron_doctor_report:text(?M:doctor(#{probe => false}))).

has(Part, Text) -> ?assertMatch({Part, {_, _}}, {Part, binary:match(Text, Part)}).

%% What `i/0' prints above its table.
first_line() -> hd(binary:split(printed(fun() -> ?M:i() end), <<"\n">>)).

printed(Fun) ->
    {Self, Leader} = {self(), group_leader()},
    Catcher = spawn_link(fun() -> catch_output(Self, []) end),
    true = group_leader(Catcher, self()),
    try Fun() after group_leader(Leader, self()) end,
    Catcher ! {done, Self},
    receive {printed, Text} -> Text end.

catch_output(For, Text) ->
    receive
        {io_request, From, Ref, {put_chars, unicode, Chars}} ->
            From ! {io_reply, Ref, ok},
            catch_output(For, [Text, Chars]);
        {io_request, From, Ref, getopts} ->
            From ! {io_reply, Ref, [{encoding, unicode}]},
            catch_output(For, Text);
        {done, For} ->
            For ! {printed, unicode:characters_to_binary(Text)}
    end.

dashboard() ->
    {ok, _} = application:ensure_all_started(inets),
    {ok, Url} = ?M:dashboard(0),
    [Base, Token] = binary:split(Url, <<"/#">>),
    #{base => binary_to_list(Base), token => binary_to_list(Token)}.

started(#{cu := Cu}, Options) ->
    Id = harness:proc_id(),
    harness:report_pushes(Id),
    {StandIn, _} = harness:start(Cu, Id, maps:merge(#{cursor => earliest, rate => 100}, Options)),
    {Id, StandIn}.

node_outside_a_cluster_shows_none_of_it(Cu) ->
    {_, _} = harness:start_and_push(Cu, harness:proc_id(), 1),
    ?assertEqual(undefined, ?M:cluster()),
    ?assertEqual([], [Name || Name <- ?PROCESSES, is_pid(whereis(Name))]),
    Gauges = [Name || #{name := Name, type := gauge} <- hb_cron_metrics:table()],
    ?assertMatch([_ | _], [Name || {Name, _} <- cluster_metrics(), lists:member(Name, Gauges)]),
    ?assertEqual([], [{Name, Value} || {Name, Value} <- cluster_metrics(), lists:member(Name, Gauges), Value /= 0]),
    ?assertEqual(nomatch, binary:match(doctor_text(), <<"Cluster">>)),
    has(<<"process">>, first_line()),
    ?assertMatch(#{<<"cluster">> := null}, page_client:body(dashboard(), "/api/1/metrics")).

cluster_of_one_shows_its_node_and_all_shards(_) ->
    harness:eventually(fun() -> is_map_key(renewals, maps:get(latency_us, ?M:cluster())) end),
    ?assertMatch(#{name := ?NAME, incarnation := <<_:36/binary>>, error := undefined, all_shards := 4096, moving := 0,
                   nodes := [#{name := ?NAME, me := true, leaving := false, shards := 4096, beat_age := _}],
                   ttl_ms := 6000, fenced := _, evictions := _, latency_us := #{protocol := {Median, P99}}}
                 when Median =< P99, ?M:cluster()),
    ?assertEqual([], [Name || Name <- ?PROCESSES, not is_pid(whereis(Name))]),
    #{unconfirmed_ms := Unconfirmed} = ?M:cluster(),
    ?assert(Unconfirmed < 6000),
    ok = application:stop(hb_process_monitor),
    ?assertEqual(undefined, ?M:cluster()).

healthy_cluster_gets_no_advice_except_on_the_checkpoint(World) ->
    {Id, _} = started(World, #{}),
    test_cu:add(maps:get(cu, World), Id, 1),
    harness:await_results(1, 1),
    %% A slow machine has other findings, too.
    [?assertEqual({Part, []}, {Part, found(Part)})
     || Part <- [<<"does not answer">>, <<"must not push">>, <<"not joined">>, <<"have no owner">>, <<"host nodes have from">>,
                 <<"is leaving">>, <<"not encrypted">>, <<"could not be started">>, <<"there is no checkpoint">>, <<"not writable">>]],
    %% The tests' host configures one.
    ?assertEqual([attention], found(<<"cron_checkpoint is set, and not used in a cluster">>)),
    harness:eventually(fun() -> is_map_key(renewals, maps:get(latency_us, ?M:cluster())) end),
    Text = doctor_text(),
    [has(Part, Text) || Part <- [<<"Cluster\n  connected">>, <<"4096 of 4096">>, <<"view-1 (this one), 4096 shards">>, <<"statements, renewals">>]].

metrics_of_a_cluster_are_its_status(_) ->
    [?assertEqual({Name, Value}, {Name, metric(Name)})
     || {Name, Value} <- [{cluster_configured, 1}, {cluster_connected, 1}, {cluster_may_push, 1}, {cluster_nodes, 1},
                          {cluster_shards, 4096}, {cluster_shards_moving, 0}]],
    #{statements := Before, joins := Joins} = ?M:cluster(),
    ?assert(Joins >= 1),
    harness:eventually(fun() -> metric(cluster_statements_total) > Before end),
    #{count := Count, buckets := Buckets} = metric(cluster_statement_duration_seconds),
    ?assert(Count >= Before),
    ?assertMatch({infinity, Count}, lists:last(Buckets)),
    has(<<"\nhb_process_monitor_cluster_shards 4096\n">>, ?M:prometheus()).

counters_of_a_cluster_survive_the_application(_) ->
    Names = [Name || #{name := Name, type := counter} <- hb_cron_metrics:table(), lists:prefix("cluster_", atom_to_list(Name))],
    Before = maps:with(Names, ?M:metrics()),
    #{count := Statements} = metric(cluster_statement_duration_seconds),
    ok = application:stop(hb_process_monitor),
    Stopped = maps:with(Names, ?M:metrics()),
    [?assert(maps:get(Name, Stopped) >= Value) || {Name, Value} <- maps:to_list(Before)],
    ?assert(maps:get(count, metric(cluster_statement_duration_seconds)) >= Statements),
    ?assertEqual({0, 0}, {metric(cluster_configured), metric(cluster_shards)}),
    ok = hb_cron_start:ensure_started(),
    ok = await(#{shards => 4096}),
    ?assertEqual(maps:get(cluster_joins_total, Before) + 1, metric(cluster_joins_total)).

table_of_monitors_begins_with_the_cluster(World) ->
    {Id, StandIn} = started(World, #{}),
    harness:eventually(fun() -> is_map(?M:info(Id)) end),
    ?assertEqual(<<"cluster: 1 host nodes, 4096 of 4096 shards here, may push">>, first_line()),
    %% What start/2 returned stands for the monitor.
    ?assertMatch(#{process := Id}, ?M:info(StandIn)),
    has(Id, printed(fun() -> ?M:i(StandIn) end)),
    ?assertEqual(undefined, ?M:info(harness:proc_id())).

dashboard_gets_the_cluster(_) ->
    ?assertMatch(#{<<"cluster">> := #{<<"name">> := ?NAME, <<"connected">> := true, <<"may_push">> := true, <<"shards">> := 4096,
                                      <<"all_shards">> := 4096, <<"hand_overs">> := _, <<"error">> := null,
                                      <<"nodes">> := [#{<<"name">> := ?NAME, <<"me">> := true, <<"shards">> := 4096}]}},
                 page_client:body(dashboard(), "/api/1/metrics")).

%% The row of another host node, and the shard of a process in its hands. Nothing renews it, so this node buries it later.
hand_to_other(Server, Id) ->
    _ = postgres_server:sql(Server, [
        "INSERT INTO hb_cron.node (incarnation, name, beat) VALUES ('", ?OTHER_ID, "', '", ?OTHER, "', 1); "
        "UPDATE hb_cron.shard SET owner = '", ?OTHER_ID, "', epoch = epoch + 1 "
        "WHERE shard = (SELECT shard FROM hb_cron.process WHERE process = '", Id, "')"]),
    ok.

process_of_another_host_node_is_elsewhere(#{server := Server} = World) ->
    {Id, _} = started(World, #{}),
    harness:eventually(fun() -> is_map(?M:info(Id)) end),
    ok = hand_to_other(Server, Id),
    Beats = spawn_link(fun() -> beat(Server) end),
    harness:eventually(fun() -> ?M:info(Id) =:= {elsewhere, <<?OTHER>>} orelse ?M:info(Id) end),
    ?assertEqual(<<"the host node other monitors it\n">>, printed(fun() -> ?M:i(Id) end)),
    ?assertMatch({404, _, #{<<"error">> := <<"elsewhere">>, <<"text">> := <<"The host node other", _/binary>>}},
                 page_client:get(dashboard(), page_client:path(Id, ""))),
    has(<<"other, ">>, doctor_text()),
    %% It hands over half of the shards. The other one takes none.
    harness:eventually(fun() -> metric(cluster_nodes) =:= 2 andalso metric(cluster_hand_overs_total) > 0 end),
    harness:eventually(fun() -> found(<<"shards have no owner">>) =:= [attention] end),
    %% Without a beat it is buried.
    Burials = metric(cluster_burials_total),
    unlink(Beats),
    killed = harness:kill(Beats),
    harness:eventually(fun() -> metric(cluster_burials_total) =:= Burials + 1 end),
    harness:eventually(fun() -> is_map(?M:info(Id)) end).

%% The other host node ends no monitor.
process_of_another_host_node_is_stopped_by_its_id(#{server := Server} = World) ->
    {Id, _} = started(World, #{}),
    harness:eventually(fun() -> is_map(?M:info(Id)) end),
    ok = hand_to_other(Server, Id),
    harness:eventually(fun() -> ?M:info(Id) =:= {elsewhere, <<?OTHER>>} orelse ?M:info(Id) end),
    ?assertEqual({error, timeout}, ?M:stop(Id, 100)),
    ?assertEqual(not_monitored, hb_cron_cluster:where(Id)),
    ?assertEqual({error, not_monitored}, ?M:stop(Id, 100)).

beat(Server) ->
    _ = postgres_server:sql(Server, "UPDATE hb_cron.node SET beat = beat + 1 WHERE incarnation = '" ++ ?OTHER_ID ++ "'"),
    receive after 200 -> beat(Server) end.

process_that_cannot_be_started_is_a_finding(World) ->
    {Id, StandIn} = started(World, #{cron_push => {no_module, push}}),
    Part = <<Id/binary, " could not be started on this host node">>,
    harness:eventually(fun() -> found(Part) =:= [wrong] orelse advice() end),
    [Reason] = [What || {wrong, What, _} <- advice(), binary:match(What, Part) =/= nomatch],
    has(<<"function_not_allowed,{no_module,push}">>, Reason),
    %% Once it is not to be monitored, the finding is gone.
    ok = ?M:stop(StandIn, deadline:ms()),
    harness:eventually(fun() -> found(Part) =:= [] end).

acks_that_are_refused_are_counted(#{cu := Cu, server := Server} = World) ->
    {Id, _} = started(World, #{}),
    test_cu:add(Cu, Id, 1),
    harness:await_results(1, 1),
    Before = metric(cluster_fenced_total),
    _ = postgres_server:sql(Server, ["UPDATE hb_cron.process SET generation = generation + 1000000 WHERE process = '", Id, "'"]),
    test_cu:add(Cu, Id, 1),
    harness:eventually(fun() -> metric(cluster_fenced_total) > Before end),
    ?assertEqual(metric(cluster_fenced_total), maps:get(fenced, ?M:cluster())),
    ?assertEqual([attention], found(<<"the database refused">>)).

eviction_is_counted_and_found(#{server := Server}) ->
    Before = metric(cluster_evictions_total),
    _ = postgres_server:sql(Server, "DELETE FROM hb_cron.node"),
    harness:eventually(fun() -> metric(cluster_evictions_total) =:= Before + 1 end),
    ok = await(#{connected => true, may_push => true, shards => 4096}),
    ?assertEqual([attention], found(<<"took this one for dead">>)).

%% The monitor's pushes are held, and everything says so.
is_cut_off(#{cu := Cu}, Id) ->
    ok = await(#{connected => false, may_push => false}),
    #{error := Error, unconfirmed_ms := _} = ?M:cluster(),
    ?assertMatch(<<_, _/binary>>, Error),
    [Finding] = [What || {wrong, What, _} <- advice(), binary:match(What, <<"database of the cluster does not answer">>) =/= nomatch],
    has(Error, Finding),
    ?assertEqual({1, 0, 0}, {metric(cluster_configured), metric(cluster_connected), metric(cluster_may_push)}),
    ?assertEqual(<<"cluster: 1 host nodes, ">>, binary:part(first_line(), 0, 23)),
    has(<<"the database does not answer: see doctor()">>, first_line()),
    test_cu:add(Cu, Id, 1),
    harness:eventually(fun() ->
        case ?M:info(Id) of
            #{state := backing_off, error := #{what := push, class := push_held}} -> true;
            Other -> Other
        end
    end),
    has(<<"push held">>, printed(fun() -> ?M:i(Id) end)),
    [Advice] = [Do || {_, What, Do} <- advice(), binary:match(What, <<Id/binary, " is not delivered">>) =/= nomatch],
    has(<<"see the findings on the cluster">>, Advice),
    ?assertMatch(#{<<"cluster">> := #{<<"connected">> := false, <<"may_push">> := false, <<"error">> := <<_, _/binary>>}},
                 page_client:body(dashboard(), "/api/1/metrics")).

is_back(Id) ->
    harness:await_results(2, 2),
    ok = await(#{connected => true, may_push => true, error => undefined, shards => 4096}),
    ?assertEqual({1, 1}, {metric(cluster_connected), metric(cluster_may_push)}),
    ?assertEqual([], found(<<"does not answer">>)),
    harness:eventually(fun() -> case ?M:info(Id) of #{error := undefined} -> true; Other -> Other end end).

pushing(#{cu := Cu} = World) ->
    {Id, _} = started(World, #{}),
    test_cu:add(Cu, Id, 1),
    harness:await_results(1, 1),
    Id.

database_killed_is_shown_until_it_is_back(#{server := Server} = World) ->
    Id = pushing(World),
    ok = postgres_server:kill(Server),
    is_cut_off(World, Id),
    ok = postgres_server:restart(Server),
    is_back(Id).

database_frozen_is_shown_until_it_is_back(#{server := Server} = World) ->
    Id = pushing(World),
    Failures = metric(cluster_statement_failures_total),
    ok = postgres_server:freeze(Server),
    try
        is_cut_off(World, Id),
        ?assert(metric(cluster_statement_failures_total) > Failures)
    after
        postgres_server:continue(Server)
    end,
    is_back(Id).
