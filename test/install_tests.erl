%%% What the commands install, uninstall and verify do to the files of a release, and what they refuse.
%%% No node of the release is booted here: see release_tests.
-module(install_tests).
-include_lib("eunit/include/eunit.hrl").

-define(SHIM, "ebin/hb_process_monitor.beam").

install_test_() ->
    {setup, fun setup/0, fun cleanup/1,
     fun(World) -> [{timeout, 120, {atom_to_list(Name), fun() -> with_release(World, Test) end}} || {Name, Test} <- [
        {untouched_release_installed_and_uninstalled_is_as_it_was, fun installed_and_uninstalled/1},
        {installed_release_installed_again_is_left_alone, fun installed_again/1},
        {older_build_replaced_by_a_newer_keeps_the_true_original, fun upgraded/1},
        {tarball_made_twice_is_the_same, fun tarball_twice/1},
        {machine_without_a_toolchain_installs_and_verifies, fun no_toolchain/1},
        {release_without_erts_is_tried_with_the_erl_of_the_path, fun no_erts/1},
        {directory_that_is_no_release_is_refused, fun no_release/1},
        {release_with_several_hosts_needs_a_name, fun several_hosts/1},
        {release_of_links_is_refused, fun links/1},
        {library_that_does_not_load_changes_nothing, fun bad_library/1},
        {build_that_is_not_whole_changes_nothing, fun not_whole/1},
        {cd_that_prints_where_it_goes_changes_nothing, fun cdpath/1},
        {no_permission_to_write_changes_nothing, fun no_permission/1},
        {file_changed_by_somebody_else_is_refused_unless_forced, fun changed_by_somebody_else/1},
        {original_that_is_gone_is_refused, fun original_gone/1},
        {damaged_manifest_is_refused, fun damaged_manifest/1},
        {installed_file_missing_is_told_and_repaired, fun missing_file/1},
        {installation_killed_at_any_step_ends_well, fun installation_killed/1},
        {uninstallation_killed_at_any_step_ends_well, fun uninstallation_killed/1},
        {upgrade_killed_at_every_third_step_ends_well, fun upgrade_killed/1},
        {path_with_spaces_and_umlauts_is_as_any_other, fun odd_path/1},
        {directory_priv_that_somebody_else_uses_too_stays, fun priv_in_use/1},
        {host_described_is_printed_key_by_key, fun host_described/1},
        {directory_of_the_same_name_is_left_alone, fun same_name/1}
     ]] end}.

setup() ->
    Dir = string:trim(os:cmd("mktemp -d")),
    ok = file:change_mode(Dir, 8#755),
    Built = host_release:copy(host_release:build("era_b"), filename:join(Dir, "built")),
    #{dir => Dir, built => Built, dist => installation:dist(Dir)}.

cleanup(#{dir := Dir}) -> _ = os:cmd("rm -rf " ++ Dir), ok.

%% Each test gets a release that nothing was ever installed into, and a directory for what it makes.
with_release(#{dir := Dir, built := Built} = World, Test) ->
    Own = filename:join(Dir, "test"),
    ok = file:make_dir(Own),
    try Test(World#{own => Own, release => host_release:link(Built, filename:join(Own, "hb"))})
    after os:cmd("chmod -R u+w " ++ Own ++ "; rm -rf " ++ Own)
    end.

installed_and_uninstalled(#{release := Release, dist := Dist}) ->
    Shim = filename:join(host_release:app(Release), ?SHIM),
    ok = file:change_mode(Shim, 8#666),
    _ = os:cmd("touch -d '2020-02-02 02:02:02.123456789' " ++ Shim),
    Before = {_, Hashes} = host_release:snapshot(Release),
    {0, _} = installation:install(Dist, Release),
    {_, Installed} = host_release:snapshot(Release),
    %% Of what was there, one file is another; all that is new is of ours and where it belongs.
    [Replaced] = Hashes -- Installed,
    ?assertMatch({match, _}, re:run(Replaced, "lib/hb-0.0.1/" ?SHIM "$")),
    [?assertMatch({match, _}, re:run(New, "lib/hb-0\\.0\\.1/(ebin/hb_process_monitor[a-z_]*\\.beam|"
                                          "priv/hb_process_monitor_nif\\.so|hb_process_monitor/.*)$"))
     || New <- Installed -- Hashes],
    ?assertEqual(hashes(Dist, "ebin/*.beam") ++ hashes(Dist, "priv/*"),
                 hashes(host_release:app(Release), "ebin/hb_process_monitor*.beam") ++ hashes(host_release:app(Release), "priv/*")),
    {0, Verified} = installation:verify(Dist, Release),
    says(Verified, "ok +" ?SHIM),
    says(Verified, "loads under the release's own Erlang: OTP [0-9]+, NIF 2\\.[0-9]+"),
    says(Verified, "glibc +needs 2\\.[0-9]+, here is glibc 2\\.[0-9]+"),
    {0, _} = installation:uninstall(Dist, Release),
    ?assertEqual(Before, host_release:snapshot(Release)),
    {0, Nothing} = installation:uninstall(Dist, Release),
    says(Nothing, "nothing to undo"),
    {1, NotThere} = installation:verify(Dist, Release),
    says(NotThere, "not installed").

installed_again(#{release := Release, dist := Dist}) ->
    {0, _} = installation:install(Dist, Release),
    Installed = host_release:snapshot(Release),
    {0, Said} = installation:install(Dist, Release),
    says(Said, "installed in .* already: nothing was changed"),
    ?assertEqual(Installed, host_release:snapshot(Release)).

upgraded(#{release := Release, dist := Dist, own := Own}) ->
    Before = host_release:snapshot(Release),
    Older = installation:derive(Dist, filename:join(Own, "older"), [
        fun installation:longer_library/1,
        fun(D) -> installation:version(D, "0.0.9") end,
        fun(D) -> {ok, _} = file:copy(filename:join(D, "ebin/hb_process_monitor_log.beam"),
                                      filename:join(D, "ebin/hb_process_monitor_gone.beam")) end]),
    {0, _} = installation:install(Older, Release),
    {1, NotThis} = installation:verify(Older, remove(Release, "ebin/hb_process_monitor_gone.beam")),
    says(NotThis, "missing +ebin/hb_process_monitor_gone.beam"),
    {0, _} = installation:install(Older, Release),
    {0, Said} = installation:install(Dist, Release),
    says(Said, "0\\.1\\.0 is installed"),
    ?assertNot(filelib:is_file(filename:join(host_release:app(Release), "ebin/hb_process_monitor_gone.beam"))),
    {0, Verified} = installation:verify(Dist, Release),
    says(Verified, "installed +0\\.1\\.0"),
    {0, _} = installation:uninstall(Dist, Release),
    ?assertEqual(Before, host_release:snapshot(Release)).

tarball_twice(#{dist := Dist, own := Own}) ->
    {ok, One} = file:read_file(Dist ++ "/../tarball/" ++ filename:basename(Dist) ++ ".tar.gz"),
    {ok, Two} = file:read_file(installation:tarball(Own)),
    ?assertEqual(crypto:hash(sha256, One), crypto:hash(sha256, Two)).

%% With nothing in the PATH but what a Debian has at the least.
no_toolchain(#{release := Release, dist := Dist, own := Own}) ->
    Bin = filename:join(Own, "bin"),
    ok = file:make_dir(Bin),
    [ok = file:make_symlink(os:find_executable(Command), filename:join(Bin, Command))
     || Command <- ["bash", "basename", "cat", "chmod", "chown", "cp", "dirname", "env", "flock", "getconf", "grep", "head",
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
    says(Verified, "under the Erlang of the PATH"),
    {0, _} = installation:uninstall(Dist, Release),
    {1, Said} = installation:install(Dist, Release, [{"PATH", no_erl(Release)}]),
    says(Said, "no erl in the PATH").

%% A PATH with all of this one's commands but erl.
no_erl(Release) ->
    Bin = filename:join(filename:dirname(Release), "all"),
    ok = file:make_dir(Bin),
    _ = os:cmd("ln -s /usr/bin/* /bin/* " ++ Bin ++ "/ 2>/dev/null; rm " ++ Bin ++ "/erl"),
    Bin.

no_release(#{release := Release, dist := Dist, own := Own}) ->
    Refused = fun(Dir, Why) ->
        Before = host_release:snapshot(Own),
        [begin
            {1, Said} = installation:Command(Dist, Dir),
            says(Said, Why)
        end || Command <- [install, uninstall, verify]],
        ?assertEqual(Before, host_release:snapshot(Own))
    end,
    Refused(filename:join(Own, "nowhere"), "there is no such directory"),
    Refused(filename:join(Release, "bin/hb"), "not a directory"),
    Refused(filename:join(Release, "lib"), "not a release, there is no bin/ in it"),
    ok = file:rename(host_release:app(Release), filename:join(Release, "lib/other-0.0.1")),
    Refused(Release, "there is no application hb in lib/"),
    {2, Usage} = os_program:run(filename:join(Dist, "install"), [], #{}),
    says(Usage, "usage:").

several_hosts(#{release := Release, dist := Dist}) ->
    _ = host_release:copy(host_release:app(Release), filename:join(Release, "lib/hb-0.0.2")),
    Before = host_release:snapshot(Release),
    {1, Said} = installation:install(Dist, Release),
    says(Said, "more than one application hb in lib/: hb-0\\.0\\.1 hb-0\\.0\\.2"),
    ?assertEqual(Before, host_release:snapshot(Release)),
    {0, Installed} = installation:install(Dist, Release, [{"HB_APP", "hb-0.0.2"}]),
    says(Installed, "is installed in .*/lib/hb-0\\.0\\.2"),
    {0, _} = installation:uninstall(Dist, Release, [{"HB_APP", "hb-0.0.2"}]),
    ?assertEqual(Before, host_release:snapshot(Release)).

links(#{release := Release, dist := Dist, own := Own}) ->
    Elsewhere = filename:join(Own, "elsewhere"),
    ok = file:rename(host_release:app(Release), Elsewhere),
    ok = file:make_symlink(Elsewhere, host_release:app(Release)),
    Before = host_release:snapshot(Own),
    {1, Said} = installation:install(Dist, Release),
    says(Said, "a symbolic link, as in a release built in dev mode"),
    ?assertEqual(Before, host_release:snapshot(Own)).

bad_library(#{release := Release, dist := Dist, own := Own}) ->
    Before = host_release:snapshot(Release),
    Broken = installation:derive(Dist, filename:join(Own, "broken"), [fun installation:broken_library/1]),
    {1, Said} = installation:install(Broken, Release),
    says(Said, "does not load under the release's own Erlang, OTP [0-9]+\\. Nothing was changed"),
    says(Said, "(file too short|invalid ELF header)"),
    says(Said, "no library for this machine"),
    Later = installation:derive(Dist, filename:join(Own, "later"), [fun installation:library_of_a_later_glibc/1]),
    {1, Glibc} = installation:install(Later, Release),
    says(Glibc, "GLIBC_2\\.99"),
    says(Glibc, "was built for glibc 2\\.99 or newer, here is glibc 2\\.[0-9]+"),
    ?assertEqual(Before, host_release:snapshot(Release)),
    %% The same of what is installed.
    {0, _} = installation:install(Dist, Release),
    ok = file:write_file(installation:library(host_release:app(Release)), "no library"),
    {1, Verified} = installation:verify(Dist, Release),
    says(Verified, "changed +priv/hb_process_monitor_nif.so"),
    says(Verified, "does not load").

%% As a user to whom the release does not belong: root may write anywhere.
no_permission(#{release := Release, dist := Dist}) ->
    Before = host_release:snapshot(Release),
    {1, Said} = case string:trim(os:cmd("id -u")) of
        "0" ->
            os_program:run(os:find_executable("setpriv"),
                           ["--reuid=65534", "--regid=65534", "--clear-groups", filename:join(Dist, "install"), Release], #{});
        _ ->
            _ = os:cmd("chmod -R a-w " ++ Release ++ "/lib"),
            installation:install(Dist, Release)
    end,
    says(Said, "no permission to write. Nothing was changed"),
    _ = os:cmd("chmod -R u+w " ++ Release ++ "/lib"),
    ?assertEqual(Before, host_release:snapshot(Release)).

changed_by_somebody_else(#{release := Release, dist := Dist, own := Own}) ->
    Before = host_release:snapshot(Release),
    {0, _} = installation:install(Dist, Release),
    Changed = filename:join(host_release:app(Release), "ebin/hb_process_monitor_log.beam"),
    ok = file:write_file(Changed, "of somebody else"),
    {1, Verified} = installation:verify(Dist, Release),
    says(Verified, "changed +ebin/hb_process_monitor_log.beam"),
    AsItWas = host_release:snapshot(Release),
    [begin
        {1, Said} = installation:Command(Dist, Release),
        says(Said, "changed since they were installed, by somebody else: ebin/hb_process_monitor_log.beam"),
        says(Said, "FORCE=yes")
    end || Command <- [install, uninstall]],
    ?assertEqual(AsItWas, host_release:snapshot(Release)),
    {0, _} = installation:uninstall(Dist, Release, [{"FORCE", "yes"}]),
    ?assertEqual(Before, host_release:snapshot(Release)),
    %% Installed over by force, somebody else's file is the original from then on.
    Theirs = filename:join(host_release:app(Release), ?SHIM),
    {0, _} = installation:install(Dist, Release),
    ok = file:write_file(Theirs, "of somebody else"),
    {0, _} = installation:install(Dist, Release, [{"FORCE", "yes"}]),
    {0, _} = installation:verify(Dist, Release),
    {0, _} = installation:uninstall(Dist, Release),
    ?assertEqual({ok, <<"of somebody else">>}, file:read_file(Theirs)),
    ?assertEqual([], filelib:wildcard(filename:join(Own, "hb/lib/hb-0.0.1/hb_process_monitor*"))).

original_gone(#{release := Release, dist := Dist}) ->
    {0, _} = installation:install(Dist, Release),
    [Original] = filelib:wildcard(filename:join(host_release:app(Release), "hb_process_monitor/originals/*")),
    ok = file:write_file(Original, "damaged"),
    Before = host_release:snapshot(Release),
    {1, Said} = installation:uninstall(Dist, Release),
    says(Said, "gone or damaged: " ?SHIM),
    ?assertEqual(Before, host_release:snapshot(Release)).

damaged_manifest(#{release := Release, dist := Dist}) ->
    {0, _} = installation:install(Dist, Release),
    Manifest = filename:join(host_release:app(Release), "hb_process_monitor/manifest"),
    {ok, Good} = file:read_file(Manifest),
    [begin
        ok = file:write_file(Manifest, Bad),
        Before = host_release:snapshot(Release),
        [{1, _} = installation:Command(Dist, Release) || Command <- [install, uninstall, verify]],
        ?assertEqual(Before, host_release:snapshot(Release))
     end || Bad <- [<<>>, <<"something else\n">>,
                    re:replace(Good, "ebin/hb_process_monitor.beam", "../../bin/hb"),
                    re:replace(Good, "ebin/hb_process_monitor.beam [0-9a-f]*", "ebin/hb_process_monitor.beam ../manifest"),
                    re:replace(Good, "dir priv absent\n", ""),
                    re:replace(Good, "state complete\n", "")]].

missing_file(#{release := Release, dist := Dist}) ->
    {0, _} = installation:install(Dist, Release),
    Installed = element(2, host_release:snapshot(Release)),
    {1, Said} = installation:verify(Dist, remove(Release, "priv/hb_process_monitor_nif.so")),
    says(Said, "missing +priv/hb_process_monitor_nif.so"),
    {0, _} = installation:install(Dist, Release),
    ?assertEqual([], Installed -- element(2, host_release:snapshot(Release))),
    {0, _} = installation:verify(Dist, Release).

%% Killed before each step that changes a file, until it is not killed any more. Then it is run again, or
%% undone at once, in turn.
installation_killed(World) ->
    killed_at_steps(World, 1, fun(_, _, _) -> ok end, "install").

uninstallation_killed(World) ->
    killed_at_steps(World, 1, fun(Dist, Release, Env) -> {0, _} = installation:install(Dist, Release, Env) end, "uninstall").

upgrade_killed(#{own := Own, dist := Dist} = World) ->
    Newer = installation:derive(Dist, filename:join(Own, "newer"), [
        fun(D) -> installation:marked(D, hb_process_monitor, newer) end,
        fun(D) -> installation:marked(D, hb_process_monitor_log, newer) end]),
    Old = fun(_, Release, Env) -> {0, _} = installation:install(Dist, Release, Env) end,
    killed_at_steps(World#{dist := Newer}, 3, Old, "install").

%% Whether the library loads is no matter here, and takes most of the time: here is a small one, a
%% release without an Erlang, and an erl that says that it does.
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
        %% Each file is one of those that it may be, whole; and where our shim is, is all that it needs.
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
        _ = os:cmd("rm -rf " ++ Killed),
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
                                          {Name, Hash} <- hashes(App, filename:join(Part, "*"))].

files_of(Dist) ->
    [{filename:join(Part, Name), Hash} || {Part, Wildcard} <- [{"ebin", "*.beam"}, {"priv", "*.so"}],
                                          {Name, Hash} <- hashes(Dist, filename:join(Part, Wildcard))].

%% A snapshot but for the mtimes of directories: those are lost with a run that is killed early on.
contents(Release) ->
    {Entries, Hashes} = host_release:snapshot(Release),
    {[Entry || Entry <- Entries, nomatch =:= re:run(Entry, "^[^ ]+ d ")], Hashes}.

not_whole(#{release := Release, dist := Dist, own := Own}) ->
    Before = host_release:snapshot(Release),
    Beam = "ebin/hb_process_monitor_sup.beam",
    Without = installation:derive(Dist, filename:join(Own, "without"), [fun(To) -> ok = file:delete(filename:join(To, Beam)) end]),
    {1, Said} = installation:install(Without, Release),
    says(Said, "not a whole build, ebin/hb_process_monitor_sup\\.beam is missing"),
    ok = file:make_symlink("/nowhere", filename:join(Without, Beam)),
    {1, Unreadable} = installation:install(Without, Release),
    says(Unreadable, "its files cannot be read"),
    ?assertEqual(Before, host_release:snapshot(Release)).

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
    ok = file:write_file(Theirs, "of somebody else"),
    {0, Said} = installation:uninstall(Dist, Release),
    says(Said, "priv is not empty, and stays"),
    ?assertEqual([Theirs], filelib:wildcard(filename:join(host_release:app(Release), "priv/*"))).

host_described(#{release := Release, dist := Dist, own := Own}) ->
    Describing = fun(Body) -> fun(D) -> installation:beam_of(D, hb_process_monitor_host, fun(_) ->
        [form(Text) || Text <- ["-module(hb_process_monitor_host).", "-export([describe/0]).", "describe() -> " ++ Body]]
    end) end end,
    Good = installation:derive(Dist, filename:join(Own, "good"), [Describing("#{options => hb_opts, push => {dev_mu, push}}.")]),
    {0, _} = installation:install(Good, Release),
    {0, Said} = installation:verify(Good, Release),
    says(Said, "\nhost\n  options +hb_opts\n  push +{dev_mu,push}\n"),
    Bad = installation:derive(Dist, filename:join(Own, "bad"), [Describing("error(no_host).")]),
    {0, _} = installation:install(Bad, Release),
    {1, Raised} = installation:verify(Bad, Release),
    says(Raised, "no_host").

same_name(#{release := Release, dist := Dist}) ->
    Theirs = filename:join(host_release:app(Release), "hb_process_monitor"),
    ok = file:make_dir(Theirs),
    ok = file:write_file(filename:join(Theirs, "notes"), "of somebody else"),
    Before = host_release:snapshot(Release),
    [begin
        {1, Said} = installation:Command(Dist, Release),
        says(Said, "a directory of somebody else's")
    end || Command <- [install, uninstall]],
    ?assertEqual(Before, host_release:snapshot(Release)).

form(Text) ->
    {ok, Tokens, _} = erl_scan:string(Text),
    {ok, Form} = erl_parse:parse_form(Tokens),
    Form.

remove(Release, Name) ->
    ok = file:delete(filename:join(host_release:app(Release), Name)),
    Release.

hashes(Dir, Wildcard) ->
    [begin
        {ok, Binary} = file:read_file(File),
        {filename:basename(File), crypto:hash(sha256, Binary)}
     end || File <- lists:sort(filelib:wildcard(filename:join(Dir, Wildcard))), filelib:is_regular(File)].

says(Said, Pattern) -> installation:says(Said, Pattern).
