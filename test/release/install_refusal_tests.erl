%%% What the commands install, uninstall and verify refuse: unsuitable releases and builds, and modified or foreign
%%% files. A refusal changes nothing and names a remedy.
-module(install_refusal_tests).
-include_lib("eunit/include/eunit.hrl").

-define(SHIM, "ebin/hb_process_monitor.beam").

eunit_wrapper_(Tests) -> deadline:each(Tests).

all_test_() ->
    installation:tests([
        {directory_without_a_release_is_refused, fun no_release/1},
        {release_with_several_hosts_needs_a_name, fun several_hosts/1},
        {release_of_links_is_refused, fun links/1},
        {library_that_does_not_load_changes_nothing, fun bad_library/1},
        {machine_without_a_library_changes_nothing, fun no_library/1},
        {incomplete_build_changes_nothing, fun not_whole/1},
        {no_permission_to_write_changes_nothing, fun no_permission/1},
        {modified_file_is_refused_unless_forced, fun modified_file/1},
        {missing_original_is_refused, fun original_gone/1},
        {damaged_manifest_is_refused, fun damaged_manifest/1},
        {directory_of_the_same_name_is_left_alone, fun same_name/1}
    ]).

no_release(#{release := Release, dist := Dist, own := Own}) ->
    Refused = fun(Dir, Why) ->
        Before = host_release:snapshot(Own),
        [begin
            {1, Said} = installation:Command(Dist, Dir),
            says(Said, Why)
        end || Command <- [install, uninstall, verify]],
        ?assertEqual(Before, host_release:snapshot(Own))
    end,
    Refused(filename:join(Own, "nowhere"), "no such directory"),
    Refused(filename:join(Release, "bin/hb"), "not a directory"),
    Refused(filename:join(Release, "lib"), "not a release, because it has no bin/"),
    ok = file:rename(host_release:app(Release), filename:join(Release, "lib/other-0.0.1")),
    Refused(Release, "no application hb in lib/"),
    {2, Usage} = os_program:run(filename:join(Dist, "install"), [], #{}),
    says(Usage, "usage:").

several_hosts(#{release := Release, dist := Dist}) ->
    _ = host_release:copy(host_release:app(Release), filename:join(Release, "lib/hb-0.0.2")),
    Before = host_release:snapshot(Release),
    {1, Said} = installation:install(Dist, Release),
    says(Said, "several applications hb in lib/: hb-0\\.0\\.1 hb-0\\.0\\.2"),
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
    says(Said, "is damaged, or for another machine"),
    Later = installation:derive(Dist, filename:join(Own, "later"), [fun installation:library_of_a_later_glibc/1]),
    {1, Glibc} = installation:install(Later, Release),
    says(Glibc, "GLIBC_2\\.99"),
    says(Glibc, "was built for glibc 2\\.99 or newer, but this system has glibc 2\\.[0-9]+"),
    ?assertEqual(Before, host_release:snapshot(Release)),
    %% The same for an installed library.
    {0, _} = installation:install(Dist, Release),
    ok = file:write_file(installation:library(host_release:app(Release)), "no library"),
    {1, Verified} = installation:verify(Dist, Release),
    says(Verified, "changed +priv/hb_process_monitor_nif.so"),
    says(Verified, "does not load").

no_library(#{release := Release, dist := Dist, own := Own}) ->
    Before = host_release:snapshot(Release),
    Has = "Nothing was changed\\. This tarball has: " ++ installation:machine() ++ "-linux-gnu\\.",
    {1, Machine} = installation:install(Dist, Release, installation:with_commands(filename:join(Own, "riscv"), [{"uname", "echo riscv64"}])),
    says(Machine, "no library for this system, riscv64-linux-gnu\\. " ++ Has),
    says(Machine, "from the sources: docs/install\\.md"),
    {1, Musl} = installation:install(Dist, Release, installation:with_commands(filename:join(Own, "musl"), [{"getconf", "exit 1"}])),
    says(Musl, "no library for this system, " ++ installation:machine() ++ "-linux-musl\\. " ++ Has),
    ?assertEqual(Before, host_release:snapshot(Release)).

not_whole(#{release := Release, dist := Dist, own := Own}) ->
    Before = host_release:snapshot(Release),
    Beam = "ebin/hb_cron_sup.beam",
    Without = installation:derive(Dist, filename:join(Own, "without"), [fun(To) -> ok = file:delete(filename:join(To, Beam)) end]),
    {1, Said} = installation:install(Without, Release),
    says(Said, "incomplete build, ebin/hb_cron_sup\\.beam is missing"),
    ok = file:make_symlink("/nowhere", filename:join(Without, Beam)),
    {1, Unreadable} = installation:install(Without, Release),
    says(Unreadable, "cannot read its files"),
    ?assertEqual(Before, host_release:snapshot(Release)).

%% As a user who does not own the release, since root can write anywhere.
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

modified_file(#{release := Release, dist := Dist, own := Own}) ->
    Before = host_release:snapshot(Release),
    {0, _} = installation:install(Dist, Release),
    Changed = filename:join(host_release:app(Release), "ebin/hb_cron_log.beam"),
    ok = file:write_file(Changed, "not ours"),
    {1, Verified} = installation:verify(Dist, Release),
    says(Verified, "changed +ebin/hb_cron_log.beam"),
    AsItWas = host_release:snapshot(Release),
    [begin
        {1, Said} = installation:Command(Dist, Release),
        says(Said, "were modified since they were installed: ebin/hb_cron_log.beam"),
        says(Said, "FORCE=yes")
    end || Command <- [install, uninstall]],
    ?assertEqual(AsItWas, host_release:snapshot(Release)),
    {0, _} = installation:uninstall(Dist, Release, [{"FORCE", "yes"}]),
    ?assertEqual(Before, host_release:snapshot(Release)),
    %% A modified file that is replaced by force becomes the original.
    Theirs = filename:join(host_release:app(Release), ?SHIM),
    {0, _} = installation:install(Dist, Release),
    ok = file:write_file(Theirs, "not ours"),
    {0, _} = installation:install(Dist, Release, [{"FORCE", "yes"}]),
    {0, _} = installation:verify(Dist, Release),
    {0, _} = installation:uninstall(Dist, Release),
    ?assertEqual({ok, <<"not ours">>}, file:read_file(Theirs)),
    ?assertEqual([], filelib:wildcard(filename:join(Own, "hb/lib/hb-0.0.1/hb_process_monitor*"))).

original_gone(#{release := Release, dist := Dist}) ->
    {0, _} = installation:install(Dist, Release),
    [Original] = filelib:wildcard(filename:join(host_release:app(Release), "hb_process_monitor/originals/*")),
    ok = file:write_file(Original, "damaged"),
    Before = host_release:snapshot(Release),
    {1, Said} = installation:uninstall(Dist, Release),
    says(Said, "are missing or damaged in .*: " ?SHIM),
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

same_name(#{release := Release, dist := Dist}) ->
    Theirs = filename:join(host_release:app(Release), "hb_process_monitor"),
    ok = file:make_dir(Theirs),
    ok = file:write_file(filename:join(Theirs, "notes"), "not ours"),
    Before = host_release:snapshot(Release),
    [begin
        {1, Said} = installation:Command(Dist, Release),
        says(Said, "not a directory of this installer")
    end || Command <- [install, uninstall]],
    ?assertEqual(Before, host_release:snapshot(Release)).

says(Said, Pattern) -> installation:says(Said, Pattern).
