%%% @doc Supervises the dashboard: OTP's httpd at each loopback address, and the dashboard's server, which holds
%%% the token. If one of them ends, all end in order, and nothing else does: the names of httpd's processes contain
%%% the port, so the next dashboard at that port can start only after all of them have ended. {@link
%%% hb_cron_dashboard_web} answers the requests.
-module(hb_cron_dashboard_sup).
-behaviour(supervisor).

-export([start_link/1, requests/1]).
%% supervisor, and its children
-export([init/1, start_httpd/3]).

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
    case free(inet, ?LOOPBACK, Asked) of
        {ok, Port} -> on_both(Port, free(inet6, ?LOOPBACK6, Port));
        {error, eaddrinuse} -> {error, {port_in_use, Asked}};
        {error, Reason} -> {error, {not_started, Reason}}
    end.

%% A host without IPv6 has no `::1'. If another server listens there at this port, browsers would reach it by the
%% name `localhost'. This is refused before anything is started.
on_both(Port, {error, eaddrinuse}) -> {error, {port_in_use, Port}};
on_both(Port, {error, _NoIpv6}) -> start_link(Port, [{inet, ?LOOPBACK}]);
on_both(Port, {ok, Port}) -> start_link(Port, [{inet, ?LOOPBACK}, {inet6, ?LOOPBACK6}]).

%% If a port is in use, httpd returns only that it could not start. Therefore the port is tried first.
free(Family, Address, Asked) ->
    V6Only = [{ipv6_v6only, true} || Family =:= inet6],
    case gen_tcp:listen(Asked, [Family, {ip, Address}, {reuseaddr, true} | V6Only]) of
        {ok, Socket} ->
            {ok, Port} = inet:port(Socket),
            ok = gen_tcp:close(Socket),
            {ok, Port};
        {error, Reason} ->
            {error, Reason}
    end.

start_link(Port, Addresses) ->
    case supervisor:start_link({local, ?MODULE}, ?MODULE, {Port, Addresses}) of
        {ok, Pid} -> {ok, Pid};
        {error, {shutdown, {failed_to_start_child, _, eaddrinuse}}} -> {error, {port_in_use, Port}};
        {error, Reason} -> {error, {not_started, Reason}}
    end.

%% @doc The processes that answer a request or wait for one.
-spec requests(Page :: pid()) -> [pid()].
requests(Page) ->
    [Request || {httpd, Httpd} <- named(Page), {_, Instance} <- named(Httpd),
                {httpd_connection_sup, Connections} <- named(Instance), {_, Request} <- named(Connections)].

named(Supervisor) ->
    try [{name(Id), Pid} || {Id, Pid, _, _} <- supervisor:which_children(Supervisor), is_pid(Pid)]
    %% It has ended.
    catch exit:_ -> []
    end.

name(Id) when is_tuple(Id) -> element(1, Id);
name(Id) -> Id.

%% @private
-spec init({inet:port_number(), [{inet:address_family(), inet:ip_address()}]}) ->
    {ok, {supervisor:sup_flags(), [supervisor:child_spec()]}}.
init({Port, Addresses}) ->
    Child = #{restart => temporary, significant => true},
    {ok, {#{strategy => one_for_all, auto_shutdown => any_significant},
          [Child#{id => server, start => {hb_cron_dashboard, start_link, [Port]}} |
           [Child#{id => {httpd, Family}, start => {?MODULE, start_httpd, [Family, Address, Port]},
                   type => supervisor, shutdown => ?CLOSING}
            || {Family, Address} <- Addresses]
          ++ [Child#{id => guard, start => {hb_cron_dashboard_guard, start_link, []}}]]}}.

%% @private
-spec start_httpd(inet:address_family(), inet:ip_address(), inet:port_number()) -> {ok, pid()} | {error, term()}.
start_httpd(Family, Address, Port) ->
    Config = [{bind_address, Address}, {ipfamily, Family}, {port, Port}, {server_name, "hb_process_monitor"},
              %% No files are served from there: our module is the only one.
              {server_root, "/"}, {document_root, "/"}, {modules, [hb_cron_dashboard_web]},
              {customize, hb_cron_dashboard_web}, {server_tokens, none}, {profile, ?MODULE},
              {max_clients, ?MAX_CLIENTS}, {max_uri_size, 2048}, {max_header_size, 16384}, {max_body_size, 1024},
              {max_content_length, 1024}, {keep_alive_timeout, 30}],
    %% Linked only to this process, so that it cannot outlive it.
    case inets:start(httpd, Config, stand_alone) of
        {ok, Httpd} ->
            case named(Httpd) of
                [_] -> {ok, Httpd};
                [] -> true = exit(Httpd, shutdown), {error, eaddrinuse}
            end;
        {error, Reason} ->
            {error, Reason}
    end.
