%%% @doc What the program without HyperBEAM shows on the standard error. On a terminal it is a line for each process, drawn
%%% anew twice a second, with log entries above; otherwise it is log entries alone.
-module(hb_cron_standalone_status).
-behaviour(gen_server).

-export([start/2, pushed/1, line/3]).
-export([init/1, handle_call/3, handle_cast/2, handle_info/2]).
%% A handler of OTP's logger
-export([log/2]).

-define(COUNTS, ?MODULE).
%% How often the lines are drawn, in ms.
-define(EVERY, 500).
%% How many processes have a line.
-define(SHOWN, 20).
%% With more than this between the newest pushed result and now, in ms, there is a backlog, and a bar.
-define(BACKLOG, 60000).
-define(BAR, 20).

-record(state, {
    processes :: [binary()],
    columns :: pos_integer() | none,
    %% Of each process: the time of its first known cursor, and what was counted at the last drawing.
    seen = #{} :: #{binary() => map()},
    drawn = 0 :: non_neg_integer(),
    at :: integer()
}).

%% @doc Begins to show the processes. `Columns': the width of the terminal, if the standard error is one.
-spec start([ProcId :: binary(), ...], Columns :: pos_integer() | none) -> ok.
start(ProcIds, Columns) ->
    {ok, _} = gen_server:start({local, ?MODULE}, ?MODULE, {ProcIds, Columns}, []),
    _ = logger:remove_handler(default),
    {Handler, Config} = case Columns of
        none -> {logger_std_h, #{config => #{type => standard_error}}};
        _ -> {?MODULE, #{}}
    end,
    logger:add_handler(default, Handler, Config#{formatter => formatter()}).

formatter() -> {logger_formatter, #{single_line => true, template => [time, " ", level, ": ", msg, "\n"]}}.

%% @doc Counts a result that was pushed.
-spec pushed(ProcId :: binary()) -> ok.
pushed(ProcId) ->
    _ = ets:update_counter(?COUNTS, ProcId, 1, {ProcId, 0}),
    ok.

%% @private
-spec log(logger:log_event(), logger:handler_config()) -> ok.
log(Event, #{formatter := {Formatter, Config}}) ->
    gen_server:cast(?MODULE, {log, Formatter:format(Event, Config)}).

%% @private
-spec init({[binary()], pos_integer() | none}) -> {ok, #state{}}.
init({ProcIds, Columns}) ->
    ?COUNTS = ets:new(?COUNTS, [named_table, public, {write_concurrency, true}]),
    true = ets:insert(?COUNTS, [{ProcId, 0} || ProcId <- ProcIds]),
    _ = Columns =/= none andalso erlang:send_after(?EVERY, self(), draw),
    {ok, #state{processes = lists:sublist(ProcIds, ?SHOWN), columns = Columns, at = now_ms()}}.

%% @private
-spec handle_call(term(), gen_server:from(), #state{}) -> {reply, {error, unknown_call}, #state{}}.
handle_call(_Call, _From, State) -> {reply, {error, unknown_call}, State}.

%% @private
-spec handle_cast({log, unicode:chardata()} | term(), #state{}) -> {noreply, #state{}}.
handle_cast({log, Text}, #state{drawn = Drawn} = State) ->
    io:put_chars(standard_error, [erased(Drawn), Text]),
    {noreply, draw(State#state{drawn = 0})};
handle_cast(_Cast, State) ->
    {noreply, State}.

%% @private
-spec handle_info(draw | term(), #state{}) -> {noreply, #state{}}.
handle_info(draw, State) ->
    _ = erlang:send_after(?EVERY, self(), draw),
    {noreply, draw(counted(State))};
handle_info(_Stray, State) ->
    {noreply, State}.

counted(#state{processes = ProcIds, seen = Seen, at = Before} = State) ->
    Now = now_ms(),
    Next = [{ProcId, seen(ProcId, maps:get(ProcId, Seen, #{}), max(1, Now - Before))} || ProcId <- ProcIds],
    State#state{seen = maps:from_list(Next), at = Now}.

seen(ProcId, Before, Ms) ->
    Count = ets:lookup_element(?COUNTS, ProcId, 2),
    Info = hb_process_monitor:info(ProcId),
    Time = case Info of #{cursor_time := Known} -> Known; _ -> undefined end,
    From = case Before of #{from := Known2} when Known2 =/= undefined -> Known2; _ -> Time end,
    Rate = (Count - maps:get(count, Before, Count)) * 1000 / Ms,
    #{from => From, count => Count, per_second => (maps:get(per_second, Before, Rate) + Rate) / 2, info => Info}.

draw(#state{seen = Seen, processes = ProcIds, columns = Columns, drawn = Drawn} = State) ->
    Lines = [line(ProcId, maps:get(ProcId, Seen), erlang:system_time(millisecond)) || ProcId <- ProcIds, is_map_key(ProcId, Seen)],
    io:put_chars(standard_error, [erased(Drawn), [[string:slice(Line, 0, Columns - 1), $\n] || Line <- Lines]]),
    State#state{drawn = length(Lines)}.

%% The cursor goes up, and all below is erased.
erased(0) -> "";
erased(Lines) -> io_lib:format("\e[~bA\e[J", [Lines]).

%% @doc The line of a process: its state, its results, results a second, how far it is behind, and how much of a backlog is
%% done.
-spec line(ProcId :: binary(), map(), NowMs :: integer()) -> unicode:chardata().
line(ProcId, #{count := Count, per_second := PerSecond, from := From, info := Info}, Now) ->
    {Shown, Time} = case Info of
        #{state := Known, cursor_time := At} -> {atom_to_list(Known), At};
        _ -> {"-", undefined}
    end,
    unicode:characters_to_list(io_lib:format("~ts ~-10s ~8b results ~7.1f/s~ts",
        [binary:part(ProcId, 0, 12), Shown, Count, PerSecond, behind(From, Time, Now)])).

behind(_From, undefined, _Now) -> "";
behind(From, Time, Now) when Now - Time > ?BACKLOG, From =/= undefined ->
    Share = (Time - From) / max(1, Now - From),
    Done = max(0, min(?BAR, round(Share * ?BAR))),
    io_lib:format("  ~ts behind [~ts~ts] ~b %", [ago(Now - Time), lists:duplicate(Done, $#), lists:duplicate(?BAR - Done, $.),
                                            trunc(max(0.0, min(1.0, Share)) * 100)]);
behind(_From, Time, Now) ->
    io_lib:format("  ~ts behind", [ago(Now - Time)]).

ago(Ms) when Ms < 60000 -> io_lib:format("~.1f s", [max(0, Ms) / 1000]);
ago(Ms) when Ms < 3600000 -> io_lib:format("~b min", [Ms div 60000]);
ago(Ms) when Ms < 172800000 -> io_lib:format("~b h", [Ms div 3600000]);
ago(Ms) -> io_lib:format("~b days", [Ms div 86400000]).

now_ms() -> erlang:monotonic_time(millisecond).
