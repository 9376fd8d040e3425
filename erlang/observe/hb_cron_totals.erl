%%% @doc The number of monitors in each state. Monitors are not read one by one, so it takes as long for 100,000 as
%%% the engine's walk over them does.
-module(hb_cron_totals).

-export([read/0]).

-export_type([totals/0]).

-type totals() :: #{states := #{hb_cron_info:state() => pos_integer()}, stalled := non_neg_integer(), failing := non_neg_integer()}.
%% The number of monitors in each state, without states that no monitor is in; a `pausing' monitor counts for what
%% it still does. `stalled': in one push for longer than `cron_push_stall'; `failing': their last fetch or push
%% failed.

%% @doc The number in each state. Reads the sizes of tables and asks the engine once.
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

%% For the engine, a monitor that fails to push has unacked results, and nothing else; one that is stopping is
%% still registered.
with_others({Failing, Census}, All, Stopping, Troubled) ->
    #{pushing := Pushing, backing_off := BackingOff} = Census,
    Failed = min(Pushing, Troubled),
    Known = lists:sum(maps:values(Census)),
    {Census#{pushing := Pushing - Failed, backing_off := BackingOff + Failed, starting => max(0, All - Stopping - Known)}, Failing}.

