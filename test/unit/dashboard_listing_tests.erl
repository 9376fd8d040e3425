%%% Listings of the dashboard's table: each order, each group, parts of ids, and pages.
-module(dashboard_listing_tests).
-include_lib("eunit/include/eunit.hrl").

eunit_wrapper_(Tests) -> deadline:each(Tests).

id(N) -> <<(integer_to_binary(100 + N))/binary, (binary:copy(<<"x">>, 40))/binary>>.

summary(N) ->
    #{process => id(N), monitor => self(), state => idle, cursor_age => undefined, lag => undefined, last_result => undefined,
      unacked => 0, at_push => undefined, error => undefined, next_tick => undefined, next_result => undefined, dead_letters => 0}.

table(Changes) ->
    Summaries = [maps:merge(summary(N), Change) || {N, Change} <- lists:zip(lists:seq(1, length(Changes)), Changes)],
    hb_cron_dashboard_listing:table(hb_cron_dashboard_listing:rows(Summaries)).

query(Given) ->
    hb_cron_dashboard_listing:query(maps:merge(#{sort => <<>>, order => <<>>, show => <<>>, find => <<>>}, Given)).

%% The numbers of the monitors, in order.
numbers(Table, Given) ->
    #{count := Count} = Listing = hb_cron_dashboard_listing:select(Table, query(Given)),
    Ids = hb_cron_dashboard_listing:slice(Listing, 0, 1000),
    ?assertEqual(Count, length(Ids)),
    [binary_to_integer(binary:part(Id, 0, 3)) - 100 || Id <- Ids].

table_without_rows_has_empty_listings_test() ->
    Table = table([]),
    ?assertEqual(0, hb_cron_dashboard_listing:size(Table)),
    [?assertEqual([], numbers(Table, Given)) || Given <- [#{}, #{sort => <<"lag">>}, #{find => <<"a">>}, #{show => <<"errors">>}]].

each_value_sorts_both_ways_and_unknown_ones_come_last_test_() ->
    Now = erlang:system_time(millisecond),
    Error = fun(Failures) -> #{what => push, class => push_failed, text => <<>>, failures => Failures, ago => 0} end,
    [{atom_to_list(Sort), fun() ->
         Table = table([#{Key => A}, #{}, #{Key => B}, #{Key => C}]),
         Sorted = fun(Order) -> numbers(Table, #{sort => atom_to_binary(Sort), order => Order}) end,
         ?assertEqual([4, 1, 3, 2], Sorted(<<"asc">>)),
         ?assertEqual([3, 1, 4, 2], Sorted(<<"desc">>))
     end} || {Sort, Key, [A, B, C]} <- [
        {lag, lag, [20, 3000, 0]}, {cursor_age, cursor_age, [20, 3000, 0]}, {next, next_tick, [20, 3000, 0]}, {next, next_result, [20, 3000, 0]},
        {last_result, last_result, [Now - 20000, Now - 300000, Now - 1000]}, {errors, error, [Error(2), Error(70000), Error(1)]}]].

expected_result_counts_before_the_next_tick_test() ->
    Table = table([#{next_result => 50, next_tick => 1}, #{next_tick => 10}, #{next_result => 0, next_tick => 99}]),
    ?assertEqual([3, 2, 1], numbers(Table, #{sort => <<"next">>})).

counts_and_states_sort_with_equal_ones_by_id_test() ->
    Table = table([#{dead_letters => 1, unacked => 5}, #{state => backing_off}, #{dead_letters => 1, state => unknown}, #{unacked => 6}]),
    ?assertEqual([1, 3, 2, 4], numbers(Table, #{sort => <<"dead_letters">>, order => <<"desc">>})),
    ?assertEqual([2, 4, 1, 3], numbers(Table, #{sort => <<"dead_letters">>})),
    ?assertEqual([4, 1, 2, 3], numbers(Table, #{sort => <<"unacked">>, order => <<"desc">>})),
    ?assertEqual([3, 2, 1, 4], numbers(Table, #{sort => <<"state">>, order => <<"desc">>})),
    ?assertEqual([4, 3, 2, 1], numbers(Table, #{order => <<"desc">>})).

groups_have_their_monitors_and_counts_test() ->
    Error = #{what => fetch, class => timeout, text => <<>>, failures => 1, ago => 0},
    Table = table([#{state => State} || State <- hb_cron_info:states()] ++ [#{error => Error, dead_letters => 3}]),
    All = lists:seq(1, length(hb_cron_info:states())),
    [?assertEqual(case State of idle -> [1, 11]; _ -> [N] end, numbers(Table, #{show => atom_to_binary(State)}))
     || {N, State} <- lists:zip(All, hb_cron_info:states())],
    ?assertEqual([11], numbers(Table, #{show => <<"errors">>})),
    ?assertEqual([11], numbers(Table, #{show => <<"dead_letters">>})),
    ?assertEqual([4, 5, 6, 8, 10], numbers(Table, #{show => <<"other">>})),
    #{count := 1, counts := Counts} = hb_cron_dashboard_listing:select(Table, query(#{show => <<"paused">>})),
    ?assertMatch(#{all := 11, idle := 2, paused := 1, errors := 1, dead_letters := 1, other := 5}, Counts).

part_of_an_id_in_any_case_finds_it_test() ->
    Ids = [<<(binary:copy(<<"a">>, 20))/binary, Part/binary, (binary:copy(<<"b">>, 18))/binary>> || Part <- [<<"QwErT">>, <<"qw-_T">>, <<"aaaaa">>]],
    Table = hb_cron_dashboard_listing:table(hb_cron_dashboard_listing:rows([(summary(1))#{process := Id} || Id <- Ids])),
    Found = fun(Find) ->
        Listing = hb_cron_dashboard_listing:select(Table, query(#{find => Find})),
        [string:str(lists:map(fun(I) -> [I] end, Ids), [[Id]]) || Id <- hb_cron_dashboard_listing:slice(Listing, 0, 10)]
    end,
    ?assertEqual([1], Found(<<"qwert">>)),
    ?assertEqual([1], Found(<<"ERT">>)),
    ?assertEqual([2], Found(<<"w-_">>)),
    ?assertEqual([1, 2, 3], Found(<<"bb">>)),
    ?assertEqual([1, 2, 3], Found(<<"a">>)),
    %% Not across two ids, and nothing of the table itself.
    [?assertEqual([], Found(Find)) || Find <- [<<"ba">>, <<"b\na">>, <<"\n">>, <<255>>, <<"<script>">>, binary:copy(<<"a">>, 44)]].

page_is_cut_from_the_order_test() ->
    Table = table([#{} || _ <- lists:seq(1, 7)]),
    Listing = hb_cron_dashboard_listing:select(Table, query(#{})),
    Slice = fun(From, Most) -> hb_cron_dashboard_listing:slice(Listing, From, Most) end,
    ?assertEqual([id(1), id(2)], Slice(0, 2)),
    ?assertEqual([id(7)], Slice(6, 3)),
    ?assertEqual([], Slice(7, 3)),
    ?assertEqual([], Slice(1000000, 3)).

query_with_a_wrong_value_is_refused_test() ->
    [?assertError({bad_option, Key, <<"nothing">>}, query(#{Key => <<"nothing">>})) || Key <- [sort, order, show]],
    ?assert(hb_cron_dashboard_listing:first(query(#{}))),
    [?assertNot(hb_cron_dashboard_listing:first(query(Given))) || Given <- [#{order => <<"desc">>}, #{find => <<"a">>}, #{show => <<"idle">>}]].

large_values_stay_in_their_columns_test() ->
    Table = table([#{lag => 1 bsl 70, cursor_age => 5}, #{lag => 7, cursor_age => 1 bsl 64}]),
    ?assertEqual([2, 1], numbers(Table, #{sort => <<"lag">>})),
    ?assertEqual([1, 2], numbers(Table, #{sort => <<"cursor_age">>})).
