%%% @doc The part of the supervision tree that a cluster needs: the recorder of starts, the supervisor of the stand-ins,
%%% the process that starts and stops monitors, and the check of stand-ins. Outside a cluster it does not run.
-module(hb_cron_cluster_sup).
-behaviour(supervisor).

-export([start_link/0]).
-export([init/1]).

%% @doc To be started after the engine, which has read the options of the host node.
-spec start_link() -> supervisor:startlink_ret().
start_link() ->
    case hb_cron_cluster:is_on() of
        true -> supervisor:start_link({local, ?MODULE}, ?MODULE, []);
        false -> ignore
    end.

%% @private
-spec init([]) -> {ok, {supervisor:sup_flags(), [supervisor:child_spec()]}}.
init([]) ->
    ok = hb_cron_stand_ins:create(),
    ok = hb_cron_unstarted:create(),
    {ok, {#{strategy => one_for_one, intensity => 10, period => 10}, [
        #{id => recorder, start => {hb_cron_recorder, start_link, []}},
        #{id => stand_ins, start => {hb_cron_stand_ins, start_link, []}, type => supervisor, shutdown => infinity},
        #{id => ownership, start => {hb_cron_ownership, start_link, []}},
        #{id => stand_in_check, start => {hb_cron_stand_in_check, start_link, []}}
    ]}}.
