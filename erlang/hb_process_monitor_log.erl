%%% @doc Takes the library's log records to the OTP logger. Level and domain can be filtered there;
%%% {@link hb_process_monitor_log_format} makes lines of them.
-module(hb_process_monitor_log).
-behaviour(gen_server).

-export([start_link/0]).
-export([init/1, handle_call/3, handle_cast/2, handle_info/2]).

-include_lib("kernel/include/logger.hrl").

-spec start_link() -> gen_server:start_ret().
start_link() ->
    gen_server:start_link({local, ?MODULE}, ?MODULE, [], []).

%% @private
-spec init([]) -> {ok, no_state}.
init([]) ->
    #{cron_log_level := Level} = hb_process_monitor_opts:for_node(),
    ok = hb_process_monitor_nif:log_to_self(Level),
    {ok, no_state}.

%% @private
-spec handle_call(term(), gen_server:from(), no_state) -> {reply, {error, unknown_call}, no_state}.
handle_call(_Call, _From, State) ->
    {reply, {error, unknown_call}, State}.

%% @private
-spec handle_cast(term(), no_state) -> {noreply, no_state}.
handle_cast(_Cast, State) ->
    {noreply, State}.

%% @private
-spec handle_info(term(), no_state) -> {noreply, no_state}.
handle_info({hb_cron_log, Level, Target, Text, Dropped}, State) ->
    Dropped > 0 andalso log(warning, <<"hb_process_monitor">>, iolist_to_binary(dropped(Dropped))),
    log(Level, Target, Text),
    {noreply, State};
handle_info(_Stray, State) ->
    {noreply, State}.

log(Level, Target, Text) ->
    ?LOG(Level, #{what => record, target => Target, text => Text},
         #{domain => [hb_process_monitor, rust], report_cb => fun hb_process_monitor_log_format:report/2}).

dropped(Count) ->
    io_lib:format("~b log records were dropped: they came faster than they could be sent", [Count]).
