%%% Calls every function of the NIF with terms of every kind, and with good, stale and mismatched handles, in a
%%% separate node. Each call must raise `badarg' or return a documented value, and leave nothing behind. Other
%%% tests check the values of good calls.
%%%
%%% Leaks are measured twice, with everything stopped: after the first tenth of the calls, when everything is
%%% loaded and cached, and at the end.
-module(abuse).
-export([main/1, run/2]).

-define(NIF, hb_process_monitor_nif).

%% The allowed growth between the tenth and the end of the run.
%% Atoms: the library makes at most this many, the names of classes and events.
-define(ALLOWED, #{memory_kb => 512, rss_kb => 4096, processes => 0, ports => 0, atoms => 64, threads => 0, fds => 0}).

%% All resources are replaced after this many calls.
-define(WORLDS, 50).
-define(POOL, 500).
%% How long threads may take to end, in ms. Only a failure takes this long.
-define(DEADLINE, deadline:ms()).

%% `erl -run abuse main Calls Seed': exit status 1 on any failure. With a port, the report is sent to the driver
%% that listens there, and judges.
main([Calls, Seed]) ->
    Report = run(list_to_integer(Calls), list_to_integer(Seed)),
    io:format("~P~n", [Report, 60]),
    halt(case Report of #{violations := []} -> 0; _ -> 1 end);
main([Calls, Seed, Port]) ->
    Line = os_node:connect(list_to_integer(Port)),
    ok = os_node:send(Line, run(list_to_integer(Calls), list_to_integer(Seed))),
    halt(0).

%% Runs in the calling node, which is then unusable for anything else.
run(Calls, Seed) ->
    Dir = string:trim(os:cmd("mktemp -d")),
    ok = file:set_cwd(Dir),
    _ = logger:set_primary_config(level, none),
    _ = rand:seed(exsss, Seed),
    ok = ?NIF:loaded(),
    Began = erlang:monotonic_time(millisecond),
    {First, Early} = worlds(?WORLDS div 10, Calls div ?WORLDS, abuse_world:empty()),
    After = measured(),
    {Last, _} = worlds(?WORLDS - ?WORLDS div 10, Calls div ?WORLDS, Early),
    End = measured(),
    _ = file:del_dir_r(Dir),
    Grown = maps:map(fun(What, At) -> At - map_get(What, After) end, End),
    TooMuch = [{grown, What, By} || {What, By} <- maps:to_list(Grown), By > map_get(What, ?ALLOWED)],
    Answers = maps:merge_with(fun(_, A, B) -> A + B end, First, Last),
    #{calls => lists:sum(maps:values(Answers)), seed => Seed, ms => erlang:monotonic_time(millisecond) - Began,
      badarg => maps:get(error, Answers, 0), answers => maps:get(answer, Answers, 0),
      grown => Grown, allowed => ?ALLOWED,
      violations => TooMuch ++ missing() ++ maps:keys(maps:without([error, answer], Answers))}.

%% Functions of the library that are not called here.
missing() ->
    Called = [{Function, length(Kinds)} || {Function, Kinds, _} <- abuse_calls:all()],
    [{not_called, Function} || Function <- ?NIF:module_info(nifs), not lists:member(Function, Called)].

%% Uses one world after another; each has stale handles of the previous one.
worlds(Count, Calls, World) ->
    lists:foldl(fun(_, {Answers, Old}) ->
        New = abuse_world:new(Old),
        Pool = abuse_terms:pool(?POOL, abuse_calls:given(New)),
        Table = abuse_calls:table(),
        Answered = calls(Calls, Table, Pool, New, Answers),
        _ = ?NIF:log_to_self(none),
        {Answered, abuse_world:stop(New)}
    end, {#{}, World}, lists:seq(1, Count)).

calls(0, _Table, _Pool, _World, Answers) ->
    flush(),
    Answers;
calls(Left, Table, Pool, World, Answers) ->
    Left rem 500 =:= 0 andalso flush(),
    {Function, Args, Verdict} = abuse_calls:pick(Table, Pool, World),
    Answer = try {answer, apply(?NIF, Function, Args)} catch Class:Reason -> {Class, Reason} end,
    Kind = case is_right(Answer, Verdict) of
        true -> element(1, Answer);
        false -> {Function, Args, Answer}
    end,
    calls(Left - 1, Table, Pool, World, maps:update_with(Kind, fun(N) -> N + 1 end, 1, Answers)).

is_right({error, badarg}, {Kind, _}) -> Kind =:= badarg_or;
is_right({answer, Answer}, {_, Answers}) -> Answers(Answer);
is_right(Answer, Verdict) -> Answer =:= {error, Verdict}.

%% Counts messages to this process as a monitor, and to the log.
flush() ->
    receive _ -> flush()
    after 0 -> ok
    end.

%% Measures after everything temporary has ended.
measured() ->
    settled(erlang:monotonic_time(millisecond) + ?DEADLINE),
    [garbage_collect(Pid) || Pid <- processes()],
    #{rss_kb := Rss, threads := Threads, fds := Fds} = os_node:status(self),
    #{memory_kb => erlang:memory(total) div 1024, rss_kb => Rss, processes => erlang:system_info(process_count),
      ports => erlang:system_info(port_count), atoms => erlang:system_info(atom_count), threads => Threads, fds => Fds}.

%% Threads end with their owners, except the log's. The measurement shows those that do not.
settled(Until) ->
    Left = [Name || Name <- os_node:threads(self), lists:prefix("hb_cron_", Name), Name =/= "hb_cron_outbox"],
    case Left =/= [] andalso erlang:monotonic_time(millisecond) < Until of
        true -> receive after 10 -> settled(Until) end;
        false -> ok
    end.
