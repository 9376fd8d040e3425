%%% Types of options: what each reads from text, from JSON, and from the application environment, and what it refuses.
-module(option_type_tests).
-include_lib("eunit/include/eunit.hrl").

-define(M, hb_cron_option_type).

eunit_wrapper_(Tests) -> deadline:each(Tests).

-define(RANGE, {range, 1, 5000}).
-define(ID, <<"AZaz09-_AZaz09-_AZaz09-_AZaz09-_AZaz09-_AZa">>).
-define(OTHER, <<"BZaz09-_AZaz09-_AZaz09-_AZaz09-_AZaz09-_AZa">>).

value_is_read_in_each_form_test_() ->
    [{lists:flatten(io_lib:format("~0p ~0p", [Type, Value])), ?_assertEqual({ok, Expected}, ?M:read(Type, Value))}
     || {Type, Value, Expected} <- [
        {?RANGE, 2500, 2500},
        {?RANGE, <<"2500">>, 2500},
        {?RANGE, <<" 2500\n">>, 2500},
        {?RANGE, "2500", 2500},
        {{infinity_or, ?RANGE}, <<"infinity">>, infinity},
        {{infinity_or, ?RANGE}, <<"Infinity">>, infinity},
        {{infinity_or, ?RANGE}, infinity, infinity},
        {{infinity_or, ?RANGE}, <<"17">>, 17},
        {{false_or, path}, <<"false">>, false},
        {{false_or, path}, false, false},
        {{false_or, path}, <<"/data/a file.redb">>, <<"/data/a file.redb">>},
        {{false_or, path}, "/data/file.redb", "/data/file.redb"},
        {{one_of, [auto, true, false]}, <<"true">>, true},
        {{one_of, [auto, true, false]}, <<"TRUE">>, true},
        {{one_of, [auto, true, false]}, true, true},
        {{one_of, [map, record]}, <<"record">>, record},
        {backoff, {1000, 300000}, {1000, 300000}},
        {backoff, <<"1000,300000">>, {1000, 300000}},
        {backoff, <<"1000, 300000">>, {1000, 300000}},
        {backoff, [1000, 300000], {1000, 300000}},
        {backoff, [<<"1000">>, <<"300000">>], {1000, 300000}},
        {backoff, #{<<"1">> => 1000, <<"2">> => 300000}, {1000, 300000}},
        {nodes, <<"http://a:1">>, <<"http://a:1">>},
        {nodes, "http://a:1", <<"http://a:1">>},
        {nodes, <<"http://a:1, https://b">>, [<<"http://a:1">>, <<"https://b">>]},
        %% A comma within a URL.
        {nodes, <<"http://u:p,w@a:1,http://b/x,y">>, [<<"http://u:p,w@a:1">>, <<"http://b/x,y">>]},
        {nodes, [<<"http://a:1">>, "http://b"], [<<"http://a:1">>, <<"http://b">>]},
        {nodes, #{<<"1">> => <<"http://a:1">>, <<"2">> => <<"http://b">>, <<"ao-types">> => <<"x">>},
         [<<"http://a:1">>, <<"http://b">>]},
        {push, <<"ao">>, ao},
        {push, mu, mu},
        {push, {their, push}, {their, push}},
        {push, <<"dev_mu:push">>, {dev_mu, push}},
        {processes, ?ID, [?ID]},
        {processes, <<?ID/binary, ", ", ?OTHER/binary, ",">>, [?ID, ?OTHER]},
        {processes, [?ID, {?OTHER, #{rate => 5}}], [?ID, {?OTHER, #{rate => 5}}]},
        {processes, #{<<"2">> => ?OTHER, <<"1">> => ?ID}, [?ID, ?OTHER]},
        {processes, #{<<"id">> => ?ID, <<"rate">> => 5}, [#{<<"id">> => ?ID, <<"rate">> => 5}]},
        %% More than nine, which sort as numbers.
        {processes, maps:from_list([{integer_to_binary(N), N} || N <- lists:seq(1, 12)]), lists:seq(1, 12)}
     ]].

value_that_cannot_be_read_is_refused_test_() ->
    [{lists:flatten(io_lib:format("~0p ~0p", [Type, Value])), ?_assertEqual(error, ?M:read(Type, Value))}
     || {Type, Value} <- [
        {?RANGE, <<"2500 ms">>}, {?RANGE, <<"many">>}, {?RANGE, <<"5001">>}, {?RANGE, 0}, {?RANGE, 2.5}, {?RANGE, <<>>},
        {?RANGE, #{}}, {?RANGE, [1]}, {?RANGE, infinity}, {?RANGE, <<"infinity">>},
        {{infinity_or, ?RANGE}, <<"never">>}, {{infinity_or, ?RANGE}, true},
        {{false_or, path}, true}, {{false_or, path}, <<>>}, {{false_or, path}, 7},
        {{one_of, [auto, true, false]}, <<"yes">>}, {{one_of, [auto, true, false]}, 1},
        {backoff, <<"1000">>}, {backoff, <<"5,1">>}, {backoff, <<"1,2,3">>}, {backoff, [1]}, {backoff, 7}, {backoff, <<"a,b">>},
        {backoff, #{<<"1">> => 1, <<"3">> => 2}},
        {nodes, <<"ftp://a">>}, {nodes, <<"http://a,ftp://b">>}, {nodes, [<<"http://a">>, 7]}, {nodes, [<<"http://a">> | x]},
        {nodes, #{<<"a">> => <<"http://a">>}}, {nodes, []}, {nodes, 7},
        {push, <<"carrier pigeon">>}, {push, <<"hb_cron_secret:redact">>}, {push, <<"hb_cron_secret:no_such_function">>},
        {push, <<"no_such_module_of_these_tests:push">>}, {push, <<"a:b:c">>}, {push, <<"'A':push">>}, {push, 7}, {push, []},
        {processes, 7}, {processes, [?ID | x]}, {processes, true}
     ]].

%% The names are nowhere in this file as atoms.
text_makes_no_atom_test() ->
    Read = fun() ->
        Unknown = <<"never_seen_", (integer_to_binary(erlang:unique_integer([positive])))/binary>>,
        [error = ?M:read(Type, Text) || Type <- [push, {one_of, [map, record]}, {infinity_or, ?RANGE}],
                                        Text <- [Unknown, <<Unknown/binary, ":push">>, <<"dev_mu:", Unknown/binary>>]]
    end,
    %% Loads what is needed.
    _ = Read(),
    Before = erlang:system_info(atom_count),
    _ = Read(),
    ?assertEqual(Before, erlang:system_info(atom_count)).

%% In a node without this module's atoms.
push_function_of_an_unloaded_module_is_found_by_its_file_test() ->
    Dir = string:trim(os:cmd("mktemp -d")),
    Name = "push_of_option_type_tests_" ++ integer_to_list(erlang:unique_integer([positive])),
    Source = filename:join(Dir, Name ++ ".erl"),
    ok = file:write_file(Source, ["-module(", Name, ").\n-export([push/2]).\npush(_, _) -> ok.\n"]),
    "" = os:cmd("erlc -o " ++ Dir ++ " " ++ Source),
    true = code:add_pathz(Dir),
    try
        {ok, {Module, push}} = ?M:read(push, list_to_binary(Name ++ ":push")),
        ?assertEqual(Name, atom_to_list(Module)),
        ?assert(erlang:function_exported(Module, push, 2))
    after
        true = code:del_path(Dir),
        harness:unload(list_to_atom(Name)),
        file:del_dir_r(Dir)
    end.

default_of_every_option_is_valid_and_read_test_() ->
    [{atom_to_list(Key), ?_assertEqual({true, {ok, Default}}, {?M:is_valid(Type, Default), ?M:read(Type, Default)})}
     || {Key, _, Default, Type, _, _} <- hb_cron_option_table:all(), Default =/= undefined].

%% Entries of cron_processes

entry_is_read_in_each_form_test_() ->
    [?_assertEqual({?ID, Options}, hb_cron_process_entry:read(Entry)) || {Entry, Options} <- [
        {?ID, #{}},
        {binary_to_list(?ID), #{}},
        {{?ID, #{rate => 5}}, #{rate => 5}},
        {#{<<"id">> => ?ID}, #{}},
        {#{<<"id">> => ?ID, <<"rate">> => <<"1000">>, <<"paused">> => <<"true">>, <<"cron-page-limit">> => 7,
           <<"cron_node">> => <<"http://a,http://b">>, <<"cursor">> => <<"earliest">>, <<"ao-types">> => <<"x">>},
         #{rate => 1000, paused => true, cron_page_limit => 7, cron_node => [<<"http://a">>, <<"http://b">>], cursor => earliest}},
        {{?ID, #{<<"rate">> => 5}}, #{rate => 5}}]].

entry_that_is_bad_raises_what_is_wrong_test_() ->
    [?_assertError(Reason, hb_cron_process_entry:read(Entry)) || {Entry, Reason} <- [
        {<<"no id">>, {bad_process_id, <<"no id">>}},
        {7, {bad_process_id, 7}},
        {#{<<"rate">> => 5}, {bad_process_id, #{<<"rate">> => 5}}},
        {#{<<"id">> => ?ID, <<"rate">> => <<"often">>}, {bad_option, rate, <<"often">>}},
        {#{<<"id">> => ?ID, <<"cron_max_inflight">> => 5}, {bad_option, <<"cron_max_inflight">>, 5}},
        {#{<<"id">> => ?ID, <<"no_such">> => 5}, {bad_option, <<"no_such">>, 5}}]].
