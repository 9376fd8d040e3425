%%% What polling costs a CU, and how late results are requested: with `cron_poll' `rate' and `expected', with and without
%%% the tags of the process, and as the Messenger Unit of AO polls, in one run.
%%%
%%% An hour of a cron takes an hour, so this is played on a simulated clock (`test/rust/bench/src/bin/polls.rs'): the
%%% engine itself, its requests, and the pages of a CU that evaluates only if it is asked. Sockets, threads and pushes are
%%% left out; expected_tests counts requests over HTTP.
-module(bench_polls).

-export([suite/1]).

suite(#{quick := Quick}) ->
    Played = bench_runs:polls(["quick" || Quick]),
    [section(Clock, Title, About, Played) || {Clock, Title, About} <- [
        {same, "A CU whose clock is that of the node", ""},
        {faster, "A CU whose clock is a minute ahead and 50 ppm faster",
         " As a quartz that no time server corrects: it gains 4.3 s a day."}
    ]].

section(Clock, Title, About, Played) ->
    Rows = [{Tag, [{Poller, Figures} || {T, C, Poller, Figures} <- Played, T =:= Tag, C =:= Clock]} || Tag <- tags(Played)],
    Table = fun(What, Show) ->
        {[What | [heading(Poller) || Poller <- pollers()]],
         [[Tag | [Show(proplists:get_value(Poller, All)) || Poller <- pollers()]] || {Tag, All} <- Rows]}
    end,
    Each = fun(Key) -> fun(#{results := Results} = Figures) -> io_lib:format("~.2f", [map_get(Key, Figures) / Results]) end end,
    #{title => Title,
      about => ["Ticks every 10 s; results can be read 0.3 s after their time. A request makes the CU evaluate if there is a "
                "result that it has not evaluated. The lag is from when a result could be read to the request that brought it.",
                About, " ", goals(Rows)],
      tables => [Table("requests per result", Each(requests)),
                 Table("evaluating requests per result", Each(evaluations)),
                 Table("lag: median / 99 %, s", fun(#{median := Median, p99 := P99}) ->
                     io_lib:format("~.2f / ~.2f", [Median / 1000, P99 / 1000])
                 end)]}.

tags(Played) -> lists:foldl(fun({Tag, _, _, _}, Tags) -> Tags ++ ([Tag] -- Tags) end, [], Played).

pollers() -> [rate, learned, told, unit].

heading(rate) -> "`rate`";
heading(learned) -> "`expected`";
heading(told) -> "`expected`, tags known";
heading(unit) -> "Messenger Unit".

%% Whether the goals are met is said, and not hidden by a run that fails.
goals(Rows) ->
    Of = fun(Tag, Poller) -> proplists:get_value(Poller, proplists:get_value(Tag, Rows)) end,
    Requests = fun(Tag, Poller) -> #{results := Results, requests := All} = Of(Tag, Poller), All / Results end,
    Lag = fun(Tag, Poller) -> maps:get(median, Of(Tag, Poller)) / 1000 end,
    Goals = [{"requests of 5 minutes, tags known", Requests("5-minutes", told), 2},
             {"requests of 5 minutes, learned", Requests("5-minutes", learned), 7},
             {"median lag of 5 minutes in s, tags known", Lag("5-minutes", told), 1},
             {"median lag of 5 minutes in s, learned", Lag("5-minutes", learned), 1},
             {"requests of 10 s, learned", Requests("10-seconds", learned), 1.2},
             {"requests of 10 s, tags known", Requests("10-seconds", told), 1.2}],
    ["Goals: ", lists:join("; ", [[What, " ", bench_table:number(Is), " (at most ", io_lib:format("~p", [Most]), ", ",
                                   case Is =< Most of true -> "met"; false -> "missed" end, ")"]
                                  || {What, Is, Most} <- Goals]), "."].
