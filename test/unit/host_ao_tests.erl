%%% Pushing on a later host, where scheduling and pushing are two calls: each of its errors, and the source of the
%%% node's options.
-module(host_ao_tests).
-include_lib("eunit/include/eunit.hrl").

-define(SCHEDULE, {scheduler, schedule}).
-define(PUSH, {process, push}).
-define(COMMIT, {hb_message, commit}).

eunit_wrapper_(Tests) -> deadline:each(Tests).

all_test_() -> [era:suite(Era, tests()) || Era <- [era_b, era_c, era_d]].

tests() -> [
        {result_is_scheduled_then_pushed_from_its_slot, fun pushed_from_its_slot/1},
        {push_waits_for_the_state_unless_the_node_says_otherwise, fun waits_for_writes/1},
        {push_from_the_slot_that_fails_is_tried_again_by_itself, fun push_fails/1},
        {push_from_the_slot_that_hangs_takes_no_second_slot, fun push_hangs/1},
        {scheduler_outlives_a_push_that_was_its_first_caller, fun scheduler_outlives/1},
        {scheduler_that_a_push_from_a_slot_started_outlives_it, fun pushed_into/1},
        {what_was_scheduled_takes_no_second_slot_when_the_engine_dies, fun engine_dies/1},
        {dead_letter_that_is_pushed_in_part_takes_no_second_slot, fun letter_in_part/1},
        {host_that_is_down_makes_no_dead_letter, fun host_down/1},
        {fault_of_the_targets_own_code_is_pushed, fun lua_error/1},
        {tampered_message_is_refused_then_a_dead_letter, fun tampered/1},
        {target_without_scheduler_is_a_dead_letter, fun no_scheduler/1},
        {target_of_another_nodes_is_a_dead_letter, fun foreign/1},
        {target_that_goes_before_it_is_scheduled_is_not_found, fun goes/1},
        {scheduler_that_hangs_is_given_up_after_the_time_out, fun schedule_hangs/1},
        {node_without_listener_signs_with_its_wallet, fun no_listener/1},
        {node_without_ranch_signs_with_its_wallet, fun no_ranch/1},
        {listener_that_is_not_the_nodes_is_passed_over, fun other_listener/1},
        {node_without_a_wallet_schedules_nothing_and_is_asked_again, fun no_wallet/1}
    ].

start(World, Targets) -> start(World, Targets, #{}).

%% Pushes a result with a message for each target, numbered in its data.
start(World, Targets, Options) ->
    era:start(World, [era:result([era:message(Target, integer_to_list(N))])
                      || {N, Target} <- lists:enumerate(Targets)], Options).

pushed(Target, Slots) ->
    harness:eventually(fun() -> host_double:pushed(Target) =:= Slots end).

pushed_from_its_slot(World) ->
    Target = era:target(local),
    _ = start(World, [Target, Target]),
    pushed(Target, [1, 2]),
    [[_, #{<<"path">> := <<"push">>, <<"slot">> := 1} = Request, Opts] | _] = host_double:asked(?PUSH),
    ?assertEqual(2, map_size(Request)),
    ?assertEqual({wallet, <<"node">>}, wallet(World, Opts)),
    ?assertEqual(2, length(host_double:scheduled(Target))).

waits_for_writes(World) ->
    Waits = fun() ->
        Target = era:target(local),
        _ = start(World, [Target]),
        pushed(Target, [1]),
        [[_, _, Opts] | _] = lists:reverse(host_double:asked(?PUSH)),
        not maps:get(process_async_cache, Opts)
    end,
    ?assert(Waits()),
    Wallet = {wallet, <<"node">>},
    host_double:on({cowboy, get_env}, fun([http_listener, node_msg, _]) ->
        #{priv_wallet => Wallet, <<"priv-wallet">> => Wallet, process_async_cache => true}
    end),
    ?assertNot(Waits()).

wallet(#{era := era_d}, #{<<"priv-wallet">> := Wallet}) -> Wallet;
wallet(_World, #{priv_wallet := Wallet}) -> Wallet.

push_fails(World) ->
    Target = era:target(local),
    host_double:on(?PUSH, host_double:first(3, fun(_) -> exit({noproc, {gen_server, call, [a_process]}}) end)),
    {_, Logger} = start(World, [Target], #{cron_push_attempts => infinity}),
    pushed(Target, [1]),
    harness:await_logged(Logger, fun({ok, recovered, {_, push, _}}) -> true end),
    ?assertEqual(1, length(host_double:asked(?SCHEDULE))),
    ?assertEqual(4, length(host_double:asked(?PUSH))).

push_hangs(World) ->
    Target = era:target(local),
    host_double:on(?PUSH, host_double:first(2, fun(_) -> receive never -> ok end end)),
    {_, Logger} = start(World, [Target], #{cron_push_timeout => 300, cron_push_attempts => infinity}),
    pushed(Target, [1]),
    harness:await_logged(Logger, fun({error, push_failed, {_, _, timeout, _}}) -> true end),
    ?assertEqual(1, length(host_double:asked(?SCHEDULE))).

scheduler_outlives(World) ->
    Target = era:target(local),
    host_double:on(?PUSH, host_double:first(1, fun(_) -> receive never -> ok end end)),
    _ = start(World, [Target, Target], #{cron_push_timeout => 300, cron_push_attempts => infinity}),
    pushed(Target, [1, 2]),
    ?assertEqual([], host_double:died()).

%% A push from a slot also schedules the messages that the process sends.
pushed_into(World) ->
    [A, Other, B] = [era:target(local) || _ <- [1, 2, 3]],
    host_double:on(?PUSH, fun
        ([{as, _, #{<<"id">> := Id}}, _, _]) when Id =:= A -> _ = host_double:schedule(Other, #{}), pass;
        (_) -> pass
    end),
    Hang = host_double:first(1, fun(_) -> receive never -> ok end end),
    host_double:on(?SCHEDULE, fun
        ([_, #{<<"body">> := #{<<"target">> := Id}}, _] = Args) when Id =:= B -> Hang(Args);
        (_) -> pass
    end),
    _ = era:start(World, [era:result([era:message(A, "1"), era:message(B, "2")])],
                  #{cron_push_timeout => 300, cron_push_attempts => infinity}),
    pushed(B, [1]),
    ?assertEqual([], host_double:died()).

engine_dies(World) ->
    A = era:target(local),
    B = harness:proc_id(),
    {Monitor, Logger} = era:start(World, [era:result([era:message(A, "1"), era:message(B, "2")])],
                                  #{cron_push_attempts => infinity, cron_push_backoff => {1 bsl 31, 1 bsl 31}}),
    harness:await_logged(Logger, fun({error, push_failed, _}) -> true end),
    Ticker = whereis(hb_cron_engine),
    _ = harness:kill(Ticker),
    true = host_double:process(B, local),
    harness:eventually(fun() -> Monitor ! tick, host_double:pushed(B) =:= [1] end),
    ?assertNotEqual(Ticker, whereis(hb_cron_engine)),
    ?assertEqual(1, length(host_double:scheduled(A))).

letter_in_part(#{source := Source} = World) ->
    [B, C] = [harness:proc_id(), harness:proc_id()],
    After = era:target(local),
    _ = era:start(World, [era:result([era:message(B, "1"), era:message(C, "2")]),
                          era:result([era:message(After, "3")])]),
    pushed(After, [1]),
    {ok, [#{id := Id}]} = hb_process_monitor:dead_letters(Source),
    true = host_double:process(B, local),
    {error, {push_failed, {target_not_found, C}}} = hb_process_monitor:redeliver(Source, Id),
    {error, {push_failed, {target_not_found, C}}} = hb_process_monitor:redeliver(Source, Id),
    true = host_double:process(C, local),
    ok = hb_process_monitor:redeliver(Source, Id),
    ?assertEqual([1, 1], [length(host_double:scheduled(Of)) || Of <- [B, C]]),
    ?assertEqual({ok, []}, hb_process_monitor:dead_letters(Source)).

%% Only messages: neither spawns nor assignments.
host_down(World) ->
    A = era:target(local),
    Asked = counters:new(1, []),
    host_double:on({hb_cache, read}, fun(_) -> counters:add(Asked, 1, 1), error(store_is_down) end),
    _ = era:start(World, [[<<"{\"Messages\":[">>, era:message(A, integer_to_list(N)), <<"]}">>] || N <- lists:seq(1, 6)]),
    %% Enough failures to give all up, twice.
    harness:eventually(fun() -> counters:get(Asked, 1) >= 12 end),
    ?assertEqual([], era:letter_errors(World, 0)),
    host_double:on({hb_cache, read}, pass),
    pushed(A, [1, 2, 3, 4, 5, 6]).

lua_error(World) ->
    Target = era:target(lua_error),
    _ = start(World, [Target, Target]),
    pushed(Target, [1, 2]),
    ?assertEqual([], era:letter_errors(World, 0)).

tampered(World) ->
    Target = era:target(local),
    After = era:target(local),
    host_double:on(?SCHEDULE, fun
        ([_, #{<<"body">> := #{<<"target">> := Id}}, _]) when Id =:= Target ->
            {error, #{<<"status">> => 400, <<"body">> => <<"Message is not valid.">>, <<"reason">> => #{}}};
        (_) -> pass
    end),
    _ = start(World, [Target, After]),
    pushed(After, [1]),
    ?assertEqual([{not_scheduled, {status, 400, <<"Message is not valid.">>}}], era:letter_errors(World, 1)),
    ?assertEqual([], host_double:scheduled(Target)).

no_scheduler(World) ->
    After = era:target(local),
    _ = start(World, [era:target(no_scheduler), era:target(no_scheduler), After]),
    pushed(After, [1]),
    ?assertEqual([{not_scheduled, <<"No scheduler information provided.">>} || _ <- [1, 2]], era:letter_errors(World, 2)).

foreign(World) ->
    After = era:target(local),
    _ = start(World, [era:target(foreign), era:target(foreign), After]),
    pushed(After, [1]),
    ?assertEqual([{error, {badmatch, {error, not_found}}} || _ <- [1, 2]], era:letter_errors(World, 2)).

goes(World) ->
    Target = harness:proc_id(),
    host_double:on({hb_cache, read}, fun([Id, _]) -> {ok, #{<<"id">> => Id}} end),
    _ = start(World, [Target]),
    ?assertEqual([{target_not_found, Target}], era:letter_errors(World, 1)).

schedule_hangs(World) ->
    Target = era:target(local),
    host_double:on(?SCHEDULE, host_double:first(1, fun(_) -> receive never -> ok end end)),
    {_, Logger} = start(World, [Target, Target], #{cron_push_timeout => 300, cron_push_attempts => infinity}),
    pushed(Target, [1, 2]),
    harness:await_logged(Logger, fun({error, push_failed, {_, _, timeout, 1}}) -> true end).

signed_with(World, Wallet) ->
    Target = era:target(local),
    _ = start(World, [Target]),
    pushed(Target, [1]),
    [[_, Opts, _]] = host_double:asked(?COMMIT),
    ?assertEqual(Wallet, wallet(World, Opts)).

no_listener(World) ->
    host_double:on({ranch, info}, fun(_) -> [] end),
    signed_with(World, {wallet, <<"key">>}).

no_ranch(World) ->
    host_double:on({ranch, info}, fun(_) -> error(undef) end),
    signed_with(World, {wallet, <<"key">>}).

other_listener(World) ->
    %% A map by name, as newer libraries return, with a listener that is not cowboy's.
    host_double:on({ranch, info}, fun(_) -> #{a_listener => #{}, b_listener => #{}, http_listener => #{}} end),
    host_double:on({cowboy, get_env}, fun([a_listener | _]) -> error(badarg); (_) -> pass end),
    signed_with(World, {wallet, <<"node">>}).

no_wallet(World) ->
    Target = era:target(local),
    host_double:on({ranch, info}, fun(_) -> [] end),
    host_double:on({hb, wallet}, host_double:first(5, fun(_) -> error({badmatch, {error, eacces}}) end)),
    {_, Logger} = start(World, [Target, Target]),
    pushed(Target, [1]),
    harness:await_logged(Logger, fun({error, push_failed, {_, _, {error, {badmatch, {error, eacces}}}, _}}) -> true end),
    ?assertEqual([], era:letter_errors(World, 0)),
    [[#{<<"data">> := <<"1">>} | _] | _] = host_double:asked(?COMMIT).
