%%% The listener for clients of AO, over real HTTP with recorded items.
-module(listener_tests).
-include_lib("eunit/include/eunit.hrl").

-import(recorded_items, [process/0, item/1]).

-define(M, hb_process_monitor).
%% An address without items.
-define(OTHER, <<"OtherAddress-OtherAddress-OtherAddress-Othe">>).

eunit_wrapper_(Tests) -> deadline:each(Tests).

all_test_() ->
    {foreach, fun setup/0, fun harness:cleanup/1, [{with, [Test]} || Test <- [
        fun recorded_items_start_and_end_monitoring/1,
        fun item_that_was_used_is_refused_for_both_methods/1,
        fun item_that_was_used_is_refused_after_a_restart/1,
        fun second_post_of_a_monitored_process_succeeds/1,
        fun process_is_monitored_again_after_a_restart/1,
        fun signer_without_access_is_refused/1,
        fun process_of_another_owner_is_not_stopped/1,
        fun address_at_its_limit_starts_no_more/1,
        fun item_for_another_process_is_refused/1,
        fun item_with_a_changed_byte_is_refused/1,
        fun item_of_ethereum_may_be_used_again/1,
        fun bodies_that_are_no_items_are_refused/1,
        fun other_paths_and_methods_are_refused/1,
        fun address_with_too_many_requests_has_to_wait/1,
        fun address_in_use_is_tried_again/1,
        fun server_that_is_killed_listens_again/1
    ]]}.

setup() ->
    Cu = harness:setup(),
    restart(Cu, #{}),
    Cu.

restart(Cu, Options) ->
    _ = application:stop(hb_process_monitor),
    harness:host(maps:merge(#{cron_node => test_cu:url(Cu), default_cron_rate => 200, cron_monitor_port => 0,
                              cron_monitor_access => [recorded_items:signer(), recorded_items:ethereum_signer()]}, Options)),
    ok = hb_cron_start:ensure_started(),
    harness:eventually(fun() -> hb_cron_listener:endpoint() =/= none end).

port() ->
    {_, Port} = hb_cron_listener:endpoint(),
    Port.

request(Method, Body) -> request(Method, "/monitor/" ++ binary_to_list(process()), Body).

%% The status and the text of an answer.
request(Method, Path, Body) ->
    {ok, Socket} = gen_tcp:connect({127, 0, 0, 1}, port(), [binary, {active, false}]),
    ok = gen_tcp:send(Socket, [Method, " ", Path, " HTTP/1.1\r\nhost: here\r\nconnection: close\r\ncontent-length: ",
                               integer_to_list(byte_size(Body)), "\r\n\r\n", Body]),
    {ok, Answer} = read(Socket, <<>>),
    [<<"HTTP/1.1 ", Status:3/binary, _/binary>>, Text] = binary:split(Answer, <<"\r\n\r\n">>),
    {binary_to_integer(Status), Text}.

read(Socket, Read) ->
    case gen_tcp:recv(Socket, 0, deadline:ms()) of
        {ok, Data} -> read(Socket, <<Read/binary, Data/binary>>);
        {error, closed} -> {ok, Read}
    end.

recorded_items_start_and_end_monitoring(Cu) ->
    harness:report_pushes(process()),
    %% As for the Messenger Unit: what comes after the start.
    ?assertMatch({200, _}, request("POST", item('monitor-1'))),
    #{monitor := Monitor} = ?M:info(process()),
    harness:eventually(fun() -> maps:get(cursor, ?M:info(process())) =/= undefined end),
    _ = test_cu:add(Cu, process(), 2),
    harness:await_results(1, 2),
    ?assertMatch({200, _}, request("DELETE", item(unmonitor))),
    ?assertEqual(undefined, ?M:info(process())),
    ?assertNot(is_process_alive(Monitor)).

item_that_was_used_is_refused_for_both_methods(_) ->
    ?assertMatch({200, _}, request("POST", item('monitor-1'))),
    ?assertMatch({409, _}, request("DELETE", item('monitor-1'))),
    ?assertMatch(#{}, ?M:info(process())),
    ?assertMatch({200, _}, request("DELETE", item(unmonitor))),
    [?assertMatch({409, _}, request("POST", item(Name))) || Name <- ['monitor-1', unmonitor]],
    ?assertEqual(undefined, ?M:info(process())).

item_that_was_used_is_refused_after_a_restart(Cu) ->
    ?assertMatch({200, _}, request("POST", item('monitor-1'))),
    ?assertMatch({200, _}, request("DELETE", item(unmonitor))),
    restart(Cu, #{}),
    ?assertMatch({409, _}, request("POST", item('monitor-1'))).

%% Its item is used up, too: otherwise it would start the process again after a stop.
second_post_of_a_monitored_process_succeeds(_) ->
    ?assertMatch({200, _}, request("POST", item('monitor-1'))),
    #{monitor := Monitor} = ?M:info(process()),
    ?assertMatch({200, <<"The process is monitored already.">>}, request("POST", item('monitor-2'))),
    ?assertMatch(#{monitor := Monitor}, ?M:info(process())),
    ?assertMatch({200, _}, request("DELETE", item(unmonitor))),
    ?assertMatch({409, _}, request("POST", item('monitor-2'))).

process_is_monitored_again_after_a_restart(Cu) ->
    ?assertMatch({200, _}, request("POST", item('monitor-1'))),
    restart(Cu, #{}),
    ?assertMatch([_], ?M:resume_all()),
    ?assertMatch(#{}, ?M:info(process())),
    ?assertMatch({200, _}, request("DELETE", item(unmonitor))).

signer_without_access_is_refused(Cu) ->
    restart(Cu, #{cron_monitor_access => [?OTHER]}),
    ?assertMatch({403, <<"The signer has no access.">>}, request("POST", item('monitor-1'))),
    ?assertEqual(undefined, ?M:info(process())).

process_of_another_owner_is_not_stopped(_) ->
    {_, _} = ?M:start(process(), 3600000),
    ?assertMatch({200, <<"The process is monitored already.">>}, request("POST", item('monitor-1'))),
    ?assertMatch({403, _}, request("DELETE", item(unmonitor))),
    ?assertMatch(#{}, ?M:info(process())).

address_at_its_limit_starts_no_more(Cu) ->
    restart(Cu, #{cron_monitors_max => 0}),
    ?assertMatch({429, _}, request("POST", item('monitor-1'))),
    %% It was not used up.
    restart(Cu, #{}),
    ?assertMatch({200, _}, request("POST", item('monitor-1'))).

item_for_another_process_is_refused(_) ->
    ?assertMatch({400, _}, request("POST", "/monitor/" ++ binary_to_list(harness:proc_id()), item('monitor-1'))).

item_with_a_changed_byte_is_refused(_) ->
    Whole = item('monitor-1'),
    [begin
        <<Before:At/binary, Byte, After/binary>> = Whole,
        {Status, _} = request("POST", <<Before/binary, (Byte bxor 1), After/binary>>),
        ?assertEqual({At, true}, {At, lists:member(Status, [400, 401, 403])})
     end || At <- [0, 2, 300, 514, 800, 1026, 1040, 1059, 1060, 1076]],
    ?assertEqual(undefined, ?M:info(process())).

%% Its signatures are deterministic.
item_of_ethereum_may_be_used_again(_) ->
    ?assertMatch({401, _}, request("POST", item(ethereum))),
    ok = optional_library:load(hb_keccak),
    try [?assertMatch({200, _}, request(Method, item(ethereum))) || Method <- ["POST", "DELETE", "POST", "DELETE"]]
    after optional_library:unload(hb_keccak)
    end.

bodies_that_are_no_items_are_refused(_) ->
    [?assertMatch({400, _}, request("POST", Body)) || Body <- [<<>>, <<1>>, <<1, 0>>, binary:copy(<<1, 0>>, 500)]],
    ?assertMatch({401, _}, request("POST", <<"{}">>)),
    {Status, _} = request("POST", binary:copy(<<0>>, 100000)),
    ?assertEqual(413, Status).

other_paths_and_methods_are_refused(_) ->
    [?assertMatch({404, _}, request("POST", Path, item('monitor-1')))
     || Path <- ["/", "/monitor", "/monitor/", "/monitor/short", "/monitor/" ++ lists:duplicate(43, $!), "/monitors/x"]],
    [?assertMatch({405, _}, request(Method, <<>>)) || Method <- ["GET", "PUT"]].

address_with_too_many_requests_has_to_wait(Cu) ->
    restart(Cu, #{cron_monitor_requests => 3}),
    %% They may fall into two minutes.
    Statuses = [element(1, request("POST", <<>>)) || _ <- lists:seq(1, 7)],
    ?assertMatch([400, 400, 400 | _], Statuses),
    ?assert(lists:member(429, Statuses)).

address_in_use_is_tried_again(Cu) ->
    {ok, Taken} = gen_tcp:listen(0, [{ip, {127, 0, 0, 1}}]),
    {ok, Port} = inet:port(Taken),
    _ = application:stop(hb_process_monitor),
    harness:host(#{cron_node => test_cu:url(Cu), cron_monitor_port => Port}),
    ok = hb_cron_start:ensure_started(),
    ?assertEqual(none, hb_cron_listener:endpoint()),
    ok = gen_tcp:close(Taken),
    harness:eventually(fun() -> hb_cron_listener:endpoint() =:= {{127, 0, 0, 1}, Port} end),
    ?assertMatch({403, _}, request("POST", item('monitor-1'))).

server_that_is_killed_listens_again(_) ->
    Before = whereis(hb_cron_listener),
    killed = harness:kill(Before),
    harness:eventually(fun() -> whereis(hb_cron_listener) =/= undefined andalso hb_cron_listener:endpoint() =/= none end),
    ?assertNotEqual(Before, whereis(hb_cron_listener)),
    ?assertMatch({200, _}, request("POST", item('monitor-1'))).
