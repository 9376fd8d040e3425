%%% Pushing on real hosts, for the behaviour that both eras share: end to end, from a Compute Unit's page to the
%%% schedules of doubles of these hosts.
-module(host_tests).
-include_lib("eunit/include/eunit.hrl").

eunit_wrapper_(Tests) -> deadline:each(Tests).

era_a_test_() -> suite(era_a).

later_test_() -> [suite(Era) || Era <- [era_b, era_c, era_d]].

suite(Era) ->
    era:suite(Era, [
        {result_of_two_messages_is_scheduled_in_order, fun two_messages/1},
        {result_without_messages_is_pushed_by_doing_nothing, fun no_messages/1},
        {target_that_is_not_there_is_retried_then_a_dead_letter, fun target_not_there/1},
        {target_that_is_not_there_does_not_hold_up_the_messages_behind_it, fun not_held_up/1},
        {target_that_comes_later_gets_its_message_and_the_others_none_twice, fun none_twice/1},
        {targets_that_are_no_ids_reach_no_call_of_the_host, fun bad_targets/1},
        {reserved_tags_are_dropped_and_values_are_text, fun tags/1},
        {forged_slot_of_a_cu_is_no_slot, fun forged_slot/1},
        {host_that_hangs_is_given_up_after_the_time_out_and_asked_again, fun hang/1},
        {host_whose_store_raises_is_asked_until_it_works, fun store_raises/1},
        {monitor_killed_during_a_push_takes_the_push_with_it, fun killed/1},
        {dead_letter_holds_what_was_left_and_is_redelivered, fun redelivered/1},
        {host_that_leaves_messages_behind_leaves_none_in_the_monitor, fun no_strays/1}
    ]).

%% Adds a result and polls.
more(#{cu := Cu, source := Source}, Monitor, Node) ->
    test_cu:add_nodes(Cu, Source, [Node]),
    Monitor ! tick.

scheduled(Target, Count) ->
    harness:eventually(fun() -> length(host_double:scheduled(Target)) >= Count end),
    host_double:scheduled(Target).

key(era_a, Key) -> hb_cron_host_converge:key(Key);
key(_Later, Key) -> Key.

data(#{era := Era}, Messages) -> [maps:get(key(Era, <<"data">>), Message) || Message <- Messages].

%% How often pushes have read a target from the host's store. A later host also reads it to push from its slot.
reads(#{source := Source}) -> length(lists:usort([Id || [Id, _] <- host_double:asked({hb_cache, read}), Id =/= Source])).

two_messages(#{era := Era, source := Source} = World) ->
    [One, Other] = [era:target(local), era:target(local)],
    _ = era:start(World, [era:result([era:message(One, "a", [{"Action", "\"Go\""}, {"x-Ray", "\"1\""}]), era:message(Other, "b"),
                                  era:message(One, "c")]),
                      era:result([era:message(One, "d")])]),
    [First | _] = Messages = scheduled(One, 3),
    ?assertEqual([<<"a">>, <<"c">>, <<"d">>], data(World, Messages)),
    ?assertEqual([<<"b">>], data(World, scheduled(Other, 1))),
    Expected = #{<<"target">> => One, <<"anchor">> => <<"0000">>, <<"data">> => <<"a">>, <<"type">> => <<"Message">>,
                 <<"data-protocol">> => <<"ao">>, <<"from-process">> => Source,
                 <<"action">> => <<"Go">>, <<"x-ray">> => <<"1">>},
    Signed = maps:without([<<"Signature">>, <<"commitments">>], First),
    ?assertEqual(maps:from_list([{key(Era, Key), Value} || {Key, Value} <- maps:to_list(Expected)]), Signed),
    ?assertNotEqual(Signed, First).

no_messages(World) ->
    Target = era:target(local),
    _ = era:start(World, [era:result([]), <<"{\"Messages\":null}">>, <<"{}">>, era:result([era:message(Target, "after")])]),
    ?assertEqual([<<"after">>], data(World, scheduled(Target, 1))),
    ?assertEqual(1, reads(World)).

target_not_there(#{source := Source} = World) ->
    Missing = harness:proc_id(),
    Target = era:target(local),
    {_, Logger} = era:start(World, [era:result([era:message(Missing, "lost")]), era:result([era:message(Missing, "lost")]),
                                era:result([era:message(Target, "after")])]),
    %% Two failures in a row: the host answers, so it does not count as unavailable.
    [_] = scheduled(Target, 1),
    {ok, [#{error := Error}, #{error := Error}]} = hb_process_monitor:dead_letters(Source),
    ?assertEqual({target_not_found, Missing}, Error),
    harness:await_logged(Logger, fun({error, push_failed, {_, _, {target_not_found, _}, 1}}) -> true end).

not_held_up(#{source := Source} = World) ->
    Missing = harness:proc_id(),
    Target = era:target(local),
    _ = era:start(World, [era:result([era:message(Target, "1"), era:message(Missing, "2"), era:message(Target, "3")]),
                      era:result([era:message(Target, "4")])]),
    ?assertEqual([<<"1">>, <<"3">>, <<"4">>], data(World, scheduled(Target, 3))),
    {ok, [#{result := #{<<"Messages">> := [#{<<"Data">> := <<"2">>}]}}]} = hb_process_monitor:dead_letters(Source).

none_twice(World) ->
    Late = harness:proc_id(),
    Target = era:target(local),
    {Monitor, Logger} = era:start(World, [era:result([era:message(Target, "1"), era:message(Late, "2")])],
                              #{cron_push_attempts => infinity, cron_push_backoff => {1 bsl 31, 1 bsl 31}}),
    harness:await_logged(Logger, fun({error, push_failed, _}) -> true end),
    true = host_double:process(Late, local),
    Monitor ! tick,
    ?assertEqual([<<"2">>], data(World, scheduled(Late, 1))),
    harness:await_logged(Logger, fun({ok, recovered, {_, push, _}}) -> true end),
    ?assertEqual([<<"1">>], data(World, host_double:scheduled(Target))).

bad_targets(#{source := Source} = World) ->
    Target = era:target(local),
    Bad = [<<>>, binary:copy(<<"a">>, 42), binary:copy(<<"a">>, 44), <<(binary:copy(<<"a">>, 42))/binary, "/">>,
           <<(binary:copy(<<"a">>, 43))/binary, "\\n">>],
    _ = era:start(World, [era:result([era:message(Id, "x")]) || Id <- Bad]
        ++ [<<"{\"Messages\":[{\"Tags\":[]}]}">>, <<"{\"Messages\":[{\"Target\":7}]}">>, <<"{\"Messages\":[17]}">>,
            <<"{\"Messages\":{}}">>, era:result([era:message(Target, "after")])]),
    [_] = scheduled(Target, 1),
    ?assertEqual(1, reads(World)),
    {ok, Letters} = hb_process_monitor:dead_letters(Source),
    ?assertEqual(length(Bad) + 4, length(Letters)).

tags(#{era := Era, source := Source} = World) ->
    Target = era:target(local),
    Reserved = [{Name, "\"evil\""} || Name <- ["path", "Path", "DEVICE", "method", "commitments", "priv", "slot",
                                                 "target", "data", "Type", "Data-Protocol", "From-Process", "anchor", "ao-types"]],
    _ = era:start(World, [era:result([era:message(Target, "d", Reserved ++ [
        {"Long", "12345678901234567890"}, {"Half", "0.5"}, {"Yes", "true"}, {"Twice", "\"1\""}, {"twice", "\"2\""},
        {"Text", "\"12345678901234567890\""}])])]),
    [Message] = scheduled(Target, 1),
    ?assertEqual(lists:sort([key(Era, Key) || Key <- [
        <<"target">>, <<"anchor">>, <<"data">>, <<"type">>, <<"data-protocol">>, <<"from-process">>,
        <<"long">>, <<"half">>, <<"yes">>, <<"twice">>, <<"text">>]]),
        lists:sort(maps:keys(maps:without([<<"Signature">>, <<"commitments">>], Message)))),
    [?assertEqual(Value, maps:get(key(Era, Key), Message)) || {Key, Value} <- [
        {<<"target">>, Target}, {<<"data">>, <<"d">>}, {<<"type">>, <<"Message">>}, {<<"data-protocol">>, <<"ao">>},
        {<<"from-process">>, Source}, {<<"anchor">>, <<"0000">>}, {<<"long">>, <<"12345678901234567890">>},
        {<<"half">>, <<"0.5">>}, {<<"yes">>, <<"true">>}, {<<"twice">>, <<"2">>}, {<<"text">>, <<"12345678901234567890">>}]],
    %% A tag without a text is logged and left out.
    {ok, []} = hb_process_monitor:dead_letters(Source),
    {Monitor, _, _} = element(2, hb_cron_registry:find(Source)),
    more(World, Monitor, era:result([era:message(Target, "d", [{"Deep", "{\"a\":1}"}])])),
    harness:eventually(fun() ->
        {ok, Letters} = hb_process_monitor:dead_letters(Source),
        [{bad_field, <<"Deep">>}] =:= [Error || #{error := Error} <- Letters]
    end).

forged_slot(#{source := Source} = World) ->
    Target = era:target(local),
    _ = era:start(World, [[<<"{\"Messages\":[{\"target\":\"">>, Target, <<"\",\"slot\":1}]}">>], era:result([era:message(Target, "after")])]),
    ?assertEqual([<<"after">>], data(World, scheduled(Target, 1))),
    {ok, [#{error := {bad_target, undefined}}]} = hb_process_monitor:dead_letters(Source).

hang(World) ->
    Target = era:target(local),
    host_double:on({hb_cache, read}, fun(_) -> receive never -> ok end end),
    {Monitor, Logger} = era:start(World, [era:result([era:message(Target, "1")])],
                              #{cron_push_timeout => 100, cron_push_attempts => infinity}),
    harness:await_logged(Logger, fun({error, push_failed, {_, _, timeout, 2}}) -> true end),
    host_double:on({hb_cache, read}, pass),
    ?assertEqual([<<"1">>], data(World, scheduled(Target, 1))),
    ?assert(is_process_alive(Monitor)).

%% After more failures than a result may have: the host is unavailable, so nothing is given up.
store_raises(#{source := Source} = World) ->
    Target = era:target(local),
    host_double:on({hb_cache, read}, host_double:first(7, fun(_) -> error({badmatch, {error, store_down}}) end)),
    _ = era:start(World, [era:result([era:message(Target, integer_to_list(N))]) || N <- [1, 2, 3]]),
    ?assertEqual([<<"1">>, <<"2">>, <<"3">>], data(World, scheduled(Target, 3))),
    {ok, []} = hb_process_monitor:dead_letters(Source).

killed(World) ->
    Target = era:target(local),
    Test = self(),
    host_double:on({hb_cache, read}, fun(_) -> Test ! {pushing, self()}, receive never -> ok end end),
    {Monitor, _} = era:start(World, [era:result([era:message(Target, "1")])]),
    Worker = receive {pushing, Pid} -> Pid end,
    Ref = monitor(process, Worker),
    killed = harness:kill(Monitor),
    receive {'DOWN', Ref, process, _, Reason} -> ?assertEqual(killed, Reason) end.

redelivered(#{source := Source} = World) ->
    Missing = harness:proc_id(),
    Target = era:target(local),
    _ = era:start(World, [era:result([era:message(Target, "1"), era:message(Missing, "2")]), era:result([era:message(Target, "3")])]),
    ?assertEqual([<<"1">>, <<"3">>], data(World, scheduled(Target, 2))),
    {ok, [#{id := Id}]} = hb_process_monitor:dead_letters(Source),
    {error, {push_failed, {target_not_found, Missing}}} = hb_process_monitor:redeliver(Source, Id),
    true = host_double:process(Missing, local),
    ok = hb_process_monitor:redeliver(Source, Id),
    ?assertEqual([<<"2">>], data(World, host_double:scheduled(Missing))),
    ?assertEqual(2, length(host_double:scheduled(Target))),
    {ok, []} = hb_process_monitor:dead_letters(Source).

no_strays(World) ->
    Target = era:target(local),
    {Monitor, _} = era:start(World, [era:result([era:message(Target, "1")]), era:result([era:message(Target, "2")])]),
    [_, _] = scheduled(Target, 2),
    Test = self(),
    Once = host_double:first(1, fun(_) -> Test ! {pushing, self()}, receive go_on -> pass end end),
    host_double:on({hb_cache, read}, fun([Id, _] = Args) when Id =:= Target -> Once(Args); (_) -> pass end),
    more(World, Monitor, era:result([era:message(Target, "3")])),
    Worker = receive {pushing, Pid} -> Pid end,
    %% A tick may have come during the push.
    {messages, Messages} = process_info(Monitor, messages),
    ?assertEqual([], [Stray || Stray <- Messages, Stray =/= tick]),
    %% Linked to the current push, and to its supervisor.
    {links, Links} = process_info(Monitor, links),
    ?assertEqual(lists:sort([Worker, whereis(hb_cron_monitors_sup)]), lists:sort(Links)),
    ?assertEqual({trap_exit, false}, process_info(Worker, trap_exit)),
    Worker ! go_on,
    [_, _, _] = scheduled(Target, 3),
    ?assertEqual([], host_double:died()).
