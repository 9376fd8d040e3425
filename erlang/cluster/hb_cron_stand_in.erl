%%% @doc The process that `start/2' returns in a cluster. It stands for a process that some host node of the cluster
%%% monitors, perhaps this one: the monitor itself ends at a hand-over, although the process is still monitored. It
%%% records the start, passes `tick' and `stop' on, and ends once the process is not monitored any more.
%%%
%%% {@link hb_cron_stand_ins} finds stand-ins. {@link hb_cron_stand_in_check} has those end whose processes were stopped on
%%% another host node.
-module(hb_cron_stand_in).
-behaviour(gen_server).

-export([start_link/3]).
-export([init/1, handle_call/3, handle_cast/2, handle_info/2, terminate/2, format_status/1]).

%% The first and the longest pause after a request that failed, in ms.
-define(BACKOFF, {200, 10000}).

-record(state, {
    proc_id :: binary(),
    logger :: hb_cron_host_logger:logger(),
    %% The request that is not recorded yet, and how often it failed.
    request = none :: none | {start, hb_cron_cluster_request:start()} | {stop, ProcId :: binary()},
    %% A tick came before the start was recorded.
    ticked = false :: boolean(),
    failures = 0 :: non_neg_integer()
}).

%% @doc Starts a stand-in that records a start; `ignore' if the process has one on this host node.
-spec start_link(ProcId :: binary(), Options :: binary(), hb_cron_options:cursor()) -> gen_server:start_ret().
start_link(ProcId, Options, Cursor) ->
    gen_server:start_link(?MODULE, {ProcId, Options, Cursor}, []).

%% @private
-spec init({binary(), binary(), hb_cron_options:cursor()}) -> {ok, #state{}} | ignore.
init({ProcId, Options, Cursor}) ->
    _ = process_flag(trap_exit, true),
    Logger = hb_cron_host_logger:start(),
    case hb_cron_stand_ins:claim(ProcId, self(), Logger) of
        true ->
            ok = hb_cron_sys_status:label({hb_process_monitor, stand_in, ProcId}),
            ok = hb_cron_host_logger:register_with(Logger),
            self() ! record,
            {ok, #state{proc_id = ProcId, logger = Logger, request = {start, {ProcId, Options, Cursor}}}};
        false ->
            ok = hb_cron_host_logger:stop(Logger),
            ignore
    end.

%% @private
-spec handle_call(term(), gen_server:from(), #state{}) -> {reply, {error, unknown_call}, #state{}}.
handle_call(_Call, _From, State) ->
    {reply, {error, unknown_call}, State}.

%% @private
-spec handle_cast(term(), #state{}) -> {noreply, #state{}}.
handle_cast(_Cast, State) ->
    {noreply, State}.

%% @private
-spec handle_info(term(), #state{}) -> {noreply, #state{}} | {noreply, #state{}, hibernate} | {stop, normal, #state{}}.
handle_info(record, #state{request = none} = State) ->
    {noreply, State, hibernate};
handle_info(record, #state{request = Request} = State) ->
    record(Request, request(Request), State);
handle_info(tick, #state{request = none, proc_id = ProcId} = State) ->
    ok = drop_ticks(),
    %% A tick is a hint: the process is polled at its rate in any case.
    _ = hb_cron_cluster_request:call({tick, ProcId}),
    {noreply, State, hibernate};
handle_info(tick, State) ->
    {noreply, State#state{ticked = true}};
handle_info(stop, #state{proc_id = ProcId, request = Request} = State) ->
    Stopping = State#state{request = {stop, ProcId}, failures = 0},
    %% Otherwise the timer of the failed request is still to come.
    _ = Request =:= none andalso (self() ! record),
    {noreply, Stopping};
%% The process was stopped or forgotten.
handle_info(gone, #state{request = none} = State) ->
    {stop, normal, State};
handle_info(_Stray, State) ->
    {noreply, State}.

%% Starts are recorded together.
request({start, Start}) -> hb_cron_recorder:start(Start);
request(Request) -> hb_cron_cluster_request:call(Request).

drop_ticks() ->
    receive tick -> drop_ticks()
    after 0 -> ok
    end.

record({stop, _}, ok, State) ->
    {stop, normal, State};
record({start, {ProcId, _, Cursor}}, {ok, IsStarted}, #state{logger = Logger} = State) ->
    ok = hb_cron_stand_ins:recorded(ProcId),
    Type = case IsStarted of true -> started_in_cluster; false -> already_monitored end,
    ok = hb_cron_host_logger:log(Logger, {ok, Type, {ProcId, Cursor}}),
    _ = State#state.ticked andalso (self() ! tick),
    {noreply, State#state{request = none, ticked = false, failures = 0}, hibernate};
record(Request, {error, Reason}, #state{proc_id = ProcId, logger = Logger, failures = Before} = State) ->
    Failures = Before + 1,
    _ = hb_cron_retry_policy:is_reported(Failures) andalso
        hb_cron_host_logger:log(Logger, {error, not_recorded, {ProcId, element(1, Request), Reason, Failures}}),
    _ = erlang:send_after(rand:uniform(hb_cron_retry_policy:longest_pause(Failures, ?BACKOFF)), self(), record),
    {noreply, State#state{failures = Failures}, hibernate}.

%% @private
-spec terminate(term(), #state{}) -> ok.
terminate(_Reason, #state{proc_id = ProcId, logger = Logger}) ->
    ok = hb_cron_stand_ins:leave(ProcId, self()),
    hb_cron_host_logger:stop(Logger).

%% @private
-spec format_status(gen_server:format_status()) -> gen_server:format_status().
format_status(#{state := #state{proc_id = ProcId, failures = Failures}} = Status) ->
    hb_cron_sys_status:short(Status#{state := #{process => ProcId, failures => Failures}});
format_status(Status) ->
    hb_cron_sys_status:short(Status).
