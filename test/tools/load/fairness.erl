%%% The effect of a bad CU's monitors on others: thousands of monitors on one node and one CU host, of which a
%%% tenth hang, a tenth drip bytes, and a tenth get garbage. For the others it measures the time from a tick to the
%%% push of the result that was ready by then, with and without the bad ones, alternating. It also watches threads
%%% and memory of the node.
%%%
%%% This driver sends the ticks of the good monitors, to know their times exactly. The bad ones tick by themselves.
%%% The CU is a separate OS process.
-module(fairness).
-export([main/1, run/1, measure/2, print/1]).

%% In the CU's node
-export([serve/3]).

%% The time between the ticks of a monitor, in ms.
-define(RATE, 10000).
%% The time-outs of the bad monitors, in ms: the default.
-define(TIMEOUT, 60000).
%% The library's other threads: 4 for name resolution, one for the checkpoint and one that sends log records.
-define(OTHER_THREADS, 6).

-type figures() :: #{p50 := number(), p99 := number(), max := number(), pushes := non_neg_integer(),
                     threads := non_neg_integer(), rss_kb := non_neg_integer(), lost := non_neg_integer()}.

%% `erl -run fairness main Monitors Seconds': exit status 1 if the bad monitors delay the others too much.
-spec main([string()]) -> no_return().
main([Monitors, Seconds]) ->
    Report = run(#{monitors => list_to_integer(Monitors), seconds => list_to_integer(Seconds), rounds => 2}),
    print(Report),
    halt(case Report of #{fair := true} -> 0; #{} -> 1 end).

%% Runs rounds of this many seconds with this many monitors, 30 % of which are bad.
-spec run(#{monitors := pos_integer(), seconds := pos_integer(), rounds := pos_integer()}) -> map().
run(#{monitors := Monitors, seconds := Seconds, rounds := Rounds}) ->
    _ = logger:set_primary_config(level, none),
    Kinds = [kind(N rem 10) || N <- lists:seq(1, Monitors)],
    Ids = [id(Kind) || Kind <- Kinds],
    Good = [Id || <<"G", _/binary>> = Id <- Ids],
    Pairs = [{measure(Good, Seconds), measure(Ids, Seconds)} || _ <- lists:seq(1, Rounds)],
    {Alone, Among} = lists:unzip(Pairs),
    Ratios = [maps:get(p99, B) / maps:get(p99, A) || {A, B} <- Pairs],
    %% Judges the worse round: an operator may see it, too.
    Ratio = lists:max(Ratios),
    #{cron_max_inflight := Places} = options(),
    Threads = lists:max([T || #{threads := T} <- Alone ++ Among]),
    Lost = lists:sum([L || #{lost := L} <- Alone ++ Among]),
    Fair = Ratio =< 2 andalso Threads =< Places + ?OTHER_THREADS andalso Lost =:= 0,
    #{monitors => Monitors, good => length(Good), alone => Alone, among => Among, ratio => Ratio,
      threads => {Threads, Places + ?OTHER_THREADS}, lost => Lost, fair => Fair}.

options() -> #{cron_max_inflight => 64, cron_checkpoint => false}.

%% The first letter of an id tells how its process behaves.
kind(1) -> $H;
kind(2) -> $D;
kind(3) -> $X;
kind(_) -> $G.

id(Kind) ->
    <<_, Rest/binary>> = hb_cron_process_id:new(crypto:strong_rand_bytes(32)),
    <<Kind, Rest/binary>>.

%% One run: a node with only these monitors.
-spec measure([binary()], pos_integer()) -> figures().
measure(Ids, Seconds) ->
    Peer = harness:start_peer(["-pa" | code_paths()]),
    Start = os:system_time(millisecond) + 1000,
    Url = harness:call_peer(Peer, ?MODULE, serve, [self(), Start, ?RATE]),
    hb_opts:set(options()),
    Table = ets:new(?MODULE, [public, set, {write_concurrency, true}]),
    Logger = spawn_link(fun deaf/0),
    try
        Push = fun(Message, State) -> pushed(Table, Message, State) end,
        Started = [{Id, start(Id, Url, Logger, Push)} || Id <- Ids],
        Good = [Entry || {<<"G", _/binary>>, _} = Entry <- Started],
        %% The bad ones have half of the time to become known.
        Until = os:system_time(millisecond) + Seconds * 1000,
        ets:insert(Table, {from, (Until - Seconds * 500) * 1000}),
        tick(Good, Start, Until, Table, 0, 0)
    after
        _ = application:stop(hb_process_monitor),
        hb_opts:reset(),
        peer:stop(Peer),
        ets:delete(Table)
    end.

code_paths() -> lists:join("-pa", [filename:dirname(code:which(M)) || M <- [?MODULE, test_cu]]).

deaf() -> receive _ -> deaf() end.

start(Id, Url, Logger, Push) ->
    Own = case Id of <<"G", _/binary>> -> 16#ffffffff; _ -> ?RATE end,
    {Monitor, Logger} = hb_process_monitor:start(Id, #{
        rate => Own, cursor => earliest, cron_node => Url, logger => Logger, cron_push => Push,
        cron_timeout => ?TIMEOUT}),
    Monitor.

%% Ticks each monitor once per rate, at its phase, until the time is over.
tick(Good, Start, Until, Table, Threads, Rss) ->
    Now = os:system_time(millisecond),
    Slot = 20,
    Round = (Now - Start) div Slot,
    Due = [Entry || {Id, _} = Entry <- Good, phase(Id) div Slot =:= (Round rem (?RATE div Slot))],
    [begin
        ets:insert(Table, {{tick, Id}, os:system_time(microsecond)}),
        Monitor ! tick
    end || {Id, Monitor} <- Due],
    Next = Start + (Round + 1) * Slot,
    receive after max(0, Next - os:system_time(millisecond)) -> ok end,
    {Threads1, Rss1} = case Round rem 50 of
        0 ->
            Own = [Name || "hb_cron" ++ _ = Name <- os_node:threads(self)],
            #{rss_kb := Kb} = os_node:status(self),
            {max(Threads, length(Own)), max(Rss, Kb)};
        _ ->
            {Threads, Rss}
    end,
    case Now < Until of
        true -> tick(Good, Start, Until, Table, Threads1, Rss1);
        false -> figures(Table, Threads1, Rss1)
    end.

%% A tick and a result come once per rate, the result 100 ms before the tick.
phase(Id) -> erlang:phash2(Id, ?RATE).

pushed(Table, #{message := #{<<"cursor">> := Cursor}}, #{proc_id := Id, cursor := Last}) ->
    Number = test_cu:number(Cursor),
    case Last of
        earliest -> 1 = Number;
        _ -> Number = test_cu:number(Last) + 1
    end,
    Now = os:system_time(microsecond),
    [{_, Ticked}] = ets:lookup(Table, {tick, Id}),
    [{_, From}] = ets:lookup(Table, from),
    true = ets:insert(Table, {{push, Id, Number}, Now - Ticked, Ticked >= From}),
    ok.

figures(Table, Threads, Rss) ->
    Delays = lists:sort([Delay / 1000 || [Delay] <- ets:match(Table, {{push, '_', '_'}, '$1', true})]),
    Count = length(Delays),
    At = fun(Part) -> lists:nth(max(1, ceil(Count * Part)), Delays) end,
    %% Missing numbers between the first and the last one of a process.
    Last = ets:foldl(fun({{push, Id, N}, _, _}, Acc) ->
                             maps:update_with(Id, fun({Max, C}) -> {max(Max, N), C + 1} end, {N, 1}, Acc);
                        (_, Acc) -> Acc
                     end, #{}, Table),
    Lost = lists:sum([Max - C || {Max, C} <- maps:values(Last)]),
    #{p50 => At(0.5), p99 => At(0.99), max => At(1), pushes => Count, threads => Threads, rss_kb => Rss, lost => Lost}.

%% In the CU's node: a CU that is good for some processes and bad for others, until this node is gone.
serve(_Caller, Start, Rate) ->
    Self = self(),
    spawn(fun() ->
        Cu = test_cu:start(),
        test_cu:script(Cu, fun(Request) -> answer(Request, Start, Rate) end),
        Self ! {url, test_cu:url(Cu)},
        receive after infinity -> ok end
    end),
    receive {url, Url} -> Url end.

answer(#{process := <<"H", _/binary>>}, _, _) ->
    hang;
answer(#{process := <<"D", _/binary>>}, _, _) ->
    {raw_then_drip, <<"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n{">>, <<" ">>};
answer(#{process := <<"X", _/binary>>}, _, _) ->
    {raw, test_cu:reply(200, binary:copy(<<"<html>no CU here</html>">>, 10000))};
answer(#{process := Id, query := Query}, Start, Rate) ->
    Count = max(0, (os:system_time(millisecond) - Start - phase(Id) + 100 + Rate) div Rate),
    From = case maps:get(<<"from">>, Query, <<>>) of <<>> -> 0; Cursor -> test_cu:number(Cursor) end,
    {raw, test_cu:reply(200, test_cu:page(lists:seq(From + 1, max(From, Count)), false, <<"x">>))}.

-spec print(map()) -> ok.
print(#{monitors := Monitors, good := Good, alone := Alone, among := Among, ratio := Ratio,
        threads := {Threads, Bound}, lost := Lost, fair := Fair}) ->
    io:format("~b monitors, ~b of them good; ms from tick to push of the good ones~n", [Monitors, Good]),
    [io:format("  ~-12s p50 ~6.1f  p99 ~6.1f  max ~7.1f  pushes ~6b  threads ~3b  RSS ~b MB~n",
               [Name, P50, P99, Max, Pushes, T, Rss div 1024])
     || {Name, Figures} <- [{"alone", Alone}, {"among bad", Among}],
        #{p50 := P50, p99 := P99, max := Max, pushes := Pushes, threads := T, rss_kb := Rss} <- Figures],
    io:format("  p99 among bad ones / alone, in the worse round: ~.2f (at most 2); threads ~b (at most ~b); lost ~b: ~s~n",
              [float(Ratio), Threads, Bound, Lost, case Fair of true -> "fair"; false -> "UNFAIR" end]).
