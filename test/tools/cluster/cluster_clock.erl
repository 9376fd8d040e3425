%%% A wall clock of its own for a process of the operating system, by libfaketime. `./scripts/setup.sh faketime' installs
%%% it on Debian. Its monotonic clocks stay as they are.
-module(cluster_clock).

-export([new/0, environment/1, jump/2, remove/1]).

-export_type([clock/0]).

-opaque clock() :: file:filename().

%% A clock that is right; `none' without libfaketime.
-spec new() -> clock() | none.
new() ->
    case library() of
        none -> none;
        _ ->
            Clock = string:trim(os:cmd("mktemp")),
            _ = os:cmd("chmod 644 " ++ Clock),
            ok = jump(0, Clock),
            Clock
    end.

library() ->
    case filelib:wildcard("/usr/lib/*/faketime/libfaketimeMT.so.1") of
        [Library | _] -> Library;
        [] -> none
    end.

%% The environment of the process.
-spec environment(clock()) -> [{string(), string()}].
environment(Clock) ->
    [{"LD_PRELOAD", library()}, {"FAKETIME_TIMESTAMP_FILE", Clock}, {"FAKETIME_NO_CACHE", "1"}, {"DONT_FAKE_MONOTONIC", "1"},
     {"FAKETIME_DONT_FAKE_MONOTONIC", "1"}].

%% From now on it is so many seconds fast.
-spec jump(Seconds :: integer(), clock()) -> ok.
jump(Seconds, Clock) ->
    Sign = case Seconds < 0 of true -> "-"; false -> "+" end,
    %% Renamed, so that no process reads half of it.
    ok = file:write_file(Clock ++ ".new", [Sign, integer_to_list(abs(Seconds)), "\n"]),
    _ = os:cmd("chmod 644 " ++ Clock ++ ".new"),
    file:rename(Clock ++ ".new", Clock).

-spec remove(clock()) -> ok.
remove(Clock) -> file:delete(Clock).
