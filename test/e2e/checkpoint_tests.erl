%%% The checkpoint: acked results survive every kind of end, and a start continues after them.
-module(checkpoint_tests).
-include_lib("eunit/include/eunit.hrl").

-export([log/2]).

-define(M, hb_process_monitor).

eunit_wrapper_(Tests) -> deadline:each(Tests).

all_test_() ->
    harness:tests([
        fun start_after_a_stop_goes_on_after_the_last_ack/1,
        fun start_after_the_application_was_stopped_goes_on/1,
        fun start_after_a_stop_in_the_middle_of_a_page_goes_on_there/1,
        fun start_with_a_cursor_overrules_the_checkpoint_and_says_so/1,
        fun start_from_the_earliest_overrules_the_checkpoint/1,
        fun start_of_a_process_that_was_never_resolved_looks_it_up_again/1,
        fun starting_point_is_durable_before_the_first_fetch/1,
        fun starting_point_that_is_durable_at_once_is_fetched_from/1,
        fun stale_cursor_is_not_resumed_from/1,
        fun forgotten_process_begins_after_the_latest_result/1,
        fun forget_of_a_monitored_process_is_refused/1,
        fun resume_all_starts_what_was_not_stopped/1,
        fun tree_that_died_resumes_its_monitors_when_it_comes_back/1,
        fun processes_of_the_host_are_started_with_the_application/1,
        fun checkpoint_off_writes_nothing_and_goes_on_after_a_stop/1,
        fun checkpoint_off_forgets_all_with_the_application/1,
        fun stop_that_waits_returns_when_the_last_ack_is_durable/1
    ]).

trouble_test_() ->
    harness:tests([
        fun checkpoint_that_cannot_be_made_is_an_error_of_start/1,
        fun checkpoint_that_another_node_has_open_is_an_error_of_start/1,
        fun checkpoint_that_is_damaged_is_moved_aside/1,
        fun checkpoint_deleted_under_a_node_is_written_anew/1,
        fun checkpoint_replaced_under_a_node_is_written_anew/1
    ]).

%% The log/2 of OTP's handler.
log(#{msg := {report, #{what := record, text := Text}}}, #{config := Test}) -> Test ! {record, Text}, ok;
log(_, _) -> ok.

%% Starts a monitor that continues from the checkpoint.
again(Cu, Id) ->
    {Monitor, Logger} = harness:start(Cu, Id, #{}),
    Monitor ! tick,
    {Monitor, Logger}.

%% A process of which this many results are pushed and acked.
start_after_a_stop_goes_on_after_the_last_ack(Cu) ->
    Id = harness:proc_id(),
    {Monitor, _} = harness:start_and_push(Cu, Id, 5),
    ok = ?M:stop(Monitor, deadline:ms()),
    test_cu:add(Cu, Id, 3),
    {_, Logger} = again(Cu, Id),
    harness:await_results(6, 8),
    Cursor = test_cu:cursor(5),
    harness:await_logged(Logger, fun({ok, resumed, {For, At}}) -> For =:= Id andalso At =:= Cursor end).

start_after_the_application_was_stopped_goes_on(Cu) ->
    Id = harness:proc_id(),
    _ = harness:start_and_push(Cu, Id, 5),
    ok = application:stop(hb_process_monitor),
    test_cu:add(Cu, Id, 3),
    _ = again(Cu, Id),
    harness:await_results(6, 8).

start_after_a_stop_in_the_middle_of_a_page_goes_on_there(Cu) ->
    Id = harness:proc_id(),
    Push = harness:hold_pushes(Id),
    test_cu:add(Cu, Id, 10),
    {Monitor, _} = harness:start(Cu, Id, #{cursor => earliest}),
    Monitor ! tick,
    [harness:release_push(harness:await_push(Push, N)) || N <- [1, 2, 3]],
    Held = harness:await_push(Push, 4),
    Monitor ! stop,
    harness:release_push(Held),
    ok = ?M:stop(Monitor, deadline:ms()),
    harness:report_pushes(Id),
    _ = again(Cu, Id),
    harness:await_results(5, 10).

start_with_a_cursor_overrules_the_checkpoint_and_says_so(Cu) ->
    Id = harness:proc_id(),
    {Monitor, _} = harness:start_and_push(Cu, Id, 5),
    ok = ?M:stop(Monitor, deadline:ms()),
    {New, Logger} = harness:start(Cu, Id, #{cursor => test_cu:cursor(2)}),
    New ! tick,
    harness:await_results(3, 5),
    Entry = {ok, checkpoint_overruled, {Id, {stored, test_cu:cursor(5)}, {given, test_cu:cursor(2)}}},
    ?assert(lists:member(Entry, harness:report(Logger))).

start_from_the_earliest_overrules_the_checkpoint(Cu) ->
    Id = harness:proc_id(),
    {Monitor, _} = harness:start_and_push(Cu, Id, 5),
    ok = ?M:stop(Monitor, deadline:ms()),
    {New, _} = harness:start(Cu, Id, #{cursor => earliest}),
    New ! tick,
    harness:await_results(1, 5).

start_of_a_process_that_was_never_resolved_looks_it_up_again(Cu) ->
    Id = harness:proc_id(),
    test_cu:script(Cu, fun(_) -> close end),
    {Monitor, Logger} = harness:start(Cu, Id, #{}),
    harness:await_logged(Logger, fun({error, connect, _}) -> true end),
    ok = ?M:stop(Monitor, deadline:ms()),
    test_cu:script(Cu, fun(_) -> pass end),
    test_cu:add(Cu, Id, 7),
    {_, Again} = harness:start(Cu, Id, #{}),
    harness:await_start_cursor(Again, test_cu:cursor(7)).

starting_point_is_durable_before_the_first_fetch(Cu) ->
    Id = harness:proc_id(),
    test_cu:add(Cu, Id, 3),
    Self = self(),
    %% The checkpoint that another node would find if this one died at its first fetch.
    test_cu:script(Cu, fun(#{kind := cron}) ->
                               Copy = harness:checkpoint() ++ ".copy",
                               {ok, _} = file:copy(harness:checkpoint(), Copy),
                               Self ! {copied, Copy},
                               pass;
                          (_) -> pass
                       end),
    {Monitor, _} = harness:start(Cu, Id, #{}),
    Monitor ! tick,
    Copy = receive {copied, C} -> C end,
    ok = application:stop(hb_process_monitor),
    harness:host(#{cron_checkpoint => Copy}),
    harness:report_pushes(Id),
    test_cu:script(Cu, fun(_) -> pass end),
    test_cu:add(Cu, Id, 2),
    {_, Logger} = again(Cu, Id),
    harness:await_results(4, 5),
    harness:await_logged(Logger, fun({ok, resumed, {For, _}}) -> For =:= Id end).

%% If fsync returns at once, the commit may precede the registration. In memory, every second monitor then never
%% learnt that it may fetch.
starting_point_that_is_durable_at_once_is_fetched_from(Cu) ->
    Memory = case filelib:is_dir("/dev/shm") of
        true -> ["TMPDIR=/dev/shm "];
        false -> []
    end,
    Dir = string:trim(os:cmd([Memory, "mktemp -d"])),
    harness:host(#{cron_checkpoint => filename:join(Dir, "checkpoint.redb")}),
    try
        [begin
            Id = harness:proc_id(),
            {Monitor, _} = harness:start_and_push(Cu, Id, 1),
            ok = ?M:stop(Monitor, deadline:ms())
        end || _ <- lists:seq(1, 100)],
        ok = application:stop(hb_process_monitor)
    after
        file:del_dir_r(Dir)
    end.

stale_cursor_is_not_resumed_from(Cu) ->
    Id = harness:proc_id(),
    {Monitor, _} = harness:start_and_push(Cu, Id, 5),
    ok = ?M:stop(Monitor, deadline:ms()),
    test_cu:add(Cu, Id, 3),
    %% The cursor is older than a millisecond: the clock has moved since the stop.
    Stopped = os:system_time(millisecond),
    harness:eventually(fun() -> os:system_time(millisecond) > Stopped + 2 end),
    {_, Logger} = harness:start(Cu, Id, #{cron_stale_after => 1}),
    harness:await_start_cursor(Logger, test_cu:cursor(8)),
    ?assertMatch([_], [Stale || {error, stale_cursor, _} = Stale <- harness:report(Logger)]).

forgotten_process_begins_after_the_latest_result(Cu) ->
    Id = harness:proc_id(),
    {Monitor, _} = harness:start_and_push(Cu, Id, 5),
    ok = ?M:stop(Monitor, deadline:ms()),
    test_cu:add(Cu, Id, 3),
    ?assertEqual(ok, ?M:forget(Id)),
    {_, Logger} = harness:start(Cu, Id, #{}),
    harness:await_start_cursor(Logger, test_cu:cursor(8)).

forget_of_a_monitored_process_is_refused(Cu) ->
    Id = harness:proc_id(),
    _ = harness:start(Cu, Id, #{}),
    ?assertEqual({error, monitored}, ?M:forget(Id)).

resume_all_starts_what_was_not_stopped(Cu) ->
    Kept = [harness:proc_id() || _ <- lists:seq(1, 20)],
    Stopped = harness:proc_id(),
    Self = self(),
    [begin
        dev_mu:route(Id, fun(Result, _) -> Self ! {Id, harness:number(Result)}, ok end),
        test_cu:add(Cu, Id, 2),
        {Monitor, _} = harness:start(Cu, Id, #{cursor => earliest, cron_page_limit => 17, rate => 123456}),
        Monitor ! tick,
        [receive {Id, N} -> ok end || N <- [1, 2]]
    end || Id <- [Stopped | Kept]],
    {ok, {Monitor, _, _}} = hb_cron_registry:find(Stopped),
    ok = ?M:stop(Monitor, deadline:ms()),
    ok = application:stop(hb_process_monitor),
    [test_cu:add(Cu, Id, 1) || Id <- Kept],
    Resumed = ?M:resume_all(),
    ?assertEqual(lists:sort(Kept), lists:sort([Id || {Id, {Pid, _}} <- Resumed, is_pid(Pid)])),
    [Pid ! tick || {_, {Pid, _}} <- Resumed],
    [receive {Id, N} -> ?assertEqual(3, N) end || Id <- Kept],
    %% With their previous options.
    [begin
        {ok, {_, _, Options}} = hb_cron_registry:find(Id),
        ?assertMatch(#{rate := 123456}, Options),
        ?assertMatch(#{cron_page_limit := 17}, hb_cron_options:settings(Options))
    end || Id <- Kept].

tree_that_died_resumes_its_monitors_when_it_comes_back(Cu) ->
    Id = harness:proc_id(),
    {Monitor, _} = harness:start_and_push(Cu, Id, 5),
    Ref = monitor(process, Monitor),
    exit(whereis(hb_cron_sup), kill),
    receive {'DOWN', Ref, process, _, _} -> ok end,
    harness:eventually(fun() -> not lists:keymember(hb_process_monitor, 1, application:which_applications()) end),
    test_cu:add(Cu, Id, 2),
    %% The next start brings the tree back.
    _ = harness:start(Cu, harness:proc_id(), #{}),
    harness:eventually(fun() -> hb_cron_registry:find(Id) =/= none end),
    {ok, {Back, _, _}} = hb_cron_registry:find(Id),
    Back ! tick,
    harness:await_results(6, 7).

processes_of_the_host_are_started_with_the_application(Cu) ->
    [A, B] = [harness:proc_id(), harness:proc_id()],
    harness:host(#{cron_processes => [A, {B, #{rate => 777777}}], cron_node => test_cu:url(Cu)}),
    {ok, _} = application:ensure_all_started(hb_process_monitor),
    harness:eventually(fun() -> length(hb_cron_registry:monitors()) =:= 2 end),
    {ok, {_, _, Options}} = hb_cron_registry:find(B),
    ?assertMatch(#{rate := 777777}, Options).

checkpoint_off_writes_nothing_and_goes_on_after_a_stop(Cu) ->
    harness:host(#{cron_checkpoint => false}),
    Id = harness:proc_id(),
    {Monitor, _} = harness:start_and_push(Cu, Id, 5),
    ok = ?M:stop(Monitor, deadline:ms()),
    test_cu:add(Cu, Id, 2),
    {Next, _} = harness:start(Cu, Id, #{}),
    Next ! tick,
    harness:await_results(6, 7),
    ?assertMatch([{Id, {Next, _}}], ?M:resume_all()),
    ?assertEqual({ok, []}, ?M:dead_letters(Id)),
    ?assertNot(filelib:is_regular(harness:checkpoint())),
    ok = ?M:stop(Next, deadline:ms()),
    ok = ?M:forget(Id),
    {_, Logger} = harness:start(Cu, Id, #{}),
    harness:await_start_cursor(Logger, test_cu:cursor(7)).

checkpoint_off_forgets_all_with_the_application(Cu) ->
    harness:host(#{cron_checkpoint => false}),
    Id = harness:proc_id(),
    {_, _} = harness:start_and_push(Cu, Id, 5),
    ok = application:stop(hb_process_monitor),
    {_, Logger} = harness:start(Cu, Id, #{}),
    harness:await_start_cursor(Logger, test_cu:cursor(5)).

stop_that_waits_returns_when_the_last_ack_is_durable(Cu) ->
    %% No commit happens by itself for a minute.
    harness:host(#{cron_checkpoint_interval => 60000}),
    Id = harness:proc_id(),
    {Monitor, _} = harness:start_and_push(Cu, Id, 5),
    ok = ?M:stop(Monitor, deadline:ms()),
    Copy = harness:checkpoint() ++ ".copy",
    {ok, _} = file:copy(harness:checkpoint(), Copy),
    ok = application:stop(hb_process_monitor),
    harness:host(#{cron_checkpoint => Copy}),
    test_cu:add(Cu, Id, 1),
    _ = again(Cu, Id),
    harness:await_results(6, 6).

checkpoint_that_cannot_be_made_is_an_error_of_start(Cu) ->
    Path = filename:join(harness:checkpoint(), "below-no-directory"),
    harness:host(#{cron_checkpoint => Path}),
    Binary = list_to_binary(Path),
    ?assertError({checkpoint_unavailable, Binary, _}, harness:start(Cu, harness:proc_id(), #{})),
    %% No monitor starts without a checkpoint. A start succeeds once the path is corrected.
    harness:host(#{}),
    {Monitor, _} = harness:start(Cu, harness:proc_id(), #{}),
    ?assert(is_process_alive(Monitor)).

checkpoint_that_another_node_has_open_is_an_error_of_start(Cu) ->
    Peer = harness:start_peer(["-pa" | code:get_path()]),
    try
        ok = harness:call_peer(Peer, hb_opts, set, [#{cron_checkpoint => harness:checkpoint()}]),
        {_, _} = harness:call_peer(Peer, ?M, start, [harness:proc_id(), #{cron_node => test_cu:url(Cu)}]),
        Reason = try harness:start(Cu, harness:proc_id(), #{}) of
            Started -> error({started, Started})
        catch
            error:{checkpoint_unavailable, _, Text} -> Text
        end,
        ?assertNotEqual(nomatch, string:find(Reason, "another node"))
    after
        peer:stop(Peer)
    end,
    %% Once the other node has closed it, a start succeeds.
    harness:eventually(fun() ->
        try harness:start(Cu, harness:proc_id(), #{}) of
            {Monitor, _} -> is_process_alive(Monitor)
        catch
            error:{checkpoint_unavailable, _, _} -> false
        end
    end).

checkpoint_that_is_damaged_is_moved_aside(Cu) ->
    ok = file:write_file(harness:checkpoint(), crypto:strong_rand_bytes(100000)),
    Id = harness:proc_id(),
    {Monitor, _} = harness:start_and_push(Cu, Id, 2),
    ?assert(is_process_alive(Monitor)),
    ?assertMatch([_], filelib:wildcard(harness:checkpoint() ++ ".corrupt-*")).

checkpoint_deleted_under_a_node_is_written_anew(Cu) ->
    written_anew(Cu, fun(Path) -> ok = file:delete(Path) end),
    ?assertEqual([], filelib:wildcard(harness:checkpoint() ++ ".replaced-*")).

%% As after a restored backup, or a tool that writes a new file and renames it.
checkpoint_replaced_under_a_node_is_written_anew(Cu) ->
    written_anew(Cu, fun(Path) ->
        ok = file:write_file(Path ++ ".other", <<"other">>),
        ok = file:rename(Path ++ ".other", Path)
    end),
    ?assertMatch([_], filelib:wildcard(harness:checkpoint() ++ ".replaced-*")).

written_anew(Cu, Lose) ->
    Before = maps:get(checkpoint_replacements_total, ?M:metrics()),
    {Id, Quiet} = {harness:proc_id(), harness:proc_id()},
    _ = harness:start_and_push(Cu, Quiet, 2),
    {Monitor, _} = harness:start_and_push(Cu, Id, 5),
    ok = logger:add_handler(?MODULE, ?MODULE, #{config => self(), level => error}),
    try
        Lose(harness:checkpoint()),
        %% It is noticed without any ack.
        receive {record, Text} -> ?assertMatch({_, _}, binary:match(Text, <<"was deleted or replaced while the node ran">>))
        after deadline:ms() -> error(not_noticed)
        end
    after
        ok = logger:remove_handler(?MODULE)
    end,
    ?assertEqual(Before + 1, maps:get(checkpoint_replacements_total, ?M:metrics())),
    #{advice := Advice} = ?M:doctor(#{probe => false}),
    ?assertMatch([attention], [Level || {Level, What, <<_, _/binary>>} <- Advice,
                                        binary:match(What, <<"was deleted or replaced">>) =/= nomatch]),
    test_cu:add(Cu, Id, 2),
    Monitor ! tick,
    harness:await_results(6, 7),
    ok = ?M:stop(Monitor, deadline:ms()),
    %% The checkpoint that another node would find if this one died now.
    Copy = harness:checkpoint() ++ ".copy",
    {ok, _} = file:copy(harness:checkpoint(), Copy),
    ok = application:stop(hb_process_monitor),
    harness:host(#{cron_checkpoint => Copy}),
    test_cu:add(Cu, Id, 2),
    test_cu:add(Cu, Quiet, 2),
    _ = again(Cu, Id),
    harness:await_results(8, 9),
    _ = again(Cu, Quiet),
    harness:await_results(3, 4).
