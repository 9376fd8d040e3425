%%% Inspection: every state of a monitor, shown at once even during a push; listings; the table.
-module(info_tests).
-include_lib("eunit/include/eunit.hrl").

eunit_wrapper_(Tests) -> deadline:each(Tests).

all_test_() ->
    harness:tests([
        fun waiting_monitor_shows_its_cursor_lag_and_next_tick/1,
        fun monitor_in_a_push_is_shown_although_it_is_deaf/1,
        fun stalled_push_shows/1,
        fun failed_push_shows_until_one_succeeds/1,
        fun failed_fetch_shows_its_class_until_one_succeeds/1,
        fun fetch_under_way_shows_as_polling/1,
        fun unresolved_monitor_shows_as_resolving/1,
        fun stopping_monitor_shows_until_its_push_returns/1,
        fun monitor_without_an_engine_shows_as_starting/1,
        fun monitor_of_an_engine_that_does_not_answer_shows_as_unknown/1,
        fun open_breaker_shows_with_its_node/1,
        fun dead_letters_are_counted_per_process/1,
        fun without_a_checkpoint_the_acked_cursor_is_shown/1,
        fun process_without_a_monitor_is_undefined/1,
        fun pages_hold_every_monitor_once_in_order/1,
        fun pages_of_a_state_hold_those_alone/1,
        fun bad_option_of_a_list_is_refused/1,
        fun table_is_aligned_and_says_how_to_go_on/1,
        fun url_with_a_password_is_shown_without_it/1
    ]).

no_application_test() ->
    ?assertEqual(undefined, hb_process_monitor:info(harness:proc_id())),
    ?assertEqual([], hb_process_monitor:list()),
    ?assertEqual({[], done}, hb_process_monitor:list(#{})).

state(Id) -> maps:get(state, hb_process_monitor:info(Id)).

waiting_monitor_shows_its_cursor_lag_and_next_tick(Cu) ->
    Id = harness:proc_id(),
    Before = erlang:system_time(millisecond),
    {Monitor, Logger} = harness:start_and_push(Cu, Id, 3),
    harness:await_polled(Cu, Id),
    harness:await_state(Id, idle),
    Cursor = test_cu:cursor(3),
    #{process := Id, monitor := Monitor, logger := Logger, rate := 3600000, cursor := Cursor, cursor_time := Time,
      cursor_age := Age, lag := Lag, last_result := Last, unacked := 0, buffered_bytes := 0, at_push := undefined,
      stalled := false, error := undefined, next_tick := Tick, next_try := undefined, next_result := _, requests_per_result := Requests,
      asks := #{how := every_tick}, longest_gap := 60000, crons := undefined, node := Node,
      nodes := [#{node := Node, breaker := closed}], push := mu, dead_letters := 0, supervised := false} = Info =
        hb_process_monitor:info(Monitor),
    ?assertEqual(1760000003000, Time),
    ?assertEqual(Last - Time, Lag),
    ?assert(Last >= Before andalso Last =< erlang:system_time(millisecond)),
    ?assert(Age >= Before - Time),
    ?assert(Tick > 0 andalso Tick =< 3600000),
    ?assert(is_float(Requests) andalso Requests > 0),
    ?assertEqual(test_cu:url(Cu), Node),
    %% Every form of the process id gives the same monitor.
    Raw = base64:decode(<<(binary:replace(binary:replace(Id, <<"-">>, <<"+">>, [global]), <<"_">>, <<"/">>, [global]))/binary, "=">>),
    [?assertEqual(maps:keys(Info), maps:keys(hb_process_monitor:info(Form))) || Form <- [Id, binary_to_list(Id), Raw]].

monitor_in_a_push_is_shown_although_it_is_deaf(Cu) ->
    Id = harness:proc_id(),
    Push = harness:hold_pushes(Id),
    test_cu:add(Cu, Id, 3),
    {Monitor, _} = harness:start(Cu, Id, #{cursor => earliest}),
    Monitor ! tick,
    Held = harness:await_push(Push, 1),
    %% The monitor has the page; the engine learns of it before or after that.
    harness:eventually(fun() -> maps:get(unacked, hb_process_monitor:info(Id)) =:= 3 end),
    #{state := pushing, at_push := For, stalled := false, lag := undefined, last_result := undefined} =
        hb_process_monitor:info(Id),
    ?assert(is_integer(For)),
    ok = harness:release_push(Held),
    Second = harness:await_push(Push, 2),
    Cursor = test_cu:cursor(1),
    #{state := pushing, cursor := Cursor, unacked := 2} = hb_process_monitor:info(Id),
    ok = harness:release_push(Second),
    ok = harness:release_push(harness:await_push(Push, 3)).

stalled_push_shows(Cu) ->
    Id = harness:proc_id(),
    Push = harness:hold_pushes(Id),
    test_cu:add(Cu, Id, 1),
    {Monitor, _} = harness:start(Cu, Id, #{cursor => earliest, cron_push_stall => 1}),
    Monitor ! tick,
    Held = harness:await_push(Push, 1),
    harness:eventually(fun() -> maps:get(stalled, hb_process_monitor:info(Id)) end),
    ?assertMatch({_, _}, binary:match(printed(fun() -> hb_process_monitor:i(Id) end), <<"stalled">>)),
    ok = harness:release_push(Held).

failed_push_shows_until_one_succeeds(Cu) ->
    Id = harness:proc_id(),
    harness:fail_pushes(Id, [fun() -> error(no_such_device) end, fun() -> {error, busy} end]),
    test_cu:add(Cu, Id, 1),
    {Monitor, _} = harness:start(Cu, Id, #{cursor => earliest}),
    Monitor ! tick,
    receive {push_failed, 1} -> ok end,
    harness:await_state(Id, backing_off),
    #{error := #{what := push, class := push_failed, failures := 1, text := Text}, next_try := Try, unacked := 1} =
        hb_process_monitor:info(Id),
    ?assertMatch({_, _}, binary:match(Text, <<"no_such_device">>)),
    ?assert(is_integer(Try)),
    Monitor ! tick,
    receive {push_failed, 1} -> ok end,
    harness:eventually(fun() ->
        case hb_process_monitor:info(Id) of
            #{error := #{failures := 2, text := <<"busy">>}} -> true;
            Other -> Other
        end
    end),
    Monitor ! tick,
    harness:await_results(1, 1),
    harness:eventually(fun() -> maps:get(error, hb_process_monitor:info(Id)) =:= undefined end),
    harness:await_state(Id, idle).

failed_fetch_shows_its_class_until_one_succeeds(Cu) ->
    Id = harness:proc_id(),
    test_cu:script(Cu, fun(_) -> {raw, test_cu:reply(500, <<"out of order">>)} end),
    {Monitor, _} = harness:start(Cu, Id, #{cursor => earliest}),
    Monitor ! tick,
    harness:await_state(Id, backing_off),
    #{error := #{what := fetch, class := status, failures := Failures, text := Text, ago := Ago}, next_try := Try} =
        hb_process_monitor:info(Id),
    ?assert(Failures >= 1 andalso is_integer(Ago) andalso is_integer(Try)),
    ?assertMatch({_, _}, binary:match(Text, <<"500">>)),
    test_cu:script(Cu, fun(_) -> pass end),
    Monitor ! tick,
    harness:eventually(fun() -> maps:get(error, hb_process_monitor:info(Id)) =:= undefined end).

fetch_under_way_shows_as_polling(Cu) ->
    Id = harness:proc_id(),
    Gate = harness:hold_requests(Cu),
    {Monitor, _} = harness:start(Cu, Id, #{cursor => earliest}),
    Monitor ! tick,
    Asked = harness:await_request(Gate, cron),
    ?assertEqual(polling, state(Id)),
    harness:release_request(Gate, Asked),
    harness:await_state(Id, idle).

unresolved_monitor_shows_as_resolving(Cu) ->
    Id = harness:proc_id(),
    Gate = harness:hold_requests(Cu),
    {_, _} = harness:start(Cu, Id, #{}),
    Asked = harness:await_request(Gate, results),
    #{state := resolving, cursor := undefined, cursor_age := undefined} = hb_process_monitor:info(Id),
    harness:release_request(Gate, Asked),
    harness:await_state(Id, idle).

stopping_monitor_shows_until_its_push_returns(Cu) ->
    Id = harness:proc_id(),
    Push = harness:hold_pushes(Id),
    test_cu:add(Cu, Id, 1),
    {Monitor, _} = harness:start(Cu, Id, #{cursor => earliest}),
    Monitor ! tick,
    Held = harness:await_push(Push, 1),
    stop = hb_process_monitor:stop(Monitor),
    #{state := stopping} = hb_process_monitor:info(Monitor),
    #{state := stopping, monitor := Monitor} = hb_process_monitor:info(Id),
    ?assertEqual({error, not_found}, case hb_process_monitor:list(#{}) of {[], done} -> {error, not_found}; Other -> Other end),
    ok = harness:release_push(Held),
    harness:eventually(fun() -> hb_process_monitor:info(Id) =:= undefined end).

monitor_without_an_engine_shows_as_starting(Cu) ->
    Id = harness:proc_id(),
    Push = harness:hold_pushes(Id),
    test_cu:add(Cu, Id, 1),
    {Old, _} = harness:start(Cu, Id, #{cursor => earliest}),
    Old ! tick,
    Held = harness:await_push(Push, 1),
    stop = hb_process_monitor:stop(Old),
    %% The new engine registers the monitor only after its push.
    {New, _} = harness:start(Cu, Id, #{}),
    #{state := starting, monitor := New} = hb_process_monitor:info(Id),
    ok = harness:release_push(Held),
    harness:await_state(Id, idle).

monitor_of_an_engine_that_does_not_answer_shows_as_unknown(Cu) ->
    Id = harness:proc_id(),
    {_, _} = harness:start(Cu, Id, #{cursor => earliest}),
    {#{state := State, cursor := Cursor}, [#{state := Listed}]} = hb_cron_engine:without_loop(fun() ->
        {hb_process_monitor:info(Id), hb_process_monitor:list()}
    end),
    ?assertEqual({unknown, unknown, earliest}, {State, Listed, Cursor}),
    ?assertMatch(#{state := idle}, hb_process_monitor:info(Id)),
    %% Late answers are dropped.
    ?assertEqual({message_queue_len, 0}, process_info(self(), message_queue_len)).

open_breaker_shows_with_its_node(Cu) ->
    Id = harness:proc_id(),
    ok = test_cu:go_down(Cu),
    {Monitor, _} = harness:start(Cu, Id, #{cursor => earliest}),
    harness:eventually(fun() ->
        Monitor ! tick,
        #{nodes := [#{breaker := Breaker}]} = hb_process_monitor:info(Id),
        case Breaker of {open, _} -> true; half_open -> true; closed -> false end
    end),
    #{error := #{class := connect}} = hb_process_monitor:info(Id),
    ok = test_cu:come_up(Cu).

dead_letters_are_counted_per_process(Cu) ->
    harness:host(#{cron_push_attempts => 1}),
    [Bad, Good] = [harness:proc_id(), harness:proc_id()],
    harness:fail_pushes(Bad, [fun() -> {error, poison} end]),
    test_cu:add(Cu, Bad, 2),
    {Monitor, _} = harness:start(Cu, Bad, #{cursor => earliest}),
    {_, _} = harness:start_and_push(Cu, Good, 1),
    Monitor ! tick,
    harness:await_results(2, 2),
    #{dead_letters := 1} = hb_process_monitor:info(Bad),
    #{dead_letters := 0} = hb_process_monitor:info(Good).

without_a_checkpoint_the_acked_cursor_is_shown(Cu) ->
    harness:host(#{cron_checkpoint => false}),
    Id = harness:proc_id(),
    Push = harness:hold_pushes(Id),
    test_cu:add(Cu, Id, 2),
    {Monitor, _} = harness:start(Cu, Id, #{cursor => earliest}),
    Monitor ! tick,
    First = harness:await_push(Push, 1),
    #{cursor := earliest} = hb_process_monitor:info(Id),
    ok = harness:release_push(First),
    Second = harness:await_push(Push, 2),
    Cursor = test_cu:cursor(1),
    #{cursor := Cursor, unacked := 1} = hb_process_monitor:info(Id),
    ok = harness:release_push(Second).

process_without_a_monitor_is_undefined(Cu) ->
    {Monitor, _} = harness:start(Cu, harness:proc_id(), #{}),
    ?assertEqual(undefined, hb_process_monitor:info(harness:proc_id())),
    ?assertEqual(undefined, hb_process_monitor:info(self())),
    ?assertError({bad_process_id, no_id}, hb_process_monitor:info(no_id)),
    ok = hb_process_monitor:stop(Monitor, deadline:ms()),
    ?assertEqual(undefined, hb_process_monitor:info(Monitor)).

pages(Options) ->
    case hb_process_monitor:list(Options) of
        {Page, done} -> [Page];
        {Page, Next} -> [Page | pages(Options#{start_after => Next})]
    end.

pages_hold_every_monitor_once_in_order(Cu) ->
    Ids = lists:sort([harness:proc_id() || _ <- lists:seq(1, 25)]),
    [harness:start(Cu, Id, #{cursor => earliest}) || Id <- Ids],
    Pages = pages(#{limit => 10}),
    ?assertEqual([10, 10, 5], [length(Page) || Page <- Pages]),
    ?assertEqual(Ids, [Id || #{process := Id} <- lists:append(Pages)]),
    ?assertEqual(Ids, [Id || #{process := Id} <- hb_process_monitor:list()]),
    %% A listing that ends with the last monitor has no next one.
    ?assertMatch([_, _, _, _, _], pages(#{limit => 5})).

pages_of_a_state_hold_those_alone(Cu) ->
    Ids = [harness:proc_id() || _ <- lists:seq(1, 12)],
    [harness:start(Cu, Id, #{cursor => earliest}) || Id <- Ids],
    Paused = lists:sort(lists:sublist(Ids, 5)),
    [ok = hb_process_monitor:pause(Id) || Id <- Paused],
    [harness:await_state(Id, paused) || Id <- Paused],
    ?assertEqual(Paused, [Id || #{process := Id} <- lists:append(pages(#{limit => 2, state => paused}))]),
    ?assertEqual(7, length(lists:append(pages(#{limit => 3, state => [idle, resolving]})))).

bad_option_of_a_list_is_refused(_Cu) ->
    [?assertError({bad_option, Key, Value}, hb_process_monitor:list(#{Key => Value}))
     || {Key, Value} <- [{limit, 0}, {limit, 1001}, {state, asleep}, {state, [idle, asleep]}, {sort, lag}]].

printed(Fun) ->
    Self = self(),
    Leader = group_leader(),
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

table_is_aligned_and_says_how_to_go_on(Cu) ->
    Ids = lists:sort([harness:proc_id() || _ <- lists:seq(1, 3)]),
    [harness:start(Cu, Id, #{cursor => earliest}) || Id <- Ids],
    [harness:await_state(Id, idle) || Id <- Ids],
    Text = printed(fun() -> hb_process_monitor:i(#{limit => 2}) end),
    [Heading, First, Second, Foot, <<>>] = binary:split(Text, <<"\n">>, [global]),
    {At, _} = binary:match(Heading, <<"state">>),
    ?assertEqual(45, At),
    [?assertEqual(Id, binary:part(Row, 0, 43)) || {Id, Row} <- lists:zip(lists:sublist(Ids, 2), [First, Second])],
    [?assertMatch(<<"idle", _/binary>>, binary:part(Row, At, byte_size(Row) - At)) || Row <- [First, Second]],
    ?assertEqual(<<"2 of 3; more: hb_process_monitor:i(#{limit => 2,start_after => <<\"", (lists:nth(2, Ids))/binary, "\">>}).">>,
                 re:replace(Foot, "start_after => (.*),limit => 2", "limit => 2,start_after => \\1", [{return, binary}])),
    ?assertMatch({_, _}, binary:match(printed(fun() -> hb_process_monitor:i() end), <<"3 of 3">>)),
    One = printed(fun() -> hb_process_monitor:i(hd(Ids)) end),
    [?assertMatch({_, _}, binary:match(One, Part)) || Part <- [hd(Ids), <<"earliest">>, <<"breaker closed, used next">>]].

url_with_a_password_is_shown_without_it(Cu) ->
    Id = harness:proc_id(),
    <<"http://", Rest/binary>> = test_cu:url(Cu),
    {Monitor, _} = harness:start(Cu, Id, #{cursor => earliest, cron_node => <<"http://me:secret@", Rest/binary>>}),
    Shown = [io_lib:format("~0p", [hb_process_monitor:info(Id)]), printed(fun() -> hb_process_monitor:i(Id) end),
             io_lib:format("~0p", [sys:get_status(Monitor)]), io_lib:format("~0p", [sys:get_status(hb_cron_restarter)])],
    ?assertEqual(nomatch, binary:match(unicode:characters_to_binary(Shown), <<"secret">>)).
