%%% A disk whose fsync is slow or hangs: only calls that must be durable wait for it, and what returned `ok' is
%%% durable. The tests run in a separate node with a preloaded fsync (`test/support/hang_sync.c').
-module(hung_disk_tests).
-include_lib("eunit/include/eunit.hrl").
%% Runs in the separate node.
-export([main/1, log/2]).

-define(VARIABLE, "HANG_SYNC").
%% How long all cases may take, in ms. Only a failure takes this long.
-define(LIMIT, 280000).

eunit_wrapper_(Tests) -> deadline:each(Tests).

disk_that_hangs_holds_up_only_what_has_to_be_durable_test_() ->
    {timeout, ?LIMIT div 1000 + 30, fun() ->
        ?assertEqual([{Case, ok} || Case <- cases()],
                     preloaded_node:run(?MODULE, "hang_sync.c", ?VARIABLE, ?LIMIT))
    end}.

cases() ->
    [calls_that_wait_leave_ticks_and_files_alone, stop_says_ok_once_all_is_durable,
     stop_that_cannot_be_durable_says_so, pause_that_cannot_be_durable_says_so, commit_that_hangs_is_seen_while_it_hangs, clean_stop_reports_no_deaths, application_stop_names_the_checkpoint].

main([Port]) ->
    preloaded_node:main(Port, cases(), fun() -> {fun run_alone/1, fun() -> ok end} end).

run_alone(Case) ->
    Cu = harness:setup(),
    try run(Case, Cu)
    after
        preloaded_node:allow(?VARIABLE),
        harness:cleanup(Cu)
    end.

%% Twelve callers wait for the disk, more than there are dirty IO schedulers.
run(calls_that_wait_leave_ticks_and_files_alone, Cu) ->
    Ticking = harness:proc_id(),
    {_, _} = harness:start(Cu, Ticking, #{rate => 20, cursor => earliest}),
    {Doomed, _} = harness:start_and_push(Cu, harness:proc_id(), 1),
    ok = hb_process_monitor:stop(Doomed, deadline:ms()),
    hang(),
    Callers = [spawn_monitor(fun() -> call(N, harness:proc_id()) end) || N <- lists:seq(1, 12)],
    harness:eventually(fun() -> maps:get(writing_for_ms, status()) > 0 end),
    Before = length(test_cu:requests(Cu, Ticking)),
    %% Ticks and the host's file operations continue.
    harness:eventually(fun() -> length(test_cu:requests(Cu, Ticking)) >= Before + 20 end),
    {ok, _} = file:read_file_info("/"),
    [true = is_process_alive(Caller) || {Caller, _} <- Callers],
    preloaded_node:allow(?VARIABLE),
    [receive {'DOWN', Ref, process, _, Reason} -> normal = Reason end || {_, Ref} <- Callers],
    ok;
run(stop_says_ok_once_all_is_durable, Cu) ->
    {Monitor, _} = harness:start_and_push(Cu, harness:proc_id(), 3),
    hang(),
    {error, timeout} = hb_process_monitor:stop(Monitor, 500),
    true = is_process_alive(Monitor),
    preloaded_node:allow(?VARIABLE),
    hb_process_monitor:stop(Monitor, deadline:ms());
run(stop_that_cannot_be_durable_says_so, Cu) ->
    Logger = hb_logger:start(),
    {Monitor, _} = harness:start_and_push(Cu, harness:proc_id(), 3, #{logger => Logger}),
    hang(),
    {error, timeout} = hb_process_monitor:stop(Monitor, 0),
    %% It returns at once, although its limit is a minute.
    harness:eventually(fun() -> stopping_timer(Monitor) =/= none end),
    Monitor ! {timeout, stopping_timer(Monitor), not_durable},
    Answer = hb_process_monitor:stop(Monitor, deadline:ms()),
    true = lists:member(Answer, [{error, not_durable}, {error, timeout}]),
    harness:await_logged(Logger, fun({error, not_durable, {_, _}}) -> true end);
run(pause_that_cannot_be_durable_says_so, Cu) ->
    Id = harness:proc_id(),
    {_, _} = harness:start_and_push(Cu, Id, 1),
    hang(),
    {error, not_durable} = hb_process_monitor:pause(Id),
    %% It pauses all the same.
    harness:await_state(Id, paused),
    preloaded_node:allow(?VARIABLE),
    hb_process_monitor:resume(Id);
run(commit_that_hangs_is_seen_while_it_hangs, Cu) ->
    Id = harness:proc_id(),
    {Monitor, _} = harness:start_and_push(Cu, Id, 3),
    Self = self(),
    ok = logger:set_primary_config(level, notice),
    ok = logger:add_handler(heard, ?MODULE, #{config => Self, level => notice}),
    hang(),
    %% An ack without a waiter suffices.
    test_cu:add(Cu, Id, 1),
    Monitor ! tick,
    harness:await_results(4, 4),
    Path = list_to_binary(harness:checkpoint()),
    {Path, {for_ms, For}} = heard(checkpoint_stalled),
    true = For >= 5000,
    #{advice := Advice} = hb_process_monitor:doctor(#{probe => false}),
    [_] = [Do || {wrong, What, Do} <- Advice, binary:match(What, <<"has not returned for">>) =/= nomatch],
    #{checkpoint_writing_seconds := Seconds} = hb_process_monitor:metrics(),
    true = Seconds >= For / 1000,
    %% Pushing continues.
    test_cu:add(Cu, Id, 1),
    Monitor ! tick,
    harness:await_results(5, 5),
    preloaded_node:allow(?VARIABLE),
    {Path, {after_ms, _}} = heard(checkpoint_stall_ended),
    ok = logger:remove_handler(heard),
    harness:eventually(fun() -> maps:get(checkpoint_writing_seconds, hb_process_monitor:metrics()) < 5 end);
run(clean_stop_reports_no_deaths, Cu) ->
    Logger = hb_logger:start(),
    Options = #{logger => Logger},
    [harness:start_and_push(Cu, harness:proc_id(), 1, Options) || _ <- lists:seq(1, 20)],
    slow(300),
    ok = application:stop(hb_process_monitor),
    [] = [Entry || {error, _, _} = Entry <- harness:report(Logger)],
    ok;
run(application_stop_names_the_checkpoint, Cu) ->
    {_, _} = harness:start_and_push(Cu, harness:proc_id(), 3),
    Self = self(),
    ok = logger:set_primary_config(level, warning),
    ok = logger:add_handler(heard, ?MODULE, #{config => Self, level => warning}),
    hang(),
    ok = application:stop(hb_process_monitor),
    Path = list_to_binary(harness:checkpoint()),
    {Path, _} = heard(checkpoint_not_durable),
    ok.

heard(What) ->
    receive {heard, #{what := What, details := Details}} -> Details
    after deadline:ms() -> error({not_logged, What})
    end.

%% The callback of OTP's logger.
log(#{msg := {report, Report}}, #{config := Test}) -> Test ! {heard, Report}, ok;
log(_, _) -> ok.

call(N, Id) when N rem 2 =:= 0 -> ok = hb_process_monitor:forget(Id);
call(_, Id) -> {ok, []} = hb_process_monitor:dead_letters(Id).

stopping_timer(Monitor) ->
    case lists:last(tuple_to_list(sys:get_state(Monitor))) of
        {_Epoch, Timer} -> Timer;
        none -> none
    end.

status() ->
    {ok, Engine, _} = hb_cron_registry:engine(),
    hb_process_monitor_nif:checkpoint_status(Engine).

hang() -> ok = file:write_file(preloaded_node:control(?VARIABLE), <<>>).

slow(Ms) -> ok = file:write_file(preloaded_node:control(?VARIABLE), integer_to_binary(Ms)).
