%%% The node of `make valgrind': does everything that a node does, with occasional faults. It checks that every
%%% result arrives, to be sure that it worked; other tests cover everything else. Under valgrind everything takes
%%% 20 times as long.
-module(valgrind_run).
-export([main/0]).

-define(PROCESSES, 5).
-define(RESULTS, 400).
-define(PAGE_LIMIT, 20).
-define(RATE, 50).
%% One of this many requests and pushes fails.
-define(FETCHES, 5).
-define(PUSHES, 40).
%% The limit of every step, in ms. Only a failure takes this long.
-define(DEADLINE, 600000).

main() ->
    try run() of
        Figures ->
            io:format("valgrind_run: ~p~n", [Figures]),
            halt(0)
    catch
        Class:Reason:Stack ->
            io:format("valgrind_run: ~p~n", [{Class, Reason, Stack}]),
            halt(1)
    end.

run() ->
    Cu = harness:setup(#{cron_push_attempts => 2, cron_push_backoff => {1, 20}, cron_log_level => trace}),
    _ = logger:set_primary_config(level, none),
    Fetches = counters:new(1, []),
    test_cu:script(Cu, fun(_) -> fault(counted(Fetches), Cu) end),
    Ids = [harness:proc_id() || _ <- lists:seq(1, ?PROCESSES)],
    Arrived = ets:new(arrived, [public]),
    Pushes = counters:new(1, []),
    [dev_mu:route(Id, fun(Result, _) -> push(Id, Result, counted(Pushes), Arrived) end) || Id <- Ids],
    _ = [test_cu:add(Cu, Id, ?RESULTS) || Id <- Ids],
    [First, Second | _] = Monitors = [start(Cu, Id, #{cursor => earliest}) || Id <- Ids],
    all_arrived(Ids, ?RESULTS, Arrived),
    %% Ends of all kinds, each followed by further results.
    ok = hb_process_monitor:stop(First, ?DEADLINE),
    exit(Second, kill),
    exit(whereis(hb_cron_engine), kill),
    _ = [test_cu:add(Cu, Id, ?RESULTS) || Id <- Ids],
    gone(Second),
    _ = [start(Cu, Id, #{}) || Id <- lists:sublist(Ids, 2)],
    all_arrived(Ids, 2 * ?RESULTS, Arrived),
    Letters = [{Id, Letter} || Id <- Ids, {ok, Of} <- [hb_process_monitor:dead_letters(Id)], #{id := Letter} <- Of],
    _ = [hb_process_monitor:redeliver(Id, Letter) || {Id, Letter} <- Letters],
    _ = [hb_process_monitor:discard(Id, Letter) || {Id, Letter} <- Letters],
    %% Once more, as after a restart of the node.
    ok = application:stop(hb_process_monitor),
    [{_, {_, _}} | _] = hb_process_monitor:resume_all(),
    _ = [test_cu:add(Cu, Id, ?PAGE_LIMIT) || Id <- Ids],
    all_arrived(Ids, 2 * ?RESULTS + ?PAGE_LIMIT, Arrived),
    harness:cleanup(Cu),
    #{monitors => length(Monitors), results => ets:info(Arrived, size), dead_letters => length(Letters),
      fetches => counters:get(Fetches, 1), pushes => counters:get(Pushes, 1)}.

start(Cu, Id, Options) ->
    {Monitor, _} = harness:start(Cu, Id, Options#{rate => ?RATE, cron_page_limit => ?PAGE_LIMIT, cron_timeout => 2000}),
    Monitor.

gone(Monitor) ->
    Ref = monitor(process, Monitor),
    receive {'DOWN', Ref, process, _, _} -> ok after ?DEADLINE -> error(not_gone) end.

counted(Counter) ->
    ok = counters:add(Counter, 1, 1),
    counters:get(Counter, 1).

%% A result that was given up has arrived, too: as a dead letter.
push(Id, Result, Number, Arrived) ->
    true = ets:insert(Arrived, {{Id, harness:number(Result)}}),
    case Number rem ?PUSHES of
        0 -> error(on_purpose);
        %% The next try fails as well.
        N when N =< 1 -> {error, on_purpose};
        _ -> ok
    end.

fault(Number, Cu) when Number rem ?FETCHES =:= 0 ->
    Faults = [close, hang, {raw, test_cu:reply(503, [{<<"retry-after">>, <<"0">>}], <<"later">>)},
              {raw, test_cu:reply(200, <<"{\"edges\":[{\"node\":{\"a\":[1,-1.5e3,\"\\u00e9\"]},\"cursor\":\"\"}]}">>)},
              {raw, test_cu:reply(302, [{<<"location">>, <<(test_cu:url(Cu))/binary, "/elsewhere">>}], <<>>)},
              {raw_then_close, <<"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n{\"edges\":[">>},
              {raw_then_close, rand:bytes(100)},
              {raw, test_cu:reply(200, [{<<"content-encoding">>, <<"gzip">>}], rand:bytes(100))},
              {raw, test_cu:reply(200, [{<<"content-encoding">>, <<"gzip">>}], zlib:gzip(<<"{\"edges\":[[]]}">>))}],
    lists:nth(Number div ?FETCHES rem length(Faults) + 1, Faults);
fault(_Number, _Cu) ->
    pass.

all_arrived(Ids, Count, Arrived) ->
    Until = erlang:monotonic_time(millisecond) + ?DEADLINE,
    [arrived(Id, Count, Arrived, Until) || Id <- Ids],
    ok.

arrived(Id, Number, Arrived, Until) ->
    case ets:member(Arrived, {Id, Number}) of
        true -> ok;
        false ->
            erlang:monotonic_time(millisecond) < Until orelse error({never_arrived, Id, Number}),
            receive after 20 -> arrived(Id, Number, Arrived, Until) end
    end.
