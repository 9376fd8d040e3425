%%% The registration of the device `process-monitor@1.0' with the host's HTTP listener: when it is made, repeated and
%%% removed, and the node messages that are left as they are.
-module(device_registration_tests).
-include_lib("eunit/include/eunit.hrl").

-import(device_host, [node_message/0, set_node_message/1, start_listener/1]).
-import(device_suite, [restart/1]).

-define(OURS, #{<<"name">> => <<"process-monitor@1.0">>, <<"module">> => dev_process_monitor}).

eunit_wrapper_(Tests) -> deadline:each(Tests).

all_test_() ->
    device_suite:each([
        {device_comes_first_and_all_else_stays, fun first/1},
        {device_is_registered_without_being_asked, fun by_itself/1},
        {listener_that_restarted_gets_the_device_again, fun restarted/1},
        {listener_that_comes_later_gets_the_device, fun later/1},
        {device_is_removed_when_the_application_stops, fun removed/1},
        {device_is_removed_when_the_tree_dies, fun killed/1},
        {list_of_an_unexpected_shape_is_left_as_it_is, fun shapes/1},
        {entries_of_an_unexpected_shape_stay, fun entries/1},
        {name_that_is_taken_is_left_to_its_device, fun taken/1},
        {node_message_that_changes_in_between_is_read_again, fun changes/1},
        {host_that_accepts_nothing_lives_on, fun not_accepted/1},
        {host_that_packages_its_devices_is_left_alone, fun packaged/1}
    ]).

era_a_has_no_device_test_() ->
    era:suite(era_a, [{host_without_a_node_message_gets_no_device, fun(_) ->
        ok = hb_cron_start:ensure_started(),
        ok = hb_cron_device_registration:check(),
        ?assertEqual(none, hb_cron_node_message:find()),
        ok = application:stop(hb_process_monitor)
    end}]).

check() -> ok = hb_cron_device_registration:check().

devices() -> maps:get(preloaded_devices, node_message()).

stop() -> ok = application:stop(hb_process_monitor).

first(_) ->
    Registered = node_message(),
    ?assertEqual(?OURS, hd(devices())),
    start_listener(#{}),
    ?assertEqual(node_message(), Registered#{preloaded_devices := tl(devices(Registered))}),
    check(),
    ?assertEqual(Registered, node_message()),
    check(),
    ?assertEqual(Registered, node_message()).

devices(#{preloaded_devices := Devices}) -> Devices.

by_itself(_) ->
    stop(),
    ?assertNot(lists:member(?OURS, devices())),
    ok = hb_cron_start:ensure_started(),
    harness:eventually(fun() -> lists:member(?OURS, devices()) end).

restarted(_) ->
    start_listener(#{port => 8735}),
    ?assertNot(lists:member(?OURS, devices())),
    harness:eventually(fun() -> hd(devices()) =:= ?OURS end),
    ?assertMatch(#{port := 8735}, node_message()),
    ?assertMatch({200, _}, device_host:call(<<"info">>, #{})).

later(_) ->
    stop(),
    cowboy:stop_listener(device_host:address(operator)),
    ok = hb_cron_start:ensure_started(),
    check(),
    start_listener(#{}),
    harness:eventually(fun() -> hd(devices()) =:= ?OURS end).

removed(_) ->
    With = node_message(),
    stop(),
    ?assertEqual(With#{preloaded_devices := tl(devices(With))}, node_message()),
    ?assertEqual(device_not_admissible, device_host:call(<<"info">>, #{})).

killed(_) ->
    Ref = monitor(process, whereis(hb_cron_sup)),
    true = exit(whereis(hb_cron_sup), kill),
    receive {'DOWN', Ref, process, _, _} -> ok end,
    harness:eventually(fun() -> not lists:member(?OURS, devices()) end).

shapes(_) ->
    stop(),
    Base = node_message(),
    [begin
        Odd = case Shape of missing -> maps:remove(preloaded_devices, Base); _ -> Base#{preloaded_devices := Shape} end,
        set_node_message(Odd),
        ok = hb_cron_start:ensure_started(),
        check(),
        ?assertEqual(Odd, node_message()),
        stop(),
        ?assertEqual(Odd, node_message())
     end || Shape <- [missing, undefined, #{<<"1">> => ?OURS}, [], [a | b], <<"process-monitor@1.0">>, {a, b}, 5]].

entries(_) ->
    stop(),
    Base = node_message(),
    Odd = [#{}, 5, <<"x">>, #{<<"name">> => <<"x">>}, #{name => <<"process-monitor@1.0">>}, {a}],
    set_node_message(Base#{preloaded_devices := Odd}),
    ok = hb_cron_start:ensure_started(),
    check(),
    ?assertEqual([?OURS | Odd], devices()),
    stop(),
    ?assertEqual(Odd, devices()).

taken(_) ->
    stop(),
    Base = node_message(),
    Own = #{<<"name">> => <<"process-monitor@1.0">>, <<"module">> => dev_operators_own},
    Taken = Base#{preloaded_devices := [Own | devices(Base)]},
    set_node_message(Taken),
    ok = hb_cron_start:ensure_started(),
    check(),
    ?assertEqual(Taken, node_message()),
    stop(),
    ?assertEqual(Taken, node_message()).

%% The operator changes the node message between our two reads.
changes(_) ->
    start_listener(#{}),
    Reads = counters:new(1, []),
    true = host_double:on({node_message, read}, fun(_) ->
        counters:add(Reads, 1, 1),
        _ = counters:get(Reads, 1) =:= 1 andalso set_node_message((node_message_now())#{operators_own => changed}),
        pass
    end),
    check(),
    ?assertMatch(#{operators_own := changed}, node_message()),
    ?assertEqual(?OURS, hd(devices())).

node_message_now() ->
    [{_, Message}] = ets:lookup(host_double, {env, device_host:address(operator), node_msg}),
    Message.

not_accepted(_) ->
    start_listener(#{}),
    Base = node_message(),
    true = host_double:on({hb_http_server, set_opts}, fun(_) -> error(refused) end),
    check(),
    ?assertEqual(Base, node_message()),
    true = host_double:on({hb_http_server, set_opts}, fun(_) -> ok end),
    check(),
    ?assertEqual(Base, node_message()),
    true = host_double:on({hb_http_server, set_opts}, pass),
    check(),
    ?assertEqual(?OURS, hd(devices())).

packaged(_) ->
    stop(),
    Base = node_message(),
    Forms = ["-export([reference/2]).", "reference(_, _) -> none."],
    {module, hb_device_load} = harness:compile_module(hb_device_load, Forms),
    try
        ok = hb_cron_start:ensure_started(),
        check(),
        ?assertEqual(Base, node_message()),
        stop()
    after
        harness:unload(hb_device_load)
    end,
    restart(#{}).
