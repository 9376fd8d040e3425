%%% The cluster test: several host nodes in OS processes of their own share processes through a private PostgreSQL
%%% server, while faults strike them and the server. This driver, outside the nodes, records all pushes and judges
%%% them: nothing lost or skipped, no cursor moved back, repeated only after a fault.
-module(clustertest).
-export([main/1, run/1, judge/2, print/1]).

%% The time after which a silent node is taken for dead, in ms.
-define(TTL, 2000).
%% How far the CU is ahead of the pushes of each process.
-define(AHEAD, 20).
-define(RATE, 100).
%% Faults come within this time of each other, in ms.
-define(WITHIN, 3000).
%% The age at which acks that are not saved stop pushes, and the tolerance for it on a noisy machine, in ms.
-define(UNSAVED_LIMIT, 500).
-define(SLACK, 500).
%% Only a failure takes this long, in ms.
-define(DEADLINE, 240000).

%% {Life, ProcId, Number, At}
-type event() :: {pushing | pushed, Life :: pos_integer(), ProcId :: binary(), Number :: pos_integer(), At :: integer()}.
-type fault() :: kill | pause | leave | freeze_database | kill_database.

%% `erl -run clustertest main Kills [Seed]': exit status 1 on a violation.
main([Kills]) ->
    main([Kills, integer_to_list(os:system_time(microsecond) rem 1000000000)]);
main([Kills, Seed]) ->
    io:format("clustertest: ~s faults, seed ~s~n", [Kills, Seed]),
    _ = rand:seed(exsss, list_to_integer(Seed)),
    Faults = [lists:nth(rand:uniform(length(faults())), faults()) || _ <- lists:seq(1, list_to_integer(Kills))],
    #{violations := Violations} = Report = with_limit(run(#{faults => Faults, processes => 60})),
    print(Report),
    halt(case Violations of [] -> 0; _ -> 1 end).

%% How old a repeated push may be: the limit for acks that are not saved, and what a busy machine adds.
with_limit(#{oldest_repeat_ms := Oldest, violations := Violations} = Report) ->
    Report#{violations := Violations ++ [{repeated_too_late, {ms, Oldest}} || Oldest > ?UNSAVED_LIMIT + ?SLACK]}.

-spec faults() -> [fault(), ...].
faults() -> [kill, kill, pause, leave, freeze_database, kill_database].

%% Plays the faults, one after the other, then has everything pushed. `nodes': their number, 3 by default.
run(#{faults := Faults, processes := Count} = Options) ->
    ok = persistent_term:put(?MODULE, erlang:monotonic_time(millisecond)),
    Server = postgres_server:start(),
    Cu = test_cu:start(),
    Processes = [harness:proc_id() || _ <- lists:seq(1, Count)],
    Sink = start_sink(Cu, Processes),
    Began = now_ms(),
    Nodes = maps:get(nodes, Options, 3),
    World = #{server => Server, cu => Cu, sink => Sink, nodes => #{}, life => 0, size => Nodes},
    try
        Up = #{nodes := Lives} = lists:foldl(fun(_, Acc) -> start_node(Acc) end, World, lists:seq(1, Nodes)),
        [First | _] = maps:keys(Lives),
        _ = [call(First, hb_process_monitor, start, [Id, options(Cu)], Up) || Id <- Processes],
        ok = note_back_moves(Server),
        ok = await_even(Up),
        ok = await_pushes(Sink),
        After = lists:foldl(fun(Fault, Acc) -> settle(strike(Fault, Acc)) end, Up, Faults),
        ok = finish(Sink),
        Events = events(Sink),
        Back = postgres_server:sql(Server, "SELECT count(*) FROM public.back"),
        _ = maps:foreach(fun(_, Node) -> os_node:kill(Node) end, maps:get(nodes, After)),
        Counts = maps:from_list([{Id, test_cu:count(Cu, Id)} || Id <- Processes]),
        Report = judge(Events, Counts),
        Moved = [{cursor_moved_back, Back} || Back =/= "0"],
        Report#{faults => Faults, took_ms => now_ms() - Began, violations := maps:get(violations, Report) ++ Moved}
    after
        test_cu:stop(Cu),
        postgres_server:stop(Server)
    end.

options(Cu) ->
    #{rate => ?RATE, cursor => earliest, cron_node => test_cu:url(Cu), cron_push => {cluster_node, push},
      cron_push_backoff => {50, 500}}.

host(#{server := Server, life := Life}) ->
    #{cron_cluster => postgres_server:url(Server), cron_cluster_ttl => ?TTL, cron_push => {cluster_node, push},
      cron_cluster_node => <<"node-", (integer_to_binary(Life))/binary>>}.

%% Host nodes

start_node(#{life := Before, nodes := Nodes, sink := Sink} = World) ->
    Life = Before + 1,
    Next = World#{life := Life},
    Node = os_node:start(cluster_node, [integer_to_list(ask(Sink, {expect, Life, host(Next)}))]),
    ready = ask(Sink, {await_ready, Life}),
    Next#{nodes := Nodes#{Life => Node}}.

call(Life, Module, Function, Args, #{sink := Sink}) ->
    ask(Sink, {call, Life, {call, Module, Function, Args}}).

random_life(#{nodes := Nodes}) ->
    Lives = maps:keys(Nodes),
    lists:nth(rand:uniform(length(Lives)), Lives).

%% Faults

strike(kill, #{nodes := Nodes} = World) ->
    Life = random_life(World),
    ok = os_node:kill(maps:get(Life, Nodes)),
    World#{nodes := maps:remove(Life, Nodes)};
strike(pause, #{nodes := Nodes} = World) ->
    Life = random_life(World),
    Pid = os_node:os_pid(maps:get(Life, Nodes)),
    _ = os:cmd(lists:concat(["kill -STOP ", Pid])),
    ok = taken_over(Life, World),
    _ = os:cmd(lists:concat(["kill -CONT ", Pid])),
    World;
strike(leave, #{nodes := Nodes, sink := Sink} = World) ->
    Life = random_life(World),
    Node = maps:get(Life, Nodes),
    ok = ask(Sink, {send, Life, leave}),
    0 = os_node:dead(Node),
    World#{nodes := maps:remove(Life, Nodes)};
strike(freeze_database, #{server := Server} = World) ->
    ok = postgres_server:freeze(Server),
    pause(?TTL + rand:uniform(?TTL)),
    ok = postgres_server:continue(Server),
    World;
strike(kill_database, #{server := Server} = World) ->
    ok = postgres_server:kill(Server),
    pause(rand:uniform(?TTL)),
    ok = postgres_server:restart(Server),
    World.

%% Once the others own all of its shards.
taken_over(Life, #{server := Server} = World) ->
    Name = "node-" ++ integer_to_list(Life),
    Query = "SELECT count(*) FROM hb_cron.node WHERE name = '" ++ Name ++ "'",
    case postgres_server:sql(Server, Query) of
        "0" -> ok;
        _ -> pause(50), taken_over(Life, World)
    end.

%% A node that has ended is replaced. Then every process is pushed again.
settle(#{nodes := Nodes, sink := Sink, size := Size} = World) ->
    Next = case map_size(Nodes) < Size of true -> start_node(World); false -> World end,
    ok = await_pushes(Sink),
    pause(rand:uniform(?WITHIN)),
    Next.

%% Waits until all nodes have the same number of shards, but for one.
await_even(#{server := Server, size := Size} = World) ->
    Query = "SELECT count(*) = " ++ integer_to_list(Size) ++ " AND max(c) - min(c) < 2 FROM
             (SELECT count(*) AS c FROM hb_cron.shard s JOIN hb_cron.node n ON n.incarnation = s.owner GROUP BY owner) o",
    case postgres_server:sql(Server, Query) of
        "t" -> ok;
        _ -> pause(50), await_even(World)
    end.

pause(Ms) -> receive after Ms -> ok end.

%% A trigger notes each cursor that moves back within a start.
note_back_moves(Server) ->
    _ = postgres_server:sql(Server, "
        CREATE TABLE public.back (process text, old_seq bigint, new_seq bigint);
        CREATE FUNCTION public.note() RETURNS trigger LANGUAGE plpgsql AS
        'BEGIN IF NEW.generation = OLD.generation AND NEW.seq < OLD.seq THEN
         INSERT INTO public.back VALUES (NEW.process, OLD.seq, NEW.seq); END IF; RETURN NULL; END';
        CREATE TRIGGER note AFTER UPDATE ON hb_cron.process FOR EACH ROW EXECUTE FUNCTION public.note()"),
    ok.

%% The sink records pushes, and passes orders on to the nodes

start_sink(Cu, Processes) ->
    Driver = self(),
    Sink = spawn_link(fun() ->
        {Listen, Port} = os_node:listen(),
        Self = self(),
        _ = spawn_link(fun() -> accept(Listen, Self) end),
        _ = [test_cu:add(Cu, Id, ?AHEAD) || Id <- Processes],
        sink(#{driver => Driver, port => Port, cu => Cu, processes => Processes, events => [], hosts => #{}, lines => #{},
               growing => true, latest => #{}, waiting => []})
    end),
    Sink.

accept(Listen, Sink) ->
    case gen_tcp:accept(Listen) of
        {ok, Socket} ->
            _ = gen_tcp:controlling_process(Socket, Sink),
            _ = inet:setopts(Socket, [{active, true}]),
            accept(Listen, Sink);
        {error, closed} ->
            ok
    end.

ask(Sink, Question) ->
    Ref = monitor(process, Sink),
    Sink ! {ask, {self(), Ref}, Question},
    receive
        {Ref, Answer} -> demonitor(Ref, [flush]), Answer;
        {'DOWN', Ref, process, _, Reason} -> error(Reason)
    after ?DEADLINE -> error({late, Question})
    end.

answer({Pid, Ref}, Answer) -> Pid ! {Ref, Answer}, ok.

%% Waits until every process has been pushed since now.
await_pushes(Sink) -> ask(Sink, await_pushes).

%% No results are added any more: waits until all are pushed.
finish(Sink) -> ask(Sink, finish).

events(Sink) -> ask(Sink, events).

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
                    Event = {What, Life, ProcId, Number, now_ms()},
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
            Since = now_ms(),
            sink(satisfied(wait(From, fun(Now) -> all_pushed_since(Since, Now) end, ok, State)));
        {ask, From, finish} ->
            sink(satisfied(wait(From, fun is_complete/1, ok, State#{growing := false})));
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

noted({pushed, _, ProcId, Number, At}, #{latest := Latest, growing := Growing, cu := Cu} = State) ->
    {Most, _} = maps:get(ProcId, Latest, {0, 0}),
    Missing = Number + ?AHEAD - test_cu:count(Cu, ProcId),
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

%% The verdict, as a function of plain data

-spec judge([event()], Counts :: #{binary() => non_neg_integer()}) -> map().
judge(Events, Counts) ->
    ByProcess = lists:foldl(fun({_, _, ProcId, _, _} = Event, Acc) ->
        maps:update_with(ProcId, fun(Newest) -> [Event | Newest] end, [Event], Acc)
    end, #{}, Events),
    Judged = [judge_process(ProcId, lists:reverse(maps:get(ProcId, ByProcess, [])), Count)
              || {ProcId, Count} <- maps:to_list(Counts)],
    Gaps = [Gap || #{longest_gap := Gap} <- Judged],
    #{results => lists:sum(maps:values(Counts)),
      pushes => length([none || {pushed, _, _, _, _} <- Events]),
      repeated => lists:sum([Repeated || #{repeated := Repeated} <- Judged]),
      oldest_repeat_ms => lists:max([0 | [Oldest || #{oldest := Oldest} <- Judged]]),
      owners => lists:max([0 | [Owners || #{owners := Owners} <- Judged]]),
      longest_gap_ms => lists:max([0 | Gaps]),
      violations => lists:append([Violations || #{violations := Violations} <- Judged])}.

%% `done': when each number was last pushed to the end, and by which life. `begun': when the last push of each life began;
%% `before': the same before numbers went back last, and `latest' the number since then. A repeat's age is how long before
%% the last push of that life its first push ended: a push that began before its host node was frozen may end much later.
judge_process(ProcId, Events, Count) ->
    Start = #{most => 0, done => #{}, begun => #{}, before => #{}, latest => 0, repeated => 0, oldest => 0, violations => [], last => 0, gap => 0},
    #{done := Done, repeated := Repeated, oldest := Oldest, violations := Violations, gap := Gap} =
        lists:foldl(fun judge_event/2, Start, Events),
    Lost = [{lost, ProcId, Number} || Number <- lists:seq(1, Count), not is_map_key(Number, Done)],
    #{repeated => Repeated, oldest => Oldest, longest_gap => Gap,
      owners => length(lists:usort([Life || {_, Life, _, _, _} <- Events])), violations => lists:reverse(Violations) ++ Lost}.

judge_event({pushing, Life, ProcId, Number, At}, #{begun := Begun, before := Before, latest := Latest} = Acc) ->
    Known = case Latest + 1 of Number -> Before; _ -> Begun end,
    began(Life, ProcId, Number, Acc#{begun := Begun#{Life => At}, before := Known, latest := Number});
judge_event({pushed, Life, _, Number, At}, #{done := Done, last := Last, gap := Gap} = Acc) ->
    Since = case Last of 0 -> 0; _ -> At - Last end,
    Acc#{done := Done#{Number => {At, Life}}, last := At, gap := max(Gap, Since)}.

began(Life, ProcId, Number, #{most := Most, violations := Violations} = Acc) when Number > Most + 1 ->
    Acc#{violations := [{skipped, ProcId, {after_number, Most}, Number, {life, Life}} | Violations], most := Number};
began(_, _, Number, #{most := Most} = Acc) when Number > Most ->
    Acc#{most := Number};
began(_, _, Number, #{done := Done, before := Before, repeated := Repeated, oldest := Oldest} = Acc) ->
    case Done of
        #{Number := {At, Pusher}} -> Acc#{repeated := Repeated + 1, oldest := max(Oldest, map_get(Pusher, Before) - At)};
        %% Its push had begun, and never ended.
        #{} -> Acc
    end.

print(#{violations := Violations} = Report) ->
    Get = fun(Key) -> maps:get(Key, Report) end,
    Count = fun(Kind) -> length([V || V <- Violations, element(1, V) =:= Kind]) end,
    Row = fun(Name, Format, Values) -> io:format("~-45s" ++ Format ++ "~n", [Name | Values]) end,
    Row("faults", "~b in ~b s", [length(Get(faults)), Get(took_ms) div 1000]),
    Row("results", "~b", [Get(results)]),
    Row("lost", "~b", [Count(lost)]),
    Row("skipped", "~b", [Count(skipped)]),
    Row("cursors that moved back", "~b", [Count(cursor_moved_back)]),
    Row("pushed again", "~b of ~b pushes", [Get(repeated), Get(pushes)]),
    Row("  before the last push of its owner, at most", "~b ms", [Get(oldest_repeat_ms)]),
    Row("host nodes that pushed one process", "~b", [Get(owners)]),
    Row("longest pause of one process", "~b ms", [Get(longest_gap_ms)]),
    io:format("~ts~n", [case Violations of
        [] -> "nothing is violated";
        _ -> io_lib:format("VIOLATED, ~b times:~n~p", [length(Violations), lists:sublist(Violations, 20)])
    end]).

%% Never 0.
now_ms() -> erlang:monotonic_time(millisecond) - persistent_term:get(?MODULE) + 1.
