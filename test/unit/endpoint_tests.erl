%%% Where a server listens, as an option names it.
-module(endpoint_tests).
-include_lib("eunit/include/eunit.hrl").

eunit_wrapper_(Tests) -> deadline:each(Tests).

port_alone_is_of_loopback_test() ->
    ?assertEqual({ok, {{127, 0, 0, 1}, 8735}}, hb_cron_endpoint:parse(8735)).

address_with_a_port_is_read_test() ->
    ?assertEqual({ok, {{0, 0, 0, 0}, 80}}, hb_cron_endpoint:parse(<<"0.0.0.0:80">>)),
    ?assertEqual({ok, {{0, 0, 0, 0, 0, 0, 0, 1}, 80}}, hb_cron_endpoint:parse(<<"[::1]:80">>)).

other_values_are_refused_test() ->
    [?assertEqual({Value, error}, {Value, hb_cron_endpoint:parse(Value)})
     || Value <- [-1, 65536, <<"80">>, <<"::1:80">>, <<"localhost:80">>, <<"[::1]">>, <<"[::1:80">>, <<"1.2.3:80">>,
                  <<"1.2.3.4:x">>, <<"1.2.3.4:65536">>, "80", undefined]].
