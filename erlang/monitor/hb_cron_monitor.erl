%%% @doc Calls of a monitor's process, which {@link hb_cron_server} implements.
-module(hb_cron_monitor).

-export([engine_up/1, pause/1, resume/1, redeliver/3]).

%% @doc There is a new engine.
-spec engine_up(Monitor :: pid()) -> ok.
engine_up(Monitor) ->
    gen_server:cast(Monitor, engine_up).

%% @doc Has a monitor pause after its current result.
-spec pause(Monitor :: pid()) -> ok.
pause(Monitor) ->
    gen_server:cast(Monitor, {pause, true}).

%% @doc Has a paused monitor continue.
-spec resume(Monitor :: pid()) -> ok.
resume(Monitor) ->
    gen_server:cast(Monitor, {pause, false}).

%% @doc Pushes a dead letter again, between two results, and removes it after a success.
-spec redeliver(Monitor :: pid(), Id :: pos_integer(), Result :: map()) -> ok | {error, Reason :: term()}.
redeliver(Monitor, Id, Result) ->
    gen_server:call(Monitor, {redeliver, Id, Result}, infinity).
