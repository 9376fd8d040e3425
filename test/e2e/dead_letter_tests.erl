%%% Results that cannot be pushed: they are given up after some tries, are never lost and do not block the others
%%% for long. An unavailable device is distinguished from a poison result.
-module(dead_letter_tests).
-include_lib("eunit/include/eunit.hrl").

-define(M, hb_process_monitor).

eunit_wrapper_(Tests) -> deadline:each(Tests).

all_test_() ->
    harness:tests([
        fun poison_becomes_a_dead_letter_and_the_others_pass/1,
        fun poison_at_the_end_of_a_page_gives_its_credit_back/1,
        fun device_that_is_down_makes_one_dead_letter_and_no_more/1,
        fun device_works_for_others_consecutive_poison_is_given_up/1,
        fun dead_letters_survive_a_stop_and_are_not_pushed_again/1,
        fun dead_letter_is_redelivered_by_its_monitor_and_then_gone/1,
        fun dead_letter_that_fails_again_stays/1,
        fun dead_letter_waits_for_the_push_of_a_monitor_that_is_leaving/1,
        fun dead_letter_is_discarded_for_good/1,
        fun more_dead_letters_than_are_read_at_a_time_all_come/1,
        fun missing_dead_letters_are_not_found/1,
        fun dead_letters_of_a_closed_checkpoint_are_an_error/1,
        fun dead_letters_at_their_limit_make_pushing_wait/1,
        fun attempts_without_end_never_give_up/1,
        fun forget_takes_the_dead_letters_along/1
    ]).

%% Pushes of these numbers fail; all others succeed and are reported.
poison(Id, Numbers) ->
    Self = self(),
    dev_mu:route(Id, fun(Result, _) ->
        Number = harness:number(Result),
        case lists:member(Number, Numbers) of
            true -> Self ! {poison, Number}, error({poison, Number});
            false -> Self ! {pushed, Number, Result, none}, ok
        end
    end).

start(Cu, Id, Options) ->
    Fast = #{cursor => earliest, cron_push_attempts => 3, cron_push_backoff => {1, 2}},
    {Monitor, Logger} = harness:start(Cu, Id, maps:merge(Fast, Options)),
    Monitor ! tick,
    {Monitor, Logger}.

letters(Id) ->
    {ok, Letters} = ?M:dead_letters(Id),
    Letters.

poison_becomes_a_dead_letter_and_the_others_pass(Cu) ->
    Id = harness:proc_id(),
    poison(Id, [3]),
    test_cu:add(Cu, Id, 5),
    {_, Logger} = start(Cu, Id, #{}),
    harness:await_results(1, 2),
    harness:await_results(4, 5),
    %% Exactly three tries.
    [receive {poison, 3} -> ok after 0 -> error(too_few) end || _ <- [1, 2, 3]],
    receive {poison, _} -> error(too_many) after 0 -> ok end,
    Cursor = test_cu:cursor(3),
    [#{cursor := Cursor, attempts := 3, error := {error, {poison, 3}}, result := Result, at := At}] = letters(Id),
    ?assertMatch(#{<<"Output">> := #{<<"data">> := <<"tick 3">>}, <<"cursor">> := Cursor}, Result),
    ?assert(abs(os:system_time(millisecond) - At) < 60000),
    harness:await_logged(Logger, fun({error, dead_letter, {For, C, _, 3}}) -> For =:= Id andalso C =:= Cursor end).

poison_at_the_end_of_a_page_gives_its_credit_back(Cu) ->
    Id = harness:proc_id(),
    poison(Id, [2, 5]),
    test_cu:add(Cu, Id, 9),
    _ = start(Cu, Id, #{cron_page_limit => 1}),
    [harness:await_results(N, N) || N <- [1, 3, 4, 6, 7, 8, 9]],
    ?assertEqual(2, length(letters(Id))).

device_that_is_down_makes_one_dead_letter_and_no_more(Cu) ->
    Id = harness:proc_id(),
    poison(Id, lists:seq(1, 10)),
    test_cu:add(Cu, Id, 10),
    _ = start(Cu, Id, #{}),
    %% Many more tries than a result needs to be given up.
    [receive {poison, 1} -> ok end || _ <- [1, 2, 3]],
    [receive {poison, N} -> ?assertEqual(2, N) end || _ <- lists:seq(1, 30)],
    ?assertEqual(1, length(letters(Id))),
    %% The device works again: all other results are pushed in order.
    poison(Id, []),
    harness:await_results(2, 10),
    ?assertEqual(1, length(letters(Id))).

device_works_for_others_consecutive_poison_is_given_up(Cu) ->
    [Id, Other] = [harness:proc_id(), harness:proc_id()],
    poison(Id, [1, 2, 3]),
    dev_mu:route(Other, fun(_, _) -> ok end),
    test_cu:add(Cu, Id, 4),
    test_cu:add(Cu, Other, 1000000),
    _ = start(Cu, Other, #{cron_page_limit => 100}),
    _ = start(Cu, Id, #{}),
    harness:await_results(4, 4),
    ?assertEqual(3, length(letters(Id))).

dead_letters_survive_a_stop_and_are_not_pushed_again(Cu) ->
    Id = harness:proc_id(),
    poison(Id, [2]),
    test_cu:add(Cu, Id, 2),
    {_, Logger} = start(Cu, Id, #{}),
    harness:await_logged(Logger, fun({error, dead_letter, _}) -> true end),
    harness:await_results(1, 1),
    ok = application:stop(hb_process_monitor),
    poison(Id, []),
    test_cu:add(Cu, Id, 1),
    {Monitor, _} = harness:start(Cu, Id, #{}),
    Monitor ! tick,
    harness:await_results(3, 3),
    ?assertMatch([#{attempts := 3}], letters(Id)).

%% A process with one dead letter, number 1.
with_letter(Cu) ->
    Id = harness:proc_id(),
    poison(Id, [1]),
    test_cu:add(Cu, Id, 2),
    {Monitor, _} = start(Cu, Id, #{}),
    harness:await_results(2, 2),
    [#{id := Letter}] = letters(Id),
    {Id, Letter, Monitor}.

dead_letter_is_redelivered_by_its_monitor_and_then_gone(Cu) ->
    {Id, Letter, Monitor} = with_letter(Cu),
    Self = self(),
    dev_mu:route(Id, fun(Result, _) -> Self ! {redelivered, self(), harness:number(Result)}, ok end),
    ?assertEqual(ok, ?M:redeliver(Id, Letter)),
    receive {redelivered, By, Number} -> ?assertEqual({Monitor, 1}, {By, Number}) end,
    ?assertEqual([], letters(Id)),
    ?assertEqual({error, not_found}, ?M:redeliver(Id, Letter)).

dead_letter_waits_for_the_push_of_a_monitor_that_is_leaving(Cu) ->
    {Id, Letter, Monitor} = with_letter(Cu),
    Push = harness:hold_pushes(Id),
    test_cu:add(Cu, Id, 1),
    Monitor ! tick,
    Held = harness:await_push(Push, 3),
    stop = ?M:stop(Monitor),
    {Next, _} = harness:start(Cu, Id, #{}),
    Test = self(),
    1 = erlang:trace(Next, true, ['receive']),
    _ = spawn_link(fun() -> Test ! {redelivered, ?M:redeliver(Id, Letter)} end),
    receive {trace, Next, 'receive', {'$gen_call', _, {redeliver, _, _}}} -> ok end,
    %% The answer shows that the monitor has served all earlier messages.
    _ = sys:get_state(Next),
    1 = erlang:trace(Next, false, ['receive']),
    harness:no_push_held(Push),
    harness:release_push(Held),
    {_, Next} = Again = harness:await_push(Push, 1),
    harness:release_push(Again),
    receive {redelivered, Answer} -> ?assertEqual(ok, Answer) end.

dead_letter_that_fails_again_stays(Cu) ->
    {Id, Letter, Monitor} = with_letter(Cu),
    ?assertMatch({error, {push_failed, {error, {poison, 1}}}}, ?M:redeliver(Id, Letter)),
    ?assertMatch([_], letters(Id)),
    ok = ?M:stop(Monitor, deadline:ms()),
    ?assertEqual({error, not_monitored}, ?M:redeliver(Id, Letter)).

dead_letter_is_discarded_for_good(Cu) ->
    {Id, Letter, _} = with_letter(Cu),
    ?assertEqual(ok, ?M:discard(Id, Letter)),
    ?assertEqual([], letters(Id)),
    ok = application:stop(hb_process_monitor),
    ?assertEqual([], letters(Id)).

missing_dead_letters_are_not_found(Cu) ->
    {Id, Letter, _} = with_letter(Cu),
    Other = harness:proc_id(),
    ?assertEqual({error, not_found}, ?M:discard(Id, Letter + 1)),
    ?assertEqual({error, not_found}, ?M:discard(Other, Letter)),
    ?assertEqual({error, not_found}, ?M:redeliver(Id, Letter + 1)),
    ?assertEqual([], letters(Other)),
    ?assertMatch([_], letters(Id)).

dead_letters_at_their_limit_make_pushing_wait(Cu) ->
    harness:host(#{cron_dead_letters_max => 1}),
    Id = harness:proc_id(),
    poison(Id, [1, 3]),
    test_cu:add(Cu, Id, 2),
    {Monitor, Logger} = start(Cu, Id, #{}),
    harness:await_results(2, 2),
    %% The last successful push is at least a millisecond old.
    Then = erlang:monotonic_time(millisecond),
    harness:eventually(fun() -> erlang:monotonic_time(millisecond) > Then + 1 end),
    test_cu:add(Cu, Id, 2),
    Monitor ! tick,
    harness:await_logged(Logger, fun({error, dead_letters_full, {For, _, _}}) -> For =:= Id end),
    [#{id := Letter}] = letters(Id),
    harness:no_result(),
    %% With room for a dead letter, pushing continues.
    ?assertEqual(ok, ?M:discard(Id, Letter)),
    harness:await_results(4, 4),
    Cursor = test_cu:cursor(3),
    ?assertMatch([#{cursor := Cursor}], letters(Id)).

attempts_without_end_never_give_up(Cu) ->
    Id = harness:proc_id(),
    poison(Id, [1]),
    test_cu:add(Cu, Id, 1),
    _ = start(Cu, Id, #{cron_push_attempts => infinity}),
    [receive {poison, 1} -> ok end || _ <- lists:seq(1, 50)],
    ?assertEqual([], letters(Id)),
    poison(Id, []),
    harness:await_results(1, 1).

more_dead_letters_than_are_read_at_a_time_all_come(Cu) ->
    Id = harness:proc_id(),
    Numbers = lists:seq(2, 242, 2),
    poison(Id, Numbers),
    test_cu:add(Cu, Id, 243),
    {_, _} = start(Cu, Id, #{cron_push_attempts => 1}),
    harness:eventually(fun() -> length(letters(Id)) =:= 121 end),
    ?assertEqual([test_cu:cursor(Number) || Number <- Numbers], [Cursor || #{cursor := Cursor} <- letters(Id)]).

dead_letters_of_a_closed_checkpoint_are_an_error(Cu) ->
    {Id, Letter, _} = with_letter(Cu),
    [] = hb_process_monitor_nif:close_checkpoints(deadline:ms()),
    ?assertMatch({error, <<_, _/binary>>}, ?M:dead_letters(Id)),
    ?assertMatch({error, <<_, _/binary>>}, ?M:redeliver(Id, Letter)),
    %% Invalid numbers are not looked up.
    ?assertEqual({error, not_found}, ?M:redeliver(Id, 0)).

forget_takes_the_dead_letters_along(Cu) ->
    {Id, _, Monitor} = with_letter(Cu),
    ok = ?M:stop(Monitor, deadline:ms()),
    ok = ?M:forget(Id),
    ?assertEqual([], letters(Id)).
