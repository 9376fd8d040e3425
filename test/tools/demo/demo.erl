%%% The driver of `make demo': shows three monitors on a test Compute Unit, live. The unit goes down and comes
%%% back. At the end it prints how many results were produced and pushed. It ends within 30 s, with exit status 1
%%% if a result was lost, repeated or out of order.
-module(demo).
-export([main/0]).

-define(PRODUCE_EVERY, 250).
-define(RATE, 500).
-define(BACKLOG, 20000).
%% The timetable, in ms after the start.
-define(SCRIPT, [{4000, go_down}, {9000, come_up}, {14000, stop_producing}]).
-define(DEADLINE, 25000).

-record(world, {cu, started, names, next = #{}, pushed = #{}, wrong = 0, producing = true}).

main() ->
    _ = logger:set_primary_config(level, error),
    hb_opts:set(#{cron_checkpoint => false}),
    Cu = test_cu:start(),
    Self = self(),
    Logger = spawn_link(fun() -> logger_loop(Self) end),
    Names = #{process_id($A) => "A", process_id($B) => "B", process_id($C) => "C"},
    World = #world{cu = Cu, started = now_ms(), names = Names},
    say(World, "Compute Unit listens at ~ts", [test_cu:url(Cu)]),
    say(World, "C has a backlog of ~b results; A and B get a new one every ~b ms", [?BACKLOG, ?PRODUCE_EVERY]),
    ?BACKLOG = test_cu:add(Cu, process_id($C), ?BACKLOG),
    Push = fun(#{message := Result}, #{proc_id := ProcId}) ->
        Self ! {pushed, ProcId, harness:number(Result)},
        ok
    end,
    [{_, Logger} = hb_process_monitor:start(Id, #{rate => ?RATE, cursor => earliest, logger => Logger,
                                                  cron_node => test_cu:url(Cu), cron_push => Push})
     || Id <- lists:sort(maps:keys(Names))],
    [erlang:send_after(At, self(), What) || {At, What} <- ?SCRIPT],
    erlang:send_after(?DEADLINE, self(), deadline),
    self() ! produce,
    halt(loop(World)).

loop(#world{cu = Cu, names = Names} = World) ->
    receive
        produce when World#world.producing ->
            [test_cu:add(Cu, process_id(Name), 1) || Name <- [$A, $B]],
            erlang:send_after(?PRODUCE_EVERY, self(), produce),
            loop(World);
        produce ->
            loop(World);
        go_down ->
            ok = test_cu:go_down(Cu),
            say(World, "--- the Compute Unit goes down; its processes go on producing", []),
            loop(World);
        come_up ->
            ok = test_cu:come_up(Cu),
            say(World, "--- the Compute Unit is back", []),
            loop(World);
        stop_producing ->
            say(World, "--- no more results are produced", []),
            settle(World#world{producing = false});
        {log, Entry} ->
            show(Entry, World),
            loop(World);
        {pushed, ProcId, Number} ->
            Name = maps:get(ProcId, Names),
            settle(pushed(Name, Number, World));
        deadline ->
            say(World, "not everything was pushed in time", []),
            summary(World)
    end.

%% Ends when all results are pushed.
settle(#world{producing = true} = World) ->
    loop(World);
settle(World) ->
    case lists:all(fun(Name) -> pushed_of(Name, World) >= produced(Name, World) end, ["A", "B", "C"]) of
        true -> summary(World);
        false -> loop(World)
    end.

pushed(Name, Number, #world{next = Next, pushed = Pushed, wrong = Wrong} = World) ->
    Expected = maps:get(Name, Next, 1),
    Miss = case Number of Expected -> 0; _ -> 1 end,
    Count = pushed_of(Name, World) + 1,
    %% Of a backlog only some results are shown.
    Step = case Name of "C" -> 5000; _ -> 1 end,
    Count rem Step =:= 0 andalso say(World, "~ts   pushed result ~b", [Name, Number]),
    World#world{next = Next#{Name => Number + 1}, pushed = Pushed#{Name => Count}, wrong = Wrong + Miss}.

summary(#world{cu = Cu, wrong = Wrong} = World) ->
    ok = application:stop(hb_process_monitor),
    io:nl(),
    io:format("process   produced     pushed       lost~n", []),
    Lost = lists:sum([begin
        Produced = produced(Name, World),
        Pushed = pushed_of(Name, World),
        io:format("~-8ts ~9b  ~9b  ~9b~n", [Name, Produced, Pushed, Produced - Pushed]),
        abs(Produced - Pushed)
    end || Name <- ["A", "B", "C"]]),
    io:format("out of order or repeated: ~b~n", [Wrong]),
    ok = test_cu:stop(Cu),
    case Lost + Wrong of 0 -> 0; _ -> 1 end.

produced([Name], #world{cu = Cu}) -> test_cu:count(Cu, process_id(Name)).

pushed_of(Name, #world{pushed = Pushed}) -> maps:get(Name, Pushed, 0).

process_id(Name) -> list_to_binary(lists:duplicate(43, Name)).

%% Takes the place of the host's hb_logger: prints the entries.
logger_loop(Demo) ->
    receive
        {log, Entry} -> Demo ! {log, Entry};
        {register, _} -> ok
    end,
    logger_loop(Demo).

show({ok, started_monitor, {Id, Rate, Cursor}}, World) ->
    say(World, "~ts   monitor started: a tick every ~b ms, from ~p", [name(Id, World), Rate, Cursor]);
show({ok, recovered, {Id, What, Failures}}, World) ->
    say(World, "~ts   recovered: ~p works again after ~b failures", [name(Id, World), What, Failures]);
show({error, Class, {Id, Text, Repeats}}, World) ->
    say(World, "~ts   error ~p (~b times): ~ts", [name(Id, World), Class, Repeats, Text]);
show(_, _) ->
    ok.

name(Id, #world{names = Names}) -> maps:get(Id, Names).

say(#world{started = Started}, Format, Args) ->
    io:format("~6.2f s  " ++ Format ++ "~n", [(now_ms() - Started) / 1000 | Args]).

now_ms() -> erlang:monotonic_time(millisecond).
