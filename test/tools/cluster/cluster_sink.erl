%%% Records what the host nodes of a cluster push, and passes orders on to them. Has the Compute Unit stay ahead of the
%%% pushes. {@link cluster_verdict} judges what it recorded.
-module(cluster_sink).

-export([start/1, stop/1]).
%% Host nodes
-export([expect/3, await_ready/2, call/5, send/3]).
%% Pushes
-export([await_pushes/1, finish/1, pushes/1, events/1]).

%% Only a failure takes this long, in ms.
-define(DEADLINE, 600000).

%% `cu', `processes', and `ahead': how many results of each process the CU has that were not pushed yet. With 0 there are
%% no results, and nothing is waited for. `watcher': gets `{pushed, Life, ProcId, Number}' for each push.
start(#{cu := Cu, processes := Processes, ahead := Ahead, watcher := Watcher}) ->
    Began = erlang:monotonic_time(millisecond),
    spawn_link(fun() ->
        {Listen, Port} = os_node:listen(),
        Self = self(),
        _ = spawn_link(fun() -> accept(Listen, Self) end),
        Busy = case Ahead of 0 -> []; _ -> Processes end,
        _ = [test_cu:add(Cu, Id, Ahead) || Id <- Busy],
        sink(#{began => Began, watcher => Watcher, port => Port, cu => Cu, ahead => Ahead, processes => Busy, events => [], hosts => #{},
               lines => #{}, growing => true, latest => #{}, waiting => []})
    end).

stop(Sink) ->
    true = unlink(Sink),
    true = exit(Sink, kill),
    ok.

accept(Listen, Sink) ->
    case gen_tcp:accept(Listen) of
        {ok, Socket} ->
            _ = gen_tcp:controlling_process(Socket, Sink),
            _ = inet:setopts(Socket, [{active, true}]),
            accept(Listen, Sink);
        {error, closed} ->
            ok
    end.

%% The next host node that connects to this port has these options of the host.
expect(Life, Host, Sink) -> ask(Sink, {expect, Life, Host}).

await_ready(Life, Sink) -> ask(Sink, {await_ready, Life}).

%% Calls a function in a host node.
call(Life, Module, Function, Args, Sink) -> ask(Sink, {call, Life, {call, Module, Function, Args}}).

%% Sends an order to a host node.
send(Life, Order, Sink) -> ask(Sink, {send, Life, Order}).

%% Waits until every process has been pushed since now.
await_pushes(Sink) -> ask(Sink, await_pushes).

%% No results are added any more: waits until all are pushed.
finish(Sink) -> ask(Sink, finish).

%% How many pushes have begun.
-spec pushes(pid()) -> non_neg_integer().
pushes(Sink) -> ask(Sink, pushes).

-spec events(pid()) -> [cluster_verdict:event()].
events(Sink) -> ask(Sink, events).

ask(Sink, Question) ->
    Ref = monitor(process, Sink),
    Sink ! {ask, {self(), Ref}, Question},
    receive
        {Ref, Answer} -> demonitor(Ref, [flush]), Answer;
        {'DOWN', Ref, process, _, Reason} -> error(Reason)
    after ?DEADLINE -> error({late, Question})
    end.

answer({Pid, Ref}, Answer) -> Pid ! {Ref, Answer}, ok.

sink(#{events := Events, lines := Lines, hosts := Hosts} = State) ->
    receive
        {tcp, Socket, Data} ->
            case binary_to_term(Data) of
                orders ->
                    [{Life, Host} | _] = lists:reverse(maps:to_list(maps:without(maps:keys(Lines), Hosts))),
                    _ = os_node:send(Socket, #{host => Host, life => Life}),
                    sink(State#{lines := Lines#{Life => Socket}});
                {ready, Life} ->
                    sink(satisfied(State#{{ready, Life} => true}));
                {answer, Answer} ->
                    #{calling := From} = State,
                    ok = answer(From, Answer),
                    sink(maps:remove(calling, State));
                {What, Life, ProcId, Number} ->
                    _ = os_node:send(Socket, recorded),
                    Event = {What, Life, ProcId, Number, now_ms(State)},
                    sink(satisfied(noted(Event, State#{events := [Event | Events]})))
            end;
        {ask, From, {expect, Life, Host}} ->
            ok = answer(From, maps:get(port, State)),
            sink(State#{hosts := Hosts#{Life => Host}});
        {ask, From, {await_ready, Life}} ->
            sink(satisfied(wait(From, fun(Now) -> maps:is_key({ready, Life}, Now) end, ready, State)));
        {ask, From, {call, Life, Call}} ->
            ok = os_node:send(maps:get(Life, Lines), Call),
            sink(State#{calling => From});
        {ask, From, {send, Life, Order}} ->
            ok = os_node:send(maps:get(Life, Lines), Order),
            ok = answer(From, ok),
            sink(State);
        {ask, From, await_pushes} ->
            Since = now_ms(State),
            sink(satisfied(wait(From, fun(Now) -> all_pushed_since(Since, Now) end, ok, State)));
        {ask, From, finish} ->
            sink(satisfied(wait(From, fun is_complete/1, ok, State#{growing := false})));
        {ask, From, pushes} ->
            ok = answer(From, length([begun || {pushing, _, _, _, _} <- Events])),
            sink(State);
        {ask, From, events} ->
            ok = answer(From, lists:reverse(Events)),
            sink(State);
        _Closed ->
            sink(State)
    end.

wait(From, Holds, Answer, #{waiting := Waiting} = State) -> State#{waiting := [{From, Holds, Answer} | Waiting]}.

satisfied(#{waiting := Waiting} = State) ->
    Left = lists:filter(fun({From, Holds, Answer}) ->
        case Holds(State) of
            true -> answer(From, Answer), false;
            false -> true
        end
    end, Waiting),
    State#{waiting := Left}.

noted({pushed, Life, ProcId, Number, At},
      #{latest := Latest, growing := Growing, cu := Cu, ahead := Ahead, watcher := Watcher} = State) ->
    _ = is_pid(Watcher) andalso (Watcher ! {pushed, Life, ProcId, Number}),
    {Most, _} = maps:get(ProcId, Latest, {0, 0}),
    Missing = Number + Ahead - test_cu:count(Cu, ProcId),
    _ = Growing andalso Missing > 0 andalso test_cu:add(Cu, ProcId, Missing),
    State#{latest := Latest#{ProcId => {max(Most, Number), At}}};
noted(_Event, State) ->
    State.

all_pushed_since(Since, #{processes := Processes, latest := Latest}) ->
    lists:all(fun(Id) -> case Latest of #{Id := {_, At}} -> At > Since; #{} -> false end end, Processes).

is_complete(#{processes := Processes, latest := Latest, cu := Cu}) ->
    lists:all(fun(Id) ->
        case Latest of #{Id := {Most, _}} -> Most >= test_cu:count(Cu, Id); #{} -> false end
    end, Processes).

%% Never 0.
now_ms(#{began := Began}) -> erlang:monotonic_time(millisecond) - Began + 1.
