%%% What the commands install, uninstall and verify do to the files of a suitable release. install_refusal_tests
%%% covers refusals, install_killed_tests interruptions. release_tests boots nodes of a release.
-module(install_tests).
-include_lib("eunit/include/eunit.hrl").

-define(SHIM, "ebin/hb_process_monitor.beam").

eunit_wrapper_(Tests) -> deadline:each(Tests).

all_test_() ->
    installation:tests([
        {release_installed_and_uninstalled_is_unchanged, fun installed_and_uninstalled/1},
        {installed_release_installed_again_is_left_alone, fun installed_again/1},
        {older_build_replaced_by_a_newer_keeps_the_true_original, fun upgraded/1},
        {tarball_with_several_libraries_gives_the_machines_own, fun several_libraries/1},
        {machine_without_a_toolchain_installs_and_verifies, fun no_toolchain/1},
        {release_without_erts_is_tried_with_the_erl_of_the_path, fun no_erts/1},
        {missing_file_is_reported_and_repaired, fun missing_file/1},
        {cd_that_prints_its_directory_changes_nothing, fun cdpath/1},
        {path_with_spaces_and_umlauts_works, fun odd_path/1},
        {priv_directory_with_other_files_is_kept, fun priv_in_use/1},
        {host_described_is_printed_key_by_key, fun host_described/1}
    ]).

installed_and_uninstalled(#{release := Release, dist := Dist}) ->
    Shim = filename:join(host_release:app(Release), ?SHIM),
    ok = file:change_mode(Shim, 8#640),
    _ = os:cmd("touch -d '2020-02-02 02:02:02.123456789' " ++ Shim),
    Before = {_, Hashes} = host_release:snapshot(Release),
    {0, _} = installation:install(Dist, Release),
    {_, Installed} = host_release:snapshot(Release),
    %% Of the old files only the shim is replaced. All new files are ours and in their places.
    [Replaced] = Hashes -- Installed,
    ?assertMatch({match, _}, re:run(Replaced, "lib/hb-0.0.1/" ?SHIM "$")),
    [?assertMatch({match, _}, re:run(New, "lib/hb-0\\.0\\.1/(ebin/(hb_process_monitor|hb_cron_|dev_process_monitor)[a-z_]*\\.beam|"
                                          "priv/hb_process_monitor_nif\\.so|hb_process_monitor/.*)$"))
     || New <- Installed -- Hashes],
    ?assertEqual(installation:hashes(Dist, "ebin/*.beam") ++ installation:hashes(Dist, "priv/*/*.so"),
                 installation:hashes(host_release:app(Release), "ebin/{hb_process_monitor,hb_cron_,dev_process_monitor}*.beam") ++ installation:hashes(host_release:app(Release), "priv/*")),
    {0, Verified} = installation:verify(Dist, Release),
    says(Verified, "ok +" ?SHIM),
    says(Verified, "loads under the release's own Erlang: OTP [0-9]+, NIF 2\\.[0-9]+"),
    says(Verified, "glibc +needs 2\\.[0-9]+, this system has glibc 2\\.[0-9]+"),
    {0, _} = installation:uninstall(Dist, Release),
    ?assertEqual(Before, host_release:snapshot(Release)),
    {0, Nothing} = installation:uninstall(Dist, Release),
    says(Nothing, "nothing to uninstall"),
    {1, NotThere} = installation:verify(Dist, Release),
    says(NotThere, "not installed").

installed_again(#{release := Release, dist := Dist}) ->
    {0, _} = installation:install(Dist, Release),
    Installed = host_release:snapshot(Release),
    {0, Said} = installation:install(Dist, Release),
    says(Said, "already installed in .*\\. Nothing was changed"),
    ?assertEqual(Installed, host_release:snapshot(Release)).

upgraded(#{release := Release, dist := Dist, own := Own}) ->
    Before = host_release:snapshot(Release),
    Older = installation:derive(Dist, filename:join(Own, "older"), [
        fun installation:longer_library/1,
        fun(D) -> installation:version(D, "0.0.9") end,
        fun(D) -> installation:with_module(D, hb_cron_gone) end]),
    {0, _} = installation:install(Older, Release),
    {1, NotThis} = installation:verify(Older, remove(Release, "ebin/hb_cron_gone.beam")),
    says(NotThis, "missing +ebin/hb_cron_gone.beam"),
    {0, _} = installation:install(Older, Release),
    {0, Said} = installation:install(Dist, Release),
    says(Said, "0\\.1\\.0 is installed"),
    says(Said, "1 files of the older version were removed: restart the node"),
    ?assertNot(filelib:is_file(filename:join(host_release:app(Release), "ebin/hb_cron_gone.beam"))),
    {0, Verified} = installation:verify(Dist, Release),
    says(Verified, "installed +0\\.1\\.0"),
    {0, _} = installation:uninstall(Dist, Release),
    ?assertEqual(Before, host_release:snapshot(Release)).

%% First as on this machine, then as on another one, which a command uname stands for. Its library works, this machine's
%% does not.
several_libraries(#{release := Release, dist := Dist, own := Own}) ->
    Other = fun(To) -> filename:join([To, "priv", "riscv64-linux-gnu", "hb_process_monitor_nif.so"]) end,
    Installed = fun() -> installation:hashes(host_release:app(Release), "priv/*") end,
    Broken = installation:derive(Dist, filename:join(Own, "broken"), [fun(To) ->
        ok = filelib:ensure_dir(Other(To)),
        ok = file:write_file(Other(To), "for another machine")
    end]),
    {0, _} = installation:install(Broken, Release),
    ?assertEqual(installation:hashes(Dist, "priv/*/*.so"), Installed()),
    {0, _} = installation:verify(Broken, Release),
    {0, _} = installation:uninstall(Broken, Release),
    Swapped = installation:derive(Dist, filename:join(Own, "swapped"), [fun(To) ->
        ok = filelib:ensure_dir(Other(To)),
        OfThis = installation:library(To),
        ok = file:rename(OfThis, Other(To)),
        ok = file:write_file(OfThis, "for another machine")
    end]),
    {0, _} = installation:install(Swapped, Release, installation:with_commands(filename:join(Own, "riscv"), [{"uname", "echo riscv64"}])),
    ?assertEqual(installation:hashes(Dist, "priv/*/*.so"), Installed()).

%% With only the commands of a minimal Debian in the PATH.
no_toolchain(#{release := Release, dist := Dist, own := Own}) ->
    Bin = filename:join(Own, "bin"),
    ok = file:make_dir(Bin),
    [ok = file:make_symlink(os:find_executable(Command), filename:join(Bin, Command))
     || Command <- ["bash", "basename", "cat", "chmod", "chown", "cp", "dirname", "env", "find", "flock", "getconf", "grep", "head",
                    "id", "mkdir", "mktemp", "mv", "readlink", "realpath", "rm", "rmdir", "sed", "sha256sum", "sort",
                    "stat", "sync", "tail", "timeout", "touch", "uname"]],
    Env = [{"PATH", Bin}],
    {0, _} = installation:install(Dist, Release, Env),
    {0, _} = installation:verify(Dist, Release, Env),
    {0, _} = installation:uninstall(Dist, Release, Env).

no_erts(#{release := Release, dist := Dist}) ->
    _ = os:cmd("rm -rf " ++ Release ++ "/erts-* " ++ Release ++ "/lib/kernel-* " ++ Release ++ "/lib/stdlib-*"),
    {0, _} = installation:install(Dist, Release),
    {0, Verified} = installation:verify(Dist, Release),
    says(Verified, "under the Erlang in the PATH"),
    {0, _} = installation:uninstall(Dist, Release),
    {1, Said} = installation:install(Dist, Release, [{"PATH", no_erl(Release)}]),
    says(Said, "no erl in the PATH").

%% A PATH with all commands except erl.
no_erl(Release) ->
    Bin = filename:join(filename:dirname(Release), "all"),
    ok = file:make_dir(Bin),
    _ = os:cmd("ln -s /usr/bin/* /bin/* " ++ Bin ++ "/ 2>/dev/null; rm " ++ Bin ++ "/erl"),
    Bin.

missing_file(#{release := Release, dist := Dist}) ->
    {0, _} = installation:install(Dist, Release),
    Installed = element(2, host_release:snapshot(Release)),
    {1, Said} = installation:verify(Dist, remove(Release, "priv/hb_process_monitor_nif.so")),
    says(Said, "missing +priv/hb_process_monitor_nif.so"),
    {0, _} = installation:install(Dist, Release),
    ?assertEqual([], Installed -- element(2, host_release:snapshot(Release))),
    {0, _} = installation:verify(Dist, Release).

cdpath(#{release := Release, dist := Dist}) ->
    {0, Said} = os_program:run("/bin/bash", ["-c", "cd \"$1\" && CDPATH=$PWD bash scripts/release.sh install \"$2\"", "bash", Dist, Release], #{}),
    says(Said, "is installed in").

odd_path(#{release := Release, dist := Dist, own := Own}) ->
    Odd = host_release:copy(Release, filename:join(Own, "a b\"\x{e4}'$c\\d")),
    Before = host_release:snapshot(Odd),
    {0, _} = installation:install(Dist, Odd),
    {0, _} = installation:verify(Dist, Odd),
    {0, _} = installation:uninstall(Dist, Odd),
    ?assertEqual(Before, host_release:snapshot(Odd)).

priv_in_use(#{release := Release, dist := Dist}) ->
    {0, _} = installation:install(Dist, Release),
    Theirs = filename:join(host_release:app(Release), "priv/theirs"),
    ok = file:write_file(Theirs, "not ours"),
    {0, Said} = installation:uninstall(Dist, Release),
    says(Said, "priv is not empty and was kept"),
    ?assertEqual([Theirs], filelib:wildcard(filename:join(host_release:app(Release), "priv/*"))).

host_described(#{release := Release, dist := Dist, own := Own}) ->
    Describing = fun(Body) -> fun(D) -> installation:beam_of(D, hb_cron_doctor, fun(_) ->
        [form(Text) || Text <- ["-module(hb_cron_doctor).", "-export([host/0]).", "host() -> " ++ Body]]
    end) end end,
    Good = installation:derive(Dist, filename:join(Own, "good"), [Describing("#{options => hb_opts, push => {dev_mu, push}}.")]),
    {0, _} = installation:install(Good, Release),
    {0, Said} = installation:verify(Good, Release),
    says(Said, "\nhost\n  options +hb_opts\n  push +{dev_mu,push}\n"),
    Bad = installation:derive(Dist, filename:join(Own, "bad"), [Describing("error(no_host).")]),
    {0, _} = installation:install(Bad, Release),
    {1, Raised} = installation:verify(Bad, Release),
    says(Raised, "no_host").

form(Text) ->
    {ok, Tokens, _} = erl_scan:string(Text),
    {ok, Form} = erl_parse:parse_form(Tokens),
    Form.

remove(Release, Name) ->
    ok = file:delete(filename:join(host_release:app(Release), Name)),
    Release.

says(Said, Pattern) -> installation:says(Said, Pattern).
