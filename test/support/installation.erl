%%% What an operator installs from: an unpacked tarball of this build, and others made of it, newer or
%%% damaged; and its three commands.
-module(installation).

-export([dist/1, tarball/1, derive/3]).
-export([install/2, install/3, uninstall/2, uninstall/3, verify/2, verify/3]).
%% Changes of a build
-export([beam_of/3, marked/3, longer_library/1, broken_library/1, library_of_a_later_glibc/1, version/2]).
-export([library/1, says/2]).

-define(LIBRARY, "hb_process_monitor_nif.so").

%% Makes the tarball of what is tested, and unpacks it there.
dist(Dir) ->
    Tarball = tarball(filename:join(Dir, "tarball")),
    {0, _} = os_program:run("/bin/tar", ["xzf", Tarball, "-C", Dir], #{}),
    filename:join(Dir, filename:basename(Tarball, ".tar.gz")).

tarball(Out) ->
    Build = filename:dirname(filename:dirname(filename:absname(code:which(hb_process_monitor)))),
    {0, Said} = os_program:run(filename:absname("scripts/dist.sh"), [Build, Out], #{}),
    string:trim(Said).

%% Another build: a copy of one, changed by each of these functions.
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
    NoSync = [{"PATH", filename:absname("test/support/no_sync") ++ ":" ++ os:getenv("PATH")}],
    os_program:run(filename:join(Dist, Command), [Release], #{env => NoSync ++ Env}).

%% A module with other forms: a function of those that its debug information holds.
beam_of(Dist, Module, Change) ->
    Beam = filename:join([Dist, "ebin", atom_to_list(Module) ++ ".beam"]),
    {ok, {_, [{abstract_code, {_, Forms}}]}} = beam_lib:chunks(Beam, [abstract_code]),
    {ok, Module, Binary} = compile:forms(Change(Forms), [debug_info]),
    ok = file:write_file(Beam, Binary).

%% A module that has an attribute `build' of this value and is else as it was.
marked(Dist, Module, Value) ->
    beam_of(Dist, Module, fun(Forms) ->
        {Until, From} = lists:splitwith(fun(Form) -> not is_export(Form) end, Forms),
        Until ++ [{attribute, 1, build, Value} | From]
    end).

is_export({attribute, _, export, _}) -> true;
is_export(_) -> false.

%% Loads as before and is another file.
longer_library(Dist) -> ok = file:write_file(library(Dist), <<0>>, [append]).

broken_library(Dist) -> ok = file:write_file(library(Dist), "no library").

library_of_a_later_glibc(Dist) ->
    {ok, Library} = file:read_file(library(Dist)),
    Needed = <<0, "GLIBC_2.34", 0>>,
    [_, _ | _] = binary:split(Library, Needed, [global]),
    ok = file:write_file(library(Dist), binary:replace(Library, Needed, <<0, "GLIBC_2.99", 0>>, [global])).

version(Dist, Version) ->
    File = filename:join(Dist, "ebin/hb_process_monitor.app"),
    {ok, App} = file:read_file(File),
    ok = file:write_file(File, re:replace(App, "\\{vsn, *\"[^\"]*\"\\}", ["{vsn,\"", Version, "\"}"])).

library(Dist) -> filename:join([Dist, "priv", ?LIBRARY]).

%% Fails with what a command said, if that does not match.
says(Said, Pattern) ->
    case re:run(Said, Pattern, [unicode]) of
        {match, _} -> ok;
        nomatch -> error({does_not_say, Pattern, Said})
    end.
