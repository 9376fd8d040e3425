%%% @doc The device `process-monitor@1.0' of HyperBEAM: monitoring over HTTP, as in `/~process-monitor@1.0/start'.
%%% docs/device.md describes its keys and what a message must have signed. The host calls these functions; {@link
%%% hb_cron_device} has what they do.
-module(dev_process_monitor).

%% For the host's packager of devices, which earlier hosts do not have.
-implements(<<"process-monitor@1.0">>).

-export([info/1]).
-export([info/3, start/3, stop/3, pause/3, resume/3, list/3, dead_letters/3, redeliver/3, discard/3, metrics/3]).

-type answer() :: hb_cron_device:answer().

%% @doc The keys of the device: the host calls nothing else. A key with a dash is looked up in both spellings.
-spec info(Base :: term()) -> #{exports := [binary(), ...]}.
info(_Base) ->
    #{exports => hb_cron_device:keys() ++ [<<"dead_letters">>]}.

%% @doc With a process: everything about its monitor. Without one: what the device is.
-spec info(Base :: term(), Request :: term(), Options :: term()) -> answer().
info(_Base, Request, _Options) -> hb_cron_device:answer(<<"info">>, Request).

%% @doc Starts monitoring a process.
-spec start(Base :: term(), Request :: term(), Options :: term()) -> answer().
start(_Base, Request, _Options) -> hb_cron_device:answer(<<"start">>, Request).

%% @doc Stops it.
-spec stop(Base :: term(), Request :: term(), Options :: term()) -> answer().
stop(_Base, Request, _Options) -> hb_cron_device:answer(<<"stop">>, Request).

%% @doc Pauses its monitor.
-spec pause(Base :: term(), Request :: term(), Options :: term()) -> answer().
pause(_Base, Request, _Options) -> hb_cron_device:answer(<<"pause">>, Request).

%% @doc Resumes its monitor.
-spec resume(Base :: term(), Request :: term(), Options :: term()) -> answer().
resume(_Base, Request, _Options) -> hb_cron_device:answer(<<"resume">>, Request).

%% @doc A listing of monitors.
-spec list(Base :: term(), Request :: term(), Options :: term()) -> answer().
list(_Base, Request, _Options) -> hb_cron_device:answer(<<"list">>, Request).

%% @doc A batch of a process's dead letters.
-spec dead_letters(Base :: term(), Request :: term(), Options :: term()) -> answer().
dead_letters(_Base, Request, _Options) -> hb_cron_device:answer(<<"dead-letters">>, Request).

%% @doc Has a dead letter pushed again.
-spec redeliver(Base :: term(), Request :: term(), Options :: term()) -> answer().
redeliver(_Base, Request, _Options) -> hb_cron_device:answer(<<"redeliver">>, Request).

%% @doc Removes a dead letter.
-spec discard(Base :: term(), Request :: term(), Options :: term()) -> answer().
discard(_Base, Request, _Options) -> hb_cron_device:answer(<<"discard">>, Request).

%% @doc All metrics, as text for Prometheus.
-spec metrics(Base :: term(), Request :: term(), Options :: term()) -> answer().
metrics(_Base, Request, _Options) -> hb_cron_device:answer(<<"metrics">>, Request).
