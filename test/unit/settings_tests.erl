%%% Settings that many monitors share: they are returned unchanged, and their number is bounded.
-module(settings_tests).
-include_lib("eunit/include/eunit.hrl").

-define(SETTINGS, hb_cron_settings).

eunit_wrapper_(Tests) -> deadline:each(Tests).

equal_settings_shared_twice_are_one_copy_off_the_heap_test() ->
    Settings = #{cron_timeout => 7, cron_node => [<<"http://one:1">>]},
    Shared = ?SETTINGS:share(Settings),
    ?assertEqual(Shared, ?SETTINGS:share(maps:from_list(maps:to_list(Settings)))),
    ?assertEqual(Settings, ?SETTINGS:get(Shared)),
    %% Literals: `flat_size' counts them, but they are shared and never copied.
    ?assertEqual(0, erts_debug:size_shared(?SETTINGS:get(Shared))).

settings_beyond_the_shared_ones_are_returned_unchanged_test() ->
    %% More than the limit, in addition to those of other tests.
    All = [#{number => N} || N <- lists:seq(1, 1000)],
    Before = maps:get(count, persistent_term:info()),
    Shared = [?SETTINGS:share(Settings) || Settings <- All],
    ?assert(maps:get(count, persistent_term:info()) - Before =< 513),
    ?assertEqual(All, [?SETTINGS:get(One) || One <- Shared]),
    %% Shared settings stay shared.
    ?assertEqual(Shared, [?SETTINGS:share(Settings) || Settings <- All]).

settings_as_a_literal_take_no_memory_of_the_heap_test() ->
    Settings = #{cron_timeout => 8, cron_node => [<<"http://one:1">>]},
    ?assertEqual(Settings, ?SETTINGS:literal(Settings)),
    ?assertEqual(0, erts_debug:size_shared(?SETTINGS:literal(Settings))).
