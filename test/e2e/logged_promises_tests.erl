%%% Records that the README promises are printed by a stock `erl' without logger configuration, and by a stock
%%% release. Each test reads the output of its node.
-module(logged_promises_tests).
-include_lib("eunit/include/eunit.hrl").

eunit_wrapper_(Tests) -> deadline:each(Tests).

all_test_() ->
    {foreach, fun setup/0, fun cleanup/1,
     [{with, [T]} || T <- [
        fun failed_fetches_are_shown_as_their_number_doubles/1,
        fun end_of_failures_is_shown/1,
        fun failed_fetch_is_shown_without_its_password/1,
        fun failed_push_is_shown/1,
        fun push_that_stalls_is_shown/1,
        fun run_of_errors_that_was_passed_is_shown/1,
        fun damaged_checkpoint_is_shown/1,
        fun checkpoint_that_cannot_be_written_is_shown/1,
        fun operators_filter_on_the_domain_has_the_last_word/1,
        fun handler_with_filters_of_an_operator_is_left_alone/1,
        fun filter_is_taken_away_when_the_application_stops/1,
        fun columns_of_the_log_format_are_shown/1
     ]]}.

release_test_() ->
    {setup, fun installed/0, fun uninstalled/1, fun(World) -> [
        {"failed fetch is shown by a release", fun() -> release_shows_a_failed_fetch(World) end},
        {"assignment without a way is shown by a release", fun() -> release_shows_an_assignment(World) end}
    ] end}.

setup() ->
    #{dir => string:trim(os:cmd("mktemp -d")), cu => test_cu:start(), id => harness:proc_id()}.

cleanup(#{dir := Dir, cu := Cu}) ->
    test_cu:stop(Cu),
    ok = file:del_dir_r(Dir).

%% Starts a monitor in a stock node, runs the test, and stops the node.
with_monitor(World, Options, Test) -> with_monitor(World, Options, "", #{}, Test).

with_monitor(#{dir := Dir, cu := Cu, id := Id}, Options, Before, How, Test) ->
    Node = stock_node:start(Dir, [Before,
        " {M, _} = hb_process_monitor:start(<<\"", Id, "\">>, maps:merge(#{rate => 100, cursor => earliest, cron_node => <<\"",
        test_cu:url(Cu), "\">>, cron_push => fun(_, _) -> ok end}, ", Options, ")), M ! tick."], How),
    try Test(Node)
    after stock_node:stop(Node)
    end.

failed_fetches_are_shown_as_their_number_doubles(#{cu := Cu, id := Id} = World) ->
    test_cu:script(Cu, fun(_) -> {raw, test_cu:reply(500, <<"out of order">>)} end),
    with_monitor(World, "#{}", fun(Node) ->
        [stock_node:says(Node, ["WARNING REPORT[^\n]*\nstatus ", Id, " [^\n]* ", N, "\n"]) || N <- ["1", "2", "4"]]
    end).

end_of_failures_is_shown(#{cu := Cu, id := Id} = World) ->
    ok = test_cu:go_down(Cu),
    with_monitor(World, "#{}", fun(Node) ->
        stock_node:says(Node, ["WARNING REPORT[^\n]*\nconnect ", Id]),
        ok = test_cu:come_up(Cu),
        stock_node:says(Node, ["NOTICE REPORT[^\n]*\nrecovered ", Id, " fetch"])
    end).

failed_fetch_is_shown_without_its_password(#{cu := #{port := Port} = Cu, id := Id} = World) ->
    ok = test_cu:go_down(Cu),
    Node = io_lib:format("#{cron_node => <<\"http://user:sesame@127.0.0.1:~b\">>}", [Port]),
    with_monitor(World, Node, fun(Stock) ->
        Said = stock_node:says(Stock, ["connect ", Id]),
        ?assertEqual(nomatch, binary:match(Said, <<"sesame">>))
    end).

failed_push_is_shown(#{cu := Cu, id := Id} = World) ->
    1 = test_cu:add(Cu, Id, 1),
    with_monitor(World, "#{cron_push => fun(_, _) -> {error, device_is_down} end}", fun(Node) ->
        stock_node:says(Node, ["WARNING REPORT[^\n]*\npush_failed ", Id, " [^\n]*device_is_down"])
    end).

push_that_stalls_is_shown(#{cu := Cu, id := Id} = World) ->
    1 = test_cu:add(Cu, Id, 1),
    with_monitor(World, "#{cron_push_stall => 100, cron_push => fun(_, _) -> timer:sleep(infinity) end}", fun(Node) ->
        stock_node:says(Node, ["WARNING REPORT[^\n]*\npush_stalled ", Id])
    end).

%% Pages never contain results 2 and 3: the CU leaves errors out.
run_of_errors_that_was_passed_is_shown(#{cu := Cu, id := Id} = World) ->
    510 = test_cu:add(Cu, Id, 510),
    test_cu:script(Cu, fun(#{kind := results}) -> pass;
                          (#{query := Query}) ->
        From = case maps:get(<<"from">>, Query, <<>>) of
            <<>> -> 1;
            Cursor -> test_cu:number(Cursor) + 1
        end,
        Rows = [N || N <- lists:seq(From, max(From - 1, min(510, From + 100))), N < 4 orelse N > 500],
        {raw, test_cu:reply(200, test_cu:page(Rows, false, <<"x">>))}
    end),
    with_monitor(World, "#{cron_walk_after => 200}", fun(Node) ->
        stock_node:says(Node, ["WARNING REPORT[^\n]*\npassed_errors ", Id, " from_ms=[0-9]+ to_ms=[0-9]+"])
    end).

damaged_checkpoint_is_shown(#{dir := Dir} = World) ->
    ok = file:write_file(filename:join(Dir, "cron-checkpoint.redb"), crypto:strong_rand_bytes(100000)),
    with_monitor(World, "#{}", fun(Node) ->
        stock_node:says(Node, "ERROR REPORT[^\n]*\nlibrary cron_checkpoint[^\n]* is damaged [^\n]*moved to [^\n]*corrupt-")
    end).

%% A limit on file sizes simulates a full disk, which would require root.
checkpoint_that_cannot_be_written_is_shown(#{cu := Cu, id := Id} = World) ->
    %% Every other push succeeds, so the device counts as available.
    Large = iolist_to_binary(["{\"Output\":\"", binary:copy(<<"x">>, 1000000), "\"}"]),
    16 = test_cu:add_nodes(Cu, Id, lists:append(lists:duplicate(8, [Large, <<"{\"Output\":\"\"}">>]))),
    Options = "#{cron_push => fun(#{message := #{<<\"Output\">> := <<>>}}, _) -> ok; (_, _) -> {error, poison} end, "
              "cron_push_attempts => 1, cron_push_backoff => {1, 2}}",
    with_monitor(World, Options, "", #{shell => "trap '' XFSZ; ulimit -f 6000;"}, fun(Node) ->
        stock_node:says(Node, "ERROR REPORT[^\n]*\nlibrary cron_checkpoint[^\n]* cannot be written: ")
    end).

operators_filter_on_the_domain_has_the_last_word(#{cu := Cu, id := Id} = World) ->
    ok = test_cu:go_down(Cu),
    Quiet = "ok = logger:add_handler_filter(default, quiet, {fun logger_filters:domain/2, {stop, sub, [hb_process_monitor]}}),"
            "ok = logger:add_handler(seen, logger_std_h, #{config => #{file => \"seen.log\"}}),",
    #{dir := Dir} = World,
    with_monitor(World, "#{}", Quiet, #{}, fun(Node) ->
        harness:eventually(fun() ->
            case file:read_file(filename:join(Dir, "seen.log")) of
                {ok, Seen} -> binary:match(Seen, Id) =/= nomatch;
                {error, enoent} -> false
            end
        end),
        ?assertEqual(nomatch, binary:match(stock_node:said(Node), Id))
    end).

handler_with_filters_of_an_operator_is_left_alone(World) ->
    Own = "ok = logger:set_handler_config(default, filters, [{domain, {fun logger_filters:domain/2, {log, sub, [theirs]}}}]),",
    with_monitor(World, "#{}", [Own, "self() ! started, "], #{}, fun(_) -> ok end),
    printed(World, [Own, "{ok, _} = application:ensure_all_started(hb_process_monitor), ", filters()], "FILTERS \\[domain\\]").

filter_is_taken_away_when_the_application_stops(World) ->
    printed(World, ["{ok, _} = application:ensure_all_started(hb_process_monitor), ", filters()],
            "FILTERS \\[hb_process_monitor,remote_gl,domain,no_domain\\]"),
    printed(World, ["{ok, _} = application:ensure_all_started(hb_process_monitor), ok = application:stop(hb_process_monitor), ",
                    filters()], "FILTERS \\[remote_gl,domain,no_domain\\]").

filters() ->
    "{ok, #{filters := F}} = logger:get_handler_config(default), io:format(\"FILTERS ~0p~n\", [[N || {N, _} <- F]]).".

printed(#{dir := Dir}, Expression, Pattern) ->
    Node = stock_node:start(Dir, Expression),
    try stock_node:says(Node, Pattern)
    after stock_node:stop(Node)
    end.

columns_of_the_log_format_are_shown(#{cu := Cu, id := Id} = World) ->
    ok = test_cu:go_down(Cu),
    Format = "ok = logger:update_handler_config(default, formatter, {hb_process_monitor_log_format, #{}}),",
    with_monitor(World, "#{}", Format, #{}, fun(Node) ->
        stock_node:says(Node, ["[0-9:.]{12} warn +connect +", Id])
    end).

%% A release of era_b, with the host's modules and this build.
installed() ->
    World = setup(),
    #{dir := Dir} = World,
    Release = host_release:copy(host_release:build("era_b"), filename:join(Dir, "hb")),
    {0, _} = installation:install(installation:dist(Dir), Release),
    World#{release => Release}.

uninstalled(World) -> cleanup(World).

release_shows_a_failed_fetch(#{release := Release, dir := Dir, cu := Cu, id := Id}) ->
    ok = test_cu:go_down(Cu),
    Booted = host_release:boot(Release, Dir, fun(_) -> ok end, #{logger => stock}),
    try
        {ok, {_, _}} = host_release:call(Booted, hb_process_monitor, start,
                                         [Id, #{rate => 100, cursor => earliest, cron_node => test_cu:url(Cu)}]),
        stock_node:says(host_release:os_node(Booted), ["WARNING REPORT[^\n]*\nconnect ", Id])
    after
        ok = host_release:kill(Booted),
        ok = test_cu:come_up(Cu)
    end.

release_shows_an_assignment(#{release := Release, dir := Dir, cu := Cu}) ->
    Id = harness:proc_id(),
    Assigned = harness:proc_id(),
    1 = test_cu:add_nodes(Cu, Id, [[<<"{\"Assignments\":[{\"Processes\":[\"">>, Assigned, <<"\"],\"Message\":\"">>, Id, <<"\"}]}">>]]),
    Booted = host_release:boot(Release, Dir, fun(_) -> ok end, #{logger => stock}),
    try
        {ok, ok} = host_release:call(Booted, host_double, start, []),
        {ok, true} = host_release:call(Booted, host_double, process, [Assigned, local]),
        {ok, {_, _}} = host_release:call(Booted, hb_process_monitor, start,
                                         [Id, #{rate => 100, cursor => earliest, cron_node => test_cu:url(Cu)}]),
        stock_node:says(host_release:os_node(Booted), ["WARNING REPORT[^\n]*\nassignment_unsupported ", Id])
    after
        ok = host_release:kill(Booted)
    end.
