%%% The doctor's findings on a cluster, its section and the line above the table, on plain data: each trouble has its
%%% own advice, and a healthy cluster has none. cluster_view_tests makes these troubles.
-module(cluster_report_tests).
-include_lib("eunit/include/eunit.hrl").

-define(M, hb_cron_cluster_report).

eunit_wrapper_(Tests) -> deadline:each(Tests).

host_node(Name, Shards) -> #{name => Name, me => Name =:= <<"a">>, leaving => false, beat_age => 40, shards => Shards}.

%% The status in a healthy cluster of two.
status() ->
    #{connected => true, name => <<"a">>, incarnation => <<"i">>, nodes => [host_node(<<"a">>, 2048), host_node(<<"b">>, 2048)],
      shards => 2048, all_shards => 4096, moving => 0, unread => 0, may_push => true, unsaved_ms => 0, unconfirmed_ms => 300,
      ttl_ms => 6000, error => undefined, latency_us => #{protocol => {500, 2500}}, joins => 1, evictions => 0, burials => 0,
      claims => 2048, hand_overs => 0, fenced => 0, statements => 90, failures => 2, restarts => 0}.

findings(Changes) -> findings(Changes, #{}).

findings(Changes, Others) ->
    maps:merge(#{status => maps:merge(status(), Changes), not_started => [], unused_checkpoint => false, unencrypted => false}, Others).

said(Findings) ->
    [{Level, unicode:characters_to_binary(io_lib:format(What, Args)), iolist_to_binary(Do)}
     || {Level, {What, Args}, Do} <- ?M:advice(Findings)].

%% One finding, with an advice.
says(Level, Part, Findings) ->
    ?assertMatch([{Level, _, <<_, _/binary>>}], said(Findings)),
    [{_, What, _}] = said(Findings),
    ?assertMatch({Part, {_, _}}, {Part, binary:match(What, Part)}).

node_outside_a_cluster_has_no_findings_and_no_text_test() ->
    ?assertEqual({[], [], []}, {?M:advice(undefined), ?M:text(undefined), ?M:line(undefined)}).

healthy_cluster_has_no_findings_test() ->
    ?assertEqual([], said(findings(#{}))),
    ?assertEqual([], said(findings(#{nodes => [host_node(<<"a">>, 2047), host_node(<<"b">>, 2049)], unsaved_ms => 400}))).

database_that_does_not_answer_is_reported_with_its_error_test() ->
    Down = #{connected => false, error => <<"the database refuses the user: no">>},
    says(wrong, <<"does not answer: the database refuses the user: no">>, findings(Down#{may_push => false})),
    says(wrong, <<"does not answer: no statement has had an answer yet">>,
         findings(#{connected => false, may_push => false, incarnation => undefined, nodes => [], shards => 0})),
    %% What an old view shows is not judged.
    says(wrong, <<"does not answer">>, findings(Down#{nodes => [host_node(<<"a">>, 1)]})).

host_node_that_may_not_push_is_reported_test() ->
    says(wrong, <<"must not push at present">>, findings(#{may_push => false})),
    says(attention, <<"has not joined">>, findings(#{may_push => false, incarnation => undefined, nodes => []})),
    [{wrong, _, _}, {wrong, Unsaved, _}] = said(findings(#{may_push => false, unsaved_ms => 7000})),
    ?assertMatch({_, _}, binary:match(Unsaved, <<"an ack has not been saved for 7.0 s">>)).

past_of_a_host_node_is_reported_test() ->
    says(attention, <<"took this one for dead, 3 times">>, findings(#{evictions => 3})),
    says(attention, <<"refused 8 acks">>, findings(#{fenced => 8})),
    says(attention, <<"restarted 1 times">>, findings(#{restarts => 1})).

shards_without_an_owner_or_uneven_are_reported_test() ->
    says(attention, <<"100 of 4096 shards have no owner">>,
         findings(#{nodes => [host_node(<<"a">>, 2048), host_node(<<"b">>, 1948)]})),
    Uneven = [host_node(<<"a">>, 96), host_node(<<"b">>, 4000)],
    says(attention, <<"from 96 to 4000 shards">>, findings(#{nodes => Uneven})),
    ?assertEqual([], said(findings(#{nodes => Uneven, moving => 16}))).

host_node_that_leaves_is_reported_and_not_uneven_test() ->
    Leaving = (host_node(<<"b">>, 7))#{leaving => true},
    says(attention, <<"host node b is leaving and still has 7 shards">>, findings(#{nodes => [host_node(<<"a">>, 4089), Leaving]})).

configuration_that_does_nothing_or_is_open_is_reported_test() ->
    says(attention, <<"cron_checkpoint is set, and not used">>, findings(#{}, #{unused_checkpoint => true})),
    says(attention, <<"is not encrypted">>, findings(#{}, #{unencrypted => true})).

process_that_cannot_be_started_is_named_with_the_reason_test() ->
    Id = binary:copy(<<"B">>, 43),
    says(wrong, <<Id/binary, " could not be started on this host node, 1m 05s ago: {bad_rate,soon}">>,
         findings(#{}, #{not_started => [{Id, {bad_rate, soon}, 65000}]})).

section_shows_each_host_node_and_the_latencies_test() ->
    Text = [{Name, unicode:characters_to_list(Value)} || {Name, Value} <- ?M:text(findings(#{moving => 3, hand_overs => 9}))],
    ?assertEqual("2048 of 4096, 3 being handed over, 9 handed over so far", proplists:get_value("own shards", Text)),
    ?assertEqual(["a (this one), 2048 shards, last beat 40 ms ago", "b, 2048 shards, last beat 40 ms ago"],
                 proplists:get_all_values("host node", Text)),
    ?assertEqual("half within 0.5 ms, 99 % within 2.5 ms", proplists:get_value("statements, protocol", Text)),
    ?assertEqual("300 ms ago, TTL 6.0 s", proplists:get_value("confirmed", Text)),
    Joining = ?M:text(findings(#{unconfirmed_ms => undefined, nodes => [(host_node(<<"a">>, 0))#{beat_age => undefined, leaving => true}]})),
    ?assertEqual("never", proplists:get_value("confirmed", Joining)),
    ?assertEqual("a (this one), 0 shards, not seen yet, leaving", unicode:characters_to_list(proplists:get_value("host node", Joining))).

line_says_whether_it_may_push_test_() ->
    [?_assertEqual(Expected, unicode:characters_to_list(?M:line(maps:merge(status(), Changes)))) || {Expected, Changes} <- [
        {"cluster: 2 host nodes, 2048 of 4096 shards here, may push\n", #{}},
        {"cluster: 2 host nodes, 2048 of 4096 shards here, 5 being handed over, may push\n", #{moving => 5}},
        {"cluster: 2 host nodes, 2048 of 4096 shards here, may not push: see doctor()\n", #{may_push => false}},
        {"cluster: 2 host nodes, 2048 of 4096 shards here, the database does not answer: see doctor()\n", #{connected => false}}]].

unstarted_processes_are_the_last_twenty_test() ->
    %% In a process of its own, since the table ends with its owner.
    {_, Ref} = spawn_monitor(fun() ->
        ok = hb_cron_unstarted:create(),
        Ids = [integer_to_binary(N) || N <- lists:seq(1, 25)],
        [ok = hb_cron_unstarted:note(Id, 7, {bad_rate, binary:copy(<<"x">>, 100000)}) || Id <- Ids],
        20 = length(hb_cron_unstarted:recent()),
        [true = erlang:external_size(Reason) < 5000 || {_, Reason, _} <- hb_cron_unstarted:recent()],
        ok = hb_cron_unstarted:note(<<"other">>, 8, why),
        ok = hb_cron_unstarted:leave(7),
        [{<<"other">>, why, _}] = hb_cron_unstarted:recent(),
        ok = hb_cron_unstarted:started(<<"other">>),
        [] = hb_cron_unstarted:recent()
    end),
    receive {'DOWN', Ref, process, _, Reason} -> ?assertEqual(normal, Reason) end.
