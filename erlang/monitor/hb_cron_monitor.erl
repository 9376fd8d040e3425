%%% @doc What other processes ask of a monitor's process. {@link hb_cron_server} answers.
-module(hb_cron_monitor).

-export([engine_up/1, pause/1, resume/1, redeliver/3]).

%% @doc Tells a monitor that there is a new engine.
-spec engine_up(Monitor :: pid()) -> ok.
engine_up(Monitor) ->
    gen_server:cast(Monitor, engine_up).

%% @doc Tells a monitor to pause after the result that it is at.
-spec pause(Monitor :: pid()) -> ok.
pause(Monitor) ->
    gen_server:cast(Monitor, {pause, true}).

%% @doc Tells a monitor that has paused to go on.
-spec resume(Monitor :: pid()) -> ok.
resume(Monitor) ->
    gen_server:cast(Monitor, {pause, false}).

%% @doc Pushes a dead letter once more, between two results, and discards it.
-spec redeliver(Monitor :: pid(), Id :: pos_integer(), Result :: map()) -> ok | {error, Reason :: term()}.
redeliver(Monitor, Id, Result) ->
    gen_server:call(Monitor, {redeliver, Id, Result}, infinity).
