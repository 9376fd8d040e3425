%%% The public calls against each other, and against kills of every part: callers start, stop, pause, resume,
%%% forget, redeliver, discard, kill and crash at random, on processes of the library's supervisor and of a host's,
%%% while the restarter, the engine process and the tree die. No result may be skipped unless a caller forgot the
%%% process, no two pushes of a process may run at once, and in the end everything must arrive.
%%%
%%% {@link stress_journal} checks the rules; this module makes the trouble.
-module(stress).

-export([main/1, run/1]).
%% Callback: the push of the monitors
-export([push/2]).
%% Callback: a host's supervisor
-behaviour(supervisor).
-export([init/1]).

-define(CALLERS, 8).
-define(OWN, 6).
-define(SUPERVISED, 3).
%% How long the remaining results may take once the trouble is over, in ms. Only a failure takes this long.
-define(SETTLE_LIMIT, 120000).

%% `make stress STRESSED= SEED=': this many seconds each with and without a checkpoint.
main([Seconds, Seed]) ->
    Outcomes = [begin
        Outcome = run(#{seconds => list_to_integer(Seconds), seed => list_to_integer(Seed), checkpoint => Checkpoint}),
        io:format("checkpoint ~p: ~p~n", [Checkpoint, Outcome]),
        Outcome
    end || Checkpoint <- [true, false]],
    halt(case [bad || #{violations := [_ | _]} <- Outcomes] of [] -> 0; _ -> 1 end).

%% The counts of calls, and the broken rules.
run(#{seconds := Seconds, seed := Seed, checkpoint := Checkpoint}) ->
    Cu = harness:setup(options(Checkpoint)),
    ok = logger:set_handler_config(default, level, none),
    try
        Own = [harness:proc_id() || _ <- lists:seq(1, ?OWN)],
        Supervised = [harness:proc_id() || _ <- lists:seq(1, ?SUPERVISED)],
        ok = stress_journal:create(Cu, Own ++ Supervised),
        World = #{cu => Cu, own => Own, supervised => Supervised, checkpoint => Checkpoint},
        trouble(World, Seconds * 1000, Seed),
        Settled = settle(World),
        (stress_journal:totals())#{violations => stress_journal:violations() ++ Settled}
    after
        stop_supervisor(),
        stress_journal:delete(),
        harness:cleanup(Cu),
        ok = logger:set_handler_config(default, level, all)
    end.

options(Checkpoint) ->
    Push = #{cron_push => {?MODULE, push}, cron_push_attempts => 2, cron_push_backoff => {5, 20}, cron_walk_after => 3600000},
    case Checkpoint of
        true -> Push;
        false -> Push#{cron_checkpoint => false}
    end.

%% The trouble

trouble(#{own := Own} = World, Ms, Seed) ->
    Until = erlang:monotonic_time(millisecond) + Ms,
    [start(Id, #{cursor => earliest}, World) || Id <- Own],
    ok = start_supervisor(World),
    Roles = [fun producer/2, fun reaper/2 | lists:duplicate(?CALLERS, fun caller/2)],
    Workers = [spawn_monitor(fun() -> work(Role, World, Until, {Seed, Number, Ms}) end)
               || {Number, Role} <- lists:zip(lists:seq(1, length(Roles)), Roles)],
    [receive {'DOWN', Ref, process, _, Reason} -> normal = Reason end || {_, Ref} <- Workers],
    ok.

work(Role, World, Until, Seed) ->
    _ = rand:seed(exsss, Seed),
    repeat(Role, World, Until, #{}).

repeat(Role, World, Until, State) ->
    case erlang:monotonic_time(millisecond) < Until of
        true -> repeat(Role, World, Until, Role(World, State));
        false -> ok
    end.

producer(#{cu := Cu} = World, State) ->
    test_cu:add(Cu, any(all(World)), rand:uniform(5)),
    pause(10),
    State.

%% Kills a part, sometimes the whole tree.
reaper(_World, State) ->
    pause(700),
    Part = any([hb_cron_restarter, hb_cron_engine, hb_cron_restarter, hb_cron_engine,
                hb_cron_hung_pushes, hb_cron_log, hb_cron_sup]),
    _ = [exit(Pid, kill) || Pid <- [whereis(Part)], is_pid(Pid)],
    stress_journal:count(killed_parts),
    State.

%% Makes one call. `Seen': the monitors that this caller has seen, dead or alive.
caller(World, Seen) ->
    Id = any(all(World)),
    IsOwn = lists:member(Id, maps:get(own, World)),
    Known = maps:get(Id, Seen, []),
    Found = try hb_process_monitor:info(Id) of #{monitor := Pid} -> [Pid]; undefined -> [] catch _:_ -> [] end,
    Monitors = lists:sublist(lists:usort(Found ++ Known), 5),
    Call = any([start, start, start, start, stop, stop_and_wait, pause, resume, resume, resume, forget, redeliver, discard, kill, crash]),
    _ = call(Call, Id, IsOwn, Monitors, World),
    stress_journal:count(Call),
    %% Leaves each process alone for about 50 ms at a time, so that monitors have work that can be disturbed.
    pause(80),
    Seen#{Id => Monitors}.

call(start, Id, true, _, World) -> start(Id, #{}, World);
call(start, Id, false, _, _) -> catch_all(fun() -> supervisor:restart_child(?MODULE, {hb_process_monitor, Id}) end);
call(_, _, _, [], _) -> ok;
call(stop, _, _, Monitors, _) -> catch_all(fun() -> hb_process_monitor:stop(any(Monitors)) end);
call(stop_and_wait, _, _, Monitors, _) -> catch_all(fun() -> hb_process_monitor:stop(any(Monitors), 2000) end);
call(pause, Id, _, Monitors, _) -> catch_all(fun() -> hb_process_monitor:pause(any([Id | Monitors])) end);
call(resume, Id, _, Monitors, _) -> catch_all(fun() -> hb_process_monitor:resume(any([Id | Monitors])) end);
call(kill, _, _, Monitors, _) -> exit(any(Monitors), kill);
call(crash, _, _, Monitors, _) ->
    catch_all(fun() -> sys:terminate(any(Monitors), a_fault_of_its_own, 1000) end);
call(forget, Id, _, Monitors, _) ->
    %% A process can only be forgotten when it is stopped.
    _ = rand:uniform(4) =:= 1 andalso catch_all(fun() -> hb_process_monitor:stop(any(Monitors), 1000) end),
    stress_journal:forgetting(Id, fun() -> catch_all(fun() -> hb_process_monitor:forget(Id) end) end);
call(redeliver, Id, _, _, _) ->
    [catch_all(fun() -> hb_process_monitor:redeliver(Id, Letter) end) || {Letter, _} <- one_of(letters(Id))];
call(discard, Id, _, _, _) ->
    [stress_journal:discarding(Id, Number, fun() -> catch_all(fun() -> hb_process_monitor:discard(Id, Letter) end) end)
     || {Letter, Number} <- one_of(letters(Id))].

start(Id, More, #{cu := Cu}) ->
    Options = More#{rate => 20, cron_node => test_cu:url(Cu)},
    catch_all(fun() -> hb_process_monitor:start(Id, Options) end).

letters(Id) ->
    case catch_all(fun() -> hb_process_monitor:dead_letters(Id) end) of
        {ok, Letters} -> [{Letter, test_cu:number(Cursor)} || #{id := Letter, cursor := Cursor} <- Letters];
        _ -> []
    end.

one_of([]) -> [];
one_of(List) -> [any(List)].

catch_all(Call) ->
    try Call()
    catch _:Reason -> {raised, Reason}
    end.

all(#{own := Own, supervised := Supervised}) -> Own ++ Supervised.

any(List) -> lists:nth(rand:uniform(length(List)), List).

pause(Ms) -> receive after rand:uniform(Ms) -> ok end.

%% The host's supervisor. It tolerates any number of restarts.

start_supervisor(#{cu := Cu, supervised := Supervised}) ->
    Specs = [hb_process_monitor:child_spec({Id, #{rate => 20, cursor => earliest, cron_node => test_cu:url(Cu)}}) || Id <- Supervised],
    {ok, Pid} = supervisor:start_link({local, ?MODULE}, ?MODULE, Specs),
    true = unlink(Pid),
    ok.

init(Specs) -> {ok, {#{strategy => one_for_one, intensity => 1000000, period => 1}, Specs}}.

stop_supervisor() ->
    case whereis(?MODULE) of
        undefined -> ok;
        Pid ->
            Ref = monitor(process, Pid),
            exit(Pid, shutdown),
            receive {'DOWN', Ref, process, _, _} -> ok end
    end.

%% A push takes a moment, and sometimes fails.
push(#{message := #{<<"cursor">> := Cursor}}, #{proc_id := Id}) ->
    stress_journal:pushing(Id, test_cu:number(Cursor), fun() ->
        _ = rand:uniform(10) =:= 1 andalso receive after rand:uniform(3) -> ok end,
        rand:uniform(12) > 1
    end).

%% Ends the trouble: everything must arrive, or be a dead letter. A forgotten process begins after its latest
%% result, so each process that is incomplete gets one more.
settle(#{cu := Cu, own := Own, supervised := Supervised} = World) ->
    Until = erlang:monotonic_time(millisecond) + ?SETTLE_LIMIT,
    await(fun() ->
        [start(Id, #{}, World) || Id <- Own],
        [catch_all(fun() -> supervisor:restart_child(?MODULE, {hb_process_monitor, Id}) end) || Id <- Supervised],
        [catch_all(fun() -> hb_process_monitor:resume(Id) end) || Id <- all(World)],
        Incomplete = [Id || Id <- all(World), not stress_journal:is_complete(Id)],
        [test_cu:add(Cu, Id, 1) || Id <- Incomplete, stress_journal:may_jump(Id)],
        Incomplete
    end, Until) ++
        [{letter_is_lost, Id, Number} || Id <- all(World), Number <- stress_journal:given_up(Id) -- [N || {_, N} <- letters(Id)]].

await(Missing, Until) ->
    case Missing() of
        [] -> [];
        Ids ->
            case erlang:monotonic_time(millisecond) < Until of
                true -> receive after 100 -> await(Missing, Until) end;
                false -> [{never_complete, Id, stress_journal:standing(Id)} || Id <- Ids]
            end
    end.
