%%% What `make release' refuses, and what it leaves. scripts/prepare.sh runs in a repository that has only the files which
%%% it reads, with commands `make' and `cargo-cyclonedx' that only note their calls. `make test-all' has a run with the real ones.
-module(prepare_tests).
-include_lib("eunit/include/eunit.hrl").

-define(VERSION, "3.2.1").

eunit_wrapper_(Tests) -> deadline:each(Tests).

all_test_() ->
    {foreach, fun setup/0, fun cleanup/1,
     [{with, [T]} || T <- [
        fun release_has_tarballs_sums_and_notes/1,
        fun dry_run_makes_tarballs_and_tests_nothing/1,
        fun no_version_is_refused/1,
        fun version_of_no_file_is_refused/1,
        fun version_that_one_file_lacks_is_refused/1,
        fun changelog_without_the_section_is_refused/1,
        fun changelog_without_a_date_is_refused_unless_dry/1,
        fun changelog_with_an_empty_section_is_refused/1,
        fun checkout_with_changes_is_refused_unless_dry/1,
        fun version_with_a_tag_is_refused/1,
        fun missing_cross_compiler_is_refused/1,
        fun tarball_of_another_version_is_refused/1
     ]]}.

setup() ->
    Dir = string:trim(os:cmd("mktemp -d")),
    [begin
        {ok, Script} = file:read_file(harness:checkout(filename:join("scripts", Name))),
        write(Dir, filename:join("scripts", Name), Script),
        ok = file:change_mode(filename:join([Dir, "scripts", Name]), 8#755)
     end || Name <- ["prepare.sh"]],
    write(Dir, "scripts/cross.sh", "#!/bin/sh\n"),
    ok = file:change_mode(filename:join(Dir, "scripts/cross.sh"), 8#755),
    write(Dir, "Cargo.toml", "version = \"" ?VERSION "\"\n"),
    write(Dir, "erlang/hb_process_monitor.app.src", "    {vsn, \"" ?VERSION "\"},\n"),
    write(Dir, "erlang/app/hb_cron_loader.erl", "        {vsn, \"" ?VERSION "\"},\n"),
    changelog(Dir, "## " ?VERSION " - 2026-01-02\n\nMuch is new.\n\n## 3.2.0 - 2026-01-01\n\nOlder.\n"),
    write(Dir, ".gitignore", "/_build/\n/bin/\n"),
    Env = installation:with_commands(filename:join(Dir, "bin"), [
        {"make", ["echo \"$@\" >>_build/made; [ \"$1\" != dist ] || { mkdir -p _build/dist; "
                  "for name in hb_process_monitor-" ?VERSION "-x86_64-aarch64 cron-monitor-" ?VERSION "-x86_64; do echo $name >_build/dist/$name.tar.gz; done; }"]},
        {"cargo-cyclonedx", "exit 1"}]),
    ok = file:make_dir(filename:join(Dir, "_build")),
    World = #{dir => Dir, env => Env},
    git(World, ["init", "-q"]),
    commit(World),
    World.

cleanup(#{dir := Dir}) -> file:del_dir_r(Dir).

release_has_tarballs_sums_and_notes(#{dir := Dir} = World) ->
    {0, Said} = prepare(World, [?VERSION]),
    installation:says(Said, "_build/release/" ?VERSION " has SHA256SUMS cron-monitor-"),
    ?assertEqual(<<"test\ndist GLIBC=\n">>, read(Dir, "_build/made")),
    Out = filename:join(Dir, "_build/release/" ?VERSION),
    ?assertEqual(["SHA256SUMS", "cron-monitor-" ?VERSION "-x86_64.tar.gz", "hb_process_monitor-" ?VERSION "-x86_64-aarch64.tar.gz",
                  "notes.md"], lists:sort(filelib:wildcard("*", Out))),
    {0, _} = os_program:run("/bin/sh", ["-c", "sha256sum --check SHA256SUMS"], #{cd => Out}),
    Notes = read(Out, "notes.md"),
    [Sum | _] = string:lexemes(read(Out, "SHA256SUMS"), " "),
    [?assertMatch({_, _}, binary:match(Notes, Part)) || Part <- [<<"# hb_process_monitor " ?VERSION "\n">>, <<"\nMuch is new.\n">>, Sum]],
    ?assertEqual(nomatch, binary:match(Notes, <<"Older">>)).

dry_run_makes_tarballs_and_tests_nothing(#{dir := Dir} = World) ->
    {0, _} = prepare(World, [?VERSION], [{"DRY", "yes"}]),
    ?assertEqual(<<"dist GLIBC=\n">>, read(Dir, "_build/made")).

no_version_is_refused(World) ->
    [begin
        {2, Said} = prepare(World, Arguments),
        installation:says(Said, "which version\\? make release VERSION=1\\.2\\.3")
     end || Arguments <- [[], [""], ["1.2"], ["v1.2.3"]]].

version_of_no_file_is_refused(World) ->
    Said = refused(World, "4.0.0"),
    [installation:says(Said, File ++ " has version 3\\.2\\.1, not 4\\.0\\.0") || File <- ["Cargo\\.toml", "app\\.src", "hb_cron_loader\\.erl"]].

version_that_one_file_lacks_is_refused(#{dir := Dir} = World) ->
    write(Dir, "erlang/app/hb_cron_loader.erl", "        {vsn, \"3.2.0\"},\n"),
    commit(World),
    ?assertEqual("release: erlang/app/hb_cron_loader.erl has version 3.2.0, not " ?VERSION "\n", refused(World)).

changelog_without_the_section_is_refused(#{dir := Dir} = World) ->
    changelog(Dir, "## 3.2.0 - 2026-01-01\n\nOlder.\n"),
    commit(World),
    [installation:says(refused(World, ?VERSION, Env), "CHANGELOG\\.md begins with \"## 3\\.2\\.0 - 2026-01-01\", not with \"## 3\\.2\\.1 - DATE\"")
     || Env <- [[], [{"DRY", "yes"}]]].

changelog_without_a_date_is_refused_unless_dry(#{dir := Dir} = World) ->
    changelog(Dir, "## " ?VERSION " - unreleased\n\nMuch is new.\n"),
    commit(World),
    ?assertEqual("release: CHANGELOG.md has no date for " ?VERSION ": \"## " ?VERSION " - unreleased\"\n", refused(World)),
    {0, _} = prepare(World, [?VERSION], [{"DRY", "yes"}]).

changelog_with_an_empty_section_is_refused(#{dir := Dir} = World) ->
    changelog(Dir, "## " ?VERSION " - 2026-01-02\n\n## 3.2.0 - 2026-01-01\n\nOlder.\n"),
    commit(World),
    ?assertEqual("release: CHANGELOG.md says nothing about " ?VERSION "\n", refused(World)).

checkout_with_changes_is_refused_unless_dry(#{dir := Dir} = World) ->
    write(Dir, "erlang/new.erl", "-module(new).\n"),
    ?assertEqual("release: the checkout has changes: commit them first\n", refused(World)),
    {0, _} = prepare(World, [?VERSION], [{"DRY", "yes"}]).

version_with_a_tag_is_refused(World) ->
    git(World, ["tag", "v" ?VERSION]),
    ?assertEqual("release: the tag v" ?VERSION " exists already\n", refused(World)).

missing_cross_compiler_is_refused(#{dir := Dir} = World) ->
    write(Dir, "scripts/cross.sh", "#!/bin/sh\necho 'cross: no library for riscv64: no compiler' >&2\nexit 1\n"),
    commit(World),
    ?assertEqual("release: cross: no library for riscv64: no compiler; make release-tools installs it\n", refused(World)).

tarball_of_another_version_is_refused(#{dir := Dir} = World) ->
    write(Dir, "_build/dist/hb_process_monitor-3.2.0-x86_64.tar.gz", "old"),
    {1, Said} = prepare(World, [?VERSION]),
    installation:says(Said, "hb_process_monitor-3\\.2\\.0-x86_64\\.tar\\.gz is not of version 3\\.2\\.1").

%% Refused, and nothing was tested or made.
refused(World) -> refused(World, ?VERSION).
refused(World, Version) -> refused(World, Version, []).

refused(#{dir := Dir} = World, Version, Env) ->
    {1, Said} = prepare(World, [Version], Env),
    ?assertNot(filelib:is_file(filename:join(Dir, "_build/made"))),
    Said.

prepare(World, Arguments) -> prepare(World, Arguments, []).

prepare(#{dir := Dir, env := Env}, Arguments, More) ->
    os_program:run(filename:join(Dir, "scripts/prepare.sh"), Arguments, #{env => [{"DRY", false} | Env ++ More], cd => Dir}).

changelog(Dir, Sections) -> write(Dir, "CHANGELOG.md", ["# Changelog\n\n" | Sections]).

commit(World) ->
    git(World, ["add", "-A"]),
    git(World, ["-c", "user.name=test", "-c", "user.email=test@localhost", "-c", "commit.gpgsign=false", "commit", "-q", "-m", "release"]).

%% Without the variables of a hook that may run these tests.
git(#{dir := Dir}, Arguments) ->
    {0, _} = os_program:run(os:find_executable("git"), Arguments,
                            #{cd => Dir, env => [{Name, false} || Name <- ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"]]}).

write(Dir, Name, Content) ->
    File = filename:join(Dir, Name),
    ok = filelib:ensure_dir(File),
    ok = file:write_file(File, Content).

read(Dir, Name) ->
    {ok, Content} = file:read_file(filename:join(Dir, Name)),
    Content.
