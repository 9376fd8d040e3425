%%% Failures of the peer, the poller inside AO's own Messenger Unit: each test shows that one of them does not
%%% happen here. The crash test covers a node that is killed within a page, fault_tests the answers of a CU.
-module(peer_tests).
-include_lib("eunit/include/eunit.hrl").

eunit_wrapper_(Tests) -> deadline:each(Tests).

peer_test_() ->
    harness:tests([
        fun monitor_killed_in_the_middle_of_a_page_loses_nothing/1,
        fun monitors_killed_all_at_once_lose_nothing/1,
        fun pushes_that_fail_lose_nothing/1,
        fun results_between_ticks_without_a_cursor_are_not_lost/1,
        fun look_up_that_fails_never_pushes_the_old_results/1,
        fun look_up_that_is_reset_is_tried_again_and_logged/1,
        fun message_without_tags_does_not_hold_up_its_page/1,
        fun monitors_started_together_do_not_tick_together/1,
        fun stop_during_a_look_up_is_final/1,
        fun cursor_older_than_a_day_is_gone_on_from/1,
        fun second_start_does_not_begin_again/1
    ]).

%% The peer stores its cursor before it pushes the results: 41 of 50 were lost.
monitor_killed_in_the_middle_of_a_page_loses_nothing(Cu) ->
    Id = harness:proc_id(),
    test_cu:add(Cu, Id, 50),
    Push = harness:hold_pushes(Id),
    {Monitor, _} = harness:start(Cu, Id, #{cursor => earliest}),
    Monitor ! tick,
    [harness:release_push(harness:await_push(Push, N)) || N <- lists:seq(1, 9)],
    _ = harness:await_push(Push, 10),
    killed = harness:kill(Monitor),
    harness:report_pushes(Id),
    {Again, _} = harness:start(Cu, Id, #{}),
    Again ! tick,
    harness:await_results(10, 50).

%% 20 processes lost 1,000 results.
monitors_killed_all_at_once_lose_nothing(Cu) ->
    Ids = [harness:proc_id() || _ <- lists:seq(1, 20)],
    Started = [begin
        test_cu:add(Cu, Id, 50),
        Push = harness:hold_pushes(Id),
        {Monitor, _} = harness:start(Cu, Id, #{cursor => earliest}),
        Monitor ! tick,
        harness:release_push(harness:await_push(Push, 1)),
        _ = harness:await_push(Push, 2),
        Monitor
    end || Id <- Ids],
    [killed = harness:kill(Monitor) || Monitor <- Started],
    [begin
        harness:report_pushes(Id),
        {Monitor, _} = harness:start(Cu, Id, #{}),
        Monitor ! tick,
        harness:await_results(2, 50)
    end || Id <- Ids].

%% Failed pushes were logged and lost: 150 of 150.
pushes_that_fail_lose_nothing(Cu) ->
    Id = harness:proc_id(),
    Self = self(),
    Tried = ets:new(tried, [public]),
    dev_mu:route(Id, fun(Result, _) ->
        Number = harness:number(Result),
        case ets:insert_new(Tried, {Number}) of
            true -> {error, not_now};
            false -> Self ! {pushed, Number, Result, #{}}, ok
        end
    end),
    test_cu:add(Cu, Id, 150),
    {Monitor, _} = harness:start(Cu, Id, #{cursor => earliest, cron_push_backoff => {1, 1}}),
    Monitor ! tick,
    harness:await_results(1, 150),
    harness:no_result().

%% Without a stored cursor the peer requested the newest result at each tick: 15 of 15 were lost.
results_between_ticks_without_a_cursor_are_not_lost(Cu) ->
    Id = harness:proc_id(),
    harness:report_pushes(Id),
    {Monitor, Logger} = harness:start(Cu, Id, #{}),
    harness:await_start_cursor(Logger, earliest),
    test_cu:add(Cu, Id, 15),
    Monitor ! tick,
    harness:await_results(1, 15),
    test_cu:add(Cu, Id, 15),
    Monitor ! tick,
    harness:await_results(16, 30).

%% When its look-up failed, the peer began at the first result: 700 old results were pushed.
look_up_that_fails_never_pushes_the_old_results(Cu) ->
    Page = iolist_to_binary(test_cu:page([700], true, <<"x">>)),
    Half = binary:part(Page, 0, byte_size(Page) div 2),
    Answers = [{raw, test_cu:reply(500, <<"{\"error\":\"fetch failed\"}">>)},
               {raw, test_cu:reply(200, <<"{\"edges\":[{\"nod">>)},
               {raw_then_close, [<<"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n">>, Half]},
               {raw, test_cu:reply(200, Half)},
               close],
    [begin
        Id = harness:proc_id(),
        harness:report_pushes(Id),
        test_cu:add(Cu, Id, 700),
        test_cu:script(Cu, fun(#{kind := results}) -> Answer; (_) -> pass end),
        {Monitor, Logger} = harness:start(Cu, Id, #{}),
        harness:await_logged(Logger, fun({error, _, {_, _, 1}}) -> true end),
        Monitor ! tick,
        test_cu:script(Cu, fun(_) -> pass end),
        harness:await_start_cursor(Logger, test_cu:cursor(700)),
        test_cu:add(Cu, Id, 3),
        Monitor ! tick,
        harness:await_results(701, 703),
        harness:no_result()
    end || Answer <- Answers].

%% A connection reset during the look-up killed the peer's monitor silently; it still counted as running.
look_up_that_is_reset_is_tried_again_and_logged(Cu) ->
    Id = harness:proc_id(),
    harness:report_pushes(Id),
    test_cu:add(Cu, Id, 2),
    test_cu:script(Cu, fun(_) -> close end),
    {Monitor, Logger} = harness:start(Cu, Id, #{}),
    harness:await_logged(Logger, fun({error, connect, {_, _, 1}}) -> true end),
    test_cu:script(Cu, fun(_) -> pass end),
    %% Without a tick.
    harness:await_start_cursor(Logger, test_cu:cursor(2)),
    test_cu:add(Cu, Id, 1),
    Monitor ! tick,
    harness:await_results(3, 3).

%% One message without Tags made every tick fail on the whole page.
message_without_tags_does_not_hold_up_its_page(Cu) ->
    Id = harness:proc_id(),
    harness:report_pushes(Id),
    Edges = lists:join($,, [edge(N, Node) || {N, Node} <- lists:zip(lists:seq(1, 8), nodes_seen())]),
    test_cu:script(Cu, fun(#{query := #{<<"from">> := _}}) -> pass;
                          (_) -> {raw, test_cu:reply(200, [<<"{\"edges\":[">>, Edges, <<"]}">>])}
                       end),
    {Monitor, _} = harness:start(Cu, Id, #{cursor => earliest}),
    Monitor ! tick,
    harness:await_results(1, 8).

nodes_seen() ->
    [<<"{\"Messages\":[{\"Target\":\"x\",\"Data\":\"no tags\"}],\"Spawns\":[],\"Assignments\":[]}">>,
     <<"{\"Messages\":[{\"Tags\":null,\"Anchor\":null}],\"Spawns\":[{}]}">>,
     <<"{\"Messages\":[],\"Spawns\":[],\"Assignments\":[],\"Output\":{}}">>,
     <<"{\"Output\":{\"data\":\"x\"},\"Error\":\"\"}">>,
     <<"{\"Messages\":null,\"Output\":null}">>,
     <<"{\"Messages\":[{\"Target\":\"no id\"},{\"Target\":7},7,null]}">>,
     <<"{}">>,
     <<"null">>].

edge(N, Node) ->
    [<<"{\"node\":">>, Node, <<",\"cursor\":\"">>, test_cu:cursor(N), <<"\"}">>].

%% All monitors of the peer tick in the same second: 1,000 of them missed 12 % of their polls.
monitors_started_together_do_not_tick_together(Cu) ->
    %% Few enough that the polls are little work.
    Ids = [harness:proc_id() || _ <- lists:seq(1, 300)],
    [harness:start(Cu, Id, #{rate => 2000, cursor => earliest}) || Id <- Ids],
    Polls = fun() -> [At || #{kind := cron, at := At} <- test_cu:requests(Cu)] end,
    harness:eventually(fun() -> maps:get(ticks, hb_cron_engine:counters()) >= 900 end),
    #{missed_ticks := Missed, ticks := Ticks} = hb_cron_engine:counters(),
    ?assert(Missed * 100 < Ticks),
    %% A tenth of the rate has about a tenth of the polls.
    Tenths = [(At rem 2000) div 200 || At <- Polls()],
    Most = lists:max([length([T || T <- Tenths, T =:= Tenth]) || Tenth <- lists:seq(0, 9)]),
    ?assert(Most < length(Tenths) div 4).

%% A stop during a look-up had no effect: the monitor kept polling.
stop_during_a_look_up_is_final(Cu) ->
    Id = harness:proc_id(),
    harness:report_pushes(Id),
    test_cu:add(Cu, Id, 5),
    Gate = harness:hold_requests(Cu),
    {Monitor, _} = harness:start(Cu, Id, #{rate => 50}),
    LookUp = harness:await_request(Gate, results),
    ok = hb_process_monitor:stop(Monitor, deadline:ms()),
    harness:release_request(Gate, LookUp),
    test_cu:script(Cu, fun(_) -> pass end),
    harness:not_polled(Cu, Id, 50),
    harness:no_result().

%% The peer drops a cursor older than a day, and with it the whole backlog. The cursors of the test CU are older.
cursor_older_than_a_day_is_gone_on_from(Cu) ->
    Id = harness:proc_id(),
    {Monitor, _} = harness:start_and_push(Cu, Id, 3),
    ok = hb_process_monitor:stop(Monitor, deadline:ms()),
    test_cu:add(Cu, Id, 500),
    {Again, _} = harness:start(Cu, Id, #{}),
    Again ! tick,
    harness:await_results(4, 503).

second_start_does_not_begin_again(Cu) ->
    Id = harness:proc_id(),
    {Monitor, Logger} = harness:start_and_push(Cu, Id, 3),
    ?assertEqual({Monitor, Logger}, harness:start(Cu, Id, #{cursor => earliest})),
    test_cu:add(Cu, Id, 1),
    Monitor ! tick,
    harness:await_results(4, 4),
    harness:no_result().
