%%% @doc Keeps the dashboard's connections free for browsers that have its token. Every user of the machine can
%%% connect to loopback, and httpd waits 30 s for the rest of a request: a few dozen half-sent ones would keep all
%%% others out. Peers on loopback have the same address, so only the token tells them apart: a connection that has
%%% not shown it within some seconds is closed, and of those without it only the newest few are kept.
-module(hb_cron_dashboard_guard).
-behaviour(gen_server).

-export([start_link/0, trust/0]).
-export([init/1, handle_call/3, handle_cast/2, handle_info/2]).

%% {Connection}: connections that have shown the token, written by themselves.
-define(TABLE, ?MODULE).
%% How often the connections are checked, and how long one may go without the token, in ms.
-define(LOOK, 250).
-define(STRANGER_MS, 5000).
%% How much longer a connection lives that was asked to end: it may be sending to a peer that does not read.
-define(GRACE_MS, 1000).
%% A browser that loads the page opens six at most.
-define(STRANGERS, 32).

-spec start_link() -> gen_server:start_ret().
start_link() ->
    gen_server:start_link({local, ?MODULE}, ?MODULE, [], []).

%% @doc The calling connection has shown the token.
-spec trust() -> ok.
trust() ->
    try ets:insert(?TABLE, {self()}) of
        true -> ok
    catch
        %% The dashboard is being stopped.
        error:badarg -> ok
    end.

%% @private
%% The state: since when those without the token are known.
-spec init([]) -> {ok, #{pid() => integer()}}.
init([]) ->
    ?TABLE = ets:new(?TABLE, [named_table, public, {write_concurrency, true}]),
    _ = erlang:send_after(?LOOK, self(), look),
    {ok, #{}}.

%% @private
-spec handle_call(term(), gen_server:from(), State) -> {reply, {error, unknown_call}, State}.
handle_call(_Call, _From, State) ->
    {reply, {error, unknown_call}, State}.

%% @private
-spec handle_cast(term(), State) -> {noreply, State}.
handle_cast(_Cast, State) ->
    {noreply, State}.

%% @private
-spec handle_info(term(), #{pid() => integer()}) -> {noreply, #{pid() => integer()}}.
handle_info(look, Known) ->
    Strangers = look(connections(), Known, erlang:monotonic_time(millisecond)),
    _ = erlang:send_after(?LOOK, self(), look),
    {noreply, Strangers};
handle_info(_Stray, Known) ->
    {noreply, Known}.

connections() ->
    case whereis(hb_cron_dashboard_sup) of
        undefined -> [];
        Page -> hb_cron_httpd:requests(Page)
    end.

look(Connections, Known, Now) ->
    Trusted = [Pid || {Pid} <- ets:tab2list(?TABLE)],
    [ets:delete(?TABLE, Pid) || Pid <- Trusted -- Connections],
    Strangers = maps:from_list([{Pid, maps:get(Pid, Known, Now)} || Pid <- Connections -- Trusted]),
    Late = [{Pid, Now - Since} || {Pid, Since} <- maps:to_list(Strangers), Now - Since > ?STRANGER_MS],
    [close(Pid, For) || {Pid, For} <- Late ++ too_many(Strangers, Now)],
    Strangers.

%% The oldest ones: a request that is sent at once was answered long ago.
too_many(Strangers, Now) ->
    Oldest = lists:keysort(2, maps:to_list(Strangers)),
    [{Pid, Now - Since} || {Pid, Since} <- lists:sublist(Oldest, max(0, length(Oldest) - ?STRANGERS))].

%% The processes of httpd trap exits, and end by this one without a report.
close(Pid, For) when For > ?STRANGER_MS + ?GRACE_MS -> exit(Pid, kill);
close(Pid, _For) -> exit(Pid, shutdown).
