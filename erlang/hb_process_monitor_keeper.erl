%%% @doc Sees monitors end. One that was killed from outside stays dead, and that is logged; one that
%%% crashed by itself is started again from its acked cursor, later each time, and each for itself:
%%% monitors share no restart intensity.
-module(hb_process_monitor_keeper).
-behaviour(gen_server).

-export([start_link/0, watch/0, ending/2]).
-export([init/1, handle_call/3, handle_cast/2, handle_info/2, format_status/1]).

%% The first and the longest pause before a crashed monitor is started again, in ms.
-define(FIRST, 1000).
-define(LONGEST, 300000).
%% A monitor that has lived so long, in ms, crashes for the first time again.
-define(SETTLED, 600000).

%% How often it looks for cursors that were left for a supervisor which never came back for them, and how
%% long they are kept, in ms.
-define(SWEEP, 60000).
-define(KEPT, 3600000).

%% Of a monitor nothing is kept here as long as it lives: all is in its rows of the registry.
-record(state, {
    %% What is to become of a monitor that has said that it is crashing; its rows go with it.
    ending = #{} :: #{pid() => ended()},
    %% How often a process's monitor has crashed lately, and when it was started again.
    crashes = #{} :: #{ProcId :: binary() => {pos_integer(), StartedMs :: integer()}}
}).

-type ended() :: {ProcId :: binary(), hb_process_monitor_host:logger(), Next :: hb_process_monitor_opts:monitor() | stays}.

-spec start_link() -> gen_server:start_ret().
start_link() ->
    gen_server:start_link({local, ?MODULE}, ?MODULE, [], []).

%% @doc Watches the calling monitor, which is in the registry.
-spec watch() -> ok.
watch() ->
    gen_server:cast(?MODULE, {watch, self()}).

%% @doc The calling monitor is ending. Should that be a crash, the next one is started with these options,
%% the acked cursor among them; `stays': that is not for the keeper to do.
-spec ending(Reason :: term(), hb_process_monitor_opts:monitor() | stays) -> ok.
ending(Reason, _Next) when Reason =:= normal; Reason =:= shutdown -> ok;
ending({shutdown, _}, _Next) -> ok;
ending(_Reason, Next) ->
    case hb_process_monitor_registry:who(self()) of
        {ok, ProcId, Logger, stopping} -> gen_server:cast(?MODULE, {ending, self(), {ProcId, Logger, stays}});
        {ok, ProcId, Logger, _} -> gen_server:cast(?MODULE, {ending, self(), {ProcId, Logger, Next}});
        none -> ok
    end.

%% @private
-spec init([]) -> {ok, #state{}}.
init([]) ->
    %% After a restart. One that introduces itself meanwhile is watched twice, which does no harm.
    lists:foreach(fun(Monitor) -> monitor(process, Monitor) end, hb_process_monitor_registry:monitors()),
    _ = erlang:send_after(?SWEEP, self(), sweep),
    {ok, #state{}}.

%% @private
-spec handle_call(term(), gen_server:from(), #state{}) -> {reply, {error, unknown_call}, #state{}}.
handle_call(_Call, _From, State) ->
    {reply, {error, unknown_call}, State}.

%% @private
-spec handle_cast(term(), #state{}) -> {noreply, #state{}}.
handle_cast({watch, Monitor}, State) ->
    _ = monitor(process, Monitor),
    {noreply, State};
handle_cast({ending, Monitor, Ended}, #state{ending = Ending} = State) ->
    {noreply, State#state{ending = Ending#{Monitor => Ended}}};
handle_cast(_Cast, State) ->
    {noreply, State}.

%% @private
-spec handle_info(term(), #state{}) -> {noreply, #state{}}.
handle_info({'DOWN', _, process, Monitor, Reason}, #state{ending = Ending} = State) ->
    Ended = case Ending of
        #{Monitor := Told} -> Told;
        #{} -> left_behind(Monitor)
    end,
    ok = hb_process_monitor_registry:leave(Monitor),
    {noreply, ended(Reason, Ended, State#state{ending = maps:remove(Monitor, Ending)})};
handle_info({start, ProcId, Logger, Options, Crashes}, #state{crashes = All} = State) ->
    Started = State#state{crashes = All#{ProcId => {Crashes, now_ms()}}},
    case hb_process_monitor_sup:start_monitor([ProcId, Options]) of
        {ok, _} -> {noreply, Started};
        {error, Reason} -> {noreply, ended(Reason, {ProcId, Logger, Options}, Started)}
    end;
handle_info(sweep, State) ->
    _ = hb_process_monitor_registry:drop_cursors(?KEPT),
    _ = erlang:send_after(?SWEEP, self(), sweep),
    {noreply, State};
handle_info(_Stray, State) ->
    {noreply, State}.

%% Whose monitor that was, and what the next one is started with where it did not get to say it: with what
%% it was started with itself, where the checkpoint says. Without a checkpoint that is where it began, which
%% repeats results but loses none.
-spec left_behind(Monitor :: pid()) -> ended() | none.
left_behind(Monitor) ->
    case hb_process_monitor_registry:who(Monitor) of
        none -> none;
        {ok, ProcId, Logger, stopping} -> {ProcId, Logger, stays};
        %% That is for its own supervisor to do.
        {ok, ProcId, Logger, #{supervised := true}} -> {ProcId, Logger, stays};
        {ok, ProcId, Logger, Options} ->
            case hb_process_monitor_registry:node_options() of
                #{cron_checkpoint := false} -> {ProcId, Logger, Options};
                #{} -> {ProcId, Logger, Options#{cursor => undefined}}
            end
    end.

%% One that has left nothing behind took leave of its own accord.
ended(_Reason, none, State) ->
    State;
ended(Reason, _Ended, State) when Reason =:= normal; Reason =:= shutdown; Reason =:= noproc ->
    State;
ended({shutdown, _}, _Ended, State) ->
    State;
ended(killed, {ProcId, Logger, _}, State) ->
    hb_process_monitor_host:log(Logger, {error, monitor_died, {ProcId, killed}}),
    State;
ended(Reason, {ProcId, Logger, stays}, State) ->
    hb_process_monitor_host:log(Logger, {error, monitor_died, {ProcId, Reason}}),
    State;
ended(Reason, {ProcId, Logger, Options}, #state{crashes = All} = State) ->
    Recent = maps:filter(fun(_, {_, Started}) -> now_ms() - Started =< ?SETTLED end, All),
    {Before, _} = maps:get(ProcId, Recent, {0, none}),
    Crashes = Before + 1,
    Pause = rand:uniform(min(?LONGEST, ?FIRST bsl min(Crashes - 1, 32))),
    hb_process_monitor_host:log(Logger, {error, monitor_crashed, {ProcId, Reason, {again_in_ms, Pause}}}),
    _ = erlang:send_after(Pause, self(), {start, ProcId, Logger, Options, Crashes}),
    State#state{crashes = Recent}.

%% @private
%% How many and not which.
-spec format_status(gen_server:format_status()) -> gen_server:format_status().
format_status(#{state := #state{ending = Ending, crashes = Crashes}} = Status) ->
    Status#{state := #{crashing => map_size(Ending), crashed_lately => map_size(Crashes)}};
format_status(Status) ->
    Status.

now_ms() -> erlang:monotonic_time(millisecond).
