%%% @doc The host's logger, hb_logger, and OTP's: every entry goes to both. A logger that fails ends no caller.
-module(hb_cron_host_logger).

-export([start/0, stop/1, own/1, register_with/1, log/2]).

-export_type([logger/0, entry/0]).

-include_lib("kernel/include/logger.hrl").

-type logger() :: pid() | undefined.
%% A process of the host's hb_logger; `undefined' where the host has none.

-type entry() :: {ok | error, Type :: atom(), Details :: term()}.
%% An entry in the form that hb_logger prints.

%% @doc Starts a logger of the host, if it has one.
-spec start() -> logger().
start() ->
    case safely(hb_logger, start, []) of
        Logger when is_pid(Logger) -> Logger;
        _ -> undefined
    end.

%% @doc Ends a logger of {@link start/0}. The host's never ends itself.
-spec stop(logger() | none) -> ok.
stop(Logger) when is_pid(Logger) -> exit(Logger, shutdown), ok;
stop(_) -> ok.

%% @doc The logger that was started for the monitor with these options, and ends with it; `none' if the caller gave one.
-spec own(hb_cron_options:monitor()) -> logger() | none.
own(#{own_logger := true, logger := Logger}) -> Logger;
own(#{}) -> none.

%% @doc Registers the calling process with a logger.
-spec register_with(logger()) -> ok.
register_with(undefined) ->
    ok;
register_with(Logger) ->
    _ = safely(hb_logger, register, [Logger]),
    ok.

%% @doc Logs to the monitor's logger, and to OTP's. Large details are cut: the host's logger keeps every entry.
-spec log(logger(), entry()) -> ok.
log(Logger, {Status, Type, All}) ->
    Details = hb_cron_excerpt:details(All),
    _ = is_pid(Logger) andalso safely(hb_logger, log, [Logger, {Status, Type, Details}]),
    ok = hb_cron_history:note(Status, Type, Details),
    Report = #{what => Type, details => Details},
    Meta = #{domain => [hb_process_monitor], report_cb => fun hb_process_monitor_log_format:report/2},
    Level = level(Status, Type),
    ?LOG(Level, Report, Meta).

%% Failures and their end have a level that OTP's logger shows by default.
level(error, _) -> warning;
level(ok, recovered) -> notice;
level(ok, checkpoint_stall_ended) -> notice;
level(ok, _) -> info.

%% A failing logger must not end its caller.
safely(Module, Function, Args) ->
    try hb_cron_host_calls:call_if_exported(Module, Function, Args)
    catch _:_ -> undefined
    end.
