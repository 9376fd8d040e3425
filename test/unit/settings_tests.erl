%%% Settings that many monitors share: that they are given back as they were, and that there is a bound.
-module(settings_tests).
-include_lib("eunit/include/eunit.hrl").

-define(SETTINGS, hb_cron_settings).

eunit_wrapper_(Tests) -> deadline:each(Tests).

equal_settings_shared_twice_are_one_copy_off_the_heap_test() ->
    Settings = #{cron_timeout => 7, cron_node => [<<"http://one:1">>]},
    Shared = ?SETTINGS:share(Settings),
    ?assertEqual(Shared, ?SETTINGS:share(maps:from_list(maps:to_list(Settings)))),
    ?assertEqual(Settings, ?SETTINGS:get(Shared)),
    %% Of no size: `flat_size' would count it, and a literal is not copied either.
    ?assertEqual(0, erts_debug:size_shared(?SETTINGS:get(Shared))).

settings_beyond_what_is_shared_are_carried_and_given_back_test() ->
    %% More than there is room for, whatever other tests have left.
    All = [#{number => N} || N <- lists:seq(1, 1000)],
    Before = maps:get(count, persistent_term:info()),
    Shared = [?SETTINGS:share(Settings) || Settings <- All],
    ?assert(maps:get(count, persistent_term:info()) - Before =< 257),
    ?assertEqual(All, [?SETTINGS:get(One) || One <- Shared]),
    %% Those that are shared stay so.
    ?assertEqual(Shared, [?SETTINGS:share(Settings) || Settings <- All]).
