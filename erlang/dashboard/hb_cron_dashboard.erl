%%% @doc The server of the dashboard: starts and stops it, holds its token, and runs redeliveries. {@link
%%% hb_cron_dashboard_sup} listens at the port, {@link hb_cron_dashboard_web} answers requests.
-module(hb_cron_dashboard).
-behaviour(gen_server).

-export([start/1, stop/0]).
%% For requests
-export([access/0, redeliver/2]).
-export([start_link/1]).
-export([init/1, handle_call/3, handle_cast/2, handle_info/2, format_status/1]).

-export_type([error/0]).

-type error() :: hb_cron_dashboard_sup:error() | {already_at, Url :: binary()}
               | {missing_in_release, module()}.
%% `missing_in_release': the host's release lacks this part of OTP; `inets' and `crypto' are needed.

%% {access, Port, sha256 of the token}: read by every request.
-define(TABLE, ?MODULE).
%% How long a request waits for a redelivery, in ms: the monitor may be in a push.
-define(PATIENCE, 10000).
%% How long the port may stay in use after the dashboard has ended, in ms.
-define(CLOSING, 500).

-record(state, {
    port :: inet:port_number(),
    token :: binary(),
    %% The process of each redelivery: a second click does not push the letter twice.
    redelivering = #{} :: #{pid() => {ProcId :: binary(), Id :: pos_integer(), [gen_server:from()]}}
}).

%% @doc Serves the dashboard, and returns its URL. If it is served at this port already, the URL is the same.
-spec start(inet:port_number()) -> {ok, Url :: binary()} | {error, error()}.
start(Port) ->
    start(Port, now_ms() + ?CLOSING).

%% The sockets of a dashboard close a moment after its processes have ended.
start(Port, Until) ->
    case {start_once(Port), now_ms() < Until} of
        {{error, {port_in_use, _}}, true} -> receive after ?CLOSING div 10 -> start(Port, Until) end;
        {Started, _} -> Started
    end.

now_ms() -> erlang:monotonic_time(millisecond).

start_once(Port) when is_integer(Port), Port >= 0, Port =< 65535 ->
    case {whereis(?MODULE), missing()} of
        {Pid, _} when is_pid(Pid) -> served(Port);
        {undefined, [Module | _]} -> {error, {missing_in_release, Module}};
        {undefined, []} -> start_child(Port)
    end;
start_once(Port) ->
    error({bad_port, Port}).

missing() ->
    [Module || Module <- [httpd, crypto], {error, _} <- [code:ensure_loaded(Module)]].

served(Port) ->
    try gen_server:call(?MODULE, url) of
        {Of, Url} when Port =:= 0; Port =:= Of -> {ok, Url};
        {_, Url} -> {error, {already_at, Url}}
    catch
        %% It has just ended.
        exit:{Why, _} when Why =:= noproc; Why =:= normal; Why =:= shutdown; Why =:= killed -> start_once(Port)
    end.

start_child(Port) ->
    {ok, _} = application:ensure_all_started(inets),
    %% Temporary: the end of the dashboard ends nothing else.
    Child = #{id => dashboard, start => {hb_cron_dashboard_sup, start_link, [Port]}, restart => temporary,
              type => supervisor, shutdown => infinity},
    case supervisor:start_child(hb_cron_sup, Child) of
        {ok, _} -> served(Port);
        {error, {already_started, Page}} -> there(Page), start_once(Port);
        {error, {Reason, _Child}} -> {error, Reason}
    end.

%% Another caller has started it; or it is stopping, which takes seconds if a request hangs.
there(Page) ->
    Ref = monitor(process, Page),
    case whereis(?MODULE) of
        undefined -> receive {'DOWN', Ref, process, _, _} -> ok end;
        _ -> true = demonitor(Ref, [flush])
    end.

%% @doc Stops it. Its connections are closed when this returns.
-spec stop() -> ok.
stop() ->
    try
        _ = [exit(Request, kill) || Page <- [whereis(hb_cron_dashboard_sup)], is_pid(Page),
                                    Request <- hb_cron_httpd:requests(Page)],
        _ = supervisor:terminate_child(hb_cron_sup, dashboard),
        ok
    catch
        %% Nothing runs, so the dashboard does not either.
        exit:_ -> ok
    end.

%% @doc The port, and the hash of the token that a request must have; `none' if the dashboard has just stopped.
-spec access() -> {inet:port_number(), TokenHash :: binary()} | none.
access() ->
    try ets:lookup(?TABLE, access) of
        [{_, Port, Hash}] -> {Port, Hash}
    catch
        error:badarg -> none
    end.

%% @doc As {@link hb_process_monitor:redeliver/2}. `waiting': its monitor has not come to it, or is pushing it.
-spec redeliver(ProcId :: binary(), Id :: pos_integer()) -> ok | {error, term()} | waiting.
redeliver(ProcId, Id) ->
    try gen_server:call(?MODULE, {redeliver, ProcId, Id}, ?PATIENCE)
    %% Or the dashboard is being stopped. The redelivery continues.
    catch exit:_ -> waiting
    end.

%% @private
-spec start_link(inet:port_number()) -> gen_server:start_ret().
start_link(Port) ->
    gen_server:start_link({local, ?MODULE}, ?MODULE, Port, []).

%% @private
-spec init(inet:port_number()) -> {ok, #state{}}.
init(Port) ->
    ok = hb_cron_sys_status:label(hb_cron_dashboard),
    ok = hb_cron_history:keep_pushes(),
    ok = hb_cron_dashboard_stops:create(),
    Token = binary:encode_hex(crypto:strong_rand_bytes(24)),
    ?TABLE = ets:new(?TABLE, [named_table, protected, {read_concurrency, true}]),
    true = ets:insert(?TABLE, {access, Port, crypto:hash(sha256, Token)}),
    {ok, #state{port = Port, token = Token}}.

%% @private
-spec handle_call(term(), gen_server:from(), #state{}) -> {reply, term(), #state{}} | {noreply, #state{}}.
handle_call(url, _From, #state{port = Port, token = Token} = State) ->
    %% After `#', so that no browser sends it and no server logs it.
    Url = iolist_to_binary(["http://127.0.0.1:", integer_to_binary(Port), "/#", Token]),
    {reply, {Port, Url}, State};
handle_call({redeliver, ProcId, Id}, From, #state{redelivering = All} = State) ->
    case [{Pid, Waiting} || {Pid, {Of, OfId, Waiting}} <- maps:to_list(All), Of =:= ProcId, OfId =:= Id] of
        [{Pid, Waiting}] ->
            {noreply, State#state{redelivering = All#{Pid := {ProcId, Id, [From | Waiting]}}}};
        [] ->
            Self = self(),
            {Pid, _} = spawn_monitor(fun() ->
                Self ! {redelivered, self(), hb_cron_dead_letters:redeliver(hb_cron_start:engine(), ProcId, Id)}
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
-spec handle_info(term(), #state{}) -> {noreply, #state{}}.
handle_info({redelivered, Pid, Outcome}, State) ->
    {noreply, answered(Pid, Outcome, State)};
handle_info({'DOWN', _, process, Pid, _}, #state{redelivering = All} = State) when is_map_key(Pid, All) ->
    %% It raised: the monitor ended meanwhile.
    {noreply, answered(Pid, {error, not_monitored}, State)};
handle_info(_Stray, State) ->
    {noreply, State}.

answered(Pid, Outcome, #state{redelivering = All} = State) ->
    {{_, _, Waiting}, Left} = maps:take(Pid, All),
    lists:foreach(fun(From) -> gen_server:reply(From, Outcome) end, Waiting),
    State#state{redelivering = Left}.

%% @private
-spec format_status(gen_server:format_status()) -> gen_server:format_status().
format_status(Status) ->
    maps:map(fun(state, State) -> State#state{token = <<"hidden">>};
                (_, Value) -> Value
             end, Status).
