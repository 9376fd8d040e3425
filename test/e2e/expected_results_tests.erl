%%% Crons whose results are expected, over HTTP and by real clocks: what a monitor that asks while a result is expected
%%% costs its CU, beside one that asks at every tick in the same time. The engine's tests cover when it asks.
-module(expected_results_tests).
-include_lib("eunit/include/eunit.hrl").

%% A result a second, and many ticks in between.
-define(SECONDS, 1).
-define(RATE, 50).

eunit_wrapper_(Tests) -> deadline:each(Tests).

all_test_() ->
    harness:tests([
        fun cron_costs_fewer_requests_and_gives_the_same_results/1,
        fun results_go_on_in_order_after_the_engine_died/1,
        fun tick_of_a_user_asks_although_nothing_is_expected/1
    ]).

%% Starts a monitor of a cron whose results come to this process in order.
start(Cu, Options) -> start(Cu, ?SECONDS, 0, Options).

start(Cu, Seconds, Ago, Options) ->
    Id = harness:proc_id(),
    Test = self(),
    Push = fun(#{message := #{<<"cursor">> := Cursor}}, _) -> Test ! {pushed, Id, Cursor}, ok end,
    ok = test_cu:run_cron(Cu, Id, Seconds, Ago),
    {Monitor, _} = harness:start(Cu, Id, maps:merge(#{rate => ?RATE, cursor => earliest, cron_push => Push}, Options)),
    {Id, Monitor}.

await(Id, First, Last) -> await(Id, First, Last, ?SECONDS).

await(Id, First, Last, Seconds) ->
    [begin
        Cursor = test_cu:cursor(N, Seconds),
        %% Of each process in the order of its results, and none twice.
        receive {pushed, Id, Pushed} -> ?assertEqual({N, Cursor}, {N, Pushed}) end
     end || N <- lists:seq(First, Last)],
    ok.

requests(Cu, Id) -> length(test_cu:requests(Cu, Id)).

%% Both are counted from one result to another, after the first ones, from which the delay is learned.
cron_costs_fewer_requests_and_gives_the_same_results(Cu) ->
    {Rate, _} = start(Cu, #{cron_poll => rate}),
    {Expected, _} = start(Cu, #{}),
    [ok = await(Id, 1, 3) || Id <- [Rate, Expected]],
    Before = [requests(Cu, Id) || Id <- [Rate, Expected]],
    [ok = await(Id, 4, 7) || Id <- [Rate, Expected]],
    [AtEveryTick, WhileExpected] = [requests(Cu, Id) - Then || {Id, Then} <- lists:zip([Rate, Expected], Before)],
    ?assertMatch({All, Few} when Few * 2 < All, {AtEveryTick, WhileExpected}),
    ?assertMatch(#{asks := #{how := expected, every := ?SECONDS}}, hb_process_monitor:info(Expected)),
    ?assertMatch(#{asks := #{how := every_tick, why := rate}}, hb_process_monitor:info(Rate)).

results_go_on_in_order_after_the_engine_died(Cu) ->
    {Id, Monitor} = start(Cu, #{}),
    ok = await(Id, 1, 3),
    _ = harness:kill(whereis(hb_cron_engine)),
    ok = await(Id, 4, 5),
    %% A result that is not acked when its monitor is killed comes again.
    harness:eventually(fun() -> maps:get(cursor, hb_process_monitor:info(Id)) =:= test_cu:cursor(5, ?SECONDS) end),
    _ = harness:kill(Monitor),
    ok = await(Id, 6, 7),
    harness:eventually(fun() -> is_expecting(Id) end).

%% The result of this hour can be read a second from now; then nothing is expected for longer than the test runs.
tick_of_a_user_asks_although_nothing_is_expected(Cu) ->
    {Id, Monitor} = start(Cu, 3600, 3 * 3600000 - 1000, #{}),
    ok = await(Id, 1, 3, 3600),
    harness:eventually(fun() -> is_expecting(Id) end),
    {[#{process := Id, next_result := Next}], done} = hb_process_monitor:list(#{}),
    ?assert(is_integer(Next) andalso Next > 0),
    {match, _} = re:run(unicode:characters_to_binary(hb_cron_table:listing(#{})), "next result .*[0-9]+m [0-9]+s", [dotall]),
    %% So many ticks go by.
    Quiet = fun() -> maps:get(ticks_quiet_total, hb_process_monitor:metrics()) end,
    [Before, Passed] = [requests(Cu, Id), Quiet()],
    harness:eventually(fun() -> Quiet() >= Passed + 20 end),
    ?assertEqual(Before, requests(Cu, Id)),
    Monitor ! tick,
    harness:eventually(fun() -> requests(Cu, Id) =:= Before + 1 end).

is_expecting(Id) ->
    case hb_process_monitor:info(Id) of
        #{asks := #{how := expected}} -> true;
        _ -> false
    end.
