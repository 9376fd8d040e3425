%%% Memory is bounded. With values of any size in pages, the OS process takes only a few times
%%% `cron_max_buffered_bytes': these tests run in a separate node, whose peak the system reports. And messages of the
%%% loop take a few MiB, however many it sends.
-module(memory_tests).
-include_lib("eunit/include/eunit.hrl").
%% Runs in the separate node.
-export([main/1]).

-define(BUDGET, (32 bsl 20)).
%% The bound of the README: a multiple of the budget, and some bytes per fetch thread.
-define(TIMES, 3).
-define(PER_THREAD, (1 bsl 20)).
%% More pages than the budget allows.
-define(MONITORS, 8).
-define(PAGES, 3).
%% The size of a page's JSON.
-define(PAGE, (12 bsl 20)).

eunit_wrapper_(Tests) -> deadline:each(Tests).

memory_of_pages_is_bounded_by_the_budget_test_() ->
    [{atom_to_list(Name), {timeout, 300, fun() ->
        #{bytes := Bytes, buffered := Buffered, threads := Threads} = peak(Node),
        ?assert(Bytes =< ?TIMES * ?BUDGET + Threads * ?PER_THREAD, {Bytes, Buffered, Threads})
    end}} || {Name, Node} <- shapes()].

%% Messages of the loop stay in the memory of its process while a slice runs, up to 8 MiB. No process is shown to have
%% that memory.
messages_of_many_pages_take_bounded_memory_test_() ->
    {setup, fun harness:setup/0, fun harness:cleanup/1, fun(Cu) ->
        [{"24,000 pages", {timeout, 300, fun() ->
            Before = hidden(),
            ok = pushed_one_by_one(Cu, 12, 2000),
            Taken = hidden() - Before,
            ?assert(Taken < 14 bsl 20, {bytes, Taken})
        end}}]
    end}.

%% So many monitors push so many results each, in pages of one result.
pushed_one_by_one(Cu, Monitors, Results) ->
    Ids = [harness:proc_id() || _ <- lists:seq(1, Monitors)],
    [begin
        _ = harness:report_pushes(Id),
        _ = test_cu:add(Cu, Id, Results),
        {Monitor, _} = harness:start(Cu, Id, #{cursor => earliest, cron_page_limit => 1}),
        Monitor ! tick
    end || Id <- Ids],
    lists:foreach(fun(_) -> receive {pushed, _, _, _} -> ok after deadline:ms() -> error(no_result) end end,
                  lists:seq(1, Monitors * Results)).

%% The bytes of processes that no process has.
hidden() ->
    erlang:memory(processes) - lists:sum([Bytes || Pid <- processes(), {memory, Bytes} <- [process_info(Pid, memory)]]).

%% Results whose values take many times their JSON in memory, of about this many bytes each.
shapes() ->
    [{floats, many(2000, <<"1.5">>)},
     {empty_objects, many(2000, <<"{}">>)},
     {short_strings, many(2000, <<"\"a\"">>)},
     {objects, many(2000, <<"{\"a\":1}">>)},
     {large_results, many(300000, <<"1.5">>)}].

many(Bytes, Value) ->
    Count = Bytes div (byte_size(Value) + 1),
    iolist_to_binary([<<"{\"Output\":[">>, lists:join($,, lists:duplicate(Count, Value)), <<"]}">>]).

%% The peak memory for pages of such results, and the peak that the engine counted.
peak(Node) ->
    Cu = test_cu:start(),
    Size = ?PAGE div byte_size(Node),
    Pages = [test_cu:reply(200, page(lists:seq(P * Size + 1, (P + 1) * Size), Node)) || P <- lists:seq(0, ?PAGES - 1)],
    Bodies = list_to_tuple([iolist_to_binary(Page) || Page <- Pages] ++ [iolist_to_binary(test_cu:reply(200, test_cu:page([], false, <<>>)))]),
    test_cu:script(Cu, fun(#{query := Query}) ->
        Done = case Query of #{<<"from">> := From} -> test_cu:number(From) div Size; #{} -> 0 end,
        {raw, element(Done + 1, Bodies)}
    end),
    {Listen, Port} = os_node:listen(),
    Child = os_node:start(?MODULE, [integer_to_list(Port), binary_to_list(test_cu:url(Cu))]),
    Said = os_node:recv(os_node:accept(Listen), 240000),
    ok = gen_tcp:close(Listen),
    0 = os_node:dead(Child),
    test_cu:stop(Cu),
    Said.

page(Numbers, Node) ->
    [<<"{\"pageInfo\":{\"hasNextPage\":true},\"edges\":[">>,
     lists:join($,, [[<<"{\"node\":">>, Node, <<",\"cursor\":\"">>, test_cu:cursor(N), <<"\"}">>] || N <- Numbers]), <<"]}">>].

main([Port, Url]) ->
    _ = spawn(fun() ->
        Line = os_node:connect(list_to_integer(Port)),
        ok = os_node:send(Line, measured(list_to_binary(Url))),
        halt(0)
    end),
    ok.

%% At first no push returns, until the budget is reached; then everything is pushed.
measured(Url) ->
    hb_opts:set(#{cron_checkpoint => false, cron_max_buffered_bytes => ?BUDGET, cron_push_backoff => {1, 1}}),
    Gate = counters:new(1, []),
    Push = fun(_, _) -> held(Gate) end,
    Ids = [harness:proc_id() || _ <- lists:seq(1, ?MONITORS)],
    Monitors = [begin
        {Monitor, _} = hb_process_monitor:start(Id, #{rate => 3600000, cursor => earliest, cron_node => Url, cron_push => Push}),
        Monitor
    end || Id <- Ids],
    %% Resets the peak.
    ok = file:write_file("/proc/self/clear_refs", <<"5">>),
    #{rss_kb := Before} = os_node:status(self),
    %% No further fetch begins once the budget is used up.
    harness:eventually(fun() ->
        _ = idle() andalso [Monitor ! tick || Monitor <- Monitors],
        buffered() > ?BUDGET div 2
    end),
    harness:eventually(fun idle/0),
    Buffered = buffered(),
    ok = counters:put(Gate, 1, 1),
    %% Held pages are pushed, and further ones fetched.
    [Monitor ! tick || Monitor <- Monitors],
    harness:eventually(fun() -> idle() andalso lists:any(fun has_pushed/1, Ids) end),
    #{peak_kb := After} = os_node:status(self),
    #{threads := Threads} = hb_cron_engine:counters(),
    #{bytes => (After - Before) * 1024, buffered => Buffered, threads => Threads}.

has_pushed(Id) -> maps:get(last_result, hb_process_monitor:info(Id)) =/= undefined.

buffered() -> maps:get(buffered, hb_cron_engine:counters()).

idle() ->
    #{inflight := Inflight} = hb_cron_engine:counters(),
    Inflight =:= 0.

held(Gate) ->
    case counters:get(Gate, 1) of
        0 -> receive after 5 -> held(Gate) end;
        1 -> ok
    end.
