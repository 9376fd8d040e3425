%%% The doctor: its report on a healthy node; each defect is found with an advice; it starts nothing and shows no
%%% secret.
-module(doctor_tests).
-include_lib("eunit/include/eunit.hrl").

eunit_wrapper_(Tests) -> deadline:each(Tests).

all_test_() ->
    {foreach, fun setup/0, fun harness:cleanup/1,
     [{with, [T]} || T <- [
        fun healthy_node_gets_no_advice/1,
        fun node_without_the_application_is_examined_and_left_so/1,
        fun value_of_each_option_says_where_it_is_from/1,
        fun invalid_value_is_found/1,
        fun value_that_is_not_in_force_is_found/1,
        fun cu_that_is_down_is_found/1,
        fun cu_that_hangs_is_found_within_its_limits/1,
        fun cu_that_answers_garbage_is_found/1,
        fun cu_that_does_not_know_a_random_process_is_ok/1,
        fun each_node_of_a_monitor_is_asked/1,
        fun missing_push_device_is_found/1,
        fun missing_checkpoint_is_found/1,
        fun checkpoint_where_nothing_can_be_written_is_found/1,
        fun dead_letters_are_found/1,
        fun paused_and_failing_monitors_are_counted/1,
        fun processes_that_are_not_delivered_are_named/1,
        fun monitors_of_an_engine_that_does_not_answer_are_unknown/1,
        fun examination_changes_nothing/1,
        fun examination_changes_no_metric/1,
        fun probe_uses_the_configured_process/1,
        fun function_to_push_with_is_shown_and_works/1,
        fun unusable_certificates_prevent_the_probe/1,
        fun secrets_are_not_shown/1,
        fun text_holds_the_verdict_and_every_advice/1,
        fun bad_option_is_refused/1
     ]]}.

%% The doubles take the place of the push device.
setup() ->
    Cu = harness:setup(),
    harness:host(#{cron_node => test_cu:url(Cu)}),
    Cu.

%% All findings except those on the machine: a slow disk.
advice(Findings) ->
    [{Level, What} || {Level, What, _} <- maps:get(advice, Findings), Level =/= ok,
                      binary:match(What, <<"last commit">>) =:= nomatch].

found(Level, Part, Findings) ->
    Fits = [Advice || {L, What, Advice} <- maps:get(advice, Findings), L =:= Level, binary:match(What, Part) =/= nomatch],
    ?assertMatch({Part, _, [<<_, _/binary>>]}, {Part, maps:get(advice, Findings), Fits}).

healthy_node_gets_no_advice(Cu) ->
    Id = harness:proc_id(),
    {_, _} = harness:start_and_push(Cu, Id, 2),
    #{process := Id, running := true, cu := [#{node := Node, us := Us, answer := {ok, Cursor}}],
      library := #{loaded := ok, file := File, version := Version, application := Application},
      host := #{push := mu, push_works := true, options := hb_opts, logger := hb_logger},
      monitors := #{states := States, stalled := 0, failing := 0}} = Findings = hb_process_monitor:doctor(#{}),
    ?assertEqual([], advice(Findings)),
    ?assertEqual({test_cu:url(Cu), test_cu:cursor(2)}, {Node, Cursor}),
    ?assert(Us > 0),
    ?assert(filelib:is_regular(File)),
    ?assertEqual(Application, binary_to_list(Version)),
    ?assertEqual(1, lists:sum(maps:values(States))).

node_without_the_application_is_examined_and_left_so(Cu) ->
    Findings = hb_process_monitor:doctor(#{}),
    ?assertMatch(#{running := false, is_known := false, cu := [#{answer := {ok, earliest}}]}, Findings),
    found(attention, <<"is not running">>, Findings),
    ?assertEqual(undefined, whereis(hb_cron_sup)),
    ?assertEqual([results], [Kind || #{kind := Kind} <- test_cu:requests(Cu)]).

value_of_each_option_says_where_it_is_from(Cu) ->
    harness:host(#{cron_node => test_cu:url(Cu), cron_walk_after => 1234}),
    Id = harness:proc_id(),
    {_, _} = hb_process_monitor:start(Id, #{rate => 3600000, cursor => earliest, cron_timeout => 7777, cron_page_limit => 1000}),
    #{options := Options, changed := [], asks := Asks} = hb_process_monitor:doctor(#{process => Id, probe => false}),
    ?assertMatch({0, _}, binary:match(Asks, <<"asks at every tick: ">>)),
    From = fun(Key) -> {Key, _, Value, Who} = lists:keyfind(Key, 1, Options), {Value, Who} end,
    ?assertEqual({3600000, call}, From(default_cron_rate)),
    ?assertEqual({7777, call}, From(cron_timeout)),
    %% Set explicitly, to the default.
    ?assertEqual({1000, call}, From(cron_page_limit)),
    ?assertEqual({1234, hb_opts}, From(cron_walk_after)),
    ?assertEqual({[test_cu:url(Cu)], hb_opts}, From(cron_node)),
    ?assertEqual({60000, default}, From(cron_first_byte_timeout)),
    ?assertEqual({harness:checkpoint(), hb_opts}, From(cron_checkpoint)),
    ?assertEqual(lists:sort([Key || {Key, _, _} <- hb_cron_options:describe()]),
                 lists:sort([Key || {Key, _, _, _} <- Options])).

invalid_value_is_found(Cu) ->
    harness:host(#{cron_node => test_cu:url(Cu), cron_timeout => soon}),
    Findings = hb_process_monitor:doctor(#{}),
    found(wrong, <<"invalid value of cron_timeout in hb_opts: soon">>, Findings),
    %% The CU is asked with the default.
    ?assertMatch(#{verdict := wrong, cu := [#{answer := {ok, earliest}}]}, Findings).

value_that_is_not_in_force_is_found(Cu) ->
    {_, _} = harness:start(Cu, harness:proc_id(), #{}),
    harness:host(#{cron_node => test_cu:url(Cu), cron_max_inflight => 3}),
    #{changed := [cron_max_inflight]} = Findings = hb_process_monitor:doctor(#{probe => false}),
    found(attention, <<"cron_max_inflight">>, Findings).

cu_that_is_down_is_found(Cu) ->
    ok = test_cu:go_down(Cu),
    #{cu := [#{answer := {error, connect, _}}]} = Findings = hb_process_monitor:doctor(#{}),
    found(wrong, test_cu:url(Cu), Findings).

cu_that_hangs_is_found_within_its_limits(Cu) ->
    harness:host(#{cron_node => test_cu:url(Cu), cron_timeout => 50}),
    test_cu:script(Cu, fun(_) -> hang end),
    #{cu := [#{answer := {error, Class, _}}]} = Findings = hb_process_monitor:doctor(#{}),
    ?assert(lists:member(Class, [timeout, first_byte_timeout])),
    found(wrong, <<"failed after">>, Findings).

cu_that_answers_garbage_is_found(Cu) ->
    test_cu:script(Cu, fun(_) -> {raw, test_cu:reply(200, <<"<html>hello</html>">>)} end),
    Findings = hb_process_monitor:doctor(#{process => harness:proc_id()}),
    ?assertMatch(#{cu := [#{answer := {error, bad_json, _}}]}, Findings),
    found(wrong, <<"bad_json">>, Findings).

cu_that_does_not_know_a_random_process_is_ok(Cu) ->
    test_cu:script(Cu, fun(_) -> {raw, test_cu:reply(404, <<"no such process">>)} end),
    #{is_known := false} = Findings = hb_process_monitor:doctor(#{}),
    ?assertEqual([], [What || {wrong, What} <- advice(Findings)]),
    %% For a monitored process the same answer is a defect.
    found(wrong, <<"status">>, hb_process_monitor:doctor(#{process => harness:proc_id()})).

each_node_of_a_monitor_is_asked(Cu) ->
    Id = harness:proc_id(),
    Other = test_cu:start(),
    {_, _} = hb_process_monitor:start(Id, #{rate => 3600000, cursor => earliest, cron_node => [test_cu:url(Cu), test_cu:url(Other)]}),
    ok = test_cu:go_down(Other),
    #{cu := Answers} = hb_process_monitor:doctor(#{process => Id}),
    test_cu:stop(Other),
    ?assertEqual(lists:sort([{test_cu:url(Cu), ok}, {test_cu:url(Other), error}]),
                 lists:sort([{Node, element(1, Answer)} || #{node := Node, answer := Answer} <- Answers])).

missing_push_device_is_found(Cu) ->
    harness:host(#{cron_node => test_cu:url(Cu), cron_push => {no_such_device, push}}),
    Findings = hb_process_monitor:doctor(#{probe => false}),
    found(wrong, <<"no_such_device">>, Findings).

missing_checkpoint_is_found(Cu) ->
    harness:host(#{cron_node => test_cu:url(Cu), cron_checkpoint => false}),
    found(attention, <<"no checkpoint">>, hb_process_monitor:doctor(#{probe => false})).

checkpoint_where_nothing_can_be_written_is_found(Cu) ->
    %% Root can write everywhere, except to a missing directory.
    harness:host(#{cron_node => test_cu:url(Cu), cron_checkpoint => filename:join(harness:checkpoint(), "in/a/file")}),
    found(wrong, <<"is not writable">>, hb_process_monitor:doctor(#{probe => false})).

dead_letters_are_found(Cu) ->
    harness:host(#{cron_node => test_cu:url(Cu), cron_push_attempts => 1, cron_dead_letters_max => 1}),
    Id = harness:proc_id(),
    harness:fail_pushes(Id, [fun() -> {error, poison} end]),
    test_cu:add(Cu, Id, 2),
    {Monitor, _} = harness:start(Cu, Id, #{cursor => earliest}),
    Monitor ! tick,
    harness:await_results(2, 2),
    found(wrong, <<"1 results could not be pushed">>, hb_process_monitor:doctor(#{probe => false})).

paused_and_failing_monitors_are_counted(Cu) ->
    Ids = [Paused, Failing, _] = [harness:proc_id() || _ <- "abc"],
    [harness:fail_pushes(Id, [fun() -> {error, busy} end]) || Id <- Ids],
    [{_, _} = harness:start(Cu, Id, #{cursor => earliest}) || Id <- Ids],
    ok = hb_process_monitor:pause(Paused),
    test_cu:add(Cu, Failing, 1),
    #{monitor := Monitor} = hb_process_monitor:info(Failing),
    Monitor ! tick,
    receive {push_failed, 1} -> ok end,
    harness:eventually(fun() ->
        [maps:get(state, hb_process_monitor:info(Id)) || Id <- Ids] =:= [paused, backing_off, idle]
    end),
    #{monitors := Counted} = Findings = hb_process_monitor:doctor(#{probe => false}),
    ?assertEqual(#{states => #{paused => 1, backing_off => 1, idle => 1}, stalled => 0, failing => 1}, Counted),
    found(attention, <<"1 monitors are paused">>, Findings),
    found(attention, <<"of 1 monitors failed">>, Findings).

processes_that_are_not_delivered_are_named(Cu) ->
    [Refused, Failing] = Ids = [harness:proc_id() || _ <- "ab"],
    dev_mu:route(Failing, fun(_, _) -> {error, device_is_down} end),
    test_cu:add(Cu, Failing, 1),
    test_cu:script(Cu, fun(#{process := Id}) when Id =:= Refused -> {raw, test_cu:reply(500, <<"no such process">>)};
                          (_) -> pass
                       end),
    [begin
        {Monitor, _} = harness:start(Cu, Id, #{cursor => earliest}),
        Monitor ! tick
    end || Id <- Ids],
    [harness:eventually(fun() -> maps:get(error, hb_process_monitor:info(Id)) =/= undefined end) || Id <- Ids],
    #{verdict := wrong} = Findings = hb_process_monitor:doctor(#{probe => false}),
    [found(wrong, Part, Findings) || Part <- Ids ++ [<<"status 500">>, <<"device_is_down">>]],
    Text = unicode:characters_to_binary(hb_cron_doctor_report:text(Findings)),
    ?assertMatch({_, _}, binary:match(Text, <<"Processes without delivery at present: 2.">>)).

monitors_of_an_engine_that_does_not_answer_are_unknown(Cu) ->
    {_, _} = harness:start(Cu, harness:proc_id(), #{cursor => earliest}),
    Findings = hb_cron_engine:without_loop(fun() -> hb_process_monitor:doctor(#{probe => false}) end),
    ?assertMatch(#{monitors := #{states := #{unknown := 1}}}, Findings),
    found(attention, <<"did not answer for 1 monitors">>, Findings),
    %% The answer arrives after resumption, and stays in no mailbox.
    ?assertMatch(#{monitors := #{states := #{idle := 1}}}, hb_process_monitor:doctor(#{probe => false})),
    ?assertEqual({message_queue_len, 0}, process_info(self(), message_queue_len)).

examination_changes_nothing(Cu) ->
    {_, _} = harness:start_and_push(Cu, harness:proc_id(), 1),
    Dir = filename:dirname(harness:checkpoint()),
    Before = {file:list_dir(Dir), file:read_file_info(Dir)},
    %% A part of the host that was loaded later counts from the next start of the application on.
    harness:load_router("{error, nothing}"),
    try
        _ = hb_process_monitor:doctor(#{}),
        ?assertEqual(Before, {file:list_dir(Dir), file:read_file_info(Dir)}),
        ?assertNot(hb_cron_host_calls:has(hb_router, find, 2))
    after harness:unload_router()
    end.

%% While the application runs, and while it does not. The probe needs an engine, which is not counted.
examination_changes_no_metric(Cu) ->
    {_, _} = harness:start_and_push(Cu, harness:proc_id(), 1),
    harness:eventually(fun() -> maps:get(inflight, hb_cron_engine:counters()) =:= 0 end),
    [begin
        Before = settled_metrics(),
        #{cu := [#{answer := {ok, _}}]} = hb_process_monitor:doctor(#{}),
        ?assertEqual(Before, hb_process_monitor:metrics())
     end || Prepare <- [fun() -> ok end, fun() -> application:stop(hb_process_monitor) end], ok <- [Prepare()]].

%% Once the commit of the last ack is counted.
settled_metrics() ->
    harness:eventually(fun() ->
        Before = hb_process_monitor:metrics(),
        receive after 100 -> ok end,
        Before =:= hb_process_monitor:metrics()
    end),
    hb_process_monitor:metrics().

probe_uses_the_configured_process(Cu) ->
    Id = harness:proc_id(),
    [begin
        harness:host(#{cron_node => test_cu:url(Cu), cron_processes => [Process]}),
        ?assertMatch(#{process := Id, is_known := true, running := false}, hb_process_monitor:doctor(#{probe => false}))
     end || Process <- [Id, {Id, #{rate => 1000}}]].

function_to_push_with_is_shown_and_works(Cu) ->
    Push = fun(_, _) -> ok end,
    harness:host(#{cron_node => test_cu:url(Cu), cron_push => Push}),
    ?assertMatch(#{host := #{push := Push, push_works := true}}, hb_process_monitor:doctor(#{probe => false})),
    %% A function given to one monitor is not the host's.
    Id = harness:proc_id(),
    Own = fun(_, _) -> {error, never} end,
    {_, _} = harness:start(Cu, Id, #{cursor => earliest, cron_push => Own}),
    #{options := Options} = hb_process_monitor:doctor(#{process => Id, probe => false}),
    ?assertEqual({cron_push, monitor, Own, call}, lists:keyfind(cron_push, 1, Options)).

unusable_certificates_prevent_the_probe(Cu) ->
    harness:host(#{cron_node => test_cu:url(Cu), cron_cacertfile => "/nowhere.pem"}),
    Findings = hb_process_monitor:doctor(#{}),
    ?assertMatch(#{cu := {not_asked, {bad_option, cron_cacertfile, {<<"/nowhere.pem">>, _}}}}, Findings),
    found(wrong, <<"cron_cacertfile has an invalid value">>, Findings).

secrets_are_not_shown(Cu) ->
    <<"http://", Rest/binary>> = test_cu:url(Cu),
    true = os:putenv("NO_PROXY", "127.0.0.1"),
    true = os:putenv("HTTPS_PROXY", "http://me:secret@127.0.0.1:1"),
    Shown = try
        [begin
            harness:host(#{cron_node => Node}),
            Findings = hb_process_monitor:doctor(#{}),
            [io_lib:format("~0p", [Findings]), hb_cron_doctor_report:text(Findings)]
         end || Node <- [<<"http://me:secret@", Rest/binary>>, [<<"http://me:secret@", Rest/binary>>], <<"me:secret@no url">>]]
    after
        os:unsetenv("NO_PROXY"),
        os:unsetenv("HTTPS_PROXY")
    end,
    Text = unicode:characters_to_binary(Shown),
    ?assertEqual(nomatch, binary:match(Text, <<"secret">>)),
    ?assertMatch({_, _}, binary:match(Text, <<"http://127.0.0.1:1">>)).

text_holds_the_verdict_and_every_advice(Cu) ->
    ok = test_cu:go_down(Cu),
    #{advice := Advice, verdict := wrong} = Findings = hb_process_monitor:doctor(#{}),
    Text = unicode:characters_to_binary(hb_cron_doctor_report:text(Findings)),
    [?assertMatch({Part, {_, _}}, {Part, binary:match(Text, Part)})
     || {_, What, Do} <- Advice, Part <- [What, Do, <<"Something is wrong.">>], Part =/= <<>>],
    [?assertMatch({Key, {_, _}}, {Key, binary:match(Text, atom_to_binary(Key))}) || {Key, _, _} <- hb_cron_options:describe()].

bad_option_is_refused(_Cu) ->
    ?assertError({bad_option, print, false}, hb_process_monitor:doctor(#{print => false})),
    ?assertError({bad_option, probe, 1}, hb_process_monitor:doctor(#{probe => 1})),
    ?assertError({bad_process_id, here}, hb_process_monitor:doctor(#{process => here})).
