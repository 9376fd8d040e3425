%%% The dashboard's page is the one of the files that are edited, and holds nothing from elsewhere.
-module(dashboard_page_tests).
-include_lib("eunit/include/eunit.hrl").

eunit_wrapper_(Tests) -> deadline:each(Tests).

generated_module_is_that_of_the_files_test() ->
    {ok, Written} = file:read_file(harness:checkout(dashboard_page:file())),
    ?assert(Written =:= dashboard_page:source(), "the dashboard's page is out of date: make page").

page_holds_style_and_script_and_refers_to_no_file_test() ->
    {Html, Policy} = hb_cron_dashboard_page:html(),
    ?assertEqual(nomatch, binary:match(Html, [<<"src=">>, <<"href='s">>])),
    ?assertMatch({_, _}, binary:match(Html, <<"const ROWS">>)),
    ?assertMatch([_, _, _], string:split(Policy, "'sha256-", all)).

%% A quote within a text ends it, and then nothing of the page works. `make browser' finds any other error.
script_closes_each_quote_on_its_line_test_() ->
    [{File, fun() -> ?assertEqual([], [Line || Line <- string:split(read(File), "\n", all), is_odd(Line)]) end}
     || File <- dashboard_page:files("js")].

every_file_of_the_page_is_part_of_it_test() ->
    Files = filelib:wildcard("*.{js,css}", harness:checkout("erlang/dashboard/page")),
    ?assertEqual([], Files -- (dashboard_page:files("js") ++ dashboard_page:files("css"))),
    [?assert(length(string:split(read(File), "\n", all)) =< 350, File) || File <- Files].

quote_that_is_not_closed_is_found_test() ->
    ?assertEqual([true, false, false, false],
                 [is_odd(Line) || Line <- ["a = 'the browser's console'", "a = 'one' + `it's ${b}` + 'two'", "// it's", "a = 1; // it's"]]).

%% Without template texts and comments.
is_odd(Line) ->
    Bare = re:replace(Line, "`[^`]*`|(^|\\s)//.*$", "", [global, {return, binary}]),
    length(binary:matches(Bare, <<"'">>)) rem 2 =:= 1.

read(File) ->
    {ok, Text} = file:read_file(harness:checkout(filename:join("erlang/dashboard/page", File))),
    Text.
