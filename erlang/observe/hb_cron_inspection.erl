%%% @doc Asks the engine's loop for the states of many monitors at a time. The loop answers between two of its
%%% steps: no monitor is asked, no scheduler is held, and if the loop does not run, the caller waits for a second.
-module(hb_cron_inspection).

-export([snapshots/1, census/0]).

-export_type([count/0]).

-type count() :: idle | resolving | polling | pushing | backing_off | paused | failing.

%% How long the loop may take, in ms. It is busy for milliseconds, but its process may be suspended.
-define(PATIENCE, 1000).

%% @doc The states of these registrations, without those that have ended. `timeout': the loop does not run.
-spec snapshots([hb_process_monitor_nif:epoch()]) ->
    #{hb_process_monitor_nif:epoch() => hb_process_monitor_nif:snapshot()} | timeout.
snapshots([]) ->
    #{};
snapshots(Epochs) ->
    case asked(fun(Engine) -> hb_process_monitor_nif:snapshots(Engine, Epochs) end) of
        timeout -> timeout;
        Snapshots -> maps:from_list([{element(1, Snapshot), Snapshot} || Snapshot <- Snapshots])
    end.

%% @doc The number of registrations in each state. The loop visits all of them, which takes some 10 ms for 100,000:
%% for occasional use.
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
