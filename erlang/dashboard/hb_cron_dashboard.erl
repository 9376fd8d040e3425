%%% @doc The operations page's server: starts the page when somebody asks for it, has the token, redelivers for
%%% those who ask, and ends the page. What is at the port is the business of
%%% {@link hb_cron_dashboard_sup}, what a request is answered of {@link hb_cron_dashboard_web}.
-module(hb_cron_dashboard).
-behaviour(gen_server).

-export([start/1, stop/0]).
%% For those who answer requests
-export([access/0, redeliver/2]).
-export([start_link/1]).
-export([init/1, handle_call/3, handle_cast/2, handle_info/2, format_status/1]).

-export_type([error/0]).

-type error() :: hb_cron_dashboard_sup:error() | {already_at, Url :: binary()}
               | {missing_in_release, module()}.
%% `missing_in_release': the host's release holds no such part of OTP; `inets' and `crypto' are needed.

%% {access, Port, sha256 of the token}: read by every request.
-define(TABLE, ?MODULE).
%% How long a request waits for a redelivery, whose monitor may be at a push, in ms.
-define(PATIENCE, 10000).
%% How long the port of a page that has ended may still be in use, in ms.
-define(CLOSING, 500).

-record(state, {
    port :: inet:port_number(),
    token :: binary(),
    %% Who pushes which dead letter: a second click does not push it twice.
    redelivering = #{} :: #{pid() => {ProcId :: binary(), Id :: pos_integer(), [gen_server:from()]}}
}).

%% @doc Serves the page, and says where. The same again if it is served at this port already.
-spec start(inet:port_number()) -> {ok, Url :: binary()} | {error, error()}.
start(Port) ->
    start(Port, now_ms() + ?CLOSING).

%% The sockets of a page that has just ended close a moment after its processes.
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
    %% Temporary: whatever becomes of the page, nothing else goes with it.
    Child = #{id => dashboard, start => {hb_cron_dashboard_sup, start_link, [Port]}, restart => temporary,
              type => supervisor, shutdown => infinity},
    case supervisor:start_child(hb_cron_sup, Child) of
        {ok, _} -> served(Port);
        {error, {already_started, Page}} -> there(Page), start_once(Port);
        {error, {Reason, _Child}} -> {error, Reason}
    end.

%% Somebody else has started it; or it is ending, which takes it seconds where a request hangs.
there(Page) ->
    Ref = monitor(process, Page),
    case whereis(?MODULE) of
        undefined -> receive {'DOWN', Ref, process, _, _} -> ok end;
        _ -> true = demonitor(Ref, [flush])
    end.

%% @doc Ends it. Its connections are closed when this returns, whatever they are at.
-spec stop() -> ok.
stop() ->
    try
        _ = [exit(Request, kill) || Page <- [whereis(hb_cron_dashboard_sup)], is_pid(Page),
                                    Request <- hb_cron_dashboard_sup:requests(Page)],
        _ = supervisor:terminate_child(hb_cron_sup, dashboard),
        ok
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
-spec init(inet:port_number()) -> {ok, #state{}}.
init(Port) ->
    ok = hb_cron_sys_status:label(hb_cron_dashboard),
    Token = base64:encode(crypto:strong_rand_bytes(24)),
    %% Of base64, what a URL would not take as it is.
    Text = << <<(url_safe(Char))>> || <<Char>> <= Token >>,
    ?TABLE = ets:new(?TABLE, [named_table, protected, {read_concurrency, true}]),
    true = ets:insert(?TABLE, {access, Port, crypto:hash(sha256, Text)}),
    {ok, #state{port = Port, token = Text}}.

url_safe($+) -> $-;
url_safe($/) -> $_;
url_safe(Char) -> Char.

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
    %% It raised: the monitor ended at it.
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
