%%% Telemetry events: their kinds, order and contents if the host has the library, and that none is made without a
%%% handler.
-module(events_tests).
-include_lib("eunit/include/eunit.hrl").

%% The callback of OTP's logger.
-export([log/2]).

%% How long an event may take, in ms. Only a failure takes this long.
-define(DEADLINE, deadline:ms()).

eunit_wrapper_(Tests) -> deadline:each(Tests).

all_test_() ->
    {foreach, fun setup/0, fun cleanup/1,
     [{with, [T]} || T <- [
        fun poll_page_and_push_of_a_result_begin_and_end/1,
        fun poll_that_fails_says_why/1,
        fun push_that_fails_says_why/1,
        fun page_that_is_not_acked_ends_with_its_monitor/1,
        fun commit_of_the_checkpoint_begins_and_ends/1,
        fun breaker_begins_when_it_opens_and_ends_when_it_closes/1,
        fun no_handler_attached_no_event_is_made/1,
        fun handler_attached_or_detached_later_is_noticed/1,
        fun option_forces_events_on_or_off/1,
        fun tree_killed_ends_the_events_without_a_crash_report/1,
        fun handler_that_fails_harms_nothing/1,
        fun handler_that_is_slow_gets_no_more_than_it_can_take/1
     ]]}.

no_library_test_() ->
    {setup, fun harness:setup/0, fun harness:cleanup/1, fun(Cu) -> fun() ->
        {_, _} = harness:start(Cu, harness:proc_id(), #{}),
        ok = hb_cron_observer:check(),
        ?assertEqual(none, hb_cron_events:receiver()),
        ?assertEqual(hb_cron_events_none, hb_cron_events:choose(true))
    end end}.

setup() ->
    Cu = harness:setup(),
    ok = optional_library:load(telemetry),
    _ = telemetry:start(),
    Cu.

cleanup(Cu) ->
    harness:cleanup(Cu),
    telemetry:stop(),
    optional_library:unload(telemetry).

%% Sends each event of these kinds to the caller.
attach(Kinds) ->
    Self = self(),
    Events = [[hb_process_monitor, Kind, Phase] || Kind <- Kinds, Phase <- [start, stop, exception]],
    ok = telemetry:attach_many(Self, Events, fun([_, Kind, Phase], Measurements, Metadata, _) ->
        Self ! {event, Kind, Phase, Measurements, Metadata}
    end, none).

%% Call this before the actions whose events are expected.
started(Cu, Options) ->
    Id = harness:proc_id(),
    {Monitor, Logger} = harness:start(Cu, Id, Options),
    ok = hb_cron_observer:check(),
    {Id, Monitor, Logger}.

next(Kind, Phase) ->
    receive {event, Kind, Phase, Measurements, Metadata} -> {Measurements, Metadata}
    after ?DEADLINE -> error({no_event, Kind, Phase})
    end.

poll_page_and_push_of_a_result_begin_and_end(Cu) ->
    attach([poll, page, push]),
    {Id, Monitor, _} = started(Cu, #{cursor => earliest}),
    harness:report_pushes(Id),
    test_cu:add(Cu, Id, 2),
    Monitor ! tick,
    Node = test_cu:url(Cu),
    {#{system_time := At}, #{proc_id := Id, node := Node, asked := page}} = next(poll, start),
    ?assert(abs(erlang:system_time() - At) < erlang:convert_time_unit(60, second, native)),
    {#{duration := Took, results := 2}, #{proc_id := Id, node := Node, brought := page}} = next(poll, stop),
    ?assert(Took > 0 andalso Took < erlang:convert_time_unit(60, second, native)),
    {#{results := 2}, #{proc_id := Id}} = next(page, start),
    [begin
        Cursor = test_cu:cursor(Number),
        {#{system_time := _}, #{proc_id := Id, cursor := Cursor}} = next(push, start),
        {#{duration := Pushing}, #{proc_id := Id, cursor := Cursor}} = next(push, stop),
        ?assert(Pushing >= 0)
    end || Number <- [1, 2]],
    {#{results := 2, duration := _}, #{proc_id := Id}} = next(page, stop),
    {_, #{brought := empty_page}} = next(poll, stop).

poll_that_fails_says_why(Cu) ->
    attach([poll]),
    test_cu:script(Cu, fun(_) -> {raw, test_cu:reply(503, <<>>)} end),
    {Id, Monitor, _} = started(Cu, #{cursor => earliest}),
    Monitor ! tick,
    {#{duration := _}, #{proc_id := Id, kind := error, reason := status, detail := Detail}} = next(poll, exception),
    ?assertMatch({match, _}, re:run(Detail, "503")).

push_that_fails_says_why(Cu) ->
    attach([push]),
    {Id, Monitor, _} = started(Cu, #{cursor => earliest}),
    harness:fail_pushes(Id, [fun() -> {error, refused} end, fun() -> error(broken) end]),
    test_cu:add(Cu, Id, 1),
    Monitor ! tick,
    {#{duration := _}, #{proc_id := Id, kind := error, reason := refused}} = next(push, exception),
    Monitor ! tick,
    {_, #{kind := error, reason := broken}} = next(push, exception),
    Monitor ! tick,
    {_, _} = next(push, stop).

page_that_is_not_acked_ends_with_its_monitor(Cu) ->
    attach([page]),
    {Id, Monitor, _} = started(Cu, #{cursor => earliest}),
    Push = harness:hold_pushes(Id),
    test_cu:add(Cu, Id, 1),
    Monitor ! tick,
    _ = harness:await_push(Push, 1),
    {_, _} = next(page, start),
    killed = harness:kill(Monitor),
    {#{duration := _}, #{proc_id := Id, reason := unacked}} = next(page, exception).

commit_of_the_checkpoint_begins_and_ends(Cu) ->
    attach([checkpoint]),
    {_, Monitor, _} = started(Cu, #{cursor => earliest}),
    ok = hb_process_monitor:stop(Monitor, ?DEADLINE),
    {_, _} = next(checkpoint, start),
    {#{duration := Took}, _} = next(checkpoint, stop),
    ?assert(Took > 0).

breaker_begins_when_it_opens_and_ends_when_it_closes(Cu) ->
    attach([breaker]),
    {_, _, _} = started(Cu, #{cursor => earliest}),
    test_cu:go_down(Cu),
    [harness:start(Cu, harness:proc_id(), #{rate => 100, cursor => earliest}) || _ <- lists:seq(1, 20)],
    Host = test_cu:url(Cu),
    {#{pause_ms := _}, #{host := Host}} = next(breaker, start),
    {#{pause_ms := _, duration := _}, #{host := Host, reason := probe_failed}} = next(breaker, exception),
    test_cu:come_up(Cu),
    {#{duration := _}, #{host := Host}} = next(breaker, stop).

no_handler_attached_no_event_is_made(Cu) ->
    {Id, Monitor, _} = started(Cu, #{cursor => earliest}),
    ?assertEqual(none, hb_cron_events:receiver()),
    harness:report_pushes(Id),
    test_cu:add(Cu, Id, 1),
    Monitor ! tick,
    harness:await_results(1, 1),
    harness:await_polled(Cu, Id),
    %% If any event had been made meanwhile, it would arrive first.
    attach([poll]),
    ok = hb_cron_observer:check(),
    test_cu:script(Cu, fun(_) -> {raw, test_cu:reply(503, <<>>)} end),
    Monitor ! tick,
    receive {event, poll, stop, _, _} -> error(made);
            {event, poll, exception, _, _} -> ok
    end.

handler_attached_or_detached_later_is_noticed(Cu) ->
    {_, _, _} = started(Cu, #{cursor => earliest}),
    [begin
        attach([push]),
        harness:eventually(fun() -> hb_cron_events:receiver() =:= hb_cron_events_telemetry end),
        ok = telemetry:detach(self()),
        harness:eventually(fun() -> hb_cron_events:receiver() =:= none end)
    end || _ <- [first, again]].

option_forces_events_on_or_off(Cu) ->
    attach([push]),
    [begin
        _ = application:stop(hb_process_monitor),
        harness:host(#{cron_events => Option}),
        {_, _, _} = started(Cu, #{cursor => earliest}),
        ?assertEqual(Taker, hb_cron_events:receiver())
    end || {Option, Taker} <- [{false, none}, {auto, hb_cron_events_telemetry}]],
    ok = telemetry:detach(self()),
    _ = application:stop(hb_process_monitor),
    harness:host(#{cron_events => true}),
    {_, _, _} = started(Cu, #{cursor => earliest}),
    ?assertEqual(hb_cron_events_telemetry, hb_cron_events:receiver()).

tree_killed_ends_the_events_without_a_crash_report(Cu) ->
    attach([push]),
    {_, _, _} = started(Cu, #{}),
    ?assertNotEqual(none, hb_cron_events:receiver()),
    Ref = monitor(process, hb_cron_observer),
    ok = logger:add_handler(?MODULE, ?MODULE, #{config => self()}),
    try
        killed = harness:kill(whereis(hb_cron_sup)),
        %% A process reports its end before its monitors are notified.
        receive {'DOWN', Ref, process, _, killed} -> ok end
    after logger:remove_handler(?MODULE)
    end,
    ?assertEqual([], reports_of(hb_cron_observer)),
    harness:eventually(fun() -> hb_cron_events:receiver() =:= none end).

log(Event, #{config := Test}) -> Test ! {log, Event}.

reports_of(Name) ->
    receive
        {log, #{msg := {report, #{label := {gen_server, terminate}, name := Name}}} = Event} -> [Event | reports_of(Name)];
        {log, _} -> reports_of(Name)
    after 0 -> []
    end.

handler_that_fails_harms_nothing(Cu) ->
    ok = telemetry:attach(bad, [hb_process_monitor, push, start], fun(_, _, _, _) -> error(bad) end, none),
    {Id, Monitor, _} = started(Cu, #{cursor => earliest}),
    harness:report_pushes(Id),
    test_cu:add(Cu, Id, 3),
    Monitor ! tick,
    harness:await_results(1, 3),
    harness:eventually(fun() -> hb_cron_events:receiver() =:= none end).

handler_that_is_slow_gets_no_more_than_it_can_take(Cu) ->
    Self = self(),
    ok = telemetry:attach(slow, [hb_process_monitor, poll, start], fun(_, _, #{proc_id := Id}, _) ->
        Self ! {at, self(), Id},
        receive go_on -> ok end
    end, none),
    {_, Monitor, _} = started(Cu, #{cursor => earliest}),
    Observer = whereis(hb_cron_observer),
    Monitor ! tick,
    receive {at, Observer, _} -> ok after ?DEADLINE -> error(no_event) end,
    #{events_dropped_total := Dropped} = hb_process_monitor:metrics(),
    [harness:start(Cu, harness:proc_id(), #{rate => 5, cursor => earliest}) || _ <- lists:seq(1, 100)],
    harness:eventually(fun() -> maps:get(events_dropped_total, hb_process_monitor:metrics()) > Dropped end),
    %% Its process never holds more than one batch.
    {message_queue_len, Waiting} = process_info(Observer, message_queue_len),
    ?assert(Waiting < 10),
    ok = telemetry:detach(slow),
    Observer ! go_on.
