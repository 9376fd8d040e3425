%%% Pushing on an early host, which only schedules: each of its errors and traps.
-module(host_converge_tests).
-include_lib("eunit/include/eunit.hrl").

-define(SCHEDULE, {hb_converge, resolve}).
-define(ADAPTER, hb_cron_host_converge).

eunit_wrapper_(Tests) -> deadline:each(Tests).

all_test_() ->
    era:suite(era_a, [
        {result_is_signed_and_scheduled_as_the_host_wants_it, fun scheduled/1},
        {target_of_another_nodes_is_a_dead_letter_though_the_host_says_ok, fun foreign/1},
        {scheduler_that_hangs_is_given_up_after_the_time_out, fun schedule_hangs/1},
        {answer_without_a_slot_is_an_error, fun no_slot/1},
        {message_that_is_no_map_never_reaches_the_scheduler, fun no_map/1},
        {wallet_that_is_slow_to_be_made_is_waited_for, fun slow_wallet/1}
    ]).

key_test_() ->
    [?_assertEqual(Title, ?ADAPTER:key(Lower)) || {Lower, Title} <- [
        {<<"target">>, <<"Target">>}, {<<"data-protocol">>, <<"Data-Protocol">>}, {<<"x">>, <<"X">>},
        {<<"from-process">>, <<"From-Process">>}, {<<"a--b-">>, <<"A--B-">>}, {<<"1st-a_b">>, <<"1st-A_b">>},
        {<<"übung"/utf8>>, unwritable}]].

start(World, Targets) -> start(World, Targets, #{}).

start(World, Targets, Options) ->
    era:start(World, [era:result([era:message(Target, "d")]) || Target <- Targets], Options).

in_schedule(Target, Count) ->
    harness:eventually(fun() -> length(host_double:scheduled(Target)) =:= Count end).

scheduled(#{source := Source} = World) ->
    Target = era:target(local),
    _ = start(World, [Target]),
    in_schedule(Target, 1),
    [[Base, Request, Opts]] = host_double:asked(?SCHEDULE),
    {ok, Process} = hb_cache:read(Target, #{}),
    ?assertEqual(#{device => <<"Scheduler/1.0">>, process => Process}, Base),
    ?assertEqual(#{}, Opts),
    #{path := <<"Schedule">>, <<"Method">> := <<"POST">>, <<"Message">> := Signed} = Request,
    ?assertEqual(3, map_size(Request)),
    Message = #{<<"Target">> => Target, <<"Anchor">> => <<"0000">>, <<"Data">> => <<"d">>, <<"Type">> => <<"Message">>,
                <<"Data-Protocol">> => <<"ao">>, <<"From-Process">> => Source},
    ?assertEqual(hb_message:sign(Message, {wallet, <<"key">>}), Signed),
    ?assertEqual({ok, #{<<"Current-Slot">> => 1}}, hb_converge:resolve(Process, #{path => <<"Slot">>}, #{})).

foreign(World) ->
    After = era:target(local),
    _ = start(World, [era:target(foreign), era:target(foreign), After]),
    in_schedule(After, 1),
    ?assertMatch([{not_scheduled, #{<<"Status">> := <<"Failed">>}}, {not_scheduled, _}], era:letter_errors(World, 2)).

schedule_hangs(World) ->
    Target = era:target(local),
    host_double:on(?SCHEDULE, host_double:first(1, fun(_) -> receive never -> ok end end)),
    {_, Logger} = start(World, [Target, Target], #{cron_push_timeout => 300, cron_push_attempts => infinity}),
    in_schedule(Target, 2),
    harness:await_logged(Logger, fun({error, push_failed, {_, _, timeout, 1}}) -> true end).

no_slot(World) ->
    After = era:target(local),
    Bad = [{ok, #{}}, {ok, <<"done">>}, {error, not_found}, ok],
    Asked = counters:new(1, []),
    host_double:on(?SCHEDULE, fun(_) ->
        counters:add(Asked, 1, 1),
        case counters:get(Asked, 1) of
            N when N =< 8 -> lists:nth((N + 1) div 2, Bad);
            _ -> pass
        end
    end),
    _ = start(World, [After || _ <- [1, 2, 3, 4, 5]]),
    in_schedule(After, 1),
    ?assertEqual([{not_scheduled, A} || A <- [#{}, <<"done">>, not_found, ok]], era:letter_errors(World, 4)).

no_map(World) ->
    Target = era:target(local),
    Signed = host_double:first(2, fun(_) -> {error, no_message} end),
    host_double:on({hb_message, sign}, fun([#{<<"Target">> := _} | _] = Args) -> Signed(Args); (_) -> pass end),
    _ = start(World, [Target, Target]),
    in_schedule(Target, 1),
    ?assertEqual([{not_signed, {error, function_clause}}], era:letter_errors(World, 1)),
    ?assertEqual(1, length(host_double:asked(?SCHEDULE))).

slow_wallet(World) ->
    Target = era:target(local),
    Test = self(),
    host_double:on({hb, wallet}, fun(_) -> Test ! {making, self()}, receive made -> pass end end),
    _ = start(World, [Target]),
    receive {making, Push} -> Push ! made end,
    in_schedule(Target, 1).
