%%% @doc Pauses and resumes monitors. A pause is among the options that the checkpoint keeps, and is durable before the
%%% call returns: no monitor is waited for, since it may be in a push.
-module(hb_cron_pause).

-export([pause/1, resume/1]).

-export_type([id/0]).

-type id() :: pid() | hb_process_monitor:process_id().

%% How long it may take until a change is durable, in ms.
-define(LIMIT, 5000).
%% How often a monitor is looked at that is not registered with the engine yet, in ms.
-define(POLL, 10).

%% @doc Has a monitor pause.
-spec pause(id()) -> ok | {error, not_monitored | not_durable}.
pause(Id) -> change(Id, true).

%% @doc Has a paused monitor continue.
-spec resume(id()) -> ok | {error, not_monitored | not_durable}.
resume(Id) -> change(Id, false).

change(Id, Paused) ->
    case monitor_of(Id) of
        {ok, ProcId, Monitor, Options} -> change(ProcId, Monitor, Options, Paused);
        none -> change_crashed(Id, Paused)
    end.

%% One that is stopping is no longer the process's monitor.
monitor_of(Monitor) when is_pid(Monitor) ->
    case hb_cron_registry:words(Monitor) of
        {ok, ProcId, _Words} ->
            case hb_cron_registry:find(ProcId) of
                {ok, {Monitor, _, Options}} -> {ok, ProcId, Monitor, Options};
                _ -> none
            end;
        none -> none
    end;
monitor_of(ProcID) ->
    ProcId = hb_cron_process_id:new(ProcID),
    case hb_cron_registry:find(ProcId) of
        {ok, {Monitor, _, Options}} -> {ok, ProcId, Monitor, Options};
        none -> none
    end.

%% What is kept comes first: the monitor writes it again when it gets the message, so that of several callers the
%% last message decides.
change(ProcId, Monitor, Options, Paused) ->
    Until = now_ms() + ?LIMIT,
    {Engine, Words} = {hb_cron_registry:engine(), hb_cron_registry:words(Monitor)},
    IsKept = is_kept(ProcId, Engine, Words, hb_cron_options:set_paused(Paused, Options)),
    ok = tell(Monitor, Words, Paused),
    case Engine of
        {ok, Resource, _} when IsKept -> durable(Resource, Until);
        %% It is about to register, which keeps its options.
        _ -> when_registered(Words, Paused, Until)
    end.

is_kept(ProcId, {ok, Engine, _}, {ok, _, Words}, #{kept := Kept}) ->
    case hb_cron_status_words:epoch(Words) of
        none -> false;
        Epoch -> hb_process_monitor_nif:keep_live_options(Engine, ProcId, Epoch, hb_cron_options:pack(Kept))
    end;
is_kept(_, _, _, _) ->
    false.

tell(Monitor, {ok, _, Words}, true) ->
    ok = hb_cron_status_words:request_pause(Words),
    hb_cron_monitor:pause(Monitor);
tell(Monitor, none, true) ->
    hb_cron_monitor:pause(Monitor);
tell(Monitor, _Words, false) ->
    hb_cron_monitor:resume(Monitor).

when_registered({ok, _, Words} = Monitor, Paused, Until) ->
    case {hb_cron_status_words:epoch(Words), hb_cron_status_words:pause(Words), hb_cron_registry:engine()} of
        {Epoch, Is, {ok, Engine, _}} when Epoch =/= none, (Is =:= yes) =:= Paused, Is =/= wanted ->
            durable(Engine, Until);
        _ ->
            case now_ms() < Until of
                true -> receive after ?POLL -> when_registered(Monitor, Paused, Until) end;
                false -> {error, not_durable}
            end
    end;
when_registered(none, _Paused, _Until) ->
    {error, not_durable}.

durable(Engine, Until) ->
    case hb_cron_checkpoint:flush(Engine, max(0, Until - now_ms())) of
        ok -> ok;
        {error, _} -> {error, not_durable}
    end.

%% After a crash: changes the planned restart, or the monitor that runs by now.
change_crashed(Monitor, Paused) when is_pid(Monitor) ->
    case hb_cron_restarts:crashed(Monitor) of
        {ok, ProcId} -> change(ProcId, Paused);
        none -> {error, not_monitored}
    end;
change_crashed(ProcID, Paused) ->
    ProcId = hb_cron_process_id:new(ProcID),
    Change = fun({monitor, Options}) -> {monitor, hb_cron_options:set_paused(Paused, Options)}; (Start) -> Start end,
    case hb_cron_restarts:set_options(ProcId, Change) of
        {ok, {monitor, #{kept := Kept}}} ->
            case hb_cron_registry:engine() of
                {ok, Engine, _} ->
                    ok = hb_process_monitor_nif:keep_options(Engine, ProcId, hb_cron_options:pack(Kept)),
                    durable(Engine, now_ms() + ?LIMIT);
                none ->
                    {error, not_durable}
            end;
        {ok, _} ->
            {error, not_monitored};
        none ->
            %% It may have been started since.
            case monitor_of(ProcId) of
                {ok, ProcId, Started, Options} -> change(ProcId, Started, Options, Paused);
                none -> {error, not_monitored}
            end
    end.

now_ms() -> erlang:monotonic_time(millisecond).
