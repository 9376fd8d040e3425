%%% The device `process-monitor@1.0': its keys, the rights of each signer, and its limits, on both hosts that can have
%%% it.
-module(device_tests).
-include_lib("eunit/include/eunit.hrl").

-import(device_host, [call/2, signed_call/3, signed_call/4]).
-import(device_suite, [status/1, json/1]).

-define(M, hb_process_monitor).

eunit_wrapper_(Tests) -> deadline:each(Tests).

all_test_() ->
    device_suite:each([
        {started_process_is_monitored_and_its_results_are_pushed, fun started/1},
        {process_that_is_monitored_is_left_alone_by_a_start, fun started_twice/1},
        {options_of_a_start_are_in_force, fun start_options/1},
        {options_that_are_not_allowed_are_refused, fun refused_options/1},
        {paused_process_is_resumed_then_stopped, fun paused/1},
        {processes_without_a_monitor_are_a_conflict, fun not_monitored/1},
        {dead_letters_are_listed_redelivered_and_discarded, fun letters/1},
        {reading_shows_states_metrics_and_no_secret, fun reading/1},
        {info_without_a_process_needs_no_signature, fun description/1},
        {anyone_reads_but_changes_nothing_if_reading_is_for_all, fun read_by_all/1},
        {address_with_access_changes_only_what_it_started, fun own_only/1},
        {address_with_access_reads_only_what_it_started, fun own_read/1},
        {address_at_its_limit_starts_no_more_until_it_stops_one, fun limit/1},
        {owner_and_limit_hold_after_a_restart, fun limit_after_restart/1},
        {process_to_be_resumed_cannot_be_taken_over, fun not_taken_over/1},
        {operator_is_the_option_or_the_wallet, fun operator/1},
        {push_that_hangs_does_not_hang_the_request, fun hung_stop/1},
        {functions_that_are_no_keys_are_not_called, fun keys/1}
    ]).

state(Id) ->
    case ?M:info(Id) of
        #{state := State} -> State;
        undefined -> none
    end.

started(#{cu := Cu}) ->
    Id = harness:proc_id(),
    harness:report_pushes(Id),
    test_cu:add(Cu, Id, 3),
    Options = #{<<"cursor">> => <<"earliest">>, <<"rate">> => 3600000},
    ?assertMatch(#{<<"process">> := Id, <<"started">> := true}, json(signed_call(operator, <<"start">>, Id, Options))),
    #{monitor := Monitor, rate := 3600000} = ?M:info(Id),
    Monitor ! tick,
    harness:await_results(1, 3).

started_twice(_) ->
    Id = harness:proc_id(),
    {Monitor, _} = ?M:start(Id, 3600000),
    ?assertMatch(#{<<"started">> := false}, json(signed_call(operator, <<"start">>, Id, #{<<"rate">> => 5}))),
    ?assertMatch(#{monitor := Monitor, rate := 3600000}, ?M:info(Id)),
    %% Not for an address that did not start it.
    ?assertEqual(403, status(signed_call(friend, <<"start">>, Id))).

start_options(_) ->
    Id = harness:proc_id(),
    _ = json(signed_call(operator, <<"start">>, Id, #{
        <<"rate">> => <<"7000">>, <<"paused">> => true, <<"cron-page-limit">> => 5,
        <<"cron_push_attempts">> => <<"infinity">>, <<"cron-node">> => <<"http://127.0.0.1:1, http://127.0.0.1:2">>})),
    {ok, {_, _, #{rate := 7000} = Options}} = hb_cron_registry:find(Id),
    ?assertMatch(#{cron_page_limit := 5, cron_push_attempts := infinity,
                   cron_node := [<<"http://127.0.0.1:1">>, <<"http://127.0.0.1:2">>]},
                 hb_cron_options:settings(Options)),
    harness:await_state(Id, paused).

refused_options(_) ->
    Id = harness:proc_id(),
    Start = fun(Name, Options) -> status(signed_call(Name, <<"start">>, Id, Options)) end,
    [?assertEqual({Options, 400}, {Options, Start(operator, Options)}) || Options <- [
        #{<<"rate">> => 0}, #{<<"rate">> => <<"fast">>}, #{<<"rate">> => <<"-1">>},
        #{<<"rate">> => binary:copy(<<"9">>, 100)},
        #{<<"cursor">> => <<>>}, #{<<"cursor">> => binary:copy(<<"c">>, 4097)}, #{<<"paused">> => <<"perhaps">>},
        #{<<"cron-page-limit">> => 1001}, #{<<"cron-node">> => <<"ftp://host">>}, #{<<"cron-node">> => <<255>>},
        #{<<"cron-page-limit">> => 5, <<"cron_page_limit">> => 6},
        #{<<"cron-push">> => <<"os:cmd">>}, #{<<"cron_push">> => <<"mu">>},
        #{<<"cron-owner">> => device_host:address(friend)}, #{<<"cron-checkpoint">> => <<"false">>},
        #{<<"cron-anything">> => 1}, #{<<"logger">> => <<"x">>}, #{<<"rate">> => #{<<"a">> => 1}}]],
    [?assertEqual({Options, 403}, {Options, Start(friend, Options)}) || Options <- [
        #{<<"cron-node">> => <<"http://10.0.0.1">>}, #{<<"cron-timeout">> => 1000}, #{<<"rate">> => 999}]],
    ?assertEqual(none, state(Id)),
    ?assertEqual(200, Start(friend, #{<<"rate">> => 1000, <<"cron-page-limit">> => 10})).

paused(_) ->
    Id = harness:proc_id(),
    _ = json(signed_call(operator, <<"start">>, Id)),
    ?assertMatch(#{<<"done">> := true}, json(signed_call(operator, <<"pause">>, Id))),
    harness:await_state(Id, paused),
    ?assertMatch(#{<<"state">> := <<"paused">>}, json(signed_call(operator, <<"info">>, Id))),
    ?assertMatch(#{<<"done">> := true}, json(signed_call(operator, <<"resume">>, Id))),
    harness:eventually(fun() -> state(Id) =/= paused end),
    ?assertMatch(#{<<"done">> := true}, json(signed_call(operator, <<"stop">>, Id))),
    ?assertEqual(none, state(Id)),
    ?assertNot(hb_cron_registry:is_monitored(Id)).

not_monitored(_) ->
    Id = harness:proc_id(),
    [?assertMatch({Key, {409, _}}, {Key, signed_call(operator, Key, Id, #{<<"letter">> => 1})})
     || Key <- [<<"stop">>, <<"pause">>, <<"resume">>, <<"redeliver">>, <<"discard">>, <<"info">>]].

letters(#{cu := Cu}) ->
    Id = harness:proc_id(),
    Poison = counters:new(1, []),
    dev_mu:route(Id, fun(Result, _) ->
        case harness:number(Result) of
            Number when Number rem 2 =:= 0 -> counters:get(Poison, 1) =:= 0 andalso error({poison, Number}), ok;
            _ -> ok
        end
    end),
    test_cu:add(Cu, Id, 5),
    _ = json(signed_call(operator, <<"start">>, Id, #{<<"cursor">> => <<"earliest">>})),
    #{monitor := Monitor} = ?M:info(Id),
    Monitor ! tick,
    Letters = fun() -> json(signed_call(operator, <<"dead-letters">>, Id)) end,
    harness:eventually(fun() -> case Letters() of #{<<"count">> := 2} -> true; Other -> Other end end),
    #{<<"letters">> := [One, #{<<"id">> := Second}]} = Letters(),
    #{<<"id">> := First, <<"attempts">> := 1, <<"error">> := Error} = One,
    ?assertMatch({_, _}, binary:match(Error, <<"{poison,2}">>)),
    ?assertMatch(#{<<"letters">> := [#{<<"id">> := Second}]},
                 json(signed_call(operator, <<"dead-letters">>, Id, #{<<"after">> => First}))),
    Redeliver = fun(Letter) -> signed_call(operator, <<"redeliver">>, Id, #{<<"letter">> => Letter}) end,
    Discard = fun(Letter) -> signed_call(operator, <<"discard">>, Id, #{<<"letter">> => Letter}) end,
    ?assertMatch({409, <<"Failed again", _/binary>>}, Redeliver(First)),
    counters:put(Poison, 1, 1),
    ?assertMatch(#{<<"done">> := true}, json(Redeliver(First))),
    ?assertMatch(#{<<"done">> := true}, json(Discard(Second))),
    ?assertMatch(#{<<"count">> := 0}, Letters()),
    ?assertEqual([409, 409], [status(Redeliver(First)), status(Discard(Second))]),
    [?assertEqual(400, status(signed_call(operator, Key, Id, Letter)))
     || Key <- [<<"redeliver">>, <<"discard">>], Letter <- [#{}, #{<<"letter">> => <<"one">>}]].

reading(_) ->
    [First | _] = Ids = lists:sort([harness:proc_id() || _ <- lists:seq(1, 3)]),
    [?M:start(Id, #{rate => 3600000, cron_node => <<"http://user:secret@127.0.0.1:1/path">>}) || Id <- Ids],
    Read = fun(Key, More) ->
        Message = More#{<<"action">> => Key, <<"time">> => erlang:system_time(millisecond)},
        call(Key, device_host:sign(Message, operator))
    end,
    #{<<"monitors">> := Rows, <<"next">> := null} = json(Read(<<"list">>, #{})),
    ?assertEqual(Ids, [Id || #{<<"process">> := Id} <- Rows]),
    ?assertMatch(#{<<"monitors">> := [#{<<"process">> := First}], <<"next">> := First},
                 json(Read(<<"list">>, #{<<"limit">> => 1}))),
    [?assertEqual({More, 400}, {More, status(Read(<<"list">>, More))})
     || More <- [#{<<"limit">> => 0}, #{<<"limit">> => 100000}, #{<<"state">> => <<"flying">>},
                 #{<<"after">> => <<"x">>}]],
    {200, Info} = Read(<<"info">>, #{<<"process">> => First}),
    ?assertMatch({_, _}, binary:match(Info, <<"http://127.0.0.1:1">>)),
    ?assertEqual(nomatch, binary:match(Info, [<<"secret">>, <<"path">>])),
    {200, Metrics} = Read(<<"metrics">>, #{}),
    ?assertMatch({_, _}, binary:match(Metrics, <<"hb_process_monitor_monitors 3">>)).

description(_) ->
    ?assertMatch(#{<<"device">> := <<"process-monitor@1.0">>, <<"keys">> := [_ | _]}, json(call(<<"info">>, #{}))).

read_by_all(World) ->
    device_suite:run(World, #{cron_monitor_read => all}, fun() ->
        Id = harness:proc_id(),
        {_, _} = ?M:start(Id, 3600000),
        ?assertMatch(#{<<"monitors">> := [#{<<"process">> := Id}]}, json(call(<<"list">>, #{}))),
        ?assertMatch(#{<<"process">> := Id}, json(call(<<"info">>, #{<<"process">> => Id}))),
        ?assertMatch(#{<<"letters">> := []}, json(call(<<"dead-letters">>, #{<<"process">> => Id}))),
        ?assertMatch({200, _}, call(<<"metrics">>, #{})),
        %% A signature that is invalid is ignored here.
        ?assertMatch({200, _}, call(<<"list">>, device_host:sign(#{<<"x">> => <<"y">>}, stranger))),
        [?assertEqual({Key, 401}, {Key, status(call(Key, device_host:message(Key, Id)))})
         || Key <- [<<"start">>, <<"stop">>, <<"pause">>, <<"resume">>, <<"redeliver">>, <<"discard">>]]
    end).

own_only(_) ->
    [Own, Others] = [harness:proc_id(), harness:proc_id()],
    _ = json(signed_call(friend, <<"start">>, Own)),
    _ = json(signed_call(operator, <<"start">>, Others)),
    [?assertEqual({Key, 403}, {Key, status(signed_call(friend, Key, Others, #{<<"letter">> => 1}))})
     || Key <- [<<"start">>, <<"stop">>, <<"pause">>, <<"resume">>, <<"redeliver">>, <<"discard">>, <<"info">>,
                <<"dead-letters">>]],
    ?assertNotEqual(none, state(Others)),
    [?assertEqual({Key, 200}, {Key, status(signed_call(friend, Key, Own))})
     || Key <- [<<"pause">>, <<"resume">>, <<"start">>, <<"stop">>]],
    %% A stopped process has no owner.
    ?assertEqual(403, status(signed_call(friend, <<"stop">>, Own))),
    ?assertEqual(200, status(signed_call(operator, <<"stop">>, Others))).

own_read(_) ->
    [Own, Others] = [harness:proc_id(), harness:proc_id()],
    _ = json(signed_call(friend, <<"start">>, Own)),
    _ = json(signed_call(operator, <<"start">>, Others)),
    ?assertMatch(#{<<"monitors">> := [#{<<"process">> := Own}], <<"next">> := null},
                 json(signed_call(friend, <<"list">>, Own))),
    ?assertMatch(#{<<"monitors">> := []}, json(signed_call(friend, <<"list">>, Own, #{<<"after">> => Own}))),
    ?assertMatch(#{<<"process">> := Own}, json(signed_call(friend, <<"info">>, Own))),
    ?assertMatch(#{<<"letters">> := []}, json(signed_call(friend, <<"dead-letters">>, Own))),
    ?assertEqual(403, status(signed_call(friend, <<"metrics">>, Own))),
    #{<<"monitors">> := All} = json(signed_call(operator, <<"list">>, Own)),
    ?assertEqual(2, length(All)).

limit(_) ->
    [A, B, C] = [harness:proc_id() || _ <- lists:seq(1, 3)],
    Start = fun(Id) -> status(signed_call(friend, <<"start">>, Id)) end,
    ?assertEqual([200, 200, 429], [Start(Id) || Id <- [A, B, C]]),
    %% A process that it has already does not count again, and the operator has no limit.
    ?assertEqual(200, Start(A)),
    ?assertEqual(200, status(signed_call(operator, <<"start">>, C))),
    ?assertEqual(200, status(signed_call(operator, <<"stop">>, C))),
    ?assertEqual(200, status(signed_call(friend, <<"stop">>, B))),
    ?assertEqual(200, Start(C)).

limit_after_restart(World) ->
    [A, B, C] = [harness:proc_id() || _ <- lists:seq(1, 3)],
    [?assertEqual(200, status(signed_call(friend, <<"start">>, Id))) || Id <- [A, B]],
    device_suite:run(World, #{}, fun() ->
        %% Nothing is resumed yet.
        ?assertEqual(none, state(A)),
        ?assertEqual(429, status(signed_call(friend, <<"start">>, C))),
        [{_, _}, {_, _}] = ?M:resume_all(),
        ?assertEqual(429, status(signed_call(friend, <<"start">>, C))),
        ?assertEqual(200, status(signed_call(friend, <<"stop">>, A))),
        ?assertEqual(200, status(signed_call(friend, <<"start">>, C)))
    end).

not_taken_over(World) ->
    [Friends, Operators] = [harness:proc_id(), harness:proc_id()],
    ?assertEqual(200, status(signed_call(friend, <<"start">>, Friends))),
    ?assertEqual(200, status(signed_call(operator, <<"start">>, Operators))),
    Access = [device_host:address(friend), device_host:address(other)],
    device_suite:run(World, #{cron_monitor_access => Access}, fun() ->
        ?assertEqual(403, status(signed_call(other, <<"start">>, Friends))),
        ?assertEqual(403, status(signed_call(friend, <<"start">>, Operators))),
        ?assertEqual(200, status(signed_call(friend, <<"start">>, Friends)))
    end).

operator(_) ->
    Stop = fun(Name) -> status(signed_call(Name, <<"stop">>, harness:proc_id())) end,
    ?assertEqual([409, 403], [Stop(operator), Stop(other)]),
    Base = device_host:node_message(),
    Set = fun(Operator) -> device_host:set_node_message(Base#{operator => Operator}) end,
    Set(device_host:address(other)),
    ?assertEqual([403, 409], [Stop(operator), Stop(other)]),
    [begin Set(Unclaimed), ?assertEqual({Unclaimed, [409, 403]}, {Unclaimed, [Stop(operator), Stop(other)]}) end
     || Unclaimed <- [unclaimed, <<"unclaimed">>, undefined]],
    %% What is no address is the operator's claim all the same.
    Set(<<"0x0000000000000000000000000000000000000001">>),
    ?assertEqual([403, 403], [Stop(operator), Stop(other)]).

hung_stop(#{cu := Cu}) ->
    Id = harness:proc_id(),
    Push = harness:hold_pushes(Id),
    test_cu:add(Cu, Id, 1),
    {Monitor, _} = harness:start(Cu, Id, #{cursor => earliest}),
    Monitor ! tick,
    Held = harness:await_push(Push, 1),
    ?assertMatch({202, _}, signed_call(operator, <<"stop">>, Id)),
    harness:release_push(Held),
    harness:eventually(fun() -> not is_process_alive(Monitor) end).

keys(_) ->
    [?assertEqual({Key, not_a_key}, {Key, call(Key, #{})}) || Key <- [<<"module-info">>, <<"answer">>, <<"keys">>]].
