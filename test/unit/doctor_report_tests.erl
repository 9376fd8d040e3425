%%% The doctor's report: each defect has its own advice, and a healthy part has none. The findings are made up;
%%% doctor_tests checks that the doctor finds them.
-module(doctor_report_tests).
-include_lib("eunit/include/eunit.hrl").

-define(M, hb_cron_doctor_report).

-define(NODE, <<"http://cu:6363">>).

eunit_wrapper_(Tests) -> deadline:each(Tests).

%% The findings on a healthy node.
well() ->
    #{library => #{loaded => ok, file => "a.so", version => <<"0.1.0">>, application => "0.1.0"},
      running => true,
      system => #{otp => "25", dirty_io => 10, processes => {100, 1000}},
      options => [{cron_dead_letters_max, node, 10, default}, {cron_checkpoint_interval, node, 50, default}],
      refused => [],
      changed => [],
      host => #{push => mu, push_works => true},
      environment => [],
      cluster => undefined,
      checkpoint => #{path => "/c", dead_letters => 0, last_commit_us => 1000, failing => 0, writable => true},
      counters => #{open_breakers => 0},
      monitors => #{states => #{idle => 1}, stalled => 0, failing => 0},
      undelivered => [],
      not_started => [],
      bad_processes => [],
      process => binary:copy(<<"A">>, 43),
      asks => <<"asks at every tick: no result was seen yet">>,
      is_known => true,
      verdict => ok,
      advice => [],
      cu => [answered({ok, earliest})]}.

answered(Answer) -> #{node => ?NODE, us => 1500, answer => Answer}.

%% The findings that need attention after these changes.
said(Changes) -> [Said || {Level, _, _} = Said <- ?M:advice(maps:merge(well(), Changes)), Level =/= ok].

says(Level, Part, Changes) ->
    Fits = [What || {L, What, Do} <- said(Changes), L =:= Level, binary:match(What, Part) =/= nomatch, Do =/= <<>>],
    ?assertMatch({Part, [_]}, {Part, Fits}).

healthy_node_is_reported_as_healthy_test() ->
    ?assertMatch([{ok, <<"http://cu:6363 answered in 1.5 ms", _/binary>>, <<>>}], ?M:advice(well())).

each_failure_of_the_cu_has_an_advice_test() ->
    Advices = [begin
        [{wrong, What, Do}] = said(#{cu => [answered({error, Class, <<"its text">>})]}),
        [?assertMatch({Part, {_, _}}, {Part, binary:match(What, Part)}) || Part <- [?NODE, atom_to_binary(Class), <<"its text">>]],
        Do
    end || Class <- [resolve, connect, connect_timeout, timeout, tls, status, body_too_large, redirect,
                    future_cursor, bad_json]],
    ?assertEqual(10, length(lists:usort(Advices))).

cu_that_refuses_a_random_process_is_not_a_finding_test() ->
    [?assertEqual([], said(#{is_known => false, cu => [answered({error, Class, <<>>})]}))
     || Class <- [status, bad_json, bad_page, redirect]],
    ?assertMatch([{wrong, _, _}], said(#{is_known => false, cu => [answered({error, connect, <<>>})]})).

cu_without_any_answer_has_no_time_test() ->
    says(wrong, <<"no time">>, #{cu => [#{node => <<>>, us => undefined, answer => {error, timeout, <<>>}}]}).

library_missing_or_of_another_version_is_reported_test() ->
    says(wrong, <<"could not be loaded">>, #{library => #{loaded => {error, [{"a.so", "gone"}]}}}),
    says(attention, <<"has version 0.2.0">>, #{library => #{loaded => ok, version => <<"0.2.0">>, application => "0.1.0"}}).

system_small_or_full_is_reported_test() ->
    says(wrong, <<"1 dirty IO scheduler">>, #{system => #{dirty_io => 1, processes => {100, 1000}}}),
    says(attention, <<"900 of 1000 processes">>, #{system => #{dirty_io => 10, processes => {900, 1000}}}).

checkpoint_in_trouble_is_reported_test() ->
    Checkpoint = maps:get(checkpoint, well()),
    says(wrong, <<"cannot be written">>, #{checkpoint => Checkpoint#{failing := 1}}),
    says(wrong, <<"/c has not returned for 5">>, #{checkpoint => Checkpoint#{writing_for_ms => 5000}}),
    ?assertEqual([], said(#{checkpoint => Checkpoint#{writing_for_ms => 4999, replaced => 0}})),
    says(attention, <<"deleted or replaced while the node ran, 2 times">>, #{checkpoint => Checkpoint#{replaced => 2}}),
    says(attention, <<"took 2000 ms">>, #{checkpoint => Checkpoint#{last_commit_us := 2000000}}),
    says(attention, <<"1 results">>, #{checkpoint => Checkpoint#{dead_letters := 1}}),
    says(wrong, <<"9 results">>, #{checkpoint => Checkpoint#{dead_letters := 9}}).

checkpoint_of_a_cluster_is_its_database_test() ->
    Checkpoint = #{path => cluster, dead_letters => 0, last_commit_us => 1000, failing => 0, writing_for_ms => 0},
    ?assertEqual([], said(#{checkpoint => Checkpoint})),
    says(wrong, <<"cannot be saved in the database of the cluster">>, #{checkpoint => Checkpoint#{failing := 1}}),
    says(attention, <<"1 results">>, #{checkpoint => Checkpoint#{dead_letters := 1}}).

monitors_in_trouble_are_reported_test() ->
    says(wrong, <<"2 monitors have been in one push">>, #{monitors => #{states => #{pushing => 2}, stalled => 2, failing => 0}}),
    says(attention, <<"of 3 monitors failed">>, #{monitors => #{states => #{backing_off => 3}, stalled => 0, failing => 3}}).

process_that_is_not_started_is_named_with_the_reason_test() ->
    Id = binary:copy(<<"B">>, 43),
    says(wrong, <<Id/binary, " could not be started: {bad_rate,soon}">>, #{not_started => [{Id, {bad_rate, soon}}]}),
    says(wrong, <<"cron_processes is invalid: 7, {bad_process_id,7}">>, #{bad_processes => [{7, {bad_process_id, 7}}]}).

process_that_is_not_delivered_is_named_with_what_to_do_test() ->
    Id = binary:copy(<<"B">>, 43),
    Row = fun(What, Class, Failures, Last) ->
        #{undelivered => [#{process => Id, last_result => Last,
                            error => #{what => What, class => Class, text => <<"its text">>, failures => Failures, ago => 5}}]}
    end,
    [begin
        says(Level, Id, Changes),
        says(Level, <<"its text">>, Changes),
        says(Level, Since, Changes),
        ?assertMatch([{_, _, <<_, _/binary>>}], said(Changes))
    end || {Level, Since, Changes} <- [
        {wrong, <<"no result since">>, Row(push, push_failed, 1, undefined)},
        {wrong, <<"2025-10-09T08:53:20Z was the last result">>, Row(push, push_failed, 3, 1760000000000)},
        {wrong, <<"2025-10-09T08:53:20Z">>, Row(fetch, status, 3, 1760000000000)},
        {attention, <<"2025-10-09T08:53:20Z">>, Row(push, push_held, 1, 1760000000000)},
        {attention, <<"2025-10-09T08:53:20Z">>, Row(fetch, connect, 1, 1760000000000)}]].

verdict_of_a_node_that_does_not_deliver_says_so_test() ->
    Row = #{process => binary:copy(<<"B">>, 43), last_result => undefined,
            error => #{what => push, class => push_failed, text => <<>>, failures => 1, ago => 5}},
    [begin
        Text = unicode:characters_to_binary(?M:text((well())#{verdict := Level, undelivered := [Row],
                                                              monitors := #{states => #{}, stalled => 0, failing => 7}})),
        ?assertMatch({_, _}, binary:match(Text, <<"Processes without delivery at present: 7.">>)),
        ?assertEqual(nomatch, binary:match(Text, <<"It works">>))
    end || Level <- [wrong, attention]].

text_shows_no_time_and_no_value_as_such_test() ->
    Text = unicode:characters_to_binary(?M:text((well())#{environment => [{"HTTP_PROXY", <<"http://p">>}],
                                                          library => #{file => undefined, version => undefined, application => undefined}})),
    [?assertMatch({Part, {_, _}}, {Part, binary:match(Text, Part)})
     || Part <- [<<"HTTP_PROXY">>, <<"(environment)">>, <<"-, -">>, <<"No problem was found.">>]].
