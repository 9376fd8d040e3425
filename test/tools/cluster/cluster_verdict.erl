%%% The verdict on what host nodes of a cluster have pushed: nothing lost or skipped, and how old what was pushed again
%%% was. Plain functions of what {@link cluster_sink} recorded.
-module(cluster_verdict).

-export([judge/2, with_limit/1, with_take_over/2, with_no_repeats/1, print/1]).

-export_type([event/0, report/0]).

-type event() :: {pushing | pushed, Life :: pos_integer(), ProcId :: binary(), Number :: pos_integer(), At :: integer()}.
%% A life is one life of a host node.

-type report() :: #{violations := [tuple()], atom() => term()}.

%% The age at which acks that are not saved stop pushes, and the tolerance for it on a noisy machine, in ms.
-define(UNSAVED_LIMIT, 500).
-define(SLACK, 500).
%% How long the others may take to own all shards of a host node once it is taken for dead, in ms.
-define(TAKE_OVER, 1000).

%% How old a repeated push may be: the limit for acks that are not saved, and what a busy machine adds.
-spec with_limit(report()) -> report().
with_limit(#{oldest_repeat_ms := Oldest, violations := Violations} = Report) ->
    Report#{violations := Violations ++ [{repeated_too_late, {ms, Oldest}} || Oldest > ?UNSAVED_LIMIT + ?SLACK]}.

%% The others own all shards of a silent host node within the time after which it is taken for dead, and a second.
-spec with_take_over(Ttl :: pos_integer(), report()) -> report().
with_take_over(Ttl, #{take_overs := TakeOvers, violations := Violations} = Report) ->
    Report#{violations := Violations ++ [{taken_over_late, Fault, {ms, Ms}} || {Fault, Ms} <- TakeOvers, Ms > Ttl + ?TAKE_OVER]}.

%% Hand-overs alone repeat nothing.
-spec with_no_repeats(report()) -> report().
with_no_repeats(#{repeated := Repeated, violations := Violations} = Report) ->
    Report#{violations := Violations ++ [{repeated_without_a_fault, Repeated} || Repeated > 0]}.

%% The verdict, as a function of plain data.
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
    Start = #{most => 0, done => #{}, begun => #{}, before => #{}, latest => 0, repeated => 0, oldest => 0,
              violations => [], last => 0, gap => 0},
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

-spec print(report()) -> ok.
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
    Row("slowest take-over of all shards", "~ts", [slowest([Ms || {_, Ms} <- Get(take_overs)])]),
    Row("longest pause of one process", "~b ms", [Get(longest_gap_ms)]),
    io:format("~ts~n", [case Violations of
        [] -> "nothing is violated";
        _ -> io_lib:format("VIOLATED, ~b times:~n~p", [length(Violations), lists:sublist(Violations, 20)])
    end]).

slowest([]) -> "-";
slowest(Times) -> io_lib:format("~b ms, median ~b ms", [lists:max(Times), lists:nth(length(Times) div 2 + 1, lists:sort(Times))]).
