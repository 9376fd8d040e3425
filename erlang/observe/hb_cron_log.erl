%%% @doc Passes the library's log records to OTP's logger, and makes OTP's own handler show what this application
%%% logs. {@link hb_process_monitor_log_format} formats the records.
%%%
%%% If the node's logger was not configured, the handler `default' drops every domain but OTP's. The application
%%% then adds a filter to it that accepts `[hb_process_monitor]', and removes the filter when it stops. A handler
%%% with other filters is left alone. An operator who wants less adds a filter of their own.
-module(hb_cron_log).
-behaviour(gen_server).

-export([start_link/0, hide/0]).
-export([init/1, handle_call/3, handle_cast/2, handle_info/2]).

-include_lib("kernel/include/logger.hrl").

-define(HANDLER, default).
-define(FILTER, hb_process_monitor).

-spec start_link() -> gen_server:start_ret().
start_link() ->
    gen_server:start_link({local, ?MODULE}, ?MODULE, [], []).

%% @private
-spec init([]) -> {ok, no_state}.
init([]) ->
    ok = show(),
    ok = hb_cron_configuration:log_refused(),
    #{cron_log_level := Level} = hb_cron_options:for_node(),
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

%% Added only if the filters are OTP's defaults.
show() ->
    case logger:get_handler_config(?HANDLER) of
        {ok, #{filter_default := stop, filters := Filters}} ->
            _ = is_stock(lists:keyfind(domain, 1, Filters)) andalso
                logger:add_handler_filter(?HANDLER, ?FILTER, {fun logger_filters:domain/2, {log, sub, [hb_process_monitor]}}),
            ok;
        _ ->
            ok
    end.

is_stock({domain, {Filter, {log, super, [otp | _]}}}) -> Filter =:= fun logger_filters:domain/2;
is_stock(_) -> false.

%% @doc Removes the filter.
-spec hide() -> ok.
hide() ->
    _ = logger:remove_handler_filter(?HANDLER, ?FILTER),
    ok.

log(Level, Target, Text) ->
    ?LOG(Level, #{what => record, target => Target, text => Text},
         #{domain => [hb_process_monitor, rust], report_cb => fun hb_process_monitor_log_format:report/2}).

dropped(Count) ->
    io_lib:format("~b log records were dropped: they came faster than they could be sent", [Count]).
