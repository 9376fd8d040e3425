%%% The crash test: a node with monitors is killed with SIGKILL at random moments, started again, and finally runs
%%% to the end. This driver, outside the node, records all pushes and judges them: nothing lost, out of order or
%%% skipped, and nothing repeated that was durable in the checkpoint. Power cuts are not covered: data in the
%%% kernel survives a SIGKILL.
%%%
%%% Repetitions are first judged without a clock: each push carries the number of finished commits. An ack made
%%% after C commits is in commit C + 2 at the latest, because C + 1 may have begun before. A result that was seen
%%% in a finished commit must never be repeated. Then with a clock: a result is not repeated if it was pushed
%%% longer before the kill than an interval and some commits take.
-module(crashtest).
-export([main/1, run/1, judge/2, print/1]).

%% Each process with its results per page. A busy one always has more results than are pushed, so that kills strike
%% within its pages. A slow one also has, and its pushes take longer than the time to a commit, so that kills
%% strike within a push. A calm one gets a result now and then.
-define(PROCESSES, [{busy, 1000}, {busy, 3}, {slow, 1000}, {slow, 2}, {calm, 1000}, {calm, 7}, {calm, 1}]).
-define(AHEAD, #{busy => 200, slow => 3, calm => 0}).
-define(CALM_EVERY, 5).
-define(RATE, 20).

%% A kill comes within this time after the node is ready, in ms. One of some kills comes within LONGER, and one of
%% some comes before the node is ready.
-define(WITHIN, 400).
-define(LONGER, 2000).
-define(LONGER_ONE_OF, 8).
-define(EARLY_ONE_OF, 6).

%% The tolerance for the age of repeated pushes on a noisy machine, in ms.
-define(SLACK, 500).
%% The limit for fast reactions, in ms. Only a failure takes this long.
-define(DEADLINE, 240000).

-type push() :: {Number :: pos_integer(), At :: integer(), Commits :: non_neg_integer(), TookUs :: non_neg_integer()}.
-type life() :: #{pushes := #{binary() => [push()]}, killed := integer(), not_resumed := [binary()]}.

%% `erl -run crashtest main Kills [Seed]': exit status 1 on a violation.
main([Kills]) ->
    main([Kills, integer_to_list(os:system_time(microsecond) rem 1000000000)]);
main([Kills, Seed]) ->
    io:format("crashtest: ~s kills, seed ~s~n", [Kills, Seed]),
    #{violations := Violations} = Report = run(#{kills => list_to_integer(Kills), seed => list_to_integer(Seed)}),
    print(Report),
    halt(case Violations of [] -> 0; _ -> 1 end).

%% Kills a node this many times, and returns the verdict. `host': options of the node's host; `patience': the limit
%% of the last life in ms, which only matters if something is lost.
run(#{kills := Kills, seed := Seed} = Options) ->
    _ = rand:seed(exsss, Seed),
    Dir = string:trim(os:cmd("mktemp -d")),
    Cu = test_cu:start(),
    Host = maps:merge(#{cron_checkpoint => filename:join(Dir, "checkpoint.redb")}, maps:get(host, Options, #{})),
    Processes = [{harness:proc_id(), Kind, PageLimit} || {Kind, PageLimit} <- ?PROCESSES],
    try
        Lives = lives(Kills, #{cu => Cu, host => Host, processes => Processes, recorded => #{}, boot => none,
                               patience => maps:get(patience, Options, ?DEADLINE)}),
        Counts = maps:from_list([{Id, test_cu:count(Cu, Id)} || {Id, _, _} <- Processes]),
        maps:merge(#{seed => Seed, kills => Kills}, judge(Lives, Counts))
    after
        _ = file:del_dir_r(Dir),
        test_cu:stop(Cu)
    end.

%% Runs one life after another, the last one to its end.
lives(Left, #{cu := Cu, boot := Boot, recorded := Recorded, patience := Patience} = World) ->
    _ = test_cu:forget_requests(Cu),
    Orders = #{resume := Resume} = orders(World),
    {Sink, Port} = open_sink(Orders, World),
    Node = os_node:start(crash_node, [integer_to_list(Port)]),
    Began = now_ms(),
    {Took, Resumed} = case Boot =/= none andalso Left > 0 andalso rand:uniform(?EARLY_ONE_OF) =:= 1 of
        true ->
            pause(rand:uniform(Boot), Node),
            {Boot, early};
        false ->
            {ready, Ids} = await(ready, Sink, Node, ?DEADLINE),
            {max(1, now_ms() - Began), Ids}
    end,
    _ = case Left of
        0 -> await(all, Sink, Node, Patience);
        _ -> Resumed =:= early orelse pause(kill_after(), Node)
    end,
    ok = os_node:kill(Node),
    Killed = now_ms(),
    {Pushes, Latest} = close_sink(Sink),
    NotResumed = case Resume andalso Resumed =/= early of
        true -> maps:keys(Recorded) -- Resumed;
        false -> []
    end,
    Life = #{pushes => Pushes, killed => Killed, not_resumed => NotResumed},
    case Left of
        0 -> [Life];
        _ -> [Life | lives(Left - 1, World#{recorded := Latest, boot := Took})]
    end.

kill_after() ->
    case rand:uniform(?LONGER_ONE_OF) of
        1 -> rand:uniform(?LONGER);
        _ -> rand:uniform(?WITHIN)
    end.

%% The random moment of a kill, the only wait by time in this test.
pause(Ms, {Port, _}) ->
    Ref = erlang:start_timer(Ms, self(), killing),
    receive
        {timeout, Ref, killing} -> ok;
        {Port, {exit_status, Status}} -> error({node_died_by_itself, Status})
    end.

%% The orders for a node. If anything of a process was recorded, the process is in the checkpoint, because start
%% positions are durable before the first fetch: it is continued, in one of two ways. The others begin at their
%% first result.
orders(#{cu := Cu, host := Host, processes := Processes, recorded := Recorded}) ->
    Resume = rand:uniform(2) =:= 1,
    Start = [begin
        Options = #{rate => ?RATE, cron_node => test_cu:url(Cu), cron_page_limit => PageLimit,
                    cron_push => {crash_node, case Kind of slow -> slow_push; _ -> push end}},
        case Recorded of
            #{Id := _} -> {Id, Options};
            #{} -> {Id, Options#{cursor => earliest}}
        end
    end || {Id, Kind, PageLimit} <- Processes, not (Resume andalso is_map_key(Id, Recorded))],
    #{host => Host, resume => Resume, start => Start}.

%% Records pushes. Each life has its own process, so that its record is complete after the life. Pushes that it has
%% not read by then were not answered, and so were not acked.

open_sink(Orders, #{cu := Cu, processes := Processes, recorded := Recorded}) ->
    Driver = self(),
    Sink = spawn_link(fun() ->
        {Listen, Port} = os_node:listen(),
        Self = self(),
        _ = spawn_link(fun() -> accept(Listen, Self) end),
        Driver ! {self(), port, Port},
        self() ! calm,
        _ = [ahead(Kind, Cu, Id, maps:get(Id, Recorded, 0)) || {Id, Kind, _} <- Processes],
        record(#{driver => Driver, cu => Cu, orders => Orders, processes => Processes, pushes => #{},
                 recorded => Recorded, growing => true})
    end),
    receive {Sink, port, Port} -> {Sink, Port} end.

accept(Listen, Sink) ->
    case gen_tcp:accept(Listen) of
        {ok, Socket} ->
            _ = gen_tcp:controlling_process(Socket, Sink),
            _ = inet:setopts(Socket, [{active, true}]),
            accept(Listen, Sink);
        {error, closed} ->
            %% The recorder is gone.
            ok
    end.

record(#{driver := Driver, cu := Cu, orders := Orders, processes := Processes, growing := Growing} = Sink) ->
    receive
        {tcp, Socket, Data} ->
            case binary_to_term(Data) of
                {pushed, Id, Number, Commits, Took} ->
                    Recorded = recorded(Id, {Number, now_ms(), Commits, Took}, Sink),
                    _ = os_node:send(Socket, recorded),
                    {_, Kind, _} = lists:keyfind(Id, 1, Processes),
                    _ = Growing andalso ahead(Kind, Cu, Id, Number),
                    record(tell_if_all(Recorded));
                orders ->
                    _ = os_node:send(Socket, Orders),
                    record(Sink);
                {ready, _} = Ready ->
                    Driver ! {self(), ready, Ready},
                    record(Sink)
            end;
        calm when Growing ->
            _ = [test_cu:add(Cu, Id, 1) || {Id, calm, _} <- Processes],
            _ = erlang:send_after(?CALM_EVERY, self(), calm),
            record(Sink);
        {Driver, all} ->
            record(tell_if_all(Sink#{growing := false}));
        {Driver, close} ->
            #{pushes := Pushes, recorded := Latest} = Sink,
            %% The sockets and the acceptor end with this process.
            unlink(Driver),
            Driver ! {self(), closed, {maps:map(fun(_, Newest) -> lists:reverse(Newest) end, Pushes), Latest}},
            exit(kill);
        _ClosedOrLate ->
            record(Sink)
    end.

recorded(Id, {Number, _, _, _} = Push, #{pushes := Pushes, recorded := Recorded} = Sink) ->
    Sink#{pushes := Pushes#{Id => [Push | maps:get(Id, Pushes, [])]},
          recorded := Recorded#{Id => max(Number, maps:get(Id, Recorded, 0))}}.

%% This many more results than were recorded.
ahead(Kind, Cu, Id, Number) ->
    Missing = Number + maps:get(Kind, ?AHEAD) - test_cu:count(Cu, Id),
    Missing > 0 andalso test_cu:add(Cu, Id, Missing).

tell_if_all(#{growing := false, driver := Driver, cu := Cu, processes := Processes, recorded := Recorded} = Sink) ->
    _ = lists:all(fun({Id, _, _}) -> maps:get(Id, Recorded, 0) >= test_cu:count(Cu, Id) end, Processes)
        andalso (Driver ! {self(), all, ok}),
    Sink;
tell_if_all(Sink) ->
    Sink.

%% Waits for a message of the recorder. Anything that never arrives is found missing later.
await(What, Sink, {Node, _}, Limit) ->
    Sink ! {self(), What},
    receive
        {Sink, What, Answer} -> Answer;
        {Node, {exit_status, Status}} -> error({node_died_by_itself, Status})
    after Limit -> late
    end.

close_sink(Sink) ->
    Sink ! {self(), close},
    Result = receive {Sink, closed, Closed} -> Closed after ?DEADLINE -> error(not_closed) end,
    flush(Sink),
    Result.

%% Drops messages that came too late.
flush(Sink) ->
    receive {Sink, _, _} -> flush(Sink)
    after 0 -> ok
    end.

%% The verdict, as a function of plain data

-spec judge([life()], Counts :: #{binary() => non_neg_integer()}) -> map().
judge(Lives, Counts) ->
    Commits = lists:usort([{Life, Count, Took} || {Life, #{pushes := Pushes}} <- lists:enumerate(Lives),
                           Of <- maps:values(Pushes), {_, _, Count, Took} <- Of, Count > 0]),
    Durations = lists:sort([Took || {_, _, Took} <- Commits]),
    {_, _, Interval} = lists:keyfind(cron_checkpoint_interval, 1, hb_cron_options:describe()),
    Oldest = Interval + 10 * lists:max([0 | Durations]) / 1000 + ?SLACK,
    Judged = lists:append([judge_process(Id, Lives, Count, Oldest) || {Id, Count} <- maps:to_list(Counts)]),
    Violations = [{not_resumed, Life, Id} || {Life, #{not_resumed := Ids}} <- lists:enumerate(Lives), Id <- Ids]
        ++ [Violation || {violation, Violation} <- Judged],
    Twice = [Again || {twice, Again} <- Judged],
    ByKill = fun(Key) -> lists:max([0 | maps:values(tally(lists:map(Key, Twice)))]) end,
    #{results => lists:sum(maps:values(Counts)), violations => Violations,
      pushed => lists:sum([length(Of) || #{pushes := Pushes} <- Lives, Of <- maps:values(Pushes)]),
      lives_without_push => length([none || #{pushes := Pushes} <- Lives, map_size(Pushes) =:= 0]),
      twice => length(Twice), twice_per_kill => ByKill(fun({Life, _, _}) -> Life end),
      twice_per_process => ByKill(fun({Life, Id, _}) -> {Life, Id} end),
      oldest_twice => lists:max([0 | [Age || {_, _, Age} <- Twice]]), oldest_allowed => round(Oldest),
      interval => Interval, commits => length(Commits), commit_median => median(Durations),
      commit_max => lists:max([0 | Durations])}.

tally(Keys) -> lists:foldl(fun(Key, Tally) -> maps:update_with(Key, fun(N) -> N + 1 end, 1, Tally) end, #{}, Keys).

median([]) -> 0;
median(Sorted) -> lists:nth((length(Sorted) + 1) div 2, Sorted).

%% Judges life after life. `Known': for each number, how long before the kill it was last pushed, and whether it
%% was then seen to be durable.
judge_process(Id, Lives, Count, Oldest) ->
    {_, Known, Judged} = lists:foldl(fun({Life, #{pushes := Pushes} = Of}, {Last, Known, Judged}) ->
        Mine = maps:get(Id, Pushes, []),
        Found = first(Life, Id, Mine, Last) ++ order(Life, Id, Mine) ++ twice(Life, Id, Mine, Known, Oldest),
        Latest = lists:max([Last | [Number || {Number, _, _, _} <- Mine]]),
        {Latest, maps:merge(Known, fates(Mine, Of)), [Found | Judged]}
    end, {0, #{}, []}, lists:enumerate(Lives)),
    Lost = [{violation, {lost, Id, Number}} || Number <- lists:seq(1, Count), not is_map_key(Number, Known)],
    lists:append(lists:reverse(Judged)) ++ Lost.

first(Life, Id, [{First, _, _, _} | _], Last) when First > Last + 1 ->
    [{violation, {skipped, Life, Id, {last, Last}, {first, First}}}];
first(_Life, _Id, _Mine, _Last) ->
    [].

order(Life, Id, [{Number, _, _, _} | [{Next, _, _, _} | _] = Rest]) ->
    [{violation, {out_of_order, Life, Id, Number, Next}} || Next =/= Number + 1] ++ order(Life, Id, Rest);
order(_Life, _Id, _One) ->
    [].

twice(Life, Id, Mine, Known, Oldest) ->
    lists:append([case Known of
        #{Number := {Age, Durable}} ->
            [{twice, {Life, Id, Age}}]
            ++ [{violation, {durable_and_pushed_again, Life, Id, Number}} || Durable]
            ++ [{violation, {pushed_again_too_late, Life, Id, Number, {ms_before_the_kill, Age}}} || Age > Oldest];
        #{} ->
            []
    end || {Number, _, _, _} <- Mine]).

fates(Mine, #{killed := Killed, pushes := Pushes}) ->
    Finished = lists:max([0 | [Commits || Of <- maps:values(Pushes), {_, _, Commits, _} <- Of]]),
    fates(Mine, Killed, Finished, #{}).

fates([{Number, At, _, _} | Rest], Killed, Finished, Fates) ->
    %% It was acked before the next one's commits were counted.
    Durable = case Rest of
        [{_, _, Commits, _} | _] -> Commits + 2 =< Finished;
        [] -> false
    end,
    fates(Rest, Killed, Finished, Fates#{Number => {Killed - At, Durable}});
fates([], _Killed, _Finished, Fates) ->
    Fates.

print(#{violations := Violations} = Report) ->
    Count = fun(Kinds) -> length([V || V <- Violations, lists:member(element(1, V), Kinds)]) end,
    Get = fun(Key) -> maps:get(Key, Report) end,
    Row = fun(Name, Format, Values) -> io:format("~-34s" ++ Format ++ "~n", [Name | Values]) end,
    Row("kills (seed)", "~b (~b)", [Get(kills), Get(seed)]),
    Row("lives in which nothing was pushed", "~b", [Get(lives_without_push)]),
    Row("results", "~b", [Get(results)]),
    Row("lost", "~b", [Count([lost])]),
    Row("skipped at a start", "~b", [Count([skipped, not_resumed])]),
    Row("out of order", "~b", [Count([out_of_order])]),
    Row("pushed twice", "~b of ~b pushes", [Get(twice), Get(pushed)]),
    Row("  at most after one kill", "~b, of one process ~b", [Get(twice_per_kill), Get(twice_per_process)]),
    Row("  though in a finished commit", "~b", [Count([durable_and_pushed_again])]),
    Row("  pushed before the kill, at most", "~b ms (allowed: ~b ms)", [Get(oldest_twice), Get(oldest_allowed)]),
    Row("checkpoint interval", "~b ms", [Get(interval)]),
    Row("commits seen, how long", "~b, median ~.1f ms, longest ~.1f ms",
        [Get(commits), Get(commit_median) / 1000, Get(commit_max) / 1000]),
    io:format("~ts~n", [case Violations of
        [] -> "nothing is violated";
        _ -> io_lib:format("VIOLATED, ~b times:~n~p", [length(Violations), lists:sublist(Violations, 20)])
    end]).

now_ms() -> erlang:monotonic_time(millisecond).
