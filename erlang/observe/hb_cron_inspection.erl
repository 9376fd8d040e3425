%%% @doc Asks the engine's loop how monitors fare, many at a time. The loop answers between two steps of its
%%% own, so nobody waits for a monitor, no scheduler is held meanwhile, and a loop that does not run costs
%%% whoever asks a second. What the answers mean to an operator is {@link hb_cron_info}'s business.
-module(hb_cron_inspection).

-export([snapshots/1, census/0]).

-export_type([count/0]).

-type count() :: idle | resolving | polling | pushing | backing_off | paused | failing.

%% How long the loop may take, in ms. It is busy for milliseconds, but its process may sleep.
-define(PATIENCE, 1000).

%% @doc How these registrations fare; those that have ended are left out. `timeout': the loop does not run.
-spec snapshots([hb_process_monitor_nif:epoch()]) ->
    #{hb_process_monitor_nif:epoch() => hb_process_monitor_nif:snapshot()} | timeout.
snapshots([]) ->
    #{};
snapshots(Epochs) ->
    case asked(fun(Engine) -> hb_process_monitor_nif:snapshots(Engine, Epochs) end) of
        timeout -> timeout;
        Snapshots -> maps:from_list([{element(1, Snapshot), Snapshot} || Snapshot <- Snapshots])
    end.

%% @doc How many there are of each kind, of all monitors. It is a walk over all of them, on which the loop
%% spends some 10 ms for 100,000: for somebody who asks now and then.
-spec census() -> #{count() => non_neg_integer()} | timeout.
census() ->
    case asked(fun hb_process_monitor_nif:census/1) of
        timeout -> timeout;
        Counts -> maps:from_list(Counts)
    end.

asked(Ask) ->
    case hb_cron_registry:engine() of
        {ok, Engine, _Ticker} -> hb_cron_answer:of_library(fun() -> Ask(Engine) end, ?PATIENCE);
        none -> []
    end.
