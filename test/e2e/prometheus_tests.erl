%%% The text for Prometheus, line by line; the same metrics through the host's library; and that docs/metrics.md is
%%% up to date. `make prometheus' tests with a real Prometheus.
-module(prometheus_tests).
-include_lib("eunit/include/eunit.hrl").

-define(PROM, hb_cron_prometheus).

eunit_wrapper_(Tests) -> deadline:each(Tests).

text_of_each_type_is_in_the_exposition_format_test() ->
    Table = [#{name => beans_total, type => counter, unit => none, from => {meter, x}, help => <<"Beans \\ so far\nhere.">>},
             #{name => bag_bytes, type => gauge, unit => bytes, from => {meter, x}, help => <<"A \"bag\".">>},
             #{name => spills_total, type => counter, unit => none, from => {meter, x}, label => floor, help => <<"Spills.">>},
             #{name => grind_seconds, type => histogram, unit => seconds, from => {meter, x}, help => <<"Grinding.">>}],
    Values = #{beans_total => 3, bag_bytes => 2.5,
               spills_total => #{'a"b\\c' => 1, 'd\ne' => 2},
               grind_seconds => #{buckets => [{0.000025, 1}, {0.0025, 2}, {1.0, 2}, {604800.0, 4}, {infinity, 5}],
                                  sum => 7.25, count => 5}},
    ?assertEqual(
        <<"# HELP hb_process_monitor_beans_total Beans \\\\ so far\\nhere.\n"
          "# TYPE hb_process_monitor_beans_total counter\n"
          "hb_process_monitor_beans_total 3\n"
          "# HELP hb_process_monitor_bag_bytes A \"bag\".\n"
          "# TYPE hb_process_monitor_bag_bytes gauge\n"
          "hb_process_monitor_bag_bytes 2.5\n"
          "# HELP hb_process_monitor_spills_total Spills.\n"
          "# TYPE hb_process_monitor_spills_total counter\n"
          "hb_process_monitor_spills_total{floor=\"a\\\"b\\\\c\"} 1\n"
          "hb_process_monitor_spills_total{floor=\"d\\ne\"} 2\n"
          "# HELP hb_process_monitor_grind_seconds Grinding.\n"
          "# TYPE hb_process_monitor_grind_seconds histogram\n"
          "hb_process_monitor_grind_seconds_bucket{le=\"0.000025\"} 1\n"
          "hb_process_monitor_grind_seconds_bucket{le=\"0.0025\"} 2\n"
          "hb_process_monitor_grind_seconds_bucket{le=\"1\"} 2\n"
          "hb_process_monitor_grind_seconds_bucket{le=\"604800\"} 4\n"
          "hb_process_monitor_grind_seconds_bucket{le=\"+Inf\"} 5\n"
          "hb_process_monitor_grind_seconds_sum 7.25\n"
          "hb_process_monitor_grind_seconds_count 5\n">>,
        ?PROM:text(Table, Values)).

text_of_a_node_holds_every_metric_once_test() ->
    Lines = binary:split(hb_process_monitor:prometheus(), <<"\n">>, [global, trim]),
    Types = [Name || <<"# TYPE ", Rest/binary>> <- Lines, [Name | _] <- [binary:split(Rest, <<" ">>)]],
    ?assertEqual([hb_cron_metrics:full_name(M) || M <- hb_cron_metrics:table()], Types),
    [?assertMatch({match, _}, re:run(Line, "^hb_process_monitor_[a-z_]+(\\{(le|class)=\"[a-z0-9_.+I]+[nf]*\"\\})? [0-9.]+$"))
     || Line <- Lines, binary:first(Line) =/= $#].

metrics_are_named_as_prometheus_wants_them_test() ->
    Names = [Name || #{name := Name} <- hb_cron_metrics:table()],
    ?assertEqual(Names, lists:uniq(Names)),
    [begin
        Words = string:split(atom_to_list(Name), "_", all),
        ?assertEqual(Type =:= counter, lists:last(Words) =:= "total"),
        Unit =/= none andalso ?assertEqual(atom_to_list(Unit), lists:last(Words))
    end || #{name := Name, type := Type, unit := Unit} <- hb_cron_metrics:table()].

docs_say_which_metrics_there_are_test() ->
    {ok, Written} = file:read_file(metrics_doc:file()),
    ?assert(Written =:= metrics_doc:markdown(), "docs/metrics.md is not up to date: make docs").

hosts_library_test_() ->
    {foreach, fun setup/0, fun cleanup/1,
     [{with, [T]} || T <- [
        fun host_that_has_the_library_shows_the_metrics_with_its_own/1,
        fun library_started_late_or_restarted_shows_the_metrics/1
     ]]}.

setup() ->
    Cu = harness:setup(),
    ok = optional_library:load(prometheus_registry),
    ok = optional_library:load(prometheus_model_helpers),
    Cu.

cleanup(Cu) ->
    harness:cleanup(Cu),
    optional_library:unload(prometheus_registry),
    optional_library:unload(prometheus_model_helpers).

host_that_has_the_library_shows_the_metrics_with_its_own(Cu) ->
    _ = prometheus_registry:start(),
    {_, _} = harness:start_and_push(Cu, harness:proc_id(), 2),
    ok = hb_cron_observer:check(),
    ?assertEqual([?PROM], prometheus_registry:collectors(default)),
    Self = self(),
    ok = prometheus_registry:collect(default, fun(Family) -> Self ! {family, Family} end),
    Families = [receive {family, Family} -> Family after 0 -> error(missing) end || _ <- hb_cron_metrics:table()],
    ?assertEqual([hb_cron_metrics:full_name(M) || M <- hb_cron_metrics:table()],
                 [Name || {Name, _, _, _} <- Families]),
    ?assertMatch({_, _, gauge, [{[], 1}]}, lists:keyfind(<<"hb_process_monitor_monitors">>, 1, Families)),
    {_, _, counter, Classes} = lists:keyfind(<<"hb_process_monitor_fetch_failures_total">>, 1, Families),
    ?assert(lists:any(fun({Labels, _}) -> Labels =:= [{<<"class">>, <<"status">>}] end, Classes)),
    %% The library prints a float in full: `1.00000000000000000000e+00' for `1'.
    {_, _, histogram, [{[], Buckets, _, _}]} = lists:keyfind(<<"hb_process_monitor_lag_seconds">>, 1, Families),
    ?assertEqual([0.1, 0.25, 0.5, 1, 2.5, 5, 10], [Bound || {Bound, _} <- lists:sublist(Buckets, 7)]),
    ok = application:stop(hb_process_monitor),
    ?assertEqual([], prometheus_registry:collectors(default)),
    ok = prometheus_registry:stop().

library_started_late_or_restarted_shows_the_metrics(Cu) ->
    {_, _} = harness:start(Cu, harness:proc_id(), #{}),
    ok = hb_cron_observer:check(),
    [begin
        _ = prometheus_registry:start(),
        harness:eventually(fun() -> prometheus_registry:collectors(default) =:= [?PROM] end),
        ok = prometheus_registry:stop()
    end || _ <- [first, again]].
