%%% The table on an operator's console: monitors in each kind of trouble, and hostile text of a CU or a push, which
%%% must not break the table. info_tests covers the values.
-module(table_tests).
-include_lib("eunit/include/eunit.hrl").

-define(M, hb_cron_table).

eunit_wrapper_(Tests) -> deadline:each(Tests).

%% The info of an idle monitor that has never pushed.
info(Changes) ->
    maps:merge(#{process => binary:copy(<<"A">>, 43), monitor => self(), state => idle, at_push => undefined,
                 stalled => false, cursor => <<"c">>, cursor_age => undefined, cursor_time => undefined, lag => undefined,
                 last_result => undefined, unacked => 0, buffered_bytes => 0, next_tick => 5000, next_try => undefined, next_result => 61000, requests_per_result => 1.5,
                 asks => #{how => every_tick, why => no_result}, longest_gap => 60000, crons => undefined,
                 rate => 10000, nodes => [], node => undefined, push => mu, dead_letters => 0, error => undefined,
                 supervised => false}, Changes).

shows(Part, Changes) ->
    Text = unicode:characters_to_binary(?M:one(info(Changes))),
    ?assertMatch({Part, {_, _}}, {Part, binary:match(Text, unicode:characters_to_binary(Part))}).

durations_take_few_characters_test() ->
    ?assertEqual(["-", "0 ms", "999 ms", "1.0 s", "59.9 s", "1m 00s", "59m 59s", "1h 00m", "23h 59m", "1d 00h", "400d 01h"],
                 [?M:duration(Ms) || Ms <- [undefined, 0, 999, 1000, 59900, 60000, 3599999, 3600000, 86399999, 86400000,
                                            400 * 86400000 + 3600000]]).

process_without_a_monitor_is_shown_as_such_test() ->
    ?assertEqual("not monitored\n", ?M:one(undefined)).

process_of_another_host_node_is_shown_with_its_name_test() ->
    ?assertEqual(<<"the host node b monitors it\n">>, unicode:characters_to_binary(?M:one({elsewhere, <<"b">>}))).

push_that_is_held_back_is_shown_as_such_test() ->
    shows("push held ×1", #{error => #{what => push, class => push_held, text => <<"later">>, failures => 1, ago => 0}}).

expected_result_shows_when_it_is_due_test() ->
    shows("expected in 1m 01s", #{}),
    shows("1.50 a result", #{}),
    shows("asking           asks at every tick: no result was seen yet", #{}),
    shows("next result      due", #{next_result => 0}),
    shows("next result      -", #{next_result => undefined, requests_per_result => undefined}).

monitor_at_a_push_shows_for_how_long_test() ->
    shows("pushing, in a push for 2m 03s, stalled", #{state => pushing, at_push => 123000, stalled => true}).

failure_shows_its_class_and_its_words_test() ->
    shows("3.0 s ago, connect ×7", #{error => #{what => fetch, class => connect, text => <<"refused">>, failures => 7, ago => 3000}}),
    shows("push ×1", #{error => #{what => push, class => push_failed, text => <<"badarg">>, failures => 1, ago => 0}}),
    shows("badarg", #{error => #{what => push, class => push_failed, text => <<"badarg">>, failures => 1, ago => 0}}).

each_node_shows_its_breaker_and_which_is_next_test() ->
    Nodes = [#{node => <<"http://a">>, breaker => closed}, #{node => <<"http://b">>, breaker => half_open},
             #{node => <<"http://c">>, breaker => {open, 1500}}],
    [shows(Part, #{nodes => Nodes, node => <<"http://b">>})
     || Part <- ["http://a, breaker closed\n", "http://b, breaker half open, used next\n", "http://c, breaker open for 1.5 s\n"]].

time_that_no_calendar_has_is_shown_as_it_is_test() ->
    shows("1970-01-01T00:00:01.000Z, 2.0 s ago", #{cursor_time => 1000, cursor_age => 2000}),
    shows("18446744073709551615", #{cursor_time => 18446744073709551615}).

monitor_of_a_host_says_so_test() ->
    shows(", supervised by the host", #{supervised => true}).

failure_in_a_row_is_one_line_of_bounded_length_test_() ->
    {setup, fun harness:setup/0, fun harness:cleanup/1, fun(Cu) -> fun() ->
        Id = harness:proc_id(),
        harness:fail_pushes(Id, [fun() -> {error, lists:duplicate(20, <<"a\nlong\treason ">>)} end]),
        test_cu:add(Cu, Id, 1),
        {Monitor, _} = harness:start(Cu, Id, #{cursor => earliest}),
        Monitor ! tick,
        harness:eventually(fun() -> maps:get(state, hb_process_monitor:info(Id)) =:= backing_off end),
        [_Head, Row, <<"1 of 1">>] = binary:split(unicode:characters_to_binary(?M:listing(#{})), <<"\n">>, [global, trim]),
        [Before, Failure] = binary:split(Row, <<"push ×1: "/utf8>>),
        ?assertMatch({_, _}, binary:match(Before, <<"backing_off">>)),
        ?assert(string:length(Failure) =< 60),
        ?assertEqual([], [Char || Char <- unicode:characters_to_list(Failure), Char < $\s])
    end end}.

%% Why a monitor asks when it does

asking(Asks, Next, Gap, Crons) ->
    Info = #{asks => Asks, next_result => Next, longest_gap => Gap, crons => Crons},
    unicode:characters_to_binary(?M:asking(Info)).

monitor_that_the_engine_does_not_know_has_no_reason_test() ->
    ?assertEqual(<<"-">>, asking(undefined, undefined, undefined, undefined)).

each_reason_for_every_tick_is_named_test() ->
    ?assertEqual(<<"asks at every tick: cron_poll is rate">>, asking(#{how => every_tick, why => rate}, undefined, undefined, undefined)),
    Texts = [asking(#{how => every_tick, why => Why}, undefined, 60000, undefined) || Why <- [no_result, untimed, unseen, delay]],
    ?assertEqual(4, length(lists:usort(Texts))),
    ?assertEqual(<<"asks at every tick: no result was seen yet (tags not known)">>, hd(Texts)).

expected_result_is_named_with_its_cron_and_its_times_test() ->
    Waits = asking(#{how => expected, every => 300, result_time => 1760000100000}, 5000, 600000, [300]),
    ?assertMatch({0, _}, binary:match(Waits, <<"expects the next result of the cron of 5m 00s at 2025-10-09T08:55:00Z; asks from ">>)),
    ?assertMatch({_, _}, binary:match(Waits, <<"; a request at least every 10m 00s (tags known)">>)),
    ?assertEqual(<<"expects the next result of the cron of 10.0 s at 2025-10-09T08:55:00Z; asks at every tick until it is there; "
                   "a request at least every 1m 00s (tags not known)">>,
                 asking(#{how => expected, every => 10, result_time => 1760000100000}, 0, 60000, undefined)).

result_of_a_time_that_no_calendar_has_shows_a_number_test() ->
    ?assertMatch({_, _}, binary:match(asking(#{how => expected, every => 1, result_time => 1 bsl 62}, 0, 1, []), integer_to_binary(1 bsl 62))).

process_without_crons_is_named_as_such_test() ->
    ?assertEqual(<<"expects no result: by its tags, no cron of the process ever runs; a request at least every 10m 00s">>,
                 asking(#{how => rarely}, undefined, 600000, [])).
