%%% A release of the host with this build installed: booted in embedded mode, killed, booted again, upgraded while
%%% it runs. install_tests covers the installed files.
-module(release_tests).
-include_lib("eunit/include/eunit.hrl").

-define(RATE, 20).
%% The recipient of the messages in the test CU's results.
-define(TARGET, <<"AZaz09-_AZaz09-_AZaz09-_AZaz09-_AZaz09-_AZa">>).
%% How long an immediate reaction may take, in ms. Only a failure takes this long.
-define(DEADLINE, deadline:ms()).

eunit_wrapper_(Tests) -> deadline:each(Tests).

release_test_() ->
    {setup, fun installation:setup_eras/0, fun installation:cleanup/1,
     fun(World) -> [{Era ++ ": " ++ atom_to_list(Name), fun() -> installation:with_era(Era, World, Test) end}
                    || {Name, Eras, Test} <- [
        {node_without_the_library_boots_and_says_so, ["era_b"], fun no_library/1},
        {installed_release_killed_and_booted_again_loses_nothing, ["era_a", "era_b"], fun killed/1},
        {installed_release_pushes_with_its_own_modules, ["era_a", "era_b"], fun pushes/1},
        {node_that_runs_is_a_reason_to_refuse_unless_live, ["era_b"], fun running/1},
        {node_exchanged_live_goes_on_and_boots_the_newer_build, ["era_b"], fun exchanged_live/1},
        {original_is_called_before_and_after, ["era_a"], fun original/1}
     ], Era <- Eras] end}.

%% A missing library must not prevent booting: the release runs, and calls return an error.
no_library(#{release := Release, dist := Dist, cwd := Cwd}) ->
    {0, _} = installation:install(Dist, Release),
    ok = file:delete(installation:library(host_release:app(Release))),
    Booted = host_release:boot(Release, Cwd, fun nothing_is_pushed/1),
    {error, {nif_not_loaded, [{_, _} | _]}} = host_release:call(Booted, hb_process_monitor, start, [harness:proc_id()]),
    {ok, Host} = host_release:call(Booted, erlang, whereis, [hb_sup]),
    ?assert(is_pid(Host)),
    ok = host_release:kill(Booted).

killed(#{release := Release, dist := Dist, cwd := Cwd, cu := Cu}) ->
    Id = harness:proc_id(),
    test_cu:add(Cu, Id, 300),
    {0, _} = installation:install(Dist, Release),
    {0, _} = installation:verify(Dist, Release),
    Booted = host_release:boot(Release, Cwd, held_from(21)),
    {ok, {_, _}} = start(Booted, Cu, Id),
    harness:await_results(1, 20),
    ok = receive {held, 21} -> ok after ?DEADLINE -> error(not_held) end,
    ok = host_release:kill(Booted),

    Again = host_release:boot(Release, Cwd, sink()),
    {ok, [{Id, {_, _}}]} = host_release:call(Again, hb_process_monitor, resume_all, []),
    goes_on(21, 300),
    test_cu:add(Cu, Id, 10),
    harness:await_results(301, 310),
    ok = host_release:kill(Again).

%% Without options: the way to push is detected at the host, and verify shows it beforehand.
pushes(#{era := Era, release := Release, dist := Dist, cwd := Cwd, cu := Cu}) ->
    Id = harness:proc_id(),
    test_cu:add(Cu, Id, 5),
    {0, _} = installation:install(Dist, Release),
    {0, Verified} = installation:verify(Dist, Release),
    {Push, Anchor} = case Era of
        "era_a" -> {"converge", <<"Anchor">>};
        "era_b" -> {"ao", <<"anchor">>}
    end,
    says(Verified, "\n  push +" ++ Push ++ "\n"),
    says(Verified, "\n  options +hb_opts\n"),
    Booted = host_release:boot(Release, Cwd, fun nothing_is_pushed/1),
    {ok, ok} = host_release:call(Booted, host_double, start, []),
    {ok, true} = host_release:call(Booted, host_double, process, [?TARGET, local]),
    {ok, {_, _}} = host_release:call(Booted, hb_process_monitor, start,
                                     [Id, #{rate => ?RATE, cursor => earliest, cron_node => test_cu:url(Cu)}]),
    harness:eventually(fun() ->
        {ok, Scheduled} = host_release:call(Booted, host_double, scheduled, [?TARGET]),
        [Value || #{Anchor := Value} <- Scheduled] =:= [<<"1">>, <<"2">>, <<"3">>, <<"4">>, <<"5">>]
    end),
    ok = host_release:kill(Booted).

running(#{release := Release, dist := Dist, own := Own, cwd := Cwd}) ->
    Other = host_release:link(Release, filename:join(Own, "other")),
    Before = host_release:snapshot(Release),
    Booted = host_release:boot(Release, Cwd, fun nothing_is_pushed/1),
    OsPid = integer_to_list(os_node:os_pid(host_release:os_node(Booted))),
    {1, Refused} = installation:install(Dist, Release),
    says(Refused, "a node runs on .* \\(process " ++ OsPid ++ "\\)\\. Nothing was changed"),
    ?assertEqual(Before, host_release:snapshot(Release)),
    %% Under every name of the release's directory.
    Link = filename:join(Own, "link"),
    ok = file:make_symlink(Release, Link),
    {1, _} = installation:install(Dist, Link),
    %% A node of another release does not matter.
    {0, _} = installation:install(Dist, Other),

    {0, Live} = installation:install(Dist, Release, [{"LIVE", "yes"}]),
    says(Live, "A node runs on it \\(process " ++ OsPid ++ "\\)"),
    says(Live, "code:load_file\\(hb_process_monitor\\)"),
    %% There is nothing to do, so nothing is refused.
    {0, _} = installation:install(Dist, Release),
    {0, _} = installation:verify(Dist, Release),
    {1, _} = installation:uninstall(Dist, Release),
    {0, _} = installation:uninstall(Dist, Release, [{"LIVE", "yes"}]),
    ok = host_release:kill(Booted).

%% Loaded modules stay until the node reloads them, the mapped library until the node ends.
exchanged_live(#{release := Release, dist := Dist, own := Own, cwd := Cwd, cu := Cu}) ->
    Newer = installation:derive(Dist, filename:join(Own, "newer"), [
        fun installation:longer_library/1,
        fun(D) -> installation:version(D, "0.1.1") end,
        fun(D) -> installation:marked(D, hb_cron_retry_policy, newer) end]),
    Id = harness:proc_id(),
    test_cu:add(Cu, Id, 20),
    {0, _} = installation:install(Dist, Release),
    Booted = host_release:boot(Release, Cwd, sink()),
    {ok, {_, _}} = start(Booted, Cu, Id),
    harness:await_results(1, 20),
    ?assertEqual(none, build(Booted)),
    {0, Said} = installation:install(Newer, Release, [{"LIVE", "yes"}]),
    says(Said, "hb_process_monitor:reload\\(\\)"),
    test_cu:add(Cu, Id, 20),
    harness:await_results(21, 40),
    ?assertEqual(none, build(Booted)),
    {ok, {ok, Reloaded}} = host_release:call(Booted, hb_process_monitor, reload, []),
    ?assert(lists:member(hb_cron_retry_policy, Reloaded)),
    ?assertEqual([newer], build(Booted)),
    test_cu:add(Cu, Id, 20),
    harness:await_results(41, 60),
    ok = host_release:kill(Booted),

    test_cu:add(Cu, Id, 20),
    Again = host_release:boot(Release, Cwd, sink()),
    {ok, [{Id, {_, _}}]} = host_release:call(Again, hb_process_monitor, resume_all, []),
    goes_on(61, 80),
    ?assertEqual([newer], build(Again)),
    {0, Verified} = installation:verify(Newer, Release),
    says(Verified, "installed +0\\.1\\.1"),
    ok = host_release:kill(Again).

%% The release's own module is there before the installation and after the uninstallation.
original(#{release := Release, dist := Dist, cwd := Cwd}) ->
    IsCalled = fun() ->
        Booted = host_release:boot(Release, Cwd, fun nothing_is_pushed/1),
        Answer = host_release:call(Booted, hb_process_monitor, start, [harness:proc_id(), bad_rate]),
        ok = host_release:kill(Booted),
        Answer
    end,
    ?assertEqual({error, original}, IsCalled()),
    {0, _} = installation:install(Dist, Release),
    ?assertEqual({error, {bad_rate, bad_rate}}, IsCalled()),
    {0, _} = installation:uninstall(Dist, Release),
    ?assertEqual({error, original}, IsCalled()).

start(Booted, Cu, Id) ->
    host_release:call(Booted, hb_process_monitor, start, [Id, #{
        rate => ?RATE, cursor => earliest, cron_node => test_cu:url(Cu), cron_page_limit => 50, cron_push => {hb_line, push}}]).

%% The next result has this number, or an earlier one if acks were not durable. From there on the numbers are
%% consecutive.
goes_on(From, Last) ->
    receive
        {pushed, First, _, _} when First =< From -> harness:await_results(First + 1, Last);
        {pushed, First, _, _} -> error({lost, From, First - 1})
    after ?DEADLINE -> error(nothing_pushed)
    end.

%% The build attribute of a module in the node.
build(Booted) ->
    {ok, Attributes} = host_release:call(Booted, hb_cron_retry_policy, module_info, [attributes]),
    proplists:get_value(build, Attributes, none).

%% Accepts each result, and reports it to the test.
sink() ->
    Test = self(),
    fun(Result) ->
        Test ! {pushed, harness:number(Result), Result, none},
        ok
    end.

%% The same up to this number, whose push never returns.
held_from(Last) ->
    Take = sink(),
    Test = self(),
    fun(Result) ->
        case harness:number(Result) of
            Last -> Test ! {held, Last}, receive never -> ok end;
            _ -> Take(Result)
        end
    end.

nothing_is_pushed(Result) -> error({pushed, Result}).

says(Said, Pattern) -> installation:says(Said, Pattern).
