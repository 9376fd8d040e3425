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
