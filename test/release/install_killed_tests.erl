%%% An installation, an uninstallation and an upgrade are killed at every step. Each file is then old or new, and
%%% both commands succeed when they are run next.
-module(install_killed_tests).
-include_lib("eunit/include/eunit.hrl").

-define(SHIM, "ebin/hb_process_monitor.beam").

eunit_wrapper_(Tests) -> deadline:each(Tests).

all_test_() ->
    installation:tests([
        {installation_killed_at_any_step_ends_well, fun installation_killed/1},
        {uninstallation_killed_at_any_step_ends_well, fun uninstallation_killed/1},
        {upgrade_killed_at_every_third_step_ends_well, fun upgrade_killed/1}
    ]).

%% Kills the command before each step that changes a file, until it completes. After each kill, runs it again or
%% uninstalls, alternately.
installation_killed(World) ->
    killed_at_steps(World, 1, fun(_, _, _) -> ok end, "install").

uninstallation_killed(World) ->
    killed_at_steps(World, 1, fun(Dist, Release, Env) -> {0, _} = installation:install(Dist, Release, Env) end, "uninstall").

upgrade_killed(#{own := Own, dist := Dist} = World) ->
    Newer = installation:derive(Dist, filename:join(Own, "newer"), [
        fun(D) -> installation:marked(D, hb_process_monitor, newer) end,
        fun(D) -> installation:marked(D, hb_cron_log, newer) end]),
    Old = fun(_, Release, Env) -> {0, _} = installation:install(Dist, Release, Env) end,
    killed_at_steps(World#{dist := Newer}, 3, Old, "install").

%% Loading the library is not tested here and would take most of the time: use a small library, a release without
%% an Erlang, and an erl that reports success.
killed_at_steps(#{release := Release, own := Own, dist := Whole}, Every, Prepare, Command) ->
    Dist = installation:derive(Whole, filename:join(Own, "small"), [fun installation:broken_library/1]),
    _ = os:cmd("rm -rf " ++ Release ++ "/erts-* " ++ Release ++ "/lib/kernel-* " ++ Release ++ "/lib/stdlib-*"),
    Killing = filename:join(Own, "killing"),
    ok = file:make_dir(Killing),
    [ok = file:make_symlink(filename:absname("test/support/killing.sh"), filename:join(Killing, Name))
     || Name <- ["chmod", "chown", "cp", "mkdir", "mv", "rm", "rmdir", "sync", "touch"]],
    Erl = filename:join(Own, "erl"),
    ok = file:write_file(Erl, "#!/bin/sh\nprintf 'otp 25\\nnif 2.16\\nloaded\\n'\n"),
    ok = file:change_mode(Erl, 8#755),
    Path = Own ++ ":" ++ os:getenv("PATH"),
    New = files_of(Dist),
    Before = contents(Release),
    Original = files(Release),
    Prepare(Dist, Release, [{"PATH", Path}]),
    Old = files(Release),
    kill_from(1, Every, fun(Step) ->
        Killed = host_release:link(Release, filename:join(Own, "killed")),
        Count = filename:join(Own, "count"),
        ok = file:write_file(Count, "0"),
        Ended = os_program:run(filename:join(Dist, Command), [Killed],
            #{env => [{"PATH", Killing ++ ":" ++ Path}, {"KILL_AT", integer_to_list(Step)}, {"KILL_COUNT", Count}]}),
        %% Each file is complete, old or new. If the shim is ours, everything it needs is there.
        Left = files(Killed),
        _ = {element(1, Ended), Command, Old} =:= {137, "install", Original}
            andalso ({1, _} = installation:verify(Dist, Killed, [{"PATH", Path}])),
        ?assertEqual([], Left -- lists:append([Original, Old, New])),
        _ = lists:member(lists:keyfind(?SHIM, 1, New), Left) andalso ?assertEqual([], New -- Left),
        _ = Step rem 2 =:= 1 andalso begin
            {0, _} = installation:install(Dist, Killed, [{"PATH", Path}]),
            ?assertEqual([], New -- files(Killed))
        end,
        {0, _} = installation:uninstall(Dist, Killed, [{"PATH", Path}]),
        ?assertEqual(Before, contents(Killed)),
        _ = file:del_dir_r(Killed),
        Ended
    end).

kill_from(Step, Every, Run) ->
    case Run(Step) of
        {137, _} -> kill_from(Step + Every, Every, Run);
        {0, _} -> ?assert(Step > 10)
    end.

%% The files that a node could load.
files(Release) ->
    App = host_release:app(Release),
    [{filename:join(Part, Name), Hash} || Part <- ["ebin", "priv"],
                                          {Name, Hash} <- installation:hashes(App, filename:join(Part, "*"))].

files_of(Dist) ->
    [{filename:join(Part, Name), Hash} || {Part, Wildcard} <- [{"ebin", "*.beam"}, {"priv", "*/*.so"}],
                                          {Name, Hash} <- installation:hashes(Dist, filename:join(Part, Wildcard))].

%% A snapshot without the mtimes of directories, which are lost if a run is killed early.
contents(Release) ->
    {Entries, Hashes} = host_release:snapshot(Release),
    {[Entry || Entry <- Entries, nomatch =:= re:run(Entry, "^[^ ]+ d ")], Hashes}.

