%%% The tarballs of `make dist': what their names say and what is in them. install_tests and bare.sh install and run them.
-module(dist_tests).
-include_lib("eunit/include/eunit.hrl").

-define(LIBRARY, "hb_process_monitor_nif.so").

eunit_wrapper_(Tests) -> deadline:each(Tests).

all_test_() ->
    {foreach, fun setup/0, fun cleanup/1,
     [{with, [T]} || T <- [
        fun tarball_made_twice_is_the_same/1,
        fun tarball_for_one_machine_names_it/1,
        fun tarball_for_two_machines_has_both_libraries/1,
        fun tarball_has_the_sum_of_each_file/1,
        fun library_of_a_newer_glibc_is_refused_unless_wanted/1,
        fun standalone_tarball_names_its_machine/1,
        fun cross_build_without_a_compiler_says_what_lacks/1
     ]]}.

setup() ->
    Dir = string:trim(os:cmd("mktemp -d")),
    Build = filename:join(Dir, "build"),
    ok = filelib:ensure_path(Build),
    %% priv of a build is a link to the checkout's.
    {0, _} = os_program:run("/bin/cp", ["-rL" | [filename:join(installation:build(), Part) || Part <- ["ebin", "priv"]] ++ [Build]], #{}),
    #{dir => Dir, build => Build, out => filename:join(Dir, "out")}.

cleanup(#{dir := Dir}) -> file:del_dir_r(Dir).

tarball_made_twice_is_the_same(#{build := Build, out := Out, dir := Dir}) ->
    {0, One} = dist(Build, Out, []),
    {0, Two} = dist(Build, filename:join(Dir, "other"), []),
    ?assertEqual(sum(One), sum(Two)).

tarball_for_one_machine_names_it(#{build := Build, out := Out, dir := Dir}) ->
    {0, Tarball} = dist(Build, Out, []),
    ?assertEqual("hb_process_monitor-" ++ version() ++ "-" ++ machine(), filename:basename(Tarball, ".tar.gz")),
    Unpacked = unpack(Tarball, Dir),
    ?assertEqual(["priv/" ++ machine() ++ "-linux-gnu/" ?LIBRARY], filelib:wildcard("priv/**/*.*", Unpacked)),
    ?assertEqual([], filelib:wildcard("{bin,erlang}", Unpacked)).

tarball_for_two_machines_has_both_libraries(#{build := Build, out := Out, dir := Dir}) ->
    Cross = filename:join(Dir, "cross"),
    Sbom = filename:join(Dir, "sbom"),
    write(Cross, "riscv64-linux-gnu/" ?LIBRARY, "another"),
    write(Sbom, "riscv64-linux-gnu.cdx.json", "{}"),
    {0, Tarball} = dist(Build, Out, [Cross, Sbom]),
    ?assertEqual("hb_process_monitor-" ++ version() ++ "-" ++ lists:append(lists:join("-", lists:reverse(lists:sort([machine(), "riscv64"])))),
                 filename:basename(Tarball, ".tar.gz")),
    Unpacked = unpack(Tarball, Dir),
    ?assertEqual(lists:sort(["priv/" ++ machine() ++ "-linux-gnu/" ?LIBRARY, "priv/riscv64-linux-gnu/" ?LIBRARY,
                             "priv/riscv64-linux-gnu/sbom.cdx.json"]),
                 filelib:wildcard("priv/**/*.*", Unpacked)).

tarball_has_the_sum_of_each_file(#{build := Build, out := Out, dir := Dir}) ->
    {0, Tarball} = dist(Build, Out, []),
    Unpacked = unpack(Tarball, Dir),
    {0, Checked} = os_program:run("/bin/sh", ["-c", "sha256sum --check SHA256SUMS"], #{cd => Unpacked}),
    Files = [File || File <- filelib:wildcard("**", Unpacked), filelib:is_regular(filename:join(Unpacked, File))],
    ?assertEqual(length(Files) - 1, length(string:lexemes(Checked, "\n"))),
    ok = file:write_file(installation:library(Unpacked), "x", [append]),
    ?assertMatch({1, _}, os_program:run("/bin/sh", ["-c", "sha256sum --check SHA256SUMS"], #{cd => Unpacked})).

library_of_a_newer_glibc_is_refused_unless_wanted(#{build := Build, out := Out}) ->
    installation:library_of_a_later_glibc(Build),
    {1, Said} = dist(Build, Out, []),
    installation:says(Said, "needs glibc 2\\.99, but 2\\.34 is supported"),
    ?assertEqual([], filelib:wildcard(filename:join(Out, "*.tar.gz"))),
    ?assertMatch({0, _}, os_program:run(filename:absname("scripts/dist.sh"), [Build, Out], #{env => [{"GLIBC", "2.99"}]})).

%% With a directory in the place of the Erlang.
standalone_tarball_names_its_machine(#{build := Build, out := Out, dir := Dir}) ->
    Runtime = filename:join(Dir, "runtime"),
    write(Runtime, "erts-1/bin/beam.smp", "an emulator"),
    write(Runtime, "native/libz.so", "a library"),
    Run = fun(Into) ->
        {0, Said} = os_program:run(filename:absname("scripts/standalone.sh"), [Build, Into, Runtime], #{}),
        string:trim(Said)
    end,
    Tarball = Run(Out),
    ?assertEqual("cron-monitor-" ++ version() ++ "-" ++ machine(), filename:basename(Tarball, ".tar.gz")),
    ?assertEqual(sum(Tarball), sum(Run(filename:join(Dir, "other")))),
    Unpacked = unpack(Tarball, Dir),
    [?assert(filelib:is_regular(filename:join(Unpacked, File)))
     || File <- ["bin/cron-monitor", "priv/" ?LIBRARY, "erlang/erts-1/bin/beam.smp", "README", "SHA256SUMS"]].

cross_build_without_a_compiler_says_what_lacks(#{dir := Dir, out := Out}) ->
    Bin = filename:join(Dir, "bin"),
    ok = file:make_dir(Bin),
    [ok = file:make_symlink(os:find_executable(Command), filename:join(Bin, Command)) || Command <- ["bash", "dirname", "env", "uname"]],
    {1, Said} = os_program:run(filename:absname("scripts/cross.sh"), [Out], #{env => [{"PATH", Bin}]}),
    installation:says(Said, "no library for (aarch64|x86_64): .*-linux-gnu-gcc is missing \\(Debian: gcc-.*-linux-gnu\\)").

dist(Build, Out, More) ->
    {Status, Said} = os_program:run(filename:absname("scripts/dist.sh"), [Build, Out | More], #{}),
    {Status, string:trim(Said)}.

unpack(Tarball, Dir) ->
    {0, _} = os_program:run("/bin/tar", ["xzf", Tarball, "-C", Dir], #{}),
    filename:join(Dir, filename:basename(Tarball, ".tar.gz")).

sum(File) ->
    {ok, Content} = file:read_file(File),
    crypto:hash(sha256, Content).

write(Dir, Name, Content) ->
    File = filename:join(Dir, Name),
    ok = filelib:ensure_dir(File),
    ok = file:write_file(File, Content).

version() -> proplists:get_value(vsn, element(3, hb_cron_loader:specification())).

%% The machine as the names of tarballs have it.
machine() -> installation:machine().
