%%% Starts in batches, with functions in place of starts: which starts are in a batch, the order of their outcomes, and what
%%% is left when a batch, a process that carries it out, or the caller fails.
-module(start_batches_tests).
-include_lib("eunit/include/eunit.hrl").

%% More than one batch.
-define(MANY, 3000).

eunit_wrapper_(Tests) -> deadline:each(Tests).

run(Starts, Run) -> hb_cron_start_batches:run(Starts, Run).

starts(Count) -> [{integer_to_binary(erlang:phash2(N)), N} || N <- lists:seq(1, Count)].

doubled(Batch) -> [2 * N || {_, N} <- Batch].

starts_return_outcomes_in_their_order_test() ->
    [?assertEqual([2 * N || N <- lists:seq(1, Count)], run(starts(Count), fun doubled/1))
     || Count <- [0, 1, 500, 501, ?MANY]].

batches_have_neighbouring_processes_test() ->
    Test = self(),
    _ = run(starts(?MANY), fun(Batch) -> Test ! {batch, [ProcId || {ProcId, _} <- Batch]}, doubled(Batch) end),
    Batches = lists:sort(received()),
    ?assertEqual(lists:sort([ProcId || {ProcId, _} <- starts(?MANY)]), lists:append(Batches)).

starts_of_one_process_stay_together_in_order_test() ->
    Test = self(),
    Same = [{<<"same">>, N} || N <- lists:seq(1, ?MANY)],
    Others = starts(?MANY),
    _ = run(lists:append([[One, Other] || {One, Other} <- lists:zip(Same, Others)]),
            fun(Batch) -> Test ! {batch, [Start || {<<"same">>, _} = Start <- Batch]}, doubled(Batch) end),
    ?assertEqual([Same], [Batch || Batch <- received(), Batch =/= []]).

starts_without_a_process_are_divided_test() ->
    Test = self(),
    _ = run([{none, N} || N <- lists:seq(1, ?MANY)], fun(Batch) -> Test ! {batch, Batch}, doubled(Batch) end),
    ?assert(length(received()) > 1).

failure_of_a_batch_is_raised_to_the_caller_test() ->
    alone(fun() ->
        ?assertError(full, run(starts(?MANY), fun([{_, N} | _] = Batch) -> N > 0 andalso error(full), doubled(Batch) end)),
        ?assertThrow(late, run(starts(?MANY), fun(_) -> throw(late) end)),
        ?assertEqual([], mailbox())
    end).

worker_that_is_killed_is_raised_to_the_caller_test() ->
    alone(fun() ->
        ?assertError({not_started, killed}, run(starts(?MANY), fun(_) -> exit(self(), kill), receive never -> [] end end)),
        ?assertEqual([], [Message || Message <- mailbox(), element(1, Message) =/= 'EXIT'])
    end).

caller_that_is_killed_ends_its_batches_test() ->
    Test = self(),
    Caller = spawn(fun() -> run(starts(?MANY), fun(_) -> Test ! {batch, self()}, receive never -> [] end end) end),
    Worker = receive {batch, Pid} -> Pid end,
    Ref = monitor(process, Worker),
    exit(Caller, kill),
    receive {'DOWN', Ref, process, _, Reason} -> ?assertEqual(killed, Reason) end,
    _ = received().

outcomes_leave_nothing_in_the_mailbox_test() ->
    alone(fun() ->
        self() ! mine,
        _ = run(starts(?MANY), fun doubled/1),
        ?assertEqual([mine], mailbox())
    end).

%% In a process without messages of other tests, which traps exits.
alone(Test) ->
    {Pid, Ref} = spawn_monitor(fun() -> _ = process_flag(trap_exit, true), Test() end),
    receive {'DOWN', Ref, process, Pid, Reason} -> ?assertEqual(normal, Reason) end.

received() ->
    receive {batch, Batch} -> [Batch | received()]
    after 0 -> []
    end.

mailbox() ->
    receive Message -> [Message | mailbox()]
    after 0 -> []
    end.
