%%% @doc Serves outside observers of the node: finds out whether there are handlers for events, passes the
%%% library's events to them, and registers the metrics with the host's `prometheus'. It checks once a second,
%%% since handlers and applications come and go without notice.
-module(hb_cron_observer).
-behaviour(gen_server).

-export([start_link/0, check/0, retire/0]).
-export([init/1, handle_call/3, handle_cast/2, handle_info/2]).

%% The time between two checks, in ms.
-define(CHECK_MS, 1000).

-record(state, {
    %% The option `cron_events'.
    option :: auto | boolean(),
    %% The receiver of events.
    taker :: module() | undefined
}).

-spec start_link() -> gen_server:start_ret().
start_link() ->
    gen_server:start_link({local, ?MODULE}, ?MODULE, [], []).

%% @doc Checks now. A handler that was attached before gets all events after this returns, except for pushes of
%% parts that have begun.
-spec check() -> ok.
check() -> gen_server:call(?MODULE, check, infinity).

%% @doc The application has ended in any way: no more events are made. Called by the application, since this
%% process may have been killed with the tree.
-spec retire() -> ok.
retire() ->
    _ = hb_cron_prometheus:deregister(),
    ok = hb_cron_events:use(hb_cron_events:choose(false)),
    listen(none).

%% @private
-spec init([]) -> {ok, #state{}}.
init([]) ->
    #{cron_events := Option} = hb_cron_options:for_node(),
    _ = erlang:send_after(?CHECK_MS, self(), check),
    {ok, check(#state{option = Option})}.

%% @private
-spec handle_call(term(), gen_server:from(), #state{}) -> {reply, ok | {error, unknown_call}, #state{}}.
handle_call(check, _From, State) ->
    {reply, ok, check(State)};
handle_call(_Call, _From, State) ->
    {reply, {error, unknown_call}, State}.

%% @private
-spec handle_cast(term(), #state{}) -> {noreply, #state{}}.
handle_cast(_Cast, State) ->
    {noreply, State}.

%% @private
-spec handle_info(term(), #state{}) -> {noreply, #state{}}.
handle_info(check, State) ->
    _ = erlang:send_after(?CHECK_MS, self(), check),
    {noreply, check(State)};
handle_info({hb_cron_events, Events}, #state{taker = Taker} = State) ->
    lists:foreach(fun(Event) -> hb_cron_events:from_library(Taker, Event) end, Events),
    %% Only then: what slow handlers cannot take waits in the library, which drops the excess.
    ok = listen(hb_cron_events:receiver()),
    {noreply, State};
handle_info(_Stray, State) ->
    {noreply, State}.

check(#state{option = Option} = State) ->
    _ = hb_cron_prometheus:register(),
    use(hb_cron_events:choose(Option), State).

use(Taker, #state{taker = Taker} = State) ->
    State;
use(Taker, State) ->
    ok = hb_cron_events:use(Taker),
    ok = listen(hb_cron_events:receiver()),
    State#state{taker = Taker}.

listen(none) -> hb_process_monitor_nif:events_to_self(none);
listen(_Taker) -> hb_process_monitor_nif:events_to_self(next).
