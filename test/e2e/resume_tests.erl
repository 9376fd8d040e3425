%%% Starts without a caller, of processes that the checkpoint or the host's configuration names. Each is started
%%% independently. A failed start is logged, shown by the doctor, and tried again.
-module(resume_tests).
-include_lib("eunit/include/eunit.hrl").

%% The callback of OTP's logger.
-export([log/2]).

-define(M, hb_process_monitor).
%% A push module of the operator. No module of a fresh node has its name.
-define(PUSH, "acme_push_of_resume_tests").

eunit_wrapper_(Tests) -> deadline:each(Tests).

all_test_() ->
    {foreach, fun setup/0, fun cleanup/1,
     [{with, [T]} || T <- [
        fun options_with_an_unknown_atom_are_resumed_on_a_fresh_node/1,
        fun process_that_is_refused_is_logged_found_and_tried_again/1,
        fun options_that_are_damaged_are_logged_with_the_reason/1,
        fun bad_configured_process_does_not_hold_up_the_others/1,
        fun configured_process_with_bad_options_is_found_and_retried/1,
        fun configured_cursor_does_not_count_after_a_restart/1
     ]]}.

setup() ->
    Cu = harness:setup(),
    ok = logger:add_handler(?MODULE, ?MODULE, #{config => none, level => warning}),
    Cu.

%% Sends log records to the calling test.
hears() -> ok = logger:update_handler_config(?MODULE, config, self()).

cleanup(Cu) ->
    ok = logger:remove_handler(?MODULE),
    harness:cleanup(Cu).

log(#{msg := {report, #{what := What, details := Details}}}, #{config := Test}) when is_pid(Test) -> Test ! {logged, What, Details}, ok;
log(_, _) -> ok.

%% The details of the next record of this kind.
logged(What) ->
    receive {logged, What, Details} -> Details
    after deadline:ms() -> error({not_logged, What})
    end.

advice(Findings) -> [{Level, What} || {Level, What, Do} <- maps:get(advice, Findings), Do =/= <<>>].

found(Level, Parts) ->
    Advice = advice(?M:doctor(#{probe => false})),
    Fits = [What || {L, What} <- Advice, L =:= Level,
                    lists:all(fun(Part) -> binary:match(What, Part) =/= nomatch end, Parts)],
    ?assertMatch({Parts, _, [_]}, {Parts, Advice, Fits}).

options_with_an_unknown_atom_are_resumed_on_a_fresh_node(Cu) ->
    Id = harness:proc_id(),
    test_cu:add(Cu, Id, 2),
    Push = list_to_atom(?PUSH),
    {module, Push} = harness:compile_module(Push, ["-export([push/2]).", "push(_, _) -> ok."]),
    {Monitor, _} = harness:start(Cu, Id, #{cursor => earliest, cron_push => {Push, push}}),
    Monitor ! tick,
    harness:eventually(fun() -> maps:get(cursor, ?M:info(Id)) =:= test_cu:cursor(2) end),
    ok = application:stop(hb_process_monitor),
    harness:unload(Push),
    Peer = harness:start_peer(["-pa" | code:get_path()]),
    try
        %% As text, because an atom in the call would create it in the node.
        ?assertError(badarg, harness:call_peer(Peer, erlang, binary_to_existing_atom, [<<?PUSH>>])),
        ok = harness:call_peer(Peer, hb_opts, set, [#{cron_checkpoint => harness:checkpoint()}]),
        ?assertMatch([{Id, {_, _}}], harness:call_peer(Peer, ?M, resume_all, [])),
        ?assertMatch(#{push := {Push, push}}, harness:call_peer(Peer, ?M, info, [Id]))
    after
        peer:stop(Peer)
    end.

%% The monitor was started with an option of the node, which has another value for a while.
process_that_is_refused_is_logged_found_and_tried_again(Cu) ->
    hears(),
    [Refused, Good] = [harness:proc_id() || _ <- "ab"],
    harness:host(#{cron_node => test_cu:url(Cu), cron_dead_letters_max => 7}),
    {_, _} = ?M:start(Refused, #{cursor => earliest, rate => 3600000, cron_dead_letters_max => 7}),
    {_, _} = ?M:start(Good, #{cursor => earliest, rate => 3600000}),
    ok = application:stop(hb_process_monitor),
    harness:host(#{cron_node => test_cu:url(Cu), cron_dead_letters_max => 8}),
    ?assertMatch([{Good, {_, _}}, {Refused, {error, {bad_option, cron_dead_letters_max, 7}}}],
                 lists:sort(fun({A, _}, {_, _}) -> A =:= Good end, ?M:resume_all())),
    ?assertMatch({Refused, {bad_option, cron_dead_letters_max, 7}, {again_in_ms, _}}, logged(not_started)),
    found(wrong, [Refused, <<"bad_option">>, <<"cron_dead_letters_max">>]),
    %% The restarter retries, and survives.
    Restarter = whereis(hb_cron_restarter),
    ?assertMatch({Refused, {bad_option, _, 7}, {again_in_ms, _}}, logged(not_started)),
    {ok, Engine, Ticker} = hb_cron_registry:engine(),
    ok = hb_cron_registry:set_engine(Engine, Ticker, (hb_cron_registry:node_options())#{cron_dead_letters_max := 7}),
    harness:eventually(fun() -> hb_cron_registry:find(Refused) =/= none end),
    ?assertEqual(Restarter, whereis(hb_cron_restarter)),
    ?assertEqual([], [What || {wrong, What} <- advice(?M:doctor(#{probe => false})), binary:match(What, Refused) =/= nomatch]).

options_that_are_damaged_are_logged_with_the_reason(Cu) ->
    hears(),
    Id = harness:proc_id(),
    {Monitor, _} = harness:start(Cu, Id, #{cursor => earliest}),
    {ok, Engine, _} = hb_cron_registry:engine(),
    %% Its registration has ended, and it will be resumed.
    ok = sys:suspend(hb_cron_monitors_sup),
    killed = harness:kill(Monitor),
    harness:eventually(fun() -> hb_cron_restarts:is_planned(Id) end),
    [_] = hb_cron_restarts:drop(Id),
    ok = sys:resume(hb_cron_monitors_sup),
    ok = hb_process_monitor_nif:keep_options(Engine, Id, term_to_binary([no, map])),
    ?assertMatch([{Id, {error, {bad_kept_options, [no, map]}}}], ?M:resume_all()),
    ?assertMatch({Id, {bad_kept_options, [no, map]}, _}, logged(not_started)),
    ok = hb_process_monitor_nif:keep_options(Engine, Id, <<"no term">>),
    ?assertMatch([{Id, {error, badarg}}], ?M:resume_all()),
    found(wrong, [Id]),
    %% After it was forgotten, it is not retried.
    ok = ?M:forget(Id),
    ?assertEqual([], hb_cron_restarts:all()).

bad_configured_process_does_not_hold_up_the_others(Cu) ->
    hears(),
    [A, B] = [harness:proc_id() || _ <- "ab"],
    Bad = [<<"no id">>, {A, no_options}, {harness:proc_id()}, 7],
    harness:host(#{cron_node => test_cu:url(Cu), cron_processes => Bad ++ [A, {B, #{rate => 3600000}}]}),
    {ok, _} = application:ensure_all_started(hb_process_monitor),
    harness:eventually(fun() -> length(hb_cron_registry:monitors()) =:= 2 end),
    [?assertEqual(Entry, element(1, logged(bad_cron_process))) || Entry <- Bad],
    found(wrong, [<<"cron_processes">>, <<"no id">>]),
    found(wrong, [<<"cron_processes">>, <<"no_options">>]),
    %% The doctor probes with the valid process.
    ?assertMatch(#{is_known := true}, ?M:doctor(#{probe => false})).

configured_process_with_bad_options_is_found_and_retried(Cu) ->
    hears(),
    [Bad, Good] = [harness:proc_id() || _ <- "ab"],
    harness:host(#{cron_node => test_cu:url(Cu), cron_processes => [{Bad, #{rate => never}}, Good]}),
    {ok, _} = application:ensure_all_started(hb_process_monitor),
    harness:eventually(fun() -> hb_cron_registry:find(Good) =/= none end),
    ?assertMatch({Bad, {bad_rate, never}, _}, logged(not_started)),
    ?assertMatch({Bad, {bad_rate, never}, _}, logged(not_started)),
    found(wrong, [Bad, <<"bad_rate">>]),
    %% A start or a stop ends the retries.
    {Monitor, _} = harness:start(Cu, Bad, #{}),
    ok = ?M:stop(Monitor, deadline:ms()),
    ?assertEqual([], hb_cron_restarts:all()).

%% Otherwise each restart of a node would push everything from there again.
configured_cursor_does_not_count_after_a_restart(Cu) ->
    Id = harness:proc_id(),
    Options = #{cursor => earliest, rate => 3600000},
    harness:host(#{cron_node => test_cu:url(Cu), cron_processes => [{Id, Options}]}),
    harness:report_pushes(Id),
    test_cu:add(Cu, Id, 3),
    results_of_next_start(Id, 1, 3),
    test_cu:add(Cu, Id, 2),
    results_of_next_start(Id, 4, 5),
    %% Not even while it is stopped. A caller may begin anywhere.
    {ok, {Monitor, _, _}} = hb_cron_registry:find(Id),
    ok = ?M:stop(Monitor, deadline:ms()),
    test_cu:add(Cu, Id, 1),
    results_of_next_start(Id, 6, 6),
    {ok, {Again, _, _}} = hb_cron_registry:find(Id),
    ok = ?M:stop(Again, deadline:ms()),
    {Called, _} = ?M:start(Id, Options),
    Called ! tick,
    harness:await_results(1, 6).

%% Restarts the application, as a node does, and waits until these results and no others are acked.
results_of_next_start(Id, First, Last) ->
    _ = application:stop(hb_process_monitor),
    {ok, _} = application:ensure_all_started(hb_process_monitor),
    harness:eventually(fun() -> hb_cron_registry:find(Id) =/= none end),
    {ok, {Monitor, _, _}} = hb_cron_registry:find(Id),
    Monitor ! tick,
    harness:await_results(First, Last),
    harness:eventually(fun() -> maps:get(cursor, ?M:info(Id)) =:= test_cu:cursor(Last) end).
