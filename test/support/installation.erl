%%% What an operator installs from: an unpacked tarball of this build, and modified tarballs, newer or damaged.
%%% Also the three commands.
-module(installation).
-include_lib("eunit/include/eunit.hrl").

-export([tests/1]).
%% The same for releases of several eras
-export([setup_eras/0, with_era/3, cleanup/1]).
-export([build/0, dist/1, tarball/1, derive/3]).
-export([install/2, install/3, uninstall/2, uninstall/3, verify/2, verify/3]).
%% Changes of a build
-export([beam_of/3, with_module/2, marked/3, longer_library/1, broken_library/1, library_of_a_later_glibc/1, version/2]).
-export([library/1, hashes/2, machine/0, with_commands/2, says/2]).

-define(LIBRARY, "hb_process_monitor_nif.so").

%% Tests by name, each a function of a map: `dist', an installation source of this build; `release', a clean
%% release; `own', a working directory.
tests(Tests) ->
    {setup, fun setup/0, fun cleanup/1,
     fun(World) -> [{atom_to_list(Name), fun() -> with_release(World, Test) end} || {Name, Test} <- Tests] end}.

setup() ->
    Dir = string:trim(os:cmd("mktemp -d")),
    ok = file:change_mode(Dir, 8#755),
    Built = host_release:copy(host_release:build("era_b"), filename:join(Dir, "built")),
    #{dir => Dir, built => Built, dist => dist(Dir)}.

cleanup(#{dir := Dir}) -> _ = file:del_dir_r(Dir), ok.

with_release(#{dir := Dir, built := Built} = World, Test) ->
    Own = filename:join(Dir, "test"),
    ok = file:make_dir(Own),
    try Test(World#{own => Own, release => host_release:link(Built, filename:join(Own, "hb"))})
    after os:cmd("chmod -R u+w " ++ Own ++ "; rm -rf " ++ Own)
    end.

%% Releases of the eras that have one, by name in `built', and `dist'.
setup_eras() ->
    Dir = string:trim(os:cmd("mktemp -d")),
    Built = maps:from_list([{Era, host_release:copy(host_release:build(Era), filename:join(Dir, Era))} || Era <- ["era_a", "era_b"]]),
    #{dir => Dir, dist => dist(Dir), built => Built}.

%% A test gets a clean release, a working directory for a node, and a CU. In the end what it installed is uninstalled,
%% and the release must be unchanged.
with_era(Era, #{dir := Dir, built := Built, dist := Dist} = World, Test) ->
    Own = filename:join(Dir, integer_to_list(erlang:unique_integer([positive]))),
    Cwd = filename:join(Own, "cwd"),
    ok = filelib:ensure_dir(filename:join(Cwd, "any")),
    Cu = test_cu:start(),
    try
        Release = host_release:link(maps:get(Era, Built), filename:join(Own, "hb")),
        Before = host_release:snapshot(Release),
        Test(World#{era => Era, own => Own, cwd => Cwd, cu => Cu, release => Release}),
        {0, _} = uninstall(Dist, Release),
        ?assertEqual(Before, host_release:snapshot(Release))
    after
        test_cu:stop(Cu),
        file:del_dir_r(Own)
    end.

%% Makes the tarball of the tested build, and unpacks it.
dist(Dir) ->
    Tarball = tarball(filename:join(Dir, "tarball")),
    {0, _} = os_program:run("/bin/tar", ["xzf", Tarball, "-C", Dir], #{}),
    filename:join(Dir, filename:basename(Tarball, ".tar.gz")).

tarball(Out) ->
    {0, Said} = os_program:run(filename:absname("scripts/dist.sh"), [build(), Out], #{}),
    string:trim(Said).

%% The tested build.
build() -> filename:dirname(filename:dirname(filename:absname(code:where_is_file("hb_process_monitor.beam")))).

%% Another build: a copy, changed by each of these functions.
derive(Dist, To, Changes) ->
    {0, _} = os_program:run("/bin/cp", ["-a", Dist, To], #{}),
    [Change(To) || Change <- Changes],
    To.

install(Dist, Release) -> install(Dist, Release, []).
install(Dist, Release, Env) -> command(Dist, "install", Release, Env).

uninstall(Dist, Release) -> uninstall(Dist, Release, []).
uninstall(Dist, Release, Env) -> command(Dist, "uninstall", Release, Env).

verify(Dist, Release) -> verify(Dist, Release, []).
verify(Dist, Release, Env) -> command(Dist, "verify", Release, Env).

command(Dist, Command, Release, Env) ->
    os_program:run(filename:join(Dist, Command), [Release], #{env => [{"PATH", path()} | Env]}).

path() -> filename:absname("test/support/no_sync") ++ ":" ++ os:getenv("PATH").

%% The environment of a command in which these commands are scripts of the shell: `{Name, Script}'.
with_commands(Dir, Commands) ->
    ok = filelib:ensure_path(Dir),
    [begin
        File = filename:join(Dir, Name),
        ok = file:write_file(File, ["#!/bin/sh\n", Script, "\n"]),
        ok = file:change_mode(File, 8#755)
     end || {Name, Script} <- Commands],
    [{"PATH", Dir ++ ":" ++ path()}].

%% Adds a module.
with_module(Dist, Module) ->
    {ok, _} = file:copy(filename:join(Dist, "ebin/hb_cron_log.beam"), filename:join(Dist, ["ebin/", atom_to_list(Module), ".beam"])),
    App = filename:join(Dist, "ebin/hb_process_monitor.app"),
    {ok, Text} = file:read_file(App),
    ok = file:write_file(App, re:replace(Text, "{modules,\\s*\\[", ["&", atom_to_list(Module), ","])).

%% Replaces a module: `Change' maps the forms in its debug information to new ones.
beam_of(Dist, Module, Change) ->
    Beam = filename:join([Dist, "ebin", atom_to_list(Module) ++ ".beam"]),
    {ok, {_, [{abstract_code, {_, Forms}}]}} = beam_lib:chunks(Beam, [abstract_code]),
    {ok, Module, Binary} = compile:forms(Change(Forms), [debug_info]),
    ok = file:write_file(Beam, Binary).

%% Sets the attribute `build' of a module and changes nothing else.
marked(Dist, Module, Value) ->
    beam_of(Dist, Module, fun(Forms) ->
        {Until, From} = lists:splitwith(fun(Form) -> not is_export(Form) end, Forms),
        Until ++ [{attribute, 1, build, Value} | From]
    end).

is_export({attribute, _, export, _}) -> true;
is_export(_) -> false.

%% Makes a different library file that still loads.
longer_library(Dist) -> ok = file:write_file(library(Dist), <<0>>, [append]).

broken_library(Dist) -> ok = file:write_file(library(Dist), "no library").

library_of_a_later_glibc(Dist) ->
    {ok, Stamped} = file:read_file(library(Dist)),
    %% Without its stamp, which no longer matches.
    Library = binary:part(Stamped, 0, byte_size(Stamped) - 76),
    Needed = <<0, "GLIBC_2.34", 0>>,
    [_, _ | _] = binary:split(Library, Needed, [global]),
    ok = file:write_file(library(Dist), binary:replace(Library, Needed, <<0, "GLIBC_2.99", 0>>, [global])).

version(Dist, Version) ->
    File = filename:join(Dist, "ebin/hb_process_monitor.app"),
    {ok, App} = file:read_file(File),
    ok = file:write_file(File, re:replace(App, "\\{vsn, *\"[^\"]*\"\\}", ["{vsn,\"", Version, "\"}"])).

%% The library for this machine: of an unpacked tarball, or of an application.
library(Dir) ->
    OfTarball = filename:join([Dir, "priv", machine() ++ "-linux-gnu", ?LIBRARY]),
    case filelib:is_regular(OfTarball) of
        true -> OfTarball;
        false -> filename:join([Dir, "priv", ?LIBRARY])
    end.

machine() -> hd(string:lexemes(erlang:system_info(system_architecture), "-")).

hashes(Dir, Wildcard) ->
    [begin
        {ok, Binary} = file:read_file(File),
        {filename:basename(File), crypto:hash(sha256, Binary)}
     end || File <- lists:sort(filelib:wildcard(filename:join(Dir, Wildcard))), filelib:is_regular(File)].

%% Fails with the command's output if it does not match.
says(Said, Pattern) ->
    case re:run(Said, Pattern, [unicode]) of
        {match, _} -> ok;
        nomatch -> error({does_not_say, Pattern, Said})
    end.
