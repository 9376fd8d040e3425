%%% @doc Reads all monitors from time to time while the dashboard shows them, so that it can be asked for any order and any
%%% part. A survey is made by a process of low priority, a batch of monitors at a time, between which the engine's loop goes
%%% on, and takes at most a tenth of a core. Listings are made by the requests' side once for each survey. Without requests
%%% everything is dropped after a minute. {@link hb_cron_dashboard_listing} has the table.
-module(hb_cron_dashboard_survey).
-behaviour(gen_server).

-export([listing/1]).
-export([start_link/0]).
-export([init/1, handle_call/3, handle_cast/2, handle_info/2, format_status/1]).

-export_type([answer/0]).

-type answer() :: {ok, hb_cron_dashboard_listing:listing(), AgeMs :: non_neg_integer()} | not_yet | {error, timeout}.
%% `not_yet': the first survey is being made.

%% How many monitors are read at a time.
-define(BATCH, 500).
%% The shortest time between two surveys, in ms; and how many times longer it is than a survey takes.
-define(PERIOD, 2000).
-define(TIMES, 10).
%% A survey that is older is not shown, and without a request for this long it is dropped, in ms.
-define(STALE, 30000).
-define(IDLE, 60000).
%% How many listings of a survey are kept: browsers ask for the same one again and again.
-define(KEPT, 8).
%% How long a request waits, in ms.
-define(PATIENCE, 15000).

-type survey() :: {At :: integer(), Ms :: non_neg_integer(), hb_cron_dashboard_listing:table()}.
%% When it ended and how long it took, in ms, and the table.

-record(state, {
    survey = none :: none | survey(),
    %% Its listings, the newest first.
    listings = [] :: [{hb_cron_dashboard_listing:query(), hb_cron_dashboard_listing:listing()}],
    %% The process that makes the next survey.
    surveyor = none :: none | pid(),
    %% Requests that wait for it.
    waiting = [] :: [{gen_server:from(), hb_cron_dashboard_listing:query()}],
    %% The processes that make listings of a survey, and the requests that wait for each.
    selecting = #{} :: #{pid() => {hb_cron_dashboard_listing:query(), survey(), [gen_server:from()]}},
    asked = 0 :: integer()
}).

-spec start_link() -> gen_server:start_ret().
start_link() ->
    gen_server:start_link({local, ?MODULE}, ?MODULE, [], []).

%% @doc The listing of a recent survey, and its age. The one of all monitors in the order of their ids is not waited for.
-spec listing(hb_cron_dashboard_listing:query()) -> answer().
listing(Query) ->
    try gen_server:call(?MODULE, {listing, Query}, ?PATIENCE)
    catch exit:_ -> {error, timeout}
    end.

%% @private
-spec init([]) -> {ok, #state{}}.
init([]) ->
    ok = hb_cron_sys_status:label(hb_cron_dashboard_survey),
    {ok, #state{}}.

%% @private
-spec handle_call(term(), gen_server:from(), #state{}) -> {reply, term(), #state{}} | {noreply, #state{}}.
handle_call({listing, Query}, From, #state{} = State) ->
    Now = now_ms(),
    Next = survey(Now, State#state{asked = Now}),
    case Next of
        #state{survey = {At, _, _}} when Now - At < ?STALE -> listing(Query, From, Next);
        #state{waiting = Waiting} ->
            case hb_cron_dashboard_listing:first(Query) of
                true -> {reply, not_yet, Next};
                false -> {noreply, Next#state{waiting = [{From, Query} | Waiting]}}
            end
    end;
handle_call(_Call, _From, State) ->
    {reply, {error, unknown_call}, State}.

%% Starts the next survey, if it is time.
survey(Now, #state{surveyor = none, survey = Last} = State) ->
    IsDue = case Last of
        none -> true;
        {At, Took, _} -> Now - At >= max(?PERIOD, ?TIMES * Took)
    end,
    case IsDue of
        true -> State#state{surveyor = work(fun() -> read(Now) end, low)};
        false -> State
    end;
survey(_Now, State) ->
    State.

%% Does something in a process with whose end its garbage goes, and which is monitored.
work(Fun, Priority) ->
    Self = self(),
    {Pid, _} = spawn_opt(fun() -> Self ! {done, self(), Fun()} end, [monitor, {priority, Priority}]),
    Pid.

read(Began) ->
    Table = hb_cron_dashboard_listing:table(read(<<>>, [])),
    {now_ms(), now_ms() - Began, Table}.

read(After, Read) ->
    case hb_cron_info:list(#{start_after => After, limit => ?BATCH}) of
        {Monitors, done} -> lists:reverse([rows(Monitors) | Read]);
        {Monitors, Next} -> read(Next, [rows(Monitors) | Read])
    end.

rows(Monitors) -> iolist_to_binary(hb_cron_dashboard_listing:rows(Monitors)).

listing(Query, From, #state{listings = Listings, selecting = Selecting, survey = Survey} = State) ->
    case {lists:keyfind(Query, 1, Listings), [Pid || {Pid, {Of, _, _}} <- maps:to_list(Selecting), Of =:= Query]} of
        {{_, Listing}, _} ->
            {reply, answer(Listing, Survey), State};
        {false, [Pid]} ->
            Join = fun({_, Of, Others}) -> {Query, Of, [From | Others]} end,
            {noreply, State#state{selecting = maps:update_with(Pid, Join, Selecting)}};
        {false, []} ->
            {_, _, Table} = Survey,
            Selector = work(fun() -> hb_cron_dashboard_listing:select(Table, Query) end, normal),
            {noreply, State#state{selecting = Selecting#{Selector => {Query, Survey, [From]}}}}
    end.

answer(Listing, {At, _, _}) -> {ok, Listing, max(0, now_ms() - At)}.

%% @private
-spec handle_cast(term(), #state{}) -> {noreply, #state{}}.
handle_cast(_Cast, State) ->
    {noreply, State}.

%% @private
-spec handle_info(term(), #state{}) -> {noreply, #state{}} | {noreply, #state{}, hibernate}.
handle_info({done, Pid, Survey}, #state{surveyor = Pid} = State) ->
    {noreply, surveyed(Survey, State#state{surveyor = none})};
handle_info({done, Pid, Listing}, #state{selecting = Selecting} = State) when is_map_key(Pid, Selecting) ->
    {Selected, Others} = maps:take(Pid, Selecting),
    {noreply, selected(Listing, Selected, State#state{selecting = Others})};
%% It failed, since the application is stopping.
handle_info({'DOWN', _, process, Pid, _}, #state{surveyor = Pid, waiting = Waiting} = State) ->
    ok = refuse([From || {From, _} <- Waiting]),
    {noreply, State#state{surveyor = none, waiting = []}};
handle_info({'DOWN', _, process, Pid, _}, #state{selecting = Selecting} = State) when is_map_key(Pid, Selecting) ->
    {{_, _, Waiting}, Others} = maps:take(Pid, Selecting),
    ok = refuse(Waiting),
    {noreply, State#state{selecting = Others}};
handle_info(drop, #state{asked = Asked} = State) ->
    case Asked + ?IDLE - now_ms() of
        Left when Left > 0 -> ok = drop_in(Left), {noreply, State};
        _ -> {noreply, State#state{survey = none, listings = []}, hibernate}
    end;
handle_info(_Stray, State) ->
    {noreply, State}.

surveyed(Survey, #state{waiting = Waiting, survey = Before} = State) ->
    _ = Before =:= none andalso drop_in(?IDLE),
    Next = State#state{survey = Survey, listings = [], waiting = []},
    lists:foldr(fun({From, Query}, Now) ->
        case listing(Query, From, Now) of
            {reply, Answer, Then} -> ok = gen_server:reply(From, Answer), Then;
            {noreply, Then} -> Then
        end
    end, Next, Waiting).

refuse(Waiting) ->
    lists:foreach(fun(From) -> ok = gen_server:reply(From, {error, timeout}) end, Waiting).

drop_in(Ms) ->
    _ = erlang:send_after(Ms, self(), drop),
    ok.

selected(Listing, {Query, Survey, Waiting}, #state{listings = Listings} = State) ->
    Answer = answer(Listing, Survey),
    lists:foreach(fun(From) -> ok = gen_server:reply(From, Answer) end, Waiting),
    case State of
        #state{survey = {At, _, _}} when element(1, Survey) =:= At ->
            State#state{listings = lists:sublist([{Query, Listing} | lists:keydelete(Query, 1, Listings)], ?KEPT)};
        %% There is a newer survey, or none is needed any more.
        _ ->
            State
    end.

%% @private
%% Without the table.
-spec format_status(gen_server:format_status()) -> gen_server:format_status().
format_status(Status) ->
    maps:map(fun(state, #state{} = State) -> State#state{survey = none, listings = []};
                (_, Value) -> Value
             end, Status).

now_ms() -> erlang:monotonic_time(millisecond).
