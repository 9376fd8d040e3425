%%% @doc Listens for the requests by which clients of AO, such as aos and aoconnect, start and end monitoring: OTP's httpd at
%%% the address of the option `cron_monitor_port'. {@link hb_cron_listener_web} answers the requests.
%%%
%%% If the address cannot be had, it is tried again, and the reason is logged.
-module(hb_cron_listener).
-behaviour(gen_server).

-export([start_link/1, endpoint/0]).
-export([init/1, handle_call/3, handle_cast/2, handle_info/2, handle_continue/2, terminate/2]).

%% How often the address is tried again, in ms.
-define(AGAIN, 2000).
%% How often the counters of requests are expired, in ms.
-define(EXPIRE, 60000).
-define(MAX_CLIENTS, 256).
%% A client that sends more slowly is disconnected: it would keep others out.
-define(LEAST_BYTES_PER_SECOND, 100).

-record(state, {
    endpoint :: {inet:ip_address(), inet:port_number()},
    httpd = none :: none | pid(),
    port = none :: none | inet:port_number(),
    failures = 0 :: non_neg_integer()
}).

-spec start_link({inet:ip_address(), inet:port_number()}) -> gen_server:start_ret().
start_link(Endpoint) ->
    gen_server:start_link({local, ?MODULE}, ?MODULE, Endpoint, []).

%% @doc Where it listens; `none' while it cannot.
-spec endpoint() -> {inet:ip_address(), inet:port_number()} | none.
endpoint() -> gen_server:call(?MODULE, endpoint).

%% @private
-spec init({inet:ip_address(), inet:port_number()}) -> {ok, #state{}, {continue, listen}}.
init(Endpoint) ->
    _ = process_flag(trap_exit, true),
    ok = hb_cron_listener_limit:create(),
    _ = erlang:send_after(?EXPIRE, self(), expire),
    {ok, #state{endpoint = Endpoint}, {continue, listen}}.

%% @private
-spec handle_continue(listen, #state{}) -> {noreply, #state{}}.
handle_continue(listen, #state{endpoint = {Address, Asked}, failures = Before} = State) ->
    case listen(Address, Asked) of
        {ok, Httpd, Port} ->
            ok = hb_cron_host_logger:log(undefined, {ok, listening, {Address, Port}}),
            {noreply, State#state{httpd = Httpd, port = Port, failures = 0}};
        {error, Reason} ->
            Failures = Before + 1,
            _ = hb_cron_retry_policy:is_reported(Failures) andalso
                hb_cron_host_logger:log(undefined, {error, not_listening, {Address, Asked, Reason, Failures}}),
            _ = erlang:send_after(?AGAIN, self(), listen),
            {noreply, State#state{failures = Failures}}
    end.

listen(Address, Asked) ->
    case {missing(), hb_cron_httpd:free_port(Address, Asked)} of
        {[], {ok, Port}} ->
            {ok, _} = application:ensure_all_started(inets),
            case hb_cron_httpd:start(Address, Port, hb_cron_listener_web, [
                {profile, ?MODULE}, {max_clients, ?MAX_CLIENTS}, {max_uri_size, 1024}, {max_header_size, 16384},
                {max_body_size, hb_cron_listener_web:max_bytes()}, {max_content_length, hb_cron_listener_web:max_bytes()},
                {keep_alive_timeout, 30}, {minimum_bytes_per_second, ?LEAST_BYTES_PER_SECOND}]) of
                {ok, Httpd} -> {ok, Httpd, Port};
                {error, Reason} -> {error, Reason}
            end;
        {[Module | _], _} -> {error, {missing_in_release, Module}};
        {[], {error, Reason}} -> {error, Reason}
    end.

%% A release of the host may lack parts of OTP.
missing() ->
    [Module || Module <- [httpd, crypto, public_key], {error, _} <- [code:ensure_loaded(Module)]].

%% @private
-spec handle_call(term(), gen_server:from(), #state{}) -> {reply, term(), #state{}}.
handle_call(endpoint, _From, #state{port = none} = State) ->
    {reply, none, State};
handle_call(endpoint, _From, #state{endpoint = {Address, _}, port = Port} = State) ->
    {reply, {Address, Port}, State};
handle_call(_Call, _From, State) ->
    {reply, {error, unknown_call}, State}.

%% @private
-spec handle_cast(term(), #state{}) -> {noreply, #state{}}.
handle_cast(_Cast, State) ->
    {noreply, State}.

%% @private
-spec handle_info(term(), #state{}) -> {noreply, #state{}} | {noreply, #state{}, {continue, listen}}.
handle_info(listen, #state{httpd = none} = State) ->
    {noreply, State, {continue, listen}};
handle_info({'EXIT', Httpd, _Reason}, #state{httpd = Httpd} = State) ->
    _ = erlang:send_after(?AGAIN, self(), listen),
    {noreply, State#state{httpd = none, port = none}};
handle_info(expire, State) ->
    ok = hb_cron_listener_limit:expire(),
    _ = erlang:send_after(?EXPIRE, self(), expire),
    {noreply, State};
handle_info(_Stray, State) ->
    {noreply, State}.

%% @private
-spec terminate(term(), #state{}) -> ok.
terminate(_Reason, #state{httpd = none}) ->
    ok;
terminate(_Reason, #state{httpd = Httpd}) ->
    %% Its port is free when it has ended. Requests have 5 s.
    Ref = monitor(process, Httpd),
    true = exit(Httpd, shutdown),
    receive {'DOWN', Ref, process, Httpd, _} -> ok end.
