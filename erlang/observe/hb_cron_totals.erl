%%% @doc How many monitors there are in which state, for whoever examines a node: no monitor is looked at by
%%% itself, so it takes as long for a hundred thousand as the engine's walk over them does. How single ones
%%% fare is {@link hb_cron_info}'s business.
-module(hb_cron_totals).

-export([read/0]).

-export_type([totals/0]).

-type totals() :: #{states := #{hb_cron_info:state() => pos_integer()}, stalled := non_neg_integer(), failing := non_neg_integer()}.
%% How many monitors are in which state, those that are in none left out, and one that is `pausing' is counted as
%% what it is at still. `stalled': at one push for longer than `cron_push_stall'; `failing': their last fetch or
%% push failed.

%% @doc How many there are in each state. Reads tables' sizes and asks the engine once, whatever the number.
-spec read() -> totals().
read() ->
    All = hb_cron_info:count(),
    #{stopping := Stopping, troubled := Troubled} = hb_cron_registry:counts(),
    #{stalled := Stalled} = hb_cron_push_meter:read(),
    {Counts, Failing} = case hb_cron_inspection:census() of
        timeout -> {#{unknown => All}, 0};
        Census when map_size(Census) =:= 0 -> {#{starting => All}, 0};
        Census -> with_others(maps:take(failing, Census), All, Stopping, Troubled)
    end,
    #{states => maps:filter(fun(_, Count) -> Count > 0 end, Counts#{stopping => Stopping}),
      stalled => Stalled, failing => Failing + Troubled}.

%% Who fails at a push has results that it has not acked, and is nothing else to the engine; who is stopping is
%% registered still.
with_others({Failing, Census}, All, Stopping, Troubled) ->
    #{pushing := Pushing, backing_off := BackingOff} = Census,
    Failed = min(Pushing, Troubled),
    Known = lists:sum(maps:values(Census)),
    {Census#{pushing := Pushing - Failed, backing_off := BackingOff + Failed, starting => max(0, All - Stopping - Known)}, Failing}.

