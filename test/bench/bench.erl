%%% What `make bench' runs: the suites that were asked for, one after the other, each of which has its runs
%%% measured in OS processes of their own and makes tables of them. Figures of two machines cannot be
%%% compared; the ratios within one run can.
%%%
%%% It is no test: no figure makes it fail, but a run that loses, repeats or reorders a result does.
-module(bench).

-export([main/1]).

-define(DEFAULT, ["backlog", "decode", "ticks", "pingpong", "steady", "growth"]).
-define(SUITES, ?DEFAULT ++ ["million"]).
-define(RESULTS, "docs/benchmarks/results.md").

%% `erl -run bench main Suites Quick Save Results': what the variables of `make bench' of these names hold.
-spec main([string()]) -> no_return().
main([Suites, Quick, Save, Results]) ->
    _ = logger:set_primary_config(level, error),
    try run(string:lexemes(Suites, " ,"), Quick =:= "yes", Save =:= "yes", Results)
    of ok -> halt(0)
    catch Class:Reason:Stack ->
        io:format(standard_error, "bench: ~p~n~p~n", [{Class, Reason}, Stack]),
        halt(1)
    end.

run([], Quick, Save, Results) ->
    run(?DEFAULT, Quick, Save, Results);
run(Suites, Quick, Save, Results) ->
    [] = Suites -- ?SUITES,
    Options = case Results of
        "" -> #{quick => Quick};
        _ -> #{quick => Quick, results => list_to_integer(Results)}
    end,
    %% Before anything is measured, so that it says under what.
    Machine = bench_machine:describe(["make bench SUITES=\"", lists:join(" ", Suites), "\"",
                                      [" QUICK=yes" || Quick], [[" RESULTS=", Results] || Results =/= ""]]),
    io:put_chars(Machine),
    Sections = lists:append([begin
        Made = (module(Suite)):suite(Options),
        [io:put_chars(text(Section)) || Section <- Made],
        Made
    end || Suite <- Suites]),
    _ = Save andalso save(Machine, Sections),
    ok.

module(Suite) -> list_to_atom("bench_" ++ Suite).

text(#{title := Title, about := About, tables := Tables}) ->
    unicode:characters_to_binary(["\n## ", Title, "\n\n", wrapped(About), [["\n", bench_table:format(Table)] || Table <- Tables]]).

%% Lines of at most 110 characters.
wrapped(Text) -> wrap(string:lexemes(unicode:characters_to_list(Text), " "), 0).

wrap([], _) -> "\n";
wrap([Word | Words], 0) -> [Word | wrap(Words, length(Word))];
wrap([Word | Words], Used) when Used + length(Word) < 110 -> [" ", Word | wrap(Words, Used + 1 + length(Word))];
wrap(Words, _) -> ["\n" | wrap(Words, 0)].

save(Machine, Sections) ->
    ok = filelib:ensure_dir(?RESULTS),
    Charts = fun(Section) -> [{lists:flatten(File), Svg} || {File, Svg} <- maps:get(charts, Section, [])] end,
    ok = file:write_file(?RESULTS, [
        "# Benchmarks\n\nWhat was measured is said with each table, how in `test/bench`. Ratios of one run say something; "
        "figures of two machines cannot be compared.\n\n", Machine,
        [[text(Section), [["\n![", maps:get(title, Section), "](", File, ")\n"] || {File, _} <- Charts(Section)]]
         || Section <- Sections]]),
    [ok = file:write_file(filename:join(filename:dirname(?RESULTS), File), unicode:characters_to_binary(Svg))
     || Section <- Sections, {File, Svg} <- Charts(Section)],
    bench_runs:say("bench: saved in ~s", [filename:dirname(?RESULTS)]).
