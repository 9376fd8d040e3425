%%% What the dashboard does to processes and shows of one, over real HTTP: stop and start again, poll, forget, the history
%%% and the self-check. dashboard_api_tests covers the rest.
-module(dashboard_actions_tests).
-include_lib("eunit/include/eunit.hrl").

-import(page_client, [get/2, post/2, body/2, path/2]).

-define(M, hb_process_monitor).

eunit_wrapper_(Tests) -> deadline:each(Tests).

all_test_() ->
    {foreach, fun page_client:setup/0, fun page_client:cleanup/1,
     [{with, [T]} || T <- [
        fun monitor_stopped_is_gone_and_starts_again_where_it_was/1,
        fun monitor_started_again_has_its_options_and_its_pause/1,
        fun monitor_in_a_push_stops_after_it_and_starts_again/1,
        fun process_that_another_stopped_is_not_started/1,
        fun supervised_monitor_is_left_to_its_supervisor/1,
        fun crashed_monitor_that_would_restart_is_stopped/1,
        fun poll_asks_the_cu_at_once/1,
        fun forgotten_process_has_nothing_left/1,
        fun monitored_process_is_not_forgotten/1,
        fun history_has_pushes_failures_and_the_monitor/1,
        fun history_of_a_stopped_process_says_that_it_can_start/1,
        fun hostile_error_is_text_in_the_history/1,
        fun findings_name_what_is_wrong/1,
        fun wrong_id_is_refused_by_each_action/1
     ]]}.

is_done(Answer) -> ?assertMatch({200, _, #{<<"done">> := true}}, Answer).

monitor_stopped_is_gone_and_starts_again_where_it_was(#{cu := Cu} = World) ->
    Id = harness:proc_id(),
    {Monitor, _} = harness:start_and_push(Cu, Id, 3),
    Ref = monitor(process, Monitor),
    is_done(post(World, path(Id, "/stop"))),
    receive {'DOWN', Ref, process, _, normal} -> ok end,
    ?assertEqual(undefined, ?M:info(Id)),
    test_cu:add(Cu, Id, 2),
    is_done(post(World, path(Id, "/start"))),
    #{monitor := Again} = ?M:info(Id),
    ?assertNotEqual(Monitor, Again),
    Again ! tick,
    harness:await_results(4, 5),
    harness:no_result(),
    %% Once.
    ?assertMatch({404, _, #{<<"error">> := <<"not_remembered">>}}, post(World, path(Id, "/start"))).

%% A push function is in no checkpoint.
monitor_started_again_has_its_options_and_its_pause(#{cu := Cu} = World) ->
    [Running, Paused] = [harness:proc_id(), harness:proc_id()],
    Self = self(),
    Push = fun(_, _) -> Self ! pushed_by_fun, ok end,
    _ = harness:start(Cu, Running, #{rate => 1234567, cron_push => Push, cursor => earliest}),
    _ = harness:start(Cu, Paused, #{paused => true}),
    [is_done(post(World, path(Id, What))) || What <- ["/stop", "/start"], Id <- [Running, Paused]],
    #{rate := 1234567, monitor := Monitor} = ?M:info(Running),
    test_cu:add(Cu, Running, 1),
    Monitor ! tick,
    receive pushed_by_fun -> ok end,
    harness:eventually(fun() -> maps:get(state, ?M:info(Paused)) =:= paused end).

monitor_in_a_push_stops_after_it_and_starts_again(#{cu := Cu} = World) ->
    Id = harness:proc_id(),
    Held = harness:hold_pushes(Id),
    test_cu:add(Cu, Id, 2),
    {Monitor, _} = harness:start(Cu, Id, #{cursor => earliest}),
    Monitor ! tick,
    Push = harness:await_push(Held, 1),
    ?assertMatch({200, _, #{<<"done">> := false}}, post(World, path(Id, "/stop"))),
    ?assertMatch(#{<<"monitor">> := #{<<"state">> := <<"stopping">>}, <<"can_start">> := true}, body(World, path(Id, "/history"))),
    is_done(post(World, path(Id, "/start"))),
    harness:report_pushes(Id),
    harness:release_push(Push),
    harness:eventually(fun() -> not is_process_alive(Monitor) end),
    #{monitor := Again} = ?M:info(Id),
    Again ! tick,
    harness:await_results(2, 2).

process_that_another_stopped_is_not_started(#{cu := Cu} = World) ->
    Id = harness:proc_id(),
    _ = harness:start(Cu, Id, #{}),
    ok = ?M:stop(Id, deadline:ms()),
    ?assertMatch({404, _, #{<<"error">> := <<"not_remembered">>}}, post(World, path(Id, "/start"))),
    ?assertMatch({404, _, #{<<"error">> := <<"not_monitored">>}}, post(World, path(Id, "/stop"))),
    ?assertMatch(#{<<"can_start">> := false, <<"monitor">> := null, <<"elsewhere">> := null}, body(World, path(Id, "/history"))).

supervised_monitor_is_left_to_its_supervisor(#{cu := Cu} = World) ->
    Id = harness:proc_id(),
    {ok, Monitor} = ?M:start_link(Id, #{rate => 3600000, cron_node => test_cu:url(Cu)}),
    ?assertMatch({409, _, #{<<"error">> := <<"supervised">>}}, post(World, path(Id, "/stop"))),
    ?assert(is_process_alive(Monitor)),
    ?assertMatch(#{<<"monitor">> := #{<<"supervised">> := true}}, body(World, path(Id, "/history"))),
    true = unlink(Monitor),
    ok = ?M:stop(Monitor, deadline:ms()).

crashed_monitor_that_would_restart_is_stopped(#{cu := Cu} = World) ->
    Id = harness:proc_id(),
    {Monitor, _} = harness:start(Cu, Id, #{}),
    killed = harness:kill(Monitor),
    harness:eventually(fun() -> element(1, post(World, path(Id, "/stop"))) =:= 200 end),
    harness:eventually(fun() -> not hb_cron_registry:is_monitored(Id) end).

poll_asks_the_cu_at_once(#{cu := Cu} = World) ->
    Id = harness:proc_id(),
    _ = harness:start_and_push(Cu, Id, 1),
    test_cu:add(Cu, Id, 1),
    is_done(post(World, path(Id, "/poll"))),
    harness:await_results(2, 2).

forgotten_process_has_nothing_left(#{cu := Cu} = World) ->
    Id = harness:proc_id(),
    %% A device that pushes another result is not at fault.
    dev_mu:route(Id, fun(Result, _) -> case harness:number(Result) of 2 -> {error, poison}; _ -> ok end end),
    test_cu:add(Cu, Id, 2),
    {Monitor, _} = harness:start(Cu, Id, #{cursor => earliest}),
    Monitor ! tick,
    harness:eventually(fun() -> {ok, All} = ?M:dead_letters(Id), length(All) =:= 1 end),
    is_done(post(World, path(Id, "/stop"))),
    is_done(post(World, path(Id, "/forget"))),
    ?assertEqual({ok, []}, ?M:dead_letters(Id)).

monitored_process_is_not_forgotten(#{cu := Cu} = World) ->
    Id = harness:proc_id(),
    _ = harness:start(Cu, Id, #{}),
    ?assertMatch({409, _, #{<<"error">> := <<"monitored">>}}, post(World, path(Id, "/forget"))).

events(World, Id) -> maps:get(<<"events">>, body(World, path(Id, "/history"))).

history_has_pushes_failures_and_the_monitor(#{cu := Cu} = World) ->
    Id = harness:proc_id(),
    {Monitor, _} = harness:start_and_push(Cu, Id, 3),
    harness:eventually(fun() -> lists:sum([Count || #{<<"what">> := <<"pushed">>, <<"count">> := Count} <- events(World, Id)]) =:= 3 end),
    dev_mu:route(Id, fun(_, _) -> {error, refused} end),
    test_cu:add(Cu, Id, 1),
    Monitor ! tick,
    harness:eventually(fun() -> [ok || #{<<"what">> := <<"push_failed">>, <<"status">> := <<"error">>} <- events(World, Id)] =/= [] end),
    #{<<"now">> := Now, <<"monitor">> := #{<<"process">> := Id, <<"asks">> := _, <<"crons">> := _}, <<"can_start">> := false,
      <<"events">> := Events} = body(World, path(Id, "/history")),
    Times = [At || #{<<"at">> := At} <- Events],
    ?assertEqual(lists:reverse(lists:sort(Times)), Times),
    ?assert(lists:max(Times) =< Now).

history_of_a_stopped_process_says_that_it_can_start(#{cu := Cu} = World) ->
    Id = harness:proc_id(),
    _ = harness:start_and_push(Cu, Id, 1),
    is_done(post(World, path(Id, "/stop"))),
    ?assertMatch(#{<<"can_start">> := true, <<"monitor">> := null, <<"events">> := [_ | _]}, body(World, path(Id, "/history"))).

hostile_error_is_text_in_the_history(#{cu := Cu} = World) ->
    Id = harness:proc_id(),
    Hostile = <<"<img src=x onerror=alert(1)>", 0, 255, "\n", (binary:copy(<<"x">>, 100000))/binary>>,
    dev_mu:route(Id, fun(_, _) -> {error, Hostile} end),
    test_cu:add(Cu, Id, 1),
    {Monitor, _} = harness:start(Cu, Id, #{cursor => earliest}),
    Monitor ! tick,
    harness:eventually(fun() -> events(World, Id) =/= [] end),
    [?assertMatch({true, nomatch}, {byte_size(Text) < 5000, binary:match(Text, [<<0>>, <<"\n">>])}) || #{<<"text">> := Text} <- events(World, Id)].

findings_name_what_is_wrong(#{cu := Cu} = World) ->
    Id = harness:proc_id(),
    _ = harness:start(Cu, Id, #{paused => true}),
    harness:eventually(fun() ->
        #{<<"findings">> := Findings, <<"verdict">> := Verdict} = body(World, "/api/1/findings"),
        is_binary(Verdict) andalso [What || #{<<"what">> := What, <<"level">> := _, <<"advice">> := _} <- Findings, binary:match(What, <<"paused">>) =/= nomatch] =/= []
    end).

wrong_id_is_refused_by_each_action(World) ->
    [?assertMatch({What, {400, _, #{<<"error">> := <<"bad_process_id">>}}}, {What, post(World, "/api/1/monitors/short/" ++ What)})
     || What <- ["pause", "resume", "poll", "stop", "start", "forget"]],
    ?assertMatch({400, _, _}, get(World, "/api/1/monitors/short/history")).
