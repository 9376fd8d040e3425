%%% Whose fault an error of the host is decides what happens: one test for each row of the table in docs/pushing.md,
%%% on doubles of the hosts that can fail so.
-module(host_fault_tests).
-include_lib("eunit/include/eunit.hrl").

-define(READ, {hb_cache, read}).
-define(SCHEDULE, {scheduler, schedule}).
-define(PUSH, {process, push}).
-define(COMMIT, {hb_message, commit}).

eunit_wrapper_(Tests) -> deadline:each(Tests).

all_test_() -> [suite(Era) || Era <- [era_b, era_c, era_d]].

suite(Era) ->
    era:suite(Era, [
        {bad_item_is_a_dead_letter, fun bad_item/1},
        {target_not_there_is_a_dead_letter, fun not_there/1},
        {refused_message_is_a_dead_letter, fun refused/1},
        {message_that_cannot_be_signed_is_a_dead_letter, fun not_signed/1},
        {message_that_cannot_be_verified_is_never_scheduled, fun not_verified/1},
        {store_that_fails_gives_nothing_up, fun store_fails/1},
        {missing_code_of_the_host_gives_nothing_up, fun missing_code/1},
        {table_of_the_host_that_is_gone_gives_nothing_up, fun no_table/1},
        {badarg_of_the_content_is_a_dead_letter, fun badarg/1},
        {device_that_is_not_loadable_gives_nothing_up, fun not_loadable/1},
        {late_scheduler_gives_nothing_up, fun late_scheduler/1},
        {node_without_wallet_gives_nothing_up, fun no_wallet/1},
        {host_fault_shows_in_the_doctor_until_a_push_succeeds, fun doctor/1},
        {unknown_fault_of_one_target_is_a_dead_letter, fun unknown/1},
        {failing_target_is_delivered_and_logged_ever_less_often, fun target_fails/1},
        {push_that_raises_for_good_is_no_dead_letter, fun push_raises/1},
        {target_that_is_a_wallet_is_logged_once, fun wallet/1},
        {target_that_is_no_process_is_logged_once, fun no_process/1}
    ]).

%% Starts a monitor for results of one message each, and returns its logger.
start(World, Targets) -> start(World, Targets, #{}).

start(World, Targets, Options) ->
    {_, Logger} = era:start(World, [era:result([era:message(Target, integer_to_list(N))])
                                    || {N, Target} <- lists:zip(lists:seq(1, length(Targets)), Targets)], Options),
    Logger.

data(Target) -> [maps:get(<<"data">>, Message) || Message <- host_double:scheduled(Target)].

await(Target, Data) -> harness:eventually(fun() -> data(Target) =:= Data end).

letters(#{source := Source}) ->
    {ok, Letters} = hb_process_monitor:dead_letters(Source),
    Letters.

%% The item's fault

bad_item(World) ->
    After = era:target(local),
    _ = start(World, [<<"no id">>, After]),
    await(After, [<<"2">>]),
    ?assertMatch([#{error := {bad_target, <<"no id">>}, attempts := 2}], letters(World)).

not_there(World) ->
    [Missing, After] = [harness:proc_id(), era:target(local)],
    _ = start(World, [Missing, After]),
    await(After, [<<"2">>]),
    ?assertMatch([#{error := {target_not_found, Missing}}], letters(World)).

refused(World) ->
    After = era:target(local),
    _ = start(World, [era:target(no_scheduler), After]),
    await(After, [<<"2">>]),
    ?assertMatch([#{error := {not_scheduled, <<"No scheduler", _/binary>>}}], letters(World)).

%% A message without tags can be signed.
not_signed(World) ->
    [Target, After] = [era:target(local), era:target(local)],
    host_double:on(?COMMIT, fun
        ([#{<<"target">> := Id} | _]) when Id =:= Target -> error({badkey, <<"a">>});
        (_) -> pass
    end),
    _ = start(World, [Target, After]),
    await(After, [<<"2">>]),
    ?assertMatch([#{error := {not_signed, {error, {badkey, <<"a">>}}}}], letters(World)).

not_verified(World) ->
    [Target, After] = [era:target(local), era:target(local)],
    host_double:on(?COMMIT, fun
        ([#{<<"target">> := Id} = Message | _]) when Id =:= Target ->
            Message#{<<"commitments">> => #{<<"id">> => #{<<"committer">> => <<"c">>, <<"committed">> => [],
                <<"commitment-device">> => <<"httpsig@1.0">>, <<"signature">> => <<"of something else">>}}};
        (_) -> pass
    end),
    _ = start(World, [Target, After]),
    await(After, [<<"2">>]),
    ?assertMatch([#{error := cannot_be_verified}], letters(World)),
    ?assertEqual([], host_double:scheduled(Target)).

%% The host's fault: more failures than a result has tries

gives_nothing_up(World, Call, Fault) ->
    Target = era:target(local),
    host_double:on(Call, host_double:first(9, Fault)),
    Logger = start(World, [Target, Target]),
    await(Target, [<<"1">>, <<"2">>]),
    ?assertEqual([], letters(World)),
    harness:await_logged(Logger, fun({ok, recovered, {_, push, _}}) -> true end).

store_fails(#{era := era_d} = World) ->
    gives_nothing_up(World, ?READ, fun(_) -> {failure, #{<<"status">> => 503}} end);
store_fails(World) ->
    gives_nothing_up(World, ?READ, fun([Id, _]) -> error({necessary_message_not_found, Id, #{}}) end).

missing_code(World) -> gives_nothing_up(World, ?SCHEDULE, fun(_) -> error(undef) end).

no_table(World) -> gives_nothing_up(World, ?SCHEDULE, fun(_) -> ets:lookup(no_such_table, key) end).

badarg(World) ->
    [Target, After] = [era:target(local), era:target(local)],
    host_double:on(?SCHEDULE, fun
        ([{as, _, #{<<"id">> := Id}}, _, _]) when Id =:= Target -> binary_to_integer(Id);
        (_) -> pass
    end),
    _ = start(World, [Target, After]),
    await(After, [<<"2">>]),
    ?assertMatch([#{error := {error, badarg}}], letters(World)).

not_loadable(World) ->
    gives_nothing_up(World, ?SCHEDULE, fun(_) -> throw({error, {device_not_loadable, <<"scheduler@1.0">>, not_loadable}}) end).

%% The message was assigned before the host gave up waiting. Where the host removes duplicates, it counts once.
late_scheduler(#{era := Era} = World) ->
    Target = era:target(local),
    host_double:on(?SCHEDULE, host_double:first(3, fun([_, #{<<"body">> := Message}, _]) ->
        _ = host_double:schedule(Target, Message),
        throw({scheduler_timeout, {proc_id, Target}, {message, Message}})
    end)),
    Logger = start(World, [Target, Target]),
    await(Target, [<<"1">>, <<"1">>, <<"1">>, <<"1">>, <<"2">>]),
    ?assertEqual([], letters(World)),
    harness:await_logged(Logger, fun({error, push_failed, {_, _, {throw, scheduler_timeout}, 1}}) -> true end),
    %% The same signed message each time.
    ?assertEqual(2, length(later_host:computed(Target))),
    ?assertEqual(2, length([Message || [#{<<"target">> := _} = Message | _] <- host_double:asked(?COMMIT)])),
    ?assert(lists:member(Era, [era_b, era_c, era_d])).

no_wallet(World) ->
    host_double:on({ranch, info}, fun(_) -> [] end),
    gives_nothing_up(World, {hb, wallet}, fun(_) -> error({badmatch, {error, eacces}}) end).

doctor(World) ->
    Target = era:target(local),
    host_double:on(?SCHEDULE, fun(_) -> error(undef) end),
    _ = start(World, [Target]),
    Finding = fun() ->
        #{advice := Advice} = hb_process_monitor:doctor(#{probe => false}),
        [What || {wrong, What, _} <- Advice, binary:match(What, <<"host cannot push">>) =/= nomatch]
    end,
    harness:eventually(fun() -> Finding() =/= [] end),
    [What] = Finding(),
    ?assertMatch({_, _}, binary:match(What, <<"undef">>)),
    host_double:on(?SCHEDULE, pass),
    await(Target, [<<"1">>]),
    harness:eventually(fun() -> Finding() =:= [] end).

%% Neither side is known to be at fault

unknown(World) ->
    [Target, After] = [era:target(foreign), era:target(local)],
    _ = start(World, [Target, After]),
    await(After, [<<"2">>]),
    ?assertMatch([#{error := {error, {badmatch, {error, not_found}}}}], letters(World)).

%% The target's fault

target_fails(World) ->
    [Target, After] = [era:target(failing), era:target(local)],
    Logger = start(World, [Target, Target, Target, Target, Target, After]),
    await(After, [<<"6">>]),
    ?assertEqual([], letters(World)),
    ?assertEqual(5, length(host_double:scheduled(Target))),
    ?assertEqual(5, length([Id || [{as, _, #{<<"id">> := Id}}, _, _] <- host_double:asked(?PUSH), Id =:= Target])),
    Counts = [Count || {error, target_failed, {_, _, {Id, _Slot, _Reason}, Count}} <- hb_logger:report(Logger), Id =:= Target],
    ?assertEqual([1, 2, 4], lists:sort(Counts)).

%% What raises each time for a slot is given up as any fault that only this item has, but nothing of it is lost.
push_raises(World) ->
    [Target, After] = [era:target(local), era:target(local)],
    host_double:on(?PUSH, fun([{as, _, #{<<"id">> := Id}}, _, _]) when Id =:= Target -> error({badmatch, wasm}); (_) -> pass end),
    Logger = start(World, [Target, After]),
    await(After, [<<"2">>]),
    ?assertEqual([], letters(World)),
    ?assertEqual([<<"1">>], data(Target)),
    harness:await_logged(Logger, fun({error, push_unfinished, {_, _, {error, {badmatch, wasm}}, 2}}) -> true end).

%% No fault: an outcome that is logged once

wallet(#{source := Source} = World) ->
    [Wallet, After] = [later_host:address(<<"owner">>), era:target(local)],
    true = host_double:process(Source, local, #{<<"authority">> => Wallet}),
    Logger = start(World, [Wallet, Wallet, After]),
    await(After, [<<"3">>]),
    ?assertEqual([], letters(World)),
    ?assertMatch([1], [Count || {error, target_is_wallet, {_, _, Id, Count}} <- hb_logger:report(Logger), Id =:= Wallet]).

no_process(World) ->
    [Item, After] = [era:target(local, #{<<"type">> => <<"Message">>}), era:target(local)],
    Logger = start(World, [Item, Item, After]),
    await(After, [<<"3">>]),
    ?assertEqual([], letters(World)),
    ?assertEqual([], host_double:scheduled(Item)),
    ?assertMatch([1], [Count || {error, target_is_no_process, {_, _, Id, Count}} <- hb_logger:report(Logger), Id =:= Item]).
