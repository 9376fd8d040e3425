%%% The node of `make soak': executes its driver's orders, and checks the order of its pushes. It keeps only the
%%% numbers of results, so that it does not grow itself.
-module(soak_node).
-export([main/1]).
%% The push of its monitors
-export([push/2]).

%% {ProcId, Number}: the last pushed result of each process.
-define(LAST, soak_last).
%% Counters: pushed, pushed again, out of order, failed on purpose.
-define(COUNTS, {?MODULE, counts}).
-define(KINDS, [pushed, again, out_of_order, failed]).
%% One push of this many fails; 0 for none.
-define(FAILING, {?MODULE, failing}).

%% `erl -run soak_node main Port': `Port' is where the driver listens.
main([Port]) ->
    ok = persistent_term:put(?COUNTS, counters:new(length(?KINDS), [])),
    ok = persistent_term:put(?FAILING, atomics:new(1, [])),
    %% Log records are dropped.
    _ = logger:set_primary_config(level, none),
    Logger = spawn(fun forget/0),
    %% A separate process owns the tables, since the booting one ends.
    _ = spawn(fun() ->
        _ = ets:new(?LAST, [named_table, public, {write_concurrency, true}]),
        try serve(os_node:connect(list_to_integer(Port)), Logger)
        catch Class:Reason:Stack -> io:format(standard_error, "~p~n", [{Class, Reason, Stack}])
        end,
        halt(1)
    end),
    ok.

%% Takes the place of a host's logger, which would keep all entries.
forget() -> receive _ -> forget() end.

serve(Line, Logger) ->
    %% The driver sends an order every second.
    Order = os_node:recv(Line),
    ok = os_node:send(Line, obey(Order, Logger)),
    serve(Line, Logger).

obey({host, Options}, _) ->
    hb_opts:set(Options);
obey({start, Ids, Options}, Logger) ->
    [{_, _} = hb_process_monitor:start(Id, Options#{logger => Logger}) || Id <- Ids],
    ok;
obey({stop, Ids}, _) ->
    [hb_process_monitor:stop(Monitor) || {ok, {Monitor, _, _}} <- found(Ids)],
    ok;
obey({kill, Ids}, _) ->
    [exit(Monitor, kill) || {ok, {Monitor, _, _}} <- found(Ids)],
    ok;
obey(kill_engine, _) ->
    %% It may be dead already.
    Ticker = whereis(hb_cron_engine),
    is_pid(Ticker) andalso exit(Ticker, kill),
    ok;
obey({fail_pushes, OneOf}, _) ->
    atomics:put(persistent_term:get(?FAILING), 1, OneOf);
obey(last, _) ->
    maps:from_list(ets:tab2list(?LAST));
obey(sample, _) ->
    sample().

found(Ids) -> [hb_cron_registry:find(Id) || Id <- Ids].

sample() ->
    Counts = persistent_term:get(?COUNTS),
    Memory = [{list_to_atom("memory_" ++ atom_to_list(Kind)), Bytes} || {Kind, Bytes} <- erlang:memory()],
    Counted = [{Kind, counters:get(Counts, N)} || {N, Kind} <- lists:enumerate(?KINDS)],
    Engine = maps:with([monitors, inflight, queued, failures, buffered, open_breakers], hb_cron_engine:counters()),
    maps:merge(Engine, maps:from_list(Memory ++ Counted ++ [{processes, erlang:system_info(process_count)},
                                                           {ports, erlang:system_info(port_count)},
                                                           {atoms, erlang:system_info(atom_count)}])).

push(#{message := Result}, #{proc_id := Id}) ->
    case atomics:get(persistent_term:get(?FAILING), 1) of
        OneOf when OneOf > 0 ->
            case rand:uniform(OneOf) of
                1 -> fail(rand:uniform(3));
                _ -> pushed(Id, harness:number(Result))
            end;
        0 -> pushed(Id, harness:number(Result))
    end.

fail(How) ->
    count(failed),
    case How of
        1 -> {error, on_purpose};
        2 -> error(on_purpose);
        3 -> throw(on_purpose)
    end.

%% The next result, or one that was pushed before.
pushed(Id, Number) ->
    Last = case ets:lookup(?LAST, Id) of
        [{_, Known}] -> Known;
        [] -> 0
    end,
    count(pushed),
    if
        Number =:= Last + 1 -> true = ets:insert(?LAST, {Id, Number}), ok;
        Number =< Last -> count(again);
        true -> count(out_of_order)
    end.

count(Kind) ->
    {N, Kind} = lists:keyfind(Kind, 2, lists:enumerate(?KINDS)),
    counters:add(persistent_term:get(?COUNTS), N, 1).
