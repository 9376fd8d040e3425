%%% @doc Supervises the dashboard: OTP's httpd at each loopback address, and the dashboard's server, which holds
%%% the token. If one of them ends, all end in order, and nothing else does: the names of httpd's processes contain
%%% the port, so the next dashboard at that port can start only after all of them have ended. {@link
%%% hb_cron_dashboard_web} answers the requests.
-module(hb_cron_dashboard_sup).
-behaviour(supervisor).

-export([start_link/1]).
%% supervisor, and its children
-export([init/1, start_httpd/2]).

-export_type([error/0]).

-type error() :: {port_in_use, inet:port_number()} | {not_started, Reason :: term()}.

%% How long one httpd may take to end, in ms: its own supervisors give a request 4 s and their children 5.
-define(CLOSING, 10000).
%% Far more than some browsers need. The guard closes connections without the token, which may take a moment.
-define(MAX_CLIENTS, 256).

-define(LOOPBACK, {127, 0, 0, 1}).
-define(LOOPBACK6, {0, 0, 0, 0, 0, 0, 0, 1}).

%% @doc Listens at this port, or at any free one if it is 0.
-spec start_link(inet:port_number()) -> {ok, pid()} | {error, error()}.
start_link(Asked) ->
    case hb_cron_httpd:free_port(?LOOPBACK, Asked) of
        {ok, Port} -> on_both(Port, hb_cron_httpd:free_port(?LOOPBACK6, Port));
        {error, eaddrinuse} -> {error, {port_in_use, Asked}};
        {error, Reason} -> {error, {not_started, Reason}}
    end.

%% A host without IPv6 has no `::1'. If another server listens there at this port, browsers would reach it by the
%% name `localhost'. This is refused before anything is started.
on_both(Port, {error, eaddrinuse}) -> {error, {port_in_use, Port}};
on_both(Port, {error, _NoIpv6}) -> start_link(Port, [?LOOPBACK]);
on_both(Port, {ok, Port}) -> start_link(Port, [?LOOPBACK, ?LOOPBACK6]).

start_link(Port, Addresses) ->
    case supervisor:start_link({local, ?MODULE}, ?MODULE, {Port, Addresses}) of
        {ok, Pid} -> {ok, Pid};
        {error, {shutdown, {failed_to_start_child, _, eaddrinuse}}} -> {error, {port_in_use, Port}};
        {error, Reason} -> {error, {not_started, Reason}}
    end.

%% @private
-spec init({inet:port_number(), [inet:ip_address()]}) ->
    {ok, {supervisor:sup_flags(), [supervisor:child_spec()]}}.
init({Port, Addresses}) ->
    Child = #{restart => temporary, significant => true},
    {ok, {#{strategy => one_for_all, auto_shutdown => any_significant},
          [Child#{id => server, start => {hb_cron_dashboard, start_link, [Port]}} |
           [Child#{id => {httpd, Address}, start => {?MODULE, start_httpd, [Address, Port]},
                   type => supervisor, shutdown => ?CLOSING}
            || Address <- Addresses]
          ++ [Child#{id => guard, start => {hb_cron_dashboard_guard, start_link, []}},
              Child#{id => survey, start => {hb_cron_dashboard_survey, start_link, []}}]]}}.

%% @private
-spec start_httpd(inet:ip_address(), inet:port_number()) -> {ok, pid()} | {error, term()}.
start_httpd(Address, Port) ->
    hb_cron_httpd:start(Address, Port, hb_cron_dashboard_web, [
        {profile, ?MODULE}, {max_clients, ?MAX_CLIENTS}, {max_uri_size, 2048}, {max_header_size, 16384}, {max_body_size, 1024},
        {max_content_length, 1024}, {keep_alive_timeout, 30}]).
