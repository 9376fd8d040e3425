%%% @doc Starts many processes for a caller: checks each entry, and returns the outcome of each, in order. An entry that is
%%% invalid is an outcome, and stops none of the others.
-module(hb_cron_start_all).

-export([start_all/1]).

%% @doc Starts the processes of a list of ids and `{Id, Options}'.
-spec start_all([hb_process_monitor:entry()]) -> [hb_process_monitor:outcome()].
start_all(Entries) when length(Entries) >= 0 ->
    ok = hb_cron_start:ensure_started(),
    %% As of now: a node whose options were changed a moment ago starts all of them alike.
    ok = hb_cron_configuration:expire(),
    case hb_cron_cluster:is_on() of
        true -> hb_cron_cluster:start_all([read(Entry) || Entry <- Entries]);
        false -> hb_cron_start_batches:run([read(Entry) || Entry <- Entries], fun start_some/1)
    end.

start_some(Starts) -> hb_cron_monitors:start_all(hb_cron_options:for_monitors(Starts)).

%% The process and its options, or what is wrong. Only valid entries have a process that others may have, too.
read(Entry) ->
    try
        case Entry of
            {ProcID, Options} when is_map(Options) -> {hb_cron_process_id:new(ProcID), {ok, Options}};
            {_, _} -> {none, {error, {bad_entry, hb_cron_secret:redact(Entry)}}};
            ProcID -> {hb_cron_process_id:new(ProcID), {ok, #{}}}
        end
    catch
        error:Reason -> {none, {error, Reason}}
    end.
