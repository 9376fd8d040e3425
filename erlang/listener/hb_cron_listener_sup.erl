%%% @doc The part of the supervision tree that listens for clients of AO: the listener, and the process that remembers which
%%% items were used. Without the option `cron_monitor_port' it does not run.
-module(hb_cron_listener_sup).
-behaviour(supervisor).

-export([start_link/0]).
-export([init/1]).

%% How long requests under way may take when the tree stops, in ms.
-define(SHUTDOWN, 10000).

-spec start_link() -> supervisor:startlink_ret().
start_link() ->
    case hb_cron_registry:node_option(cron_monitor_port, false) of
        false -> ignore;
        Given ->
            {ok, Endpoint} = hb_cron_endpoint:parse(Given),
            supervisor:start_link({local, ?MODULE}, ?MODULE, Endpoint)
    end.

%% @private
-spec init({inet:ip_address(), inet:port_number()}) -> {ok, {supervisor:sup_flags(), [supervisor:child_spec()]}}.
init(Endpoint) ->
    {ok, {#{strategy => one_for_one, intensity => 10, period => 10}, [
        #{id => replay, start => {hb_cron_device_replay, start_link, [listener]}},
        #{id => listener, start => {hb_cron_listener, start_link, [Endpoint]}, shutdown => ?SHUTDOWN}
    ]}}.
