%%% The arguments of the program without HyperBEAM, and the line that it shows of a process.
-module(standalone_arguments_tests).
-include_lib("eunit/include/eunit.hrl").

eunit_wrapper_(Tests) -> deadline:each(Tests).

-define(ID, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOP0").
-define(OTHER, "zbcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOP0").

read(More) -> hb_cron_standalone_arguments:read(["PROCESS=" ?ID, "CU=http://cu.example" | More]).

least_arguments_have_defaults_test() ->
    ?assertMatch({ok, #{processes := [<<?ID>>], push := stdout, checkpoint := "cron-checkpoint.redb",
                        entries := [{<<?ID>>, #{cron_node := [<<"http://cu.example">>], cron_result_format := map} = Options}]}}
                 when not (is_map_key(cursor, Options) orelse is_map_key(rate, Options)), read([])).

all_arguments_are_read_test() ->
    {ok, Settings} = hb_cron_standalone_arguments:read(
        ["PROCESS=" ?OTHER "," ?ID "," ?ID, "CU=https://a.example,http://b.example:81/x", "FROM=a=b", "RATE=250",
         "PUSH=https://sink.example/?a=b", "CHECKPOINT=/tmp/x"]),
    ?assertMatch(#{processes := [<<?ID>>, <<?OTHER>>], push := {url, <<"https://sink.example/?a=b">>}, checkpoint := "/tmp/x",
                   entries := [{<<?ID>>, #{cursor := <<"a=b">>, rate := 250,
                                           cron_node := [<<"https://a.example">>, <<"http://b.example:81/x">>]}}, _]}, Settings).

beginnings_are_named_test() ->
    ?assertMatch({ok, #{entries := [{_, #{cursor := earliest}}]}}, read(["FROM=earliest"])),
    {ok, #{entries := [{_, Latest}]}} = read(["FROM=latest"]),
    ?assertNot(is_map_key(cursor, Latest)).

bad_arguments_are_sentences_test() ->
    [?assertEqual({Text, {error, Text}}, {Text, said(Given)})
     || {Text, Given} <- [
        {"PROCESS is missing", []},
        {"PROCESS is missing", ["PROCESS=,"]},
        {"CU is missing", ["PROCESS=" ?ID]},
        {"PROCESS: 'short' is not an id of 43 letters, digits, - and _", ["PROCESS=" ?ID ",short", "CU=http://x"]},
        {"CU: 'ftp://x' is not a URL of http or https", ["PROCESS=" ?ID, "CU=ftp://x"]},
        {"CU: 'http://' is not a URL of http or https", ["PROCESS=" ?ID, "CU=http://"]},
        {"PUSH: 'file' is not a URL of http or https", ["PROCESS=" ?ID, "CU=http://x", "PUSH=file"]},
        {"RATE: '1s' is not a number of milliseconds, 1 or more", ["PROCESS=" ?ID, "CU=http://x", "RATE=1s"]},
        {"there is no argument rate", ["rate=1"]},
        {"RATE is given twice", ["RATE=1", "RATE=2"]},
        {"'once' is not of the form NAME=VALUE", ["once"]},
        {"FROM: a cursor has 1 to 4096 bytes", ["PROCESS=" ?ID, "CU=http://x", "FROM=" ++ lists:duplicate(4097, $a)]}]].

said(Given) ->
    {error, Text} = hb_cron_standalone_arguments:read(Given),
    {error, unicode:characters_to_list(Text)}.

%% The line of a process

line(Seen, Now) -> lists:flatten(hb_cron_standalone_status:line(<<?ID>>, Seen, Now)).

line_of_a_process_that_is_up_to_date_has_its_age_test() ->
    Seen = #{from => 0, count => 7, per_second => 1.25, info => #{state => idle, cursor_time => 9000}},
    ?assertEqual("abcdefghijkl idle              7 results     1.3/s  1.0 s behind", line(Seen, 10000)).

line_of_a_backlog_has_a_bar_test() ->
    Seen = #{from => 0, count => 7, per_second => 0.0, info => #{state => pushing, cursor_time => 7200000}},
    ?assertEqual("abcdefghijkl pushing           7 results     0.0/s  6 h behind [#####...............] 25 %", line(Seen, 28800000)).

line_of_a_process_without_a_cursor_has_no_age_test() ->
    Seen = #{from => undefined, count => 0, per_second => 0.0, info => undefined},
    ?assertEqual("abcdefghijkl -                 0 results     0.0/s", line(Seen, 10000)).
