%%% @doc What a monitor publishes about itself, since it cannot be asked during a push. Seven words, written by the
%%% monitor alone, except for the request to pause and the entry with hb_cron_hung_pushes. Of results it publishes
%%% only times: anything else would cost something for each of them.
-module(hb_cron_status_words).

-export([new/0]).
%% Pushes
-export([push_begins/2, pushed/2, push_ends/1, at_push/1, last_push/1]).
-export([set_listed/2, is_listed/1]).
%% The registration with the engine
-export([set_epoch/2, epoch/1, set_registered/1, has_registered/1]).
%% Pausing
-export([request_pause/1, set_paused/2, pause/1]).

-export_type([words/0, pause/0]).

-opaque words() :: atomics:atomics_ref().

-type pause() :: no | wanted | yes.
%% `wanted': a pause was requested, and the monitor has not paused yet.

%% When its current push began, in ms of the monotonic clock; 0 between pushes.
-define(AT_PUSH, 1).
%% When the last push that succeeded ended, likewise.
-define(LAST_PUSH, 2).
%% Whether there was one: the monotonic clock may have any value.
-define(HAS_PUSHED, 3).
-define(EPOCH, 4).
-define(PAUSE, 5).
%% Whether hb_cron_hung_pushes checks it.
-define(LISTED, 6).
%% Whether it has registered with an engine at any time.
-define(REGISTERED, 7).

%% @doc Nothing has been pushed, and there is no engine.
-spec new() -> words().
new() -> atomics:new(7, [{signed, true}]).

-spec push_begins(words(), NowMs :: integer()) -> ok.
push_begins(Words, Now) -> atomics:put(Words, ?AT_PUSH, Now).

%% @doc A push succeeded. One entry is enough for those of the same millisecond.
-spec pushed(words(), NowMs :: integer()) -> ok.
pushed(Words, Now) ->
    ok = atomics:put(Words, ?LAST_PUSH, Now),
    atomics:put(Words, ?HAS_PUSHED, 1).

-spec push_ends(words()) -> ok.
push_ends(Words) -> atomics:put(Words, ?AT_PUSH, 0).

%% @doc When its current push began, in ms of the monotonic clock.
-spec at_push(words()) -> integer() | undefined.
at_push(Words) ->
    case atomics:get(Words, ?AT_PUSH) of
        0 -> undefined;
        Began -> Began
    end.

%% @doc When it last pushed a result, likewise.
-spec last_push(words()) -> integer() | undefined.
last_push(Words) ->
    case atomics:get(Words, ?HAS_PUSHED) of
        0 -> undefined;
        1 -> atomics:get(Words, ?LAST_PUSH)
    end.

%% @doc Whether the monitor is checked for hung pushes.
-spec set_listed(words(), boolean()) -> ok.
set_listed(Words, true) -> atomics:put(Words, ?LISTED, 1);
set_listed(Words, false) -> atomics:put(Words, ?LISTED, 0).

-spec is_listed(words()) -> boolean().
is_listed(Words) -> atomics:get(Words, ?LISTED) =:= 1.

%% @doc The monitor registered with an engine; 0: it is not registered.
-spec set_epoch(words(), non_neg_integer()) -> ok.
set_epoch(Words, Epoch) -> atomics:put(Words, ?EPOCH, Epoch).

-spec epoch(words()) -> hb_process_monitor_nif:epoch() | none.
epoch(Words) ->
    case atomics:get(Words, ?EPOCH) of
        0 -> none;
        Epoch -> Epoch
    end.

%% @doc The monitor has registered with an engine for the first time.
-spec set_registered(words()) -> ok.
set_registered(Words) -> atomics:put(Words, ?REGISTERED, 1).

-spec has_registered(words()) -> boolean().
has_registered(Words) -> atomics:get(Words, ?REGISTERED) =:= 1.

%% @doc Requests a pause. A monitor that has paused stays paused.
-spec request_pause(words()) -> ok.
request_pause(Words) ->
    _ = atomics:compare_exchange(Words, ?PAUSE, 0, 1),
    ok.

%% @doc The monitor has paused, or continues.
-spec set_paused(words(), boolean()) -> ok.
set_paused(Words, true) -> atomics:put(Words, ?PAUSE, 2);
set_paused(Words, false) -> atomics:put(Words, ?PAUSE, 0).

-spec pause(words()) -> pause().
pause(Words) -> element(1 + atomics:get(Words, ?PAUSE), {no, wanted, yes}).
