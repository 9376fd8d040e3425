%%% Monitors with a heap limit, by `+hmax' or set by an operator's push: a result that does not fit is refused with
%%% an error instead of killing the monitor repeatedly. It is pushed once it is smaller.
-module(heap_limit_tests).
-include_lib("eunit/include/eunit.hrl").

%% The push in the other node.
-export([push/2]).

%% In words of 8 bytes.
-define(LIMIT, 1 bsl 20).

eunit_wrapper_(Tests) -> deadline:each(Tests).

all_test_() ->
    harness:tests([
        fun result_too_large_for_the_heap_is_pushed_once_it_is_smaller/1,
        fun results_of_any_size_are_pushed_or_refused_and_kill_nothing/1,
        fun long_string_lies_outside_of_the_heap_and_is_pushed/1,
        fun node_with_a_limit_refuses_what_is_too_large/1
    ]).

%% A monitor whose first push, of a small result, limits its heap.
limited(Cu, Id, Options) ->
    Self = self(),
    Push = fun(#{message := Result}, _) ->
        _ = process_flag(max_heap_size, #{size => ?LIMIT, kill => true, error_logger => false}),
        Self ! {pushed, harness:number(Result), none, none},
        ok
    end,
    1 = test_cu:add_nodes(Cu, Id, [floats(1)]),
    {Monitor, Logger} = harness:start(Cu, Id, Options#{cursor => earliest, cron_push => Push, logger => hb_logger:start()}),
    Monitor ! tick,
    harness:await_results(1, 1),
    harness:await_polled(Cu, Id),
    {Monitor, Logger}.

%% A result of this many small values, which take 4 bytes each as JSON and 32 on a heap.
floats(Count) -> iolist_to_binary([<<"{\"Output\":[">>, lists:join($,, lists:duplicate(Count, <<"1.5">>)), <<"]}">>]).

result_too_large_for_the_heap_is_pushed_once_it_is_smaller(Cu) ->
    Id = harness:proc_id(),
    {Monitor, Logger} = limited(Cu, Id, #{}),
    Pages = counters:new(1, []),
    Large = page([2], floats(400000)),
    test_cu:script(Cu, fun(#{query := #{<<"from">> := _}}) -> counters:add(Pages, 1, 1), {raw, Large}; (_) -> pass end),
    Monitor ! tick,
    harness:await_logged(Logger, fun({error, result_too_large, {For, At, {bytes, Bytes}, 1}}) ->
        For =:= Id andalso At =:= test_cu:cursor(1) andalso Bytes > 8 * ?LIMIT
    end),
    %% It also retries by itself, within about a second at first.
    harness:eventually(fun() ->
        case hb_process_monitor:info(Id) of
            #{monitor := Monitor, state := backing_off, error := #{what := push, class := result_too_large}, next_try := Pause} ->
                is_integer(Pause);
            _ -> false
        end
    end),
    #{advice := Advice} = hb_process_monitor:doctor(#{probe => false}),
    ?assertMatch([_], [Do || {_, What, Do} <- Advice, binary:match(What, Id) =/= nomatch, binary:match(Do, <<"+hmax">>) =/= nomatch]),
    %% A retry fetches it again.
    Before = counters:get(Pages, 1),
    Monitor ! tick,
    harness:await_logged(Logger, fun({error, result_too_large, {_, _, _, 2}}) -> true end),
    harness:eventually(fun() -> counters:get(Pages, 1) > Before end),
    harness:no_result(),
    test_cu:script(Cu, fun(_) -> pass end),
    2 = test_cu:add_nodes(Cu, Id, [floats(10)]),
    test_cu:add(Cu, Id, 1),
    Monitor ! tick,
    harness:await_results(2, 3),
    ?assertEqual({true, undefined}, {is_process_alive(Monitor), maps:get(error, hb_process_monitor:info(Id))}),
    ?assertEqual([], [Entry || {error, monitor_crashed, _} = Entry <- harness:report(Logger)]).

page(Numbers, Node) ->
    Edges = [[<<"{\"node\":">>, Node, <<",\"cursor\":\"">>, test_cu:cursor(N), <<"\"}">>] || N <- Numbers],
    iolist_to_binary(test_cu:reply(200, [<<"{\"pageInfo\":{\"hasNextPage\":false},\"edges\":[">>, lists:join($,, Edges), <<"]}">>])).

%% Mostly sizes near the limit, for which the needs of a garbage collection are not known in advance.
results_of_any_size_are_pushed_or_refused_and_kill_nothing(Cu) ->
    Counts = [round(1000 * math:pow(1.25, N)) || N <- lists:seq(1, 27)],
    Outcomes = [begin
        Id = harness:proc_id(),
        {Monitor, Logger} = limited(Cu, Id, #{}),
        Ref = monitor(process, Monitor),
        2 = test_cu:add_nodes(Cu, Id, [Node(Count)]),
        Monitor ! tick,
        Outcome = outcome(Ref, Logger),
        ?assertNotMatch({_, _, {died, _}}, {Shape, Count, Outcome}),
        ok = hb_process_monitor:stop(Monitor, deadline:ms()),
        Outcome
    end || {Shape, Node} <- shapes(), Count <- Counts],
    %% Both outcomes occur.
    ?assertEqual([pushed, refused], lists:usort(Outcomes)).

shapes() ->
    [{floats, fun floats/1},
     {objects, fun(Count) ->
         Entries = [[<<"\"k">>, integer_to_binary(N), <<"\":\"">>, integer_to_binary(N), <<"\"">>] || N <- lists:seq(1, Count div 3)],
         iolist_to_binary([<<"{">>, lists:join($,, Entries), <<"}">>])
     end}].

outcome(Ref, Logger) ->
    receive
        {pushed, 2, _, _} -> demonitor(Ref, [flush]), pushed;
        {'DOWN', Ref, process, _, Reason} -> {died, Reason}
    after 5 ->
        case [E || {error, result_too_large, _} = E <- harness:report(Logger)] of
            [] -> outcome(Ref, Logger);
            _ -> demonitor(Ref, [flush]), refused
        end
    end.

long_string_lies_outside_of_the_heap_and_is_pushed(Cu) ->
    Id = harness:proc_id(),
    {Monitor, Logger} = limited(Cu, Id, #{}),
    2 = test_cu:add_nodes(Cu, Id, [iolist_to_binary([<<"{\"Output\":\"">>, binary:copy(<<"x">>, 16 * ?LIMIT), <<"\"}">>])]),
    Monitor ! tick,
    harness:await_results(2, 2),
    ?assertEqual([], [Entry || {error, _, _} = Entry <- harness:report(Logger)]).

push(#{message := Result}, _) ->
    ets:insert(?MODULE, {harness:number(Result)}),
    ok.

node_with_a_limit_refuses_what_is_too_large(Cu) ->
    Id = harness:proc_id(),
    Peer = harness:start_peer(["+hmax", integer_to_list(?LIMIT), "-pa" | code:get_path()]),
    Call = fun(Module, Function, Args) -> harness:call_peer(Peer, Module, Function, Args) end,
    2 = test_cu:add_nodes(Cu, Id, [floats(1), floats(1)]),
    try
        ok = Call(hb_opts, set, [#{cron_checkpoint => harness:checkpoint()}]),
        %% The table ends with the process of the call, unless it has an heir.
        ?MODULE = Call(ets, new, [?MODULE, [named_table, public, {heir, Call(erlang, whereis, [init]), none}]]),
        {Monitor, _} = Call(hb_process_monitor, start, [Id, #{rate => 3600000, cursor => earliest, cron_node => test_cu:url(Cu),
                                                              cron_push => {?MODULE, push}}]),
        Tick = fun() -> tick = Call(erlang, send, [Monitor, tick]) end,
        Tick(),
        harness:eventually(fun() -> lists:sort(Call(ets, tab2list, [?MODULE])) =:= [{1}, {2}] end),
        3 = test_cu:add_nodes(Cu, Id, [floats(400000)]),
        Tick(),
        harness:eventually(fun() ->
            case Call(hb_process_monitor, info, [Id]) of
                #{error := #{class := result_too_large}, monitor := Monitor} -> true;
                Other -> Other
            end
        end)
    after
        peer:stop(Peer)
    end.
