%%% @doc The operations page's server: starts OTP's httpd on loopback when somebody asks for it, owns it and
%%% the token, and ends it. It is a child of the application's supervisor, and temporary: whatever becomes of
%%% the page, nothing else goes with it. What a request is answered is the business of
%%% {@link hb_process_monitor_dashboard_web}.
-module(hb_process_monitor_dashboard).
-behaviour(gen_server).

-export([start/1, stop/0]).
%% For those who answer requests
-export([access/0, redeliver/2]).
-export([start_link/1]).
-export([init/1, handle_call/3, handle_cast/2, handle_info/2, terminate/2, format_status/1]).

-export_type([error/0]).

-type error() :: {port_in_use, inet:port_number()} | {already_at, Url :: binary()} | {missing_in_release, module()}
               | {not_started, Reason :: term()}.
%% `missing_in_release': the host's release holds no such part of OTP; `inets' and `crypto' are needed.

%% {access, Port, sha256 of the token}: read by every request.
-define(TABLE, ?MODULE).
%% How long a request waits for a redelivery, whose monitor may be at a push, in ms.
-define(PATIENCE, 10000).
%% How long httpd may take to close its connections, in ms.
-define(CLOSING, 1000).
%% The page is for a browser or two.
-define(MAX_CLIENTS, 32).

-define(LOOPBACK, {127, 0, 0, 1}).
-define(LOOPBACK6, {0, 0, 0, 0, 0, 0, 0, 1}).

-record(state, {
    port :: inet:port_number(),
    token :: binary(),
    servers = [] :: [pid()],
    %% Who pushes which dead letter: a second click does not push it twice.
    redelivering = #{} :: #{pid() => {ProcId :: binary(), Id :: pos_integer(), [gen_server:from()]}}
}).

%% @doc Serves the page, and says where. The same again if it is served at this port already.
-spec start(inet:port_number()) -> {ok, Url :: binary()} | {error, error()}.
start(Port) when is_integer(Port), Port >= 0, Port =< 65535 ->
    case {whereis(?MODULE), missing()} of
        {Pid, _} when is_pid(Pid) -> served(Port);
        {undefined, [Module | _]} -> {error, {missing_in_release, Module}};
        {undefined, []} -> start_child(Port)
    end;
start(Port) ->
    error({bad_port, Port}).

missing() ->
    [Module || Module <- [httpd, crypto], {error, _} <- [code:ensure_loaded(Module)]].

served(Port) ->
    try gen_server:call(?MODULE, url) of
        {Of, Url} when Port =:= 0; Port =:= Of -> {ok, Url};
        {_, Url} -> {error, {already_at, Url}}
    catch
        %% It has just been stopped.
        exit:{Why, _} when Why =:= noproc; Why =:= normal; Why =:= shutdown -> start(Port)
    end.

start_child(Port) ->
    {ok, _} = application:ensure_all_started(inets),
    Child = #{id => dashboard, start => {?MODULE, start_link, [Port]}, restart => temporary, shutdown => 3 * ?CLOSING},
    case supervisor:start_child(hb_process_monitor_sup, Child) of
        {ok, _} -> served(Port);
        {error, {already_started, _}} -> served(Port);
        {error, {{shutdown, Reason}, _}} -> {error, Reason};
        {error, Reason} -> {error, {not_started, Reason}}
    end.

%% @doc Ends it. Its connections are closed when this returns.
-spec stop() -> ok.
stop() ->
    try supervisor:terminate_child(hb_process_monitor_sup, dashboard) of
        _ -> ok
    catch
        %% Nothing runs, so this does not either.
        exit:_ -> ok
    end.

%% @doc The port, and the hash of the token that a request must have; `none' where the page has just been
%% stopped.
-spec access() -> {inet:port_number(), TokenHash :: binary()} | none.
access() ->
    try ets:lookup(?TABLE, access) of
        [{_, Port, Hash}] -> {Port, Hash}
    catch
        error:badarg -> none
    end.

%% @doc As {@link hb_process_monitor:redeliver/2}. `waiting': its monitor has not come to it, or is at it.
-spec redeliver(ProcId :: binary(), Id :: pos_integer()) -> ok | {error, term()} | waiting.
redeliver(ProcId, Id) ->
    try gen_server:call(?MODULE, {redeliver, ProcId, Id}, ?PATIENCE)
    %% Or the page is being stopped. What was begun goes on by itself.
    catch exit:_ -> waiting
    end.

%% @private
-spec start_link(inet:port_number()) -> gen_server:start_ret().
start_link(Port) ->
    gen_server:start_link({local, ?MODULE}, ?MODULE, Port, []).

%% @private
-spec init(inet:port_number()) -> {ok, #state{}} | {stop, {shutdown, error()}}.
init(Asked) ->
    _ = process_flag(trap_exit, true),
    ok = hb_process_monitor_status:label(hb_process_monitor_dashboard),
    case free(inet, ?LOOPBACK, Asked) of
        {ok, Port} -> on_both(Port, free(inet6, ?LOOPBACK6, Port));
        {error, eaddrinuse} -> {stop, {shutdown, {port_in_use, Asked}}};
        {error, Reason} -> {stop, {shutdown, {not_started, Reason}}}
    end.

%% A host without IPv6 has no `::1'. Another's server at this port there would be asked by whoever says
%% `localhost', so that is refused, before anything is started.
on_both(Port, {error, eaddrinuse}) -> {stop, {shutdown, {port_in_use, Port}}};
on_both(Port, {error, _NoIpv6}) -> served_by(Port, [{inet, ?LOOPBACK}], []);
on_both(Port, {ok, Port}) -> served_by(Port, [{inet, ?LOOPBACK}, {inet6, ?LOOPBACK6}], []).

served_by(Port, [], Servers) ->
    {ok, serve(Port, Servers)};
served_by(Port, [{Family, Address} | Rest], Servers) ->
    case start_httpd(Family, Address, Port) of
        {ok, Server} -> served_by(Port, Rest, [Server | Servers]);
        {error, Reason} -> lists:foreach(fun close/1, Servers), {stop, {shutdown, trouble(Port, Reason)}}
    end.

trouble(Port, eaddrinuse) -> {port_in_use, Port};
trouble(_Port, Reason) -> {not_started, Reason}.

serve(Port, Servers) ->
    Token = base64:encode(crypto:strong_rand_bytes(24)),
    %% Of base64, what a URL would not take as it is.
    Text = << <<(url_safe(Char))>> || <<Char>> <= Token >>,
    ?TABLE = ets:new(?TABLE, [named_table, protected, {read_concurrency, true}]),
    true = ets:insert(?TABLE, {access, Port, crypto:hash(sha256, Text)}),
    #state{port = Port, token = Text, servers = Servers}.

url_safe($+) -> $-;
url_safe($/) -> $_;
url_safe(Char) -> Char.

%% httpd says of a port in use only that it could not start, and in the log: so it is tried before.
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

start_httpd(Family, Address, Port) ->
    Config = [{bind_address, Address}, {ipfamily, Family}, {port, Port}, {server_name, "hb_process_monitor"},
              %% Nothing is served from there: the only module is ours.
              {server_root, "/"}, {document_root, "/"}, {modules, [hb_process_monitor_dashboard_web]},
              {customize, hb_process_monitor_dashboard_web}, {server_tokens, none}, {profile, ?MODULE},
              {max_clients, ?MAX_CLIENTS}, {max_uri_size, 2048}, {max_header_size, 16384}, {max_body_size, 1024},
              {max_content_length, 1024}, {keep_alive_timeout, 30}],
    %% Linked to this process alone, so that it cannot outlive it.
    case inets:start(httpd, Config, stand_alone) of
        {ok, Server} ->
            case supervisor:which_children(Server) of
                [{_, Child, _, _}] when is_pid(Child) -> {ok, Server};
                _ -> ok = close(Server), {error, eaddrinuse}
            end;
        {error, Reason} ->
            %% Of a page that was killed: its httpd has this port's name until it has ended.
            case in_the_way(Reason) of
                {ok, Old} -> ok = gone(Old), start_httpd(Family, Address, Port);
                none -> {error, Reason}
            end
    end.

in_the_way({already_started, Pid}) when is_pid(Pid) -> {ok, Pid};
in_the_way({failed_to_start_child, _, Reason}) -> in_the_way(Reason);
in_the_way({shutdown, Reason}) -> in_the_way(Reason);
in_the_way(_) -> none.

close(Server) ->
    true = exit(Server, shutdown),
    gone(Server).

%% Waits until it has ended, or makes it end.
gone(Server) ->
    Ref = monitor(process, Server),
    receive {'DOWN', Ref, process, _, _} -> ok
    after ?CLOSING ->
        exit(Server, kill),
        receive {'DOWN', Ref, process, _, _} -> ok end
    end.

%% @private
-spec handle_call(term(), gen_server:from(), #state{}) -> {reply, term(), #state{}} | {noreply, #state{}}.
handle_call(url, _From, #state{port = Port, token = Token} = State) ->
    %% Behind `#', where no browser sends it and no log of a server has it.
    Url = iolist_to_binary(["http://127.0.0.1:", integer_to_binary(Port), "/#", Token]),
    {reply, {Port, Url}, State};
handle_call({redeliver, ProcId, Id}, From, #state{redelivering = All} = State) ->
    case [{Pid, Waiting} || {Pid, {Of, OfId, Waiting}} <- maps:to_list(All), Of =:= ProcId, OfId =:= Id] of
        [{Pid, Waiting}] ->
            {noreply, State#state{redelivering = All#{Pid := {ProcId, Id, [From | Waiting]}}}};
        [] ->
            Self = self(),
            {Pid, _} = spawn_monitor(fun() ->
                Self ! {redelivered, self(), hb_process_monitor:redeliver(ProcId, Id)}
            end),
            {noreply, State#state{redelivering = All#{Pid => {ProcId, Id, [From]}}}}
    end;
handle_call(_Call, _From, State) ->
    {reply, {error, unknown_call}, State}.

%% @private
-spec handle_cast(term(), #state{}) -> {noreply, #state{}}.
handle_cast(_Cast, State) ->
    {noreply, State}.

%% @private
-spec handle_info(term(), #state{}) -> {noreply, #state{}} | {stop, {shutdown, term()}, #state{}}.
handle_info({redelivered, Pid, Outcome}, State) ->
    {noreply, answered(Pid, Outcome, State)};
handle_info({'DOWN', _, process, Pid, _}, #state{redelivering = All} = State) when is_map_key(Pid, All) ->
    %% It raised: the monitor ended at it.
    {noreply, answered(Pid, {error, not_monitored}, State)};
handle_info({'EXIT', Server, Reason}, #state{servers = Servers} = State) ->
    case lists:member(Server, Servers) of
        true -> {stop, {shutdown, {httpd_ended, Reason}}, State};
        false -> {noreply, State}
    end;
handle_info(_Stray, State) ->
    {noreply, State}.

answered(Pid, Outcome, #state{redelivering = All} = State) ->
    {{_, _, Waiting}, Left} = maps:take(Pid, All),
    lists:foreach(fun(From) -> gen_server:reply(From, Outcome) end, Waiting),
    State#state{redelivering = Left}.

%% @private
-spec terminate(term(), #state{}) -> ok.
terminate(_Reason, #state{servers = Servers}) ->
    lists:foreach(fun close/1, Servers).

%% @private
-spec format_status(gen_server:format_status()) -> gen_server:format_status().
format_status(Status) ->
    maps:map(fun(state, State) -> State#state{token = <<"hidden">>};
                (_, Value) -> Value
             end, Status).
