%%% Options of a call: they precede the host's, bad ones are errors; and docs/options.md is up to date.
%%% configuration_tests has the host's sources.
-module(options_tests).
-include_lib("eunit/include/eunit.hrl").

-define(OPTS, hb_cron_options).

eunit_wrapper_(Tests) -> deadline:each(Tests).

all_test_() ->
    harness:tests([
        fun option_of_the_caller_precedes_the_hosts_and_the_default/1,
        fun option_of_the_host_that_is_bad_is_passed_over/1,
        fun option_of_the_caller_that_is_bad_is_an_error/1,
        fun option_of_the_node_may_be_repeated_but_not_changed/1,
        fun node_is_the_callers_the_hosts_the_routers_or_the_local_one/1,
        fun node_in_each_form_is_a_list_of_binaries/1,
        fun every_option_accepts_its_default/1
    ]).

started(Options) ->
    %% The application must run, or the host's options are not read.
    {_, _} = hb_process_monitor:start(harness:proc_id(), #{rate => 3600000}),
    Made = ?OPTS:for_monitor(harness:proc_id(), Options),
    maps:merge(?OPTS:settings(Made), Made).

option_of_the_caller_precedes_the_hosts_and_the_default(_) ->
    ?assertMatch(#{cron_page_limit := 1000, rate := 10000}, started(#{})),
    harness:host(#{cron_page_limit => 17, default_cron_rate => 5}),
    ?assertMatch(#{cron_page_limit := 17, rate := 5}, started(#{})),
    ?assertMatch(#{cron_page_limit := 18, rate := 6}, started(#{cron_page_limit => 18, rate => 6})).

option_of_the_host_that_is_bad_is_passed_over(_) ->
    harness:host(#{cron_page_limit => many, default_cron_rate => soon}),
    ?assertMatch(#{cron_page_limit := 1000, rate := 10000}, started(#{})),
    ?assertMatch(#{cron_page_limit := 5}, started(#{cron_page_limit => 5})).

%% What text may say in a configuration is no value of a call.
option_of_the_caller_that_is_bad_is_an_error(Cu) ->
    [?assertError({bad_option, cron_page_limit, Bad}, harness:start(Cu, harness:proc_id(), #{cron_page_limit => Bad}))
     || Bad <- [many, <<"5">>, 0]],
    ?assertError({bad_option, no_such, 1}, harness:start(Cu, harness:proc_id(), #{no_such => 1})).

option_of_the_node_may_be_repeated_but_not_changed(_) ->
    harness:host(#{cron_max_inflight => 7}),
    ?assertMatch(#{rate := 10000}, started(#{cron_max_inflight => 7})),
    ?assertError({bad_option, cron_max_inflight, 64}, started(#{cron_max_inflight => 64})),
    %% The engine keeps the value with which it was started.
    harness:host(#{cron_max_inflight => 9}),
    ?assertMatch(#{rate := 10000}, started(#{cron_max_inflight => 7})).

node_is_the_callers_the_hosts_the_routers_or_the_local_one(_) ->
    ?assertMatch(#{cron_node := [<<"http://localhost:6363">>]}, started(#{})),
    harness:host(#{cron_node => <<"http://host:1">>}),
    ?assertMatch(#{cron_node := [<<"http://host:1">>]}, started(#{})),
    ?assertMatch(#{cron_node := [<<"http://own:1">>]}, started(#{cron_node => <<"http://own:1">>})),
    harness:host(#{}),
    [begin
        ok = application:stop(hb_process_monitor),
        harness:load_router(Answer),
        ?assertMatch(#{cron_node := [Expected]}, started(#{}))
    end || {Answer, Expected} <- [
        {"{ok, \"http://routed:1\"}", <<"http://routed:1">>},
        {"{error, service_type_not_found}", <<"http://localhost:6363">>},
        {"error({badmap, undefined})", <<"http://localhost:6363">>}]],
    harness:load_router("{ok, \"ftp://routed\"}"),
    ?assertMatch(#{cron_node := [<<"http://localhost:6363">>]}, started(#{})),
    harness:unload_router().

node_in_each_form_is_a_list_of_binaries(_) ->
    [?assertMatch(#{cron_node := Expected}, started(#{cron_node => Node})) || {Node, Expected} <- [
        {<<"http://a:1">>, [<<"http://a:1">>]},
        {"http://a:1", [<<"http://a:1">>]},
        {[<<"http://a:1">>, "https://b"], [<<"http://a:1">>, <<"https://b">>]}]].

every_option_accepts_its_default(_) ->
    [?assertMatch(#{rate := _}, started(#{Key => Default}))
     || {Key, monitor, Default} <- ?OPTS:describe(), Key =/= default_cron_rate, Default =/= undefined].

documented_options_are_those_of_the_table_test() ->
    {ok, Written} = file:read_file(harness:checkout(options_doc:file())),
    ?assert(Written =:= options_doc:markdown(), "docs/options.md is out of date: make docs").
