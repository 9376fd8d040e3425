%%% @doc Counts in Erlang: pushes, and what is noticed of them. Counters live as long as the node. {@link
%%% hb_cron_metrics} has their names and units.
%%%
%%% A quick push, as nearly all are, costs a comparison and an addition: a {@link tally()} is carried along and
%%% counted when the loop ends.
%%% carried along and counted when the loop that carries it ends.
-module(hb_cron_push_meter).

-export([create/0, read/0]).
%% Pushes
-export([tally/0, pushed/2, settle/1, push_failed/0, given_up/0]).
%% Gauges
-export([set_stalled/1, set_oldest_push/1]).

-export_type([tally/0, histogram/0]).

-type tally() :: non_neg_integer().
%% The number of pushes within the first bound, and their total time, packed into one small integer: it allocates
%% nothing.

-type histogram() :: {[{UpperBoundUs :: pos_integer(), Count :: non_neg_integer()}],
                      Over :: non_neg_integer(), SumUs :: non_neg_integer()}.
%% The number of pushes at or below each bound and above the one before, as the library's histograms have them.

%% The upper bounds of pushes, in us. Below the first one pushes are tallied, since a counter would cost a share of
%% the push.
-define(BOUNDS, {25, 100, 250, 500, 1000, 2500, 5000, 10000, 25000, 50000, 100000, 250000, 500000,
                 1000000, 2500000, 5000000, 10000000, 30000000, 60000000, 300000000}).
-define(QUICK, 25).

%% The lower bits of a tally are us: enough for more pushes than any page has.
-define(TALLY_BITS, 28).
-define(ONE, (1 bsl ?TALLY_BITS)).

%% The counters: one for each bound, one above, then these.
-define(SUM, 22).
-define(FAILED, 23).
-define(GIVEN_UP, 24).
-define(COUNTERS, 24).

-define(STALLED, 1).
-define(OLDEST, 2).

%% @doc Creates the counters, unless they exist.
-spec create() -> ok.
create() ->
    case persistent_term:get(?MODULE, none) of
        none ->
            %% One for each scheduler, added up when they are read.
            Counters = counters:new(?COUNTERS, [write_concurrency]),
            persistent_term:put(?MODULE, {Counters, atomics:new(2, [])});
        _ ->
            ok
    end.

%% @doc The empty tally.
-spec tally() -> tally().
tally() -> 0.

%% @doc A push took this long.
-spec pushed(Us :: non_neg_integer(), tally()) -> tally().
pushed(Us, Tally) when Us =< ?QUICK ->
    Tally + ?ONE + Us;
pushed(Us, Tally) ->
    {Counters, _} = persistent_term:get(?MODULE),
    ok = counters:add(Counters, bucket(Us, 2), 1),
    ok = counters:add(Counters, ?SUM, Us),
    Tally.

%% @doc Counts the pushes of a tally.
-spec settle(tally()) -> ok.
settle(0) ->
    ok;
settle(Tally) ->
    {Counters, _} = persistent_term:get(?MODULE),
    ok = counters:add(Counters, 1, Tally bsr ?TALLY_BITS),
    counters:add(Counters, ?SUM, Tally band (?ONE - 1)).

%% @doc A push failed.
-spec push_failed() -> ok.
push_failed() -> add(?FAILED).

%% @doc A result became a dead letter.
-spec given_up() -> ok.
given_up() -> add(?GIVEN_UP).

add(Index) ->
    {Counters, _} = persistent_term:get(?MODULE),
    counters:add(Counters, Index, 1).

%% @doc The number of monitors in a push that takes too long.
-spec set_stalled(non_neg_integer()) -> ok.
set_stalled(Count) -> set(?STALLED, Count).

%% @doc How long ago the longest push under way began, in ms.
-spec set_oldest_push(Ms :: non_neg_integer()) -> ok.
set_oldest_push(Ms) -> set(?OLDEST, Ms).

set(Index, Value) ->
    {_, Now} = persistent_term:get(?MODULE),
    atomics:put(Now, Index, Value).

%% @doc All values.
-spec read() -> #{push := histogram(), atom() => non_neg_integer()}.
read() ->
    ok = create(),
    {Counters, Now} = persistent_term:get(?MODULE),
    Bounds = tuple_to_list(?BOUNDS),
    [Over | Counts] = lists:reverse([counters:get(Counters, Index) || Index <- lists:seq(1, length(Bounds) + 1)]),
    #{push => {lists:zip(Bounds, lists:reverse(Counts)), Over, counters:get(Counters, ?SUM)},
      push_failures => counters:get(Counters, ?FAILED),
      given_up => counters:get(Counters, ?GIVEN_UP),
      stalled => atomics:get(Now, ?STALLED),
      oldest_push_ms => atomics:get(Now, ?OLDEST)}.

bucket(Us, Index) when Index =< tuple_size(?BOUNDS), Us > element(Index, ?BOUNDS) -> bucket(Us, Index + 1);
bucket(_Us, Index) -> Index.
