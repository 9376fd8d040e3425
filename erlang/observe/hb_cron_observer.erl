%%% @doc Looks after whoever observes the node from outside: finds out whether anybody wants events, takes
%%% the library's to them, and has the host's `prometheus' collect the metrics. It looks once a second,
%%% since handlers and other applications come and go without telling. It measures nothing itself.
-module(hb_cron_observer).
-behaviour(gen_server).

-export([start_link/0, look/0, retire/0]).
-export([init/1, handle_call/3, handle_cast/2, handle_info/2]).

%% How often it looks, in ms.
-define(LOOK, 1000).

-record(state, {
    %% The option `cron_events'.
    option :: auto | boolean(),
    %% What takes events.
    taker :: module() | undefined
}).

-spec start_link() -> gen_server:start_ret().
start_link() ->
    gen_server:start_link({local, ?MODULE}, ?MODULE, [], []).

%% @doc Looks now. A handler that was attached before gets what happens after this returns, but for the pushes
%% of parts of pages that have begun.
-spec look() -> ok.
look() -> gen_server:call(?MODULE, look, infinity).

%% @doc The application has ended, however that was: nothing is made for anybody any more. Not this process's
%% own business, which may have been killed with the tree.
-spec retire() -> ok.
retire() ->
    _ = hb_cron_prometheus:deregister(),
    ok = hb_cron_events:use(hb_cron_events:choose(false)),
    listen(none).

%% @private
-spec init([]) -> {ok, #state{}}.
init([]) ->
    #{cron_events := Option} = hb_cron_options:for_node(),
    _ = erlang:send_after(?LOOK, self(), look),
    {ok, look(#state{option = Option})}.

%% @private
-spec handle_call(term(), gen_server:from(), #state{}) -> {reply, ok | {error, unknown_call}, #state{}}.
handle_call(look, _From, State) ->
    {reply, ok, look(State)};
handle_call(_Call, _From, State) ->
    {reply, {error, unknown_call}, State}.

%% @private
-spec handle_cast(term(), #state{}) -> {noreply, #state{}}.
handle_cast(_Cast, State) ->
    {noreply, State}.

%% @private
-spec handle_info(term(), #state{}) -> {noreply, #state{}}.
handle_info(look, State) ->
    _ = erlang:send_after(?LOOK, self(), look),
    {noreply, look(State)};
handle_info({hb_cron_events, Events}, #state{taker = Taker} = State) ->
    lists:foreach(fun(Event) -> hb_cron_events:from_library(Taker, Event) end, Events),
    %% Not before: what its handlers are slow at waits in the library, which drops what is too much.
    ok = listen(hb_cron_events:taker()),
    {noreply, State};
handle_info(_Stray, State) ->
    {noreply, State}.

look(#state{option = Option} = State) ->
    _ = hb_cron_prometheus:register(),
    use(hb_cron_events:choose(Option), State).

use(Taker, #state{taker = Taker} = State) ->
    State;
use(Taker, State) ->
    ok = hb_cron_events:use(Taker),
    ok = listen(hb_cron_events:taker()),
    State#state{taker = Taker}.

listen(none) -> hb_process_monitor_nif:events_to_self(none);
listen(_Taker) -> hb_process_monitor_nif:events_to_self(next).
