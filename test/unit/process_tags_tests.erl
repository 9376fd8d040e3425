%%% The tags `Cron-Interval' of a process, as the hosts of each generation hold them: what is read, and that everything
%%% that may be incomplete, hostile or elsewhere is unknown.
-module(process_tags_tests).
-include_lib("eunit/include/eunit.hrl").

-define(LOCAL, #{<<"store-module">> => hb_store_fs, <<"prefix">> => <<"cache-mainnet">>}).
-define(GATEWAY, #{<<"store-module">> => hb_store_gateway, <<"store">> => [?LOCAL]}).

eunit_wrapper_(Tests) -> deadline:each(Tests).

in(Era, Test) ->
    {setup,
     fun() ->
         hb_opts:set(#{store => [?LOCAL, ?GATEWAY]}),
         Modules = era:load(Era),
         ok = hb_cron_process_tags:detect(),
         Modules
     end,
     fun(Modules) -> era:unload(Modules), hb_opts:reset(), ok = hb_cron_process_tags:detect() end,
     fun(_) -> Test() end}.

read(Fields) ->
    Id = era:target(local, Fields),
    hb_cron_process_tags:cron_intervals(Id).

tags_of_later_hosts_test_() -> [in(Era, fun tags/0) || Era <- [era_b, era_c]].

tags() ->
    Tag = fun(Value) -> read(#{<<"cron-interval">> => Value}) end,
    Long = binary:copy(<<"1">>, 257),
    [?_assert(hb_cron_process_tags:is_readable()),
     ?_assertEqual({ok, [<<"5-minutes">>]}, Tag(<<"5-minutes">>)),
     ?_assertEqual({ok, [<<"5-minutes">>]}, read(#{<<"Cron-Interval">> => <<"5-minutes">>})),
     ?_assertEqual({ok, []}, read(#{<<"cron-tag-action">> => <<"Cron">>})),
     %% Several tags of this name.
     ?_assertEqual({ok, [<<"1-hour">>, <<"5-minutes">>]}, sorted(Tag(<<"\"5-minutes\", \"1-hour\"">>))),
     ?_assertEqual({ok, [<<"1-\"x\\">>]}, Tag(<<"\"1-\\\"x\\\\\"">>)),
     ?_assertEqual({ok, [<<"5-minutes">>, <<"1-hour">>]}, Tag([<<"5-minutes">>, <<"1-hour">>])),
     ?_assertEqual({ok, [<<"1-hour">>, <<"5-minutes">>]},
                   sorted(Tag(#{<<"1">> => <<"5-minutes">>, <<"2">> => <<"1-hour">>, <<"ao-types">> => <<".=\"list\"">>}))),
     %% What may be incomplete, or is not what a host holds.
     [?_assertEqual({Value, unknown}, {Value, Tag(Value)})
      || Value <- [<<"\"5-minutes\", 1">>, <<"\"5-minutes">>, <<"\"5-minutes\" \"1-hour\"">>, <<"\"a\",">>, <<"\"\\n\"">>,
                   Long, [Long], <<$", Long/binary, $">>, 5, atom, #{<<"a">> => <<"1-hour">>}, [<<"1-hour">> | <<"x">>],
                   [<<"1-hour">>, 7], lists:duplicate(65, <<"1-hour">>), #{<<"1">> => #{}}]],
     ?_assertEqual(unknown, Tag(iolist_to_binary(lists:join(<<", ">>, lists:duplicate(65, <<"\"1-hour\"">>))))),
     ?_assertEqual(unknown, read(#{<<"cron-interval">> => <<"1-hour">>, <<"Cron-Interval">> => <<"5-minutes">>})),
     ?_assertEqual(unknown, read(#{<<"cron-interval+link">> => harness:proc_id()})),
     ?_assertEqual(unknown, read(#{<<"type">> => <<"Message">>, <<"cron-interval">> => <<"1-hour">>})),
     ?_assertEqual(unknown, read(#{<<"type">> => 7})),
     ?_assertEqual(unknown, hb_cron_process_tags:cron_intervals(harness:proc_id())),
     [?_test(answer(Answer)) || Answer <- [{ok, <<"binary">>}, {ok, #{}}, {error, not_found}, nonsense]],
     ?_test(stores())].

sorted({ok, Values}) -> {ok, lists:sort(Values)}.

answer(Answer) ->
    host_double:on({hb_cache, read}, fun(_) -> Answer end),
    ?assertEqual(unknown, hb_cron_process_tags:cron_intervals(harness:proc_id())),
    host_double:on({hb_cache, read}, pass).

%% No gateway, no other node, and nothing of an operator's own that may be either.
stores() ->
    Id = era:target(local, #{<<"cron-interval">> => <<"1-hour">>}),
    _ = hb_cron_process_tags:cron_intervals(Id),
    [_, #{store := Read}] = lists:last(host_double:asked({hb_cache, read})),
    ?assertEqual([?LOCAL], Read),
    Asked = length(host_double:asked({hb_cache, read})),
    lists:foreach(fun(Store) ->
        hb_opts:set(#{store => Store}),
        ?assertEqual(unknown, hb_cron_process_tags:cron_intervals(Id))
    end, [[], ?GATEWAY, [?GATEWAY], no_viable_store, #{<<"store-module">> => own_store},
          maps:put(<<"scope">>, remote, ?LOCAL), [{hb_store_fs, #{}}]]),
    ?assertEqual(Asked, length(host_double:asked({hb_cache, read}))),
    hb_opts:set(#{store => ?LOCAL}),
    ?assertEqual({ok, [<<"1-hour">>]}, hb_cron_process_tags:cron_intervals(Id)).

values_that_are_read_when_asked_for_test_() -> in(era_c, fun() ->
    Link = fun(Value) -> {link, {value, Value}, #{<<"lazy">> => true}} end,
    Tag = fun(Value) -> read(#{<<"type">> => Link(<<"Process">>), <<"cron-interval">> => Value}) end,
    [?_assertEqual({ok, [<<"5-minutes">>]}, Tag(Link(<<"5-minutes">>))),
     ?_assertEqual({ok, [<<"1-hour">>, <<"5-minutes">>]}, Tag(Link(<<"\"5-minutes\", \"1-hour\"">>))),
     ?_assertEqual({ok, [<<"5-minutes">>]}, Tag([Link(<<"5-minutes">>)])),
     ?_assertThrow({necessary_message_not_found, _, _}, Tag({link, <<"gone">>, #{}}))]
end).

%% Of several tags with one name an early host keeps one.
hosts_whose_messages_are_not_read_test_() ->
    [in(Era, fun() -> ?_assertNot(hb_cron_process_tags:is_readable()) end) || Era <- [era_a, era_d]].

bare_node_reads_nothing_test() ->
    ok = hb_cron_process_tags:detect(),
    ?assertNot(hb_cron_process_tags:is_readable()).
