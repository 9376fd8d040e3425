%%% Text for an operator is readable on a console of any encoding.
-module(console_tests).
-include_lib("eunit/include/eunit.hrl").

eunit_wrapper_(Tests) -> deadline:each(Tests).

all_test_() ->
    {foreach, fun setup/0, fun cleanup/1,
     [{with, [T]} || T <- [
        fun console_without_a_locale_gets_ascii/1,
        fun console_of_utf8_gets_text_as_it_is/1
     ]]}.

text_of_others_in_ascii_is_escaped_test() ->
    ?assertEqual("a...x \\x{2603}\n", hb_cron_console:ascii([<<"a…×"/utf8>>, " ", 16#2603, $\n])).

setup() -> #{dir => string:trim(os:cmd("mktemp -d")), cu => test_cu:start(), id => harness:proc_id()}.

cleanup(#{dir := Dir, cu := Cu}) ->
    test_cu:stop(Cu),
    ok = file:del_dir_r(Dir).

console_without_a_locale_gets_ascii(World) ->
    Printed = printed(World, [{"LANG", false}, {"LC_ALL", false}, {"LC_CTYPE", false}], ""),
    ?assertEqual([], [Byte || <<Byte>> <= Printed, Byte > 127]),
    ?assertMatch({match, _}, re:run(Printed, "status x[0-9]+: ")),
    ?assertMatch({_, _}, binary:match(Printed, <<"...\n">>)),
    ?assertEqual(nomatch, binary:match(Printed, <<"\\x{2026}">>)).

console_of_utf8_gets_text_as_it_is(World) ->
    Printed = printed(World, [], "ok = io:setopts([{encoding, unicode}]), "),
    ?assertMatch({match, _}, re:run(Printed, <<"status ×[0-9]+: "/utf8>>)),
    ?assertMatch({_, _}, binary:match(Printed, <<"…\n"/utf8>>)).

%% Everything that is printed about a monitor whose fetches fail with a non-ASCII text.
printed(#{dir := Dir, cu := Cu, id := Id}, Env, Before) ->
    test_cu:script(Cu, fun(_) -> {raw, test_cu:reply(500, unicode:characters_to_binary(["out of order ", 16#2603]))} end),
    Node = stock_node:start(Dir, [Before,
        "ok = logger:set_primary_config(level, none), Id = <<\"", Id, "\">>, ",
        "{M, _} = hb_process_monitor:start(Id, #{cursor => earliest, cron_node => <<\"", test_cu:url(Cu), "\">>}), M ! tick, ",
        "Failed = fun Failed() -> case hb_process_monitor:info(Id) of ",
        "#{error := #{}} -> ok; _ -> timer:sleep(5), Failed() end end, Failed(), ",
        "hb_process_monitor:i(), hb_process_monitor:i(#{limit => 1}), hb_process_monitor:i(Id), hb_process_monitor:doctor(), ",
        "io:put_chars(\"END OF IT\\n\")."], #{env => Env}),
    try stock_node:says(Node, "END OF IT\n")
    after stock_node:stop(Node)
    end.
