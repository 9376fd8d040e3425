%%% Short forms of large terms: they are short, whatever the term is, and small terms are kept.
-module(excerpt_tests).
-include_lib("eunit/include/eunit.hrl").

-define(M, hb_cron_excerpt).

eunit_wrapper_(Tests) -> deadline:each(Tests).

large() ->
    [binary:copy(<<"a">>, 100000), lists:duplicate(100000, $a), lists:seq(1, 100000), binary:copy(<<255, 0>>, 50000),
     {error, #{body => binary:copy(<<"ä"/utf8>>, 50000)}}, deep(10000), [binary:copy(<<"a">>, 100) || _ <- lists:seq(1, 1000)],
     maps:from_list([{N, N} || N <- lists:seq(1, 10000)]), [16#110000 | lists:duplicate(100000, $a)]].

deep(0) -> end_of_it;
deep(N) -> {N, [deep(N - 1)]}.

text_of_a_large_term_is_short_test_() ->
    [?_assert(string:length(?M:text(Term, 200)) =< 203) || Term <- large()].

text_of_a_small_term_is_whole_test() ->
    ?assertEqual(<<"{badmatch,<<\"no such process\">>}">>, ?M:text({badmatch, <<"no such process">>}, 200)).

details_that_are_large_are_short_texts_test_() ->
    [fun() ->
        {Id, Text, 3} = ?M:details({<<"id">>, Term, 3}),
        ?assertEqual(<<"id">>, Id),
        ?assert(is_binary(Text)),
        ?assert(string:length(Text) =< 1003)
     end || Term <- large()].

details_that_are_small_are_kept_test() ->
    Details = {<<"id">>, {error, {badmatch, [1, 2, 3]}}, #{a => <<"text">>}},
    ?assertEqual(Details, ?M:details(Details)).
