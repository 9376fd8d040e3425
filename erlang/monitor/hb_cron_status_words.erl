%%% @doc What a monitor notes of itself where others can read it: it cannot be asked while it is at a
%%% push. Six words, written by the monitor alone but for the wish that it pause and the list of those who push. What is noted of
%%% results is a time and no more: anything else would cost something for each of them.
-module(hb_cron_status_words).

-export([new/0]).
%% Pushes
-export([push_begins/2, pushed/2, push_ends/1, at_push/1, last_push/1]).
-export([set_listed/2, is_listed/1]).
%% The registration with the engine
-export([set_epoch/2, epoch/1]).
%% Pausing
-export([ask_to_pause/1, set_paused/2, pause/1]).

-export_type([marks/0, pause/0]).

-opaque marks() :: atomics:atomics_ref().

-type pause() :: no | wanted | yes.
%% `wanted': somebody asked for it, and the monitor has not come to it.

%% When the push that it is at began, in ms of the monotonic clock; 0 between pushes.
-define(AT_PUSH, 1).
%% When the last push that succeeded ended, likewise; as the next one if there was none.
-define(LAST_PUSH, 2).
%% Whether there was one: the monotonic clock may say anything.
-define(HAS_PUSHED, 3).
-define(EPOCH, 4).
-define(PAUSE, 5).
%% It is among those that hb_cron_hung_pushes looks at.
-define(LISTED, 6).

%% @doc Nothing has been pushed, and there is no engine.
-spec new() -> marks().
new() -> atomics:new(6, [{signed, true}]).

-spec push_begins(marks(), NowMs :: integer()) -> ok.
push_begins(Marks, Now) -> atomics:put(Marks, ?AT_PUSH, Now).

%% @doc A push succeeded. It is enough to say so once for those of the same millisecond.
-spec pushed(marks(), NowMs :: integer()) -> ok.
pushed(Marks, Now) ->
    ok = atomics:put(Marks, ?LAST_PUSH, Now),
    atomics:put(Marks, ?HAS_PUSHED, 1).

-spec push_ends(marks()) -> ok.
push_ends(Marks) -> atomics:put(Marks, ?AT_PUSH, 0).

%% @doc When the push that the monitor is at began, in ms of the monotonic clock.
-spec at_push(marks()) -> integer() | undefined.
at_push(Marks) ->
    case atomics:get(Marks, ?AT_PUSH) of
        0 -> undefined;
        Began -> Began
    end.

%% @doc When it last pushed a result, likewise.
-spec last_push(marks()) -> integer() | undefined.
last_push(Marks) ->
    case atomics:get(Marks, ?HAS_PUSHED) of
        0 -> undefined;
        1 -> atomics:get(Marks, ?LAST_PUSH)
    end.

%% @doc The monitor is among those that are looked at for pushes that stall, or is not any more.
-spec set_listed(marks(), boolean()) -> ok.
set_listed(Marks, true) -> atomics:put(Marks, ?LISTED, 1);
set_listed(Marks, false) -> atomics:put(Marks, ?LISTED, 0).

-spec is_listed(marks()) -> boolean().
is_listed(Marks) -> atomics:get(Marks, ?LISTED) =:= 1.

%% @doc The monitor registered with an engine; 0: it is not registered any more.
-spec set_epoch(marks(), non_neg_integer()) -> ok.
set_epoch(Marks, Epoch) -> atomics:put(Marks, ?EPOCH, Epoch).

-spec epoch(marks()) -> hb_process_monitor_nif:epoch() | none.
epoch(Marks) ->
    case atomics:get(Marks, ?EPOCH) of
        0 -> none;
        Epoch -> Epoch
    end.

%% @doc Somebody wants it to pause. One that has paused already stays so.
-spec ask_to_pause(marks()) -> ok.
ask_to_pause(Marks) ->
    _ = atomics:compare_exchange(Marks, ?PAUSE, 0, 1),
    ok.

%% @doc The monitor has paused, or goes on.
-spec set_paused(marks(), boolean()) -> ok.
set_paused(Marks, true) -> atomics:put(Marks, ?PAUSE, 2);
set_paused(Marks, false) -> atomics:put(Marks, ?PAUSE, 0).

-spec pause(marks()) -> pause().
pause(Marks) -> element(1 + atomics:get(Marks, ?PAUSE), {no, wanted, yes}).
