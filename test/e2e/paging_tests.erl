%%% Paging: the requests to a CU, and that all of its results are pushed in order, exactly once.
-module(paging_tests).
-include_lib("eunit/include/eunit.hrl").

eunit_wrapper_(Tests) -> deadline:each(Tests).

all_test_() ->
    harness:tests([
        fun cursor_is_sent_percent_encoded_as_from/1,
        fun page_limit_is_sent/1,
        fun poll_ignores_has_next_page_until_a_page_is_empty/1,
        fun poll_of_short_pages_takes_all/1,
        fun next_poll_begins_after_the_last_result/1,
        fun one_page_is_fetched_ahead_and_no_more/1,
        fun tick_during_a_fetch_is_followed_by_another_poll/1,
        fun results_of_every_shape_are_pushed_unchanged/1,
        fun result_that_is_large_is_pushed_whole_between_small_ones/1,
        fun many_processes_are_each_pushed_in_order/1,
        fun pages_that_come_as_fast_as_can_be_do_not_overtake_each_other/1,
        fun engine_ticks_by_itself_at_the_rate/1
    ]).

backlog_test_() ->
    {setup, fun harness:setup/0, fun harness:cleanup/1, fun(Cu) ->
        fun() -> backlog_of_100000_is_drained_in_one_poll(Cu) end
    end}.

cursor_is_sent_percent_encoded_as_from(Cu) ->
    Id = harness:proc_id(),
    harness:report_pushes(Id),
    test_cu:add(Cu, Id, 1),
    Cursor = test_cu:cursor(1),
    %% The test CU's cursors contain the worst characters of base64.
    ?assertNotEqual(nomatch, binary:match(Cursor, [<<"+">>, <<"/">>])),
    {Monitor, _} = harness:start(Cu, Id, #{cursor => earliest}),
    Monitor ! tick,
    harness:await_results(1, 1),
    harness:eventually(fun() -> length(test_cu:requests(Cu, Id)) =:= 2 end),
    [#{query := First}, #{query := Second}] = test_cu:requests(Cu, Id),
    ?assertEqual(#{<<"limit">> => <<"1000">>}, First),
    ?assertEqual(#{<<"limit">> => <<"1000">>, <<"from">> => Cursor}, Second).

page_limit_is_sent(Cu) ->
    Id = harness:proc_id(),
    harness:report_pushes(Id),
    test_cu:add(Cu, Id, 7),
    {Monitor, _} = harness:start(Cu, Id, #{cursor => earliest, cron_page_limit => 3}),
    Monitor ! tick,
    harness:await_results(1, 7),
    %% The request after the last result has the largest limit, because it reaches further past errors.
    harness:eventually(fun() -> length(test_cu:requests(Cu, Id)) =:= 5 end),
    ?assertEqual([<<"3">>, <<"3">>, <<"3">>, <<"3">>, <<"1000">>],
                 [L || #{query := #{<<"limit">> := L}} <- test_cu:requests(Cu, Id)]).

poll_ignores_has_next_page_until_a_page_is_empty(Cu) ->
    Id = harness:proc_id(),
    harness:report_pushes(Id),
    %% A CU that filters results after cutting the page says false too early.
    test_cu:script(Cu, fun(#{query := Query}) ->
        Numbers = case maps:get(<<"from">>, Query, <<>>) of
            <<>> -> [1, 2, 3];
            Cursor ->
                case test_cu:number(Cursor) of
                    3 -> [4, 5];
                    5 -> []
                end
        end,
        {raw, test_cu:reply(200, test_cu:page(Numbers, false, <<"x">>))}
    end),
    {Monitor, _} = harness:start(Cu, Id, #{cursor => earliest}),
    Monitor ! tick,
    harness:await_results(1, 5),
    harness:eventually(fun() -> length(test_cu:requests(Cu, Id)) =:= 3 end).

poll_of_short_pages_takes_all(Cu) ->
    Id = harness:proc_id(),
    harness:report_pushes(Id),
    test_cu:script(Cu, fun(#{query := Query}) ->
        N = case maps:get(<<"from">>, Query, <<>>) of <<>> -> 0; Cursor -> test_cu:number(Cursor) end,
        {raw, test_cu:reply(200, test_cu:page([N + 1 || N < 40], true, <<"x">>))}
    end),
    {Monitor, Logger} = harness:start(Cu, Id, #{cursor => earliest}),
    Monitor ! tick,
    harness:await_results(1, 40),
    %% Followed by an empty page that announces more.
    harness:await_logged(Logger, fun({error, empty_page, {Logged, _, 1}}) -> Logged =:= Id end).

next_poll_begins_after_the_last_result(Cu) ->
    Id = harness:proc_id(),
    harness:report_pushes(Id),
    {Monitor, _} = harness:start(Cu, Id, #{cursor => earliest}),
    [begin
        test_cu:add(Cu, Id, 1),
        Monitor ! tick,
        harness:await_results(N, N)
    end || N <- lists:seq(1, 30)].

one_page_is_fetched_ahead_and_no_more(Cu) ->
    Id = harness:proc_id(),
    Push = harness:hold_pushes(Id),
    test_cu:add(Cu, Id, 100),
    {Monitor, _} = harness:start(Cu, Id, #{cursor => earliest, cron_page_limit => 2}),
    Monitor ! tick,
    First = harness:await_push(Push, 1),
    harness:await_polled(Cu, Id),
    ?assertEqual(2, length(test_cu:requests(Cu, Id))),
    harness:release_push(First),
    Second = harness:await_push(Push, 2),
    %% An ack within a page gives no credit.
    harness:await_polled(Cu, Id),
    ?assertEqual(2, length(test_cu:requests(Cu, Id))),
    harness:release_push(Second),
    _ = harness:await_push(Push, 3),
    harness:eventually(fun() -> length(test_cu:requests(Cu, Id)) =:= 3 end).

tick_during_a_fetch_is_followed_by_another_poll(Cu) ->
    Id = harness:proc_id(),
    harness:report_pushes(Id),
    Gate = harness:hold_requests(Cu),
    {Monitor, _} = harness:start(Cu, Id, #{cursor => earliest}),
    Monitor ! tick,
    Asked = harness:await_request(Gate, cron),
    [Monitor ! tick || _ <- lists:seq(1, 5)],
    _ = sys:get_state(Monitor),
    %% This answer was made before the result existed.
    harness:release_request(Gate, Asked, {raw, test_cu:reply(200, test_cu:page([], false, <<>>))}),
    test_cu:add(Cu, Id, 1),
    harness:release_request(Gate, harness:await_request(Gate, cron)),
    harness:await_results(1, 1),
    %% Five ticks cause one further poll, which ends at an empty page.
    harness:release_request(Gate, harness:await_request(Gate, cron)),
    harness:await_polled(Cu, Id),
    harness:no_request_held(Gate).

results_of_every_shape_are_pushed_unchanged(Cu) ->
    Id = harness:proc_id(),
    Self = self(),
    dev_mu:route(Id, fun(Result, _) -> Self ! {result, Result}, ok end),
    C = fun test_cu:cursor/1,
    Nodes = [
        {<<"{\"Messages\":[],\"Spawns\":[],\"Assignments\":[]}">>,
         #{<<"Messages">> => [], <<"Spawns">> => [], <<"Assignments">> => []}},
        {<<"{\"Output\":{},\"Error\":\"\"}">>, #{<<"Output">> => #{}, <<"Error">> => <<>>}},
        {<<"{\"n\":null,\"t\":true,\"f\":false,\"i\":-7,\"big\":123456789012345678901234567890,\"x\":1.5e3}">>,
         #{<<"n">> => null, <<"t">> => true, <<"f">> => false, <<"i">> => -7,
           <<"big">> => 123456789012345678901234567890, <<"x">> => 1500.0}},
        {<<"{\"u\":\"\\u00e4\\n\\\"\\ud83d\\ude00\",\"l\":[1,[2,[]]]}">>,
         #{<<"u">> => <<"ä\n\"😀"/utf8>>, <<"l">> => [1, [2, []]]}},
        {<<"{\"a\":1,\"a\":2}">>, #{<<"a">> => 2}},
        {<<"{\"cursor\":\"its own\"}">>, #{}},
        {<<"null">>, #{}}
    ],
    Numbered = lists:zip(lists:seq(1, length(Nodes)), Nodes),
    Body = ["{\"edges\":[", lists:join($,, [["{\"node\":", Json, ",\"cursor\":\"", C(N), "\"}"] || {N, {Json, _}} <- Numbered]),
            "],\"pageInfo\":{\"hasNextPage\":false}}"],
    test_cu:script(Cu, fun(#{query := #{<<"from">> := _}}) -> pass;
                          (_) -> {raw, test_cu:reply(200, Body)} end),
    {Monitor, _} = harness:start(Cu, Id, #{cursor => earliest}),
    Monitor ! tick,
    [receive {result, Result} -> ?assertEqual(Expected#{<<"cursor">> => C(N)}, Result) end
     || {N, {_, Expected}} <- Numbered].

%% A part of a page that is decoded on a dirty scheduler, between two that are not.
result_that_is_large_is_pushed_whole_between_small_ones(Cu) ->
    Id = harness:proc_id(),
    Self = self(),
    dev_mu:route(Id, fun(#{<<"x">> := X}, _) -> Self ! {size, byte_size(X)}, ok end),
    Sizes = lists:append([[40000, 1000000, 10, 40000] || _ <- lists:seq(1, 3)]),
    test_cu:add_nodes(Cu, Id, [["{\"x\":\"", binary:copy(<<"x">>, Size), "\"}"] || Size <- Sizes]),
    {Monitor, _} = harness:start(Cu, Id, #{cursor => earliest}),
    Monitor ! tick,
    [receive {size, Got} -> ?assertEqual(Size, Got) end || Size <- Sizes].

many_processes_are_each_pushed_in_order(Cu) ->
    Ids = [harness:proc_id() || _ <- lists:seq(1, 50)],
    Self = self(),
    [begin
        dev_mu:route(Id, fun(Result, _) -> Self ! {Id, harness:number(Result)}, ok end),
        test_cu:add(Cu, Id, 200)
    end || Id <- Ids],
    [begin
        {Monitor, _} = harness:start(Cu, Id, #{cursor => earliest, cron_page_limit => 30}),
        Monitor ! tick
    end || Id <- Ids],
    [[receive {Id, Number} -> ?assertEqual(N, Number) end || N <- lists:seq(1, 200)] || Id <- Ids].

pages_that_come_as_fast_as_can_be_do_not_overtake_each_other(Cu) ->
    Id = harness:proc_id(),
    Results = 20000,
    Limit = 10,
    From = fun(0) -> <<>>; (N) -> test_cu:cursor(N) end,
    Pages = maps:from_list([{From(N), iolist_to_binary(test_cu:reply(200, test_cu:page(
                                lists:seq(N + 1, min(Results, N + Limit)), false, <<"x">>)))}
                            || N <- lists:seq(0, Results, Limit)]),
    persistent_term:put(?MODULE, Pages),
    test_cu:script(Cu, fun(#{query := Query}) ->
        {raw, maps:get(maps:get(<<"from">>, Query, <<>>), persistent_term:get(?MODULE))}
    end),
    Self = self(),
    dev_mu:route(Id, fun(#{<<"Messages">> := [#{<<"Anchor">> := Number}]}, _) -> Self ! {number, Number}, ok end),
    {Monitor, _} = harness:start(Cu, Id, #{cursor => earliest}),
    Monitor ! tick,
    [receive {number, Number} -> ?assertEqual(integer_to_binary(N), Number) end || N <- lists:seq(1, Results)],
    harness:await_polled(Cu, Id),
    persistent_term:erase(?MODULE).

engine_ticks_by_itself_at_the_rate(Cu) ->
    Id = harness:proc_id(),
    harness:report_pushes(Id),
    Before = erlang:monotonic_time(millisecond),
    {_, _} = harness:start(Cu, Id, #{cursor => earliest, rate => 50}),
    harness:eventually(fun() -> length(test_cu:requests(Cu, Id)) >= 20 end),
    Times = [At || #{at := At} <- test_cu:requests(Cu, Id)],
    %% Never more ticks than points of the grid: one at its beginning, and one every 50 ms.
    ?assert(length(Times) =< 1 + (lists:last(Times) - Before) div 50),
    test_cu:add(Cu, Id, 1),
    harness:await_results(1, 1).

backlog_of_100000_is_drained_in_one_poll(Cu) ->
    Id = harness:proc_id(),
    Count = counters:new(2, []),
    Self = self(),
    dev_mu:route(Id, fun(Result, _) ->
        Expected = counters:get(Count, 1) + 1,
        harness:number(Result) =:= Expected orelse counters:add(Count, 2, 1),
        counters:add(Count, 1, 1),
        Expected =:= 100000 andalso (Self ! drained),
        ok
    end),
    100000 = test_cu:add(Cu, Id, 100000),
    {Monitor, _} = harness:start(Cu, Id, #{cursor => earliest}),
    %% There is only one tick: the next one is due in an hour.
    Monitor ! tick,
    receive drained -> ok end,
    harness:await_polled(Cu, Id),
    _ = sys:get_state(Monitor),
    ?assertEqual({100000, 0}, {counters:get(Count, 1), counters:get(Count, 2)}),
    ?assertEqual(101, length(test_cu:requests(Cu, Id))).
