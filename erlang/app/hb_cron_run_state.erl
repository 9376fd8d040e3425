%%% @doc Whether the application runs, is being stopped, or has crashed. It is known to all processes, and outlives the
%%% supervision tree.
-module(hb_cron_run_state).

-export([started/0, stopping/0, is_stopping/0, why_down/0]).

%% Set while the application runs. A crash leaves it behind.
-define(RUNNING, {?MODULE, running}).

%% @doc The application has started. Says whether it crashed before.
-spec started() -> Crashed :: boolean().
started() ->
    Crashed = persistent_term:get(?RUNNING, false),
    ok = persistent_term:put(?RUNNING, true),
    Crashed.

%% @doc The application is about to stop.
-spec stopping() -> boolean().
stopping() -> persistent_term:erase(?RUNNING).

%% @doc Whether the application is being stopped, or was.
-spec is_stopping() -> boolean().
is_stopping() -> not persistent_term:get(?RUNNING, false).

%% @doc Why the supervision tree is down, for a monitor outside of it. If the application was stopped, its monitors must
%% not be restarted.
-spec why_down() -> {shutdown, application_stopped} | application_died.
why_down() ->
    case is_stopping() of
        true -> {shutdown, application_stopped};
        false -> application_died
    end.
