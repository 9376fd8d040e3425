%%% A release that boots monitors what is configured, and what was monitored before, without a call; and nothing of
%%% that can stop or disturb a boot. Releases of each era, booted in embedded mode as an operator does.
-module(autostart_tests).
-include_lib("eunit/include/eunit.hrl").

-define(WAITER, hb_cron_autostart).

eunit_wrapper_(Tests) -> deadline:each(Tests).

release_test_() ->
    {setup, fun installation:setup_eras/0, fun installation:cleanup/1,
     fun(World) -> [{Era ++ ": " ++ atom_to_list(Name), fun() -> with_release(Era, World, Test) end}
                    || {Name, Eras, Test} <- [
        {configured_process_is_monitored_after_a_boot, ["era_a", "era_b"], fun configured/1},
        {process_in_the_environment_is_monitored_after_a_boot, ["era_a", "era_b"], fun environment/1},
        {monitored_process_is_resumed_after_a_kill, ["era_a", "era_b"], fun resumed/1},
        {paused_process_is_paused_after_a_kill, ["era_a", "era_b"], fun paused/1},
        {node_with_autostart_off_starts_nothing, ["era_b"], fun off/1},
        {node_with_nothing_to_monitor_starts_nothing, ["era_a", "era_b"], fun nothing/1},
        {listener_that_comes_late_is_waited_for, ["era_a", "era_b"], fun late_listener/1},
        {checkpoint_of_another_node_is_waited_for, ["era_b"], fun locked_checkpoint/1},
        {module_that_is_missing_or_damaged_disturbs_no_boot, ["era_b"], fun broken/1},
        {library_that_is_missing_is_logged_and_disturbs_no_boot, ["era_b"], fun no_library/1},
        {module_loaded_again_starts_nothing_twice, ["era_b"], fun loaded_again/1},
        {first_live_installation_is_started_by_the_printed_call, ["era_a", "era_b"], fun live/1},
        {host_that_starts_late_is_waited_for, ["era_a", "era_b"], fun late_host/1},
        {host_that_takes_long_to_listen_is_waited_for, ["era_b"], fun slow_host/1},
        {host_that_never_starts_is_not_waited_for_for_ever, ["era_b"], fun never/1},
        {release_without_it_in_its_boot_script_starts_by_a_flag, ["era_b"], fun flag/1},
        {verify_says_whether_the_release_starts_by_itself, ["era_b"], fun verify/1}
     ], Era <- Eras] end}.

%% In the end the release must be what it was before the installation. A node of the test before may have left results.
with_release(Era, #{dist := Dist} = World, Test) ->
    ok = drop_results(),
    installation:with_era(Era, World, fun(#{release := Release} = Given) ->
        {0, _} = installation:install(Dist, Release),
        Test(Given#{id => harness:proc_id()})
    end).

%% A node may push until it is killed.
drop_results() ->
    receive {pushed, _, _, _} -> drop_results()
    after 0 -> ok
    end.

%% Where an operator of this era sets options.
settings(#{era := "era_a"}, Settings) ->
    #{config => [{hb_process_monitor, Settings}]};
settings(#{era := "era_b", cwd := Cwd}, Settings) ->
    ok = file:write_file(filename:join(Cwd, "config.flat"), [[atom_to_list(Key), ": ", Value, $\n] || {Key, Value} <- Settings]),
    #{}.

%% All as text.
options(#{cu := Cu, id := Id}) ->
    [{cron_node, test_cu:url(Cu)}, {cron_processes, Id}, {cron_push, <<"hb_line:push">>}, {default_cron_rate, <<"20">>}].

boot(World, Take) -> boot(World, Take, #{}).

boot(#{release := Release, cwd := Cwd}, Take, Options) -> host_release:boot(Release, Cwd, Take, Options).

is_up(Booted) -> is_pid(element(2, host_release:call(Booted, erlang, whereis, [hb_cron_sup]))).

%% Until it is resolved: a result that comes later is not pushed otherwise.
await_monitored(Booted, Id, States) ->
    harness:eventually(fun() ->
        case host_release:call(Booted, hb_process_monitor, info, [Id]) of
            {ok, #{state := State}} -> lists:member(State, States) orelse State;
            Other -> Other
        end
    end).

%% It has looked, and ended.
await_waiter_ended(Booted) ->
    harness:eventually(fun() ->
        {ok, Loaded} = host_release:call(Booted, erlang, module_loaded, [hb_cron_options]),
        Loaded andalso host_release:call(Booted, erlang, whereis, [?WAITER]) =:= {ok, undefined}
    end).

sink() ->
    Test = self(),
    fun(Result) -> Test ! {pushed, harness:number(Result), Result, none}, ok end.

nothing_is_pushed(Result) -> error({pushed, Result}).

is_pushed(#{cu := Cu, id := Id}, Booted) ->
    await_monitored(Booted, Id, [idle, polling]),
    test_cu:add(Cu, Id, 3),
    harness:await_results(1, 3).

configured(World) ->
    Booted = boot(World, sink(), settings(World, options(World))),
    is_pushed(World, Booted),
    ok = host_release:kill(Booted).

environment(World) ->
    Environment = [{"HB_" ++ string:uppercase(atom_to_list(Key)), unicode:characters_to_list(Value)} || {Key, Value} <- options(World)],
    Booted = boot(World, sink(), #{env => Environment}),
    is_pushed(World, Booted),
    ok = host_release:kill(Booted).

start(Booted, #{cu := Cu, id := Id}) ->
    host_release:call(Booted, hb_process_monitor, start,
                      [Id, #{rate => 20, cursor => earliest, cron_node => test_cu:url(Cu), cron_push => {hb_line, push}}]).

resumed(#{cu := Cu, id := Id} = World) ->
    Booted = boot(World, sink()),
    {ok, {_, _}} = start(Booted, World),
    test_cu:add(Cu, Id, 3),
    harness:await_results(1, 3),
    harness:eventually(fun() -> host_release:call(Booted, hb_cron_checkpoint, flush, [engine(Booted), 5000]) =:= {ok, ok} end),
    ok = host_release:kill(Booted),
    Again = boot(World, sink()),
    test_cu:add(Cu, Id, 2),
    harness:await_results(4, 5),
    ?assertMatch({ok, [{Id, {_, _}}]}, host_release:call(Again, hb_process_monitor, resume_all, [])),
    ok = host_release:kill(Again).

engine(Booted) ->
    {ok, {ok, Engine, _}} = host_release:call(Booted, hb_cron_registry, engine, []),
    Engine.

paused(#{cu := Cu, id := Id} = World) ->
    Booted = boot(World, sink()),
    {ok, {_, _}} = start(Booted, World),
    test_cu:add(Cu, Id, 2),
    harness:await_results(1, 2),
    {ok, ok} = host_release:call(Booted, hb_process_monitor, pause, [Id]),
    ok = host_release:kill(Booted),
    test_cu:add(Cu, Id, 2),
    Again = boot(World, sink()),
    await_monitored(Again, Id, [paused]),
    harness:no_result(),
    {ok, ok} = host_release:call(Again, hb_process_monitor, resume, [Id]),
    harness:await_results(3, 4),
    ok = host_release:kill(Again).

off(#{cwd := Cwd} = World) ->
    Booted = boot(World, fun nothing_is_pushed/1, settings(World, [{cron_autostart, <<"false">>} | options(World)])),
    await_waiter_ended(Booted),
    ?assertNot(is_up(Booted)),
    ?assertEqual({ok, ["config.flat"]}, file:list_dir(Cwd)),
    ok = host_release:kill(Booted).

nothing(#{cwd := Cwd} = World) ->
    Booted = boot(World, fun nothing_is_pushed/1),
    await_waiter_ended(Booted),
    ?assertNot(is_up(Booted)),
    ?assertEqual({ok, []}, file:list_dir(Cwd)),
    ok = host_release:kill(Booted).

%% The operator's options are those of the listener.
late_listener(World) ->
    Options = settings(World, options(World)),
    Booted = boot(World, sink(), Options#{env => [{"HB_TEST_LISTENER", "later"}]}),
    harness:eventually(fun() -> host_release:call(Booted, erlang, module_loaded, [hb_cron_node_message]) =:= {ok, true} end),
    ?assertMatch({ok, Waiter} when is_pid(Waiter), host_release:call(Booted, erlang, whereis, [?WAITER])),
    ?assertNot(is_up(Booted)),
    {ok, ok} = host_release:call(Booted, hb_http_server, start, []),
    is_pushed(World, Booted),
    harness:eventually(fun() -> host_release:call(Booted, erlang, whereis, [?WAITER]) =:= {ok, undefined} end),
    ok = host_release:kill(Booted).

%% As when the old node has not ended yet.
locked_checkpoint(World) ->
    Options = settings(World, options(World)),
    Booted = boot(World, sink(), Options),
    is_pushed(World, Booted),
    Next = boot(World, sink(), Options),
    harness:eventually(fun() ->
        case host_release:call(Next, erlang, whereis, [?WAITER]) of
            {ok, Waiter} when is_pid(Waiter) -> is_paused(Next, Waiter);
            Other -> Other
        end
    end),
    ok = host_release:kill(Booted),
    harness:eventually(fun() -> is_up(Next) end),
    ok = host_release:kill(Next).

is_paused(Booted, Waiter) ->
    {ok, {current_stacktrace, Stack}} = host_release:call(Booted, erlang, process_info, [Waiter, current_stacktrace]),
    lists:keymember(continue, 2, Stack).

broken(#{release := Release} = World) ->
    Beam = filename:join([host_release:app(Release), "ebin", atom_to_list(?WAITER) ++ ".beam"]),
    {ok, Good} = file:read_file(Beam),
    [begin
        _ = file:delete(Beam),
        ok = case Content of none -> ok; _ -> file:write_file(Beam, Content) end,
        Booted = #{node := Node} = boot(World, fun nothing_is_pushed/1, (settings(World, options(World)))#{logger => stock}),
        %% It runs, and serves calls of the API.
        ?assertMatch({ok, Host} when is_pid(Host), host_release:call(Booted, erlang, whereis, [hb_sup])),
        {ok, ok} = host_release:call(Booted, io, format, ["marker~n"]),
        Said = stock_node:says(Node, "marker"),
        ?assertEqual(nomatch, re:run(Said, "CRASH REPORT|Error in process|Kernel pid terminated|on_load_function_failed")),
        ok = host_release:kill(Booted)
     end || Content <- [none, <<"no module">>, compiled(["-on_load(load/0).", "load() -> {error, broken}."])]],
    ok = file:write_file(Beam, Good).

compiled(Texts) ->
    Forms = [begin
        {ok, Tokens, _} = erl_scan:string(Text),
        {ok, Form} = erl_parse:parse_form(Tokens),
        Form
    end || Text <- ["-module(hb_cron_autostart)." | Texts]],
    {ok, ?WAITER, Code} = compile:forms(Forms),
    Code.

no_library(#{release := Release} = World) ->
    Library = installation:library(host_release:app(Release)),
    {ok, Good} = file:read_file(Library),
    ok = file:delete(Library),
    Booted = #{node := Node} = boot(World, fun nothing_is_pushed/1, (settings(World, options(World)))#{logger => stock}),
    Said = stock_node:says(Node, "not_autostarted \\{nif_not_loaded"),
    ?assertEqual(nomatch, re:run(Said, "CRASH REPORT|Error in process")),
    ?assertMatch({ok, Host} when is_pid(Host), host_release:call(Booted, erlang, whereis, [hb_sup])),
    ok = host_release:kill(Booted),
    ok = file:write_file(Library, Good).

loaded_again(#{id := Id} = World) ->
    Booted = boot(World, sink(), settings(World, options(World))),
    is_pushed(World, Booted),
    {ok, #{monitor := Monitor}} = host_release:call(Booted, hb_process_monitor, info, [Id]),
    [begin
        {ok, {module, hb_process_monitor}} = host_release:call(Booted, c, l, [hb_process_monitor]),
        harness:eventually(fun() -> host_release:call(Booted, erlang, whereis, [?WAITER]) =:= {ok, undefined} end)
     end || _ <- "abc"],
    ?assertMatch({ok, #{monitor := Monitor}}, host_release:call(Booted, hb_process_monitor, info, [Id])),
    %% An application that was stopped stays stopped.
    {ok, ok} = host_release:call(Booted, application, stop, [hb_process_monitor]),
    {ok, {module, hb_process_monitor}} = host_release:call(Booted, c, l, [hb_process_monitor]),
    harness:eventually(fun() -> host_release:call(Booted, erlang, whereis, [?WAITER]) =:= {ok, undefined} end),
    ?assertNot(is_up(Booted)),
    ok = host_release:kill(Booted).

%% The loaded module is the original, which knows no reload.
live(#{release := Release, dist := Dist} = World) ->
    {0, _} = installation:uninstall(Dist, Release),
    Booted = boot(World, sink(), settings(World, options(World))),
    ?assertEqual({error, original}, host_release:call(Booted, hb_process_monitor, start, [harness:proc_id()])),
    {0, Said} = installation:install(Dist, Release, [{"LIVE", "yes"}]),
    {match, [Module]} = re:run(Said, "code:load_file\\(([a-z_]+)\\)", [{capture, all_but_first, list}]),
    ?assertEqual(nomatch, re:run(Said, "reload\\(\\)")),
    ?assertMatch({ok, {module, _}}, host_release:call(Booted, code, load_file, [list_to_atom(Module)])),
    is_pushed(World, Booted),
    ok = host_release:kill(Booted).

%% In interactive mode, where the host is on the code path and does not run.
with_peer(#{release := Release, own := Own}, Test) ->
    Peer = harness:start_peer(["-pa", filename:join(host_release:app(Release), "ebin")]),
    Call = fun(Module, Function, Args) -> harness:call_peer(Peer, Module, Function, Args) end,
    try
        ok = Call(file, set_cwd, [Own]),
        Test(Call)
    after
        peer:stop(Peer)
    end.

late_host(#{id := Id} = World) ->
    with_peer(World, fun(Call) ->
        [true = Call(os, putenv, ["HB_" ++ string:uppercase(atom_to_list(Key)), unicode:characters_to_list(Value)])
         || {Key, Value} <- options(World)],
        ?assertMatch({module, _}, Call(code, load_file, [hb_process_monitor])),
        harness:eventually(fun() -> is_pid(Call(erlang, whereis, [?WAITER])) end),
        ?assertNot(Call(erlang, module_loaded, [hb_cron_loader])),
        {ok, _} = Call(application, ensure_all_started, [hb]),
        harness:eventually(fun() -> is_map(Call(hb_process_monitor, info, [Id])) end)
    end).

%% Its supervisor is there, its application has not started, and the limit for a listener has passed long ago.
slow_host(#{id := Id, own := Own} = World) ->
    _ = settings(World#{cwd := Own}, options(World)),
    with_peer(World, fun(Call) ->
        Waiter = Call(erlang, spawn, [?WAITER, continue, [{host, Call(erlang, monotonic_time, [millisecond]) - 300000}]]),
        Sup = Call(erlang, spawn, [timer, sleep, [infinity]]),
        true = Call(erlang, register, [hb_sup, Sup]),
        harness:eventually(fun() -> Call(erlang, module_loaded, [hb_cron_node_message]) end),
        harness:eventually(fun() -> Call(erlang, process_info, [Waiter, status]) =:= {status, waiting} end),
        ?assertEqual(undefined, Call(erlang, whereis, [hb_cron_sup])),
        ok = Call(hb_http_server, start, []),
        harness:eventually(fun() -> is_map(Call(hb_process_monitor, info, [Id])) end)
    end).

never(World) ->
    with_peer(World, fun(Call) ->
        Now = Call(erlang, monotonic_time, [millisecond]),
        ?assertEqual(ok, Call(?WAITER, continue, [{host, Now - 600000}])),
        ?assertNot(Call(erlang, module_loaded, [hb_cron_loader]))
    end).

%% The flag of the documents, which does no harm after an uninstallation.
flag(#{release := Release, dist := Dist, own := Own} = World) ->
    Other = host_release:link(Release, filename:join(Own, "other")),
    ok = drop_from_boot_script(filename:join(Other, "releases/0.0.1/start")),
    Elsewhere = World#{release := Other},
    Options = settings(World, options(World)),
    Unflagged = boot(Elsewhere, fun nothing_is_pushed/1, Options),
    ?assertEqual({ok, false}, host_release:call(Unflagged, erlang, module_loaded, [hb_process_monitor])),
    ok = host_release:kill(Unflagged),
    {match, [Flags]} = re:run(text("docs/install.md"), "ERL_ZFLAGS=\"(.*)\"", [{capture, all_but_first, list}]),
    Flagged = Options#{env => [{"ERL_ZFLAGS", Flags}]},
    Booted = boot(Elsewhere, sink(), Flagged),
    is_pushed(World, Booted),
    ok = host_release:kill(Booted),
    {0, _} = installation:uninstall(Dist, Other),
    Original = boot(Elsewhere, fun nothing_is_pushed/1, Flagged),
    harness:eventually(fun() -> host_release:call(Original, hb_process_monitor, stop, [self()]) =:= {error, original} end),
    ok = host_release:kill(Original),
    %% In a HyperBEAM that has no such module.
    ok = file:delete(filename:join(host_release:app(Other), "ebin/hb_process_monitor.beam")),
    Without = boot(Elsewhere, fun nothing_is_pushed/1, Flagged),
    harness:eventually(fun() -> host_release:call(Without, init, get_status, []) =:= {ok, {started, started}} end),
    ok = host_release:kill(Without).

text(Document) ->
    {ok, Text} = file:read_file(harness:checkout(Document)),
    Text.

drop_from_boot_script(Script) ->
    {ok, [{script, Release, Instructions}]} = file:consult(Script ++ ".script"),
    Dropped = [case Instruction of
        {primLoad, Modules} -> {primLoad, lists:delete(hb_process_monitor, Modules)};
        Other -> Other
    end || Instruction <- Instructions],
    ok = file:delete(Script ++ ".boot"),
    file:write_file(Script ++ ".boot", term_to_binary({script, Release, Dropped})).

verify(#{release := Release, dist := Dist, own := Own}) ->
    {0, Said} = installation:verify(Dist, Release),
    installation:says(Said, "\nautostart +hb_process_monitor is in the boot script: .*by itself\n"),
    %% As in a HyperBEAM without a module of that name.
    Other = host_release:link(Release, filename:join(Own, "other")),
    [begin
        {ok, Script} = file:read_file(Boot),
        ok = file:delete(Boot),
        ok = file:write_file(Boot, binary:replace(Script, <<"hb_process_monitor">>, <<"hb_another_monitor">>, [global]))
     end || Boot <- filelib:wildcard(filename:join(Other, "releases/0.0.1/*.boot"))],
    {0, Elsewhere} = installation:verify(Dist, Other),
    installation:says(Elsewhere, "(?s)\nautostart +hb_process_monitor is not in the boot script.*ERL_ZFLAGS=").

%% As in a shell of this project.
node_without_a_host_waits_for_nothing_test() ->
    Peer = harness:start_peer(["-pa", filename:dirname(code:which(?WAITER))]),
    Call = fun(Module, Function, Args) -> harness:call_peer(Peer, Module, Function, Args) end,
    try
        ?assertMatch({module, _}, Call(code, load_file, [hb_process_monitor])),
        harness:eventually(fun() -> Call(erlang, module_loaded, [?WAITER]) andalso Call(erlang, whereis, [?WAITER]) =:= undefined end),
        ?assertNot(Call(erlang, module_loaded, [hb_cron_loader]))
    after
        peer:stop(Peer)
    end.
