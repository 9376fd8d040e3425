%%% Whether the application starts by itself, by the node's options and by what the host can have. autostart_tests boots
%%% releases.
-module(autostart_choice_tests).
-include_lib("eunit/include/eunit.hrl").

-define(M, hb_cron_autostart).

eunit_wrapper_(Tests) -> deadline:each(Tests).

options(More) -> maps:merge(#{cron_autostart => true, cron_processes => [], cron_checkpoint => <<"no such file">>}, More).

device_is_enough_test() ->
    ?assert(?M:is_wanted(options(#{}), true)),
    ?assert(?M:is_wanted(options(#{cron_checkpoint => false}), true)).

nothing_to_do_starts_nothing_test() ->
    ?assertNot(?M:is_wanted(options(#{}), false)),
    ?assertNot(?M:is_wanted(options(#{cron_checkpoint => false}), false)).

configured_process_or_checkpoint_is_enough_test() ->
    ?assert(?M:is_wanted(options(#{cron_processes => [<<"id">>]}), false)),
    ?assert(?M:is_wanted(options(#{cron_checkpoint => code:which(?M)}), false)).

cluster_is_enough_test() ->
    ?assert(?M:is_wanted(options(#{cron_cluster => <<"postgresql://db.example.com/db">>}), false)),
    ?assertNot(?M:is_wanted(options(#{cron_cluster => undefined}), false)).

switched_off_starts_nothing_test() ->
    ?assertNot(?M:is_wanted(options(#{cron_autostart => false, cron_processes => [<<"id">>]}), true)).
