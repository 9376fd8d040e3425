%%% The driver of `make bench': runs the requested suites in turn. Each suite measures in separate OS processes and
%%% prints tables. Figures of different machines cannot be compared; the ratios within one run can.
%%%
%%% It is not a test: no figure makes it fail. A run that loses, repeats or reorders a result does.
-module(bench).

-export([main/1]).

-define(DEFAULT, ["backlog", "decode", "ticks", "pingpong", "steady", "growth"]).
-define(SUITES, ?DEFAULT ++ ["million", "neighbours", "cluster", "starts", "polls"]).
-define(RESULTS, "docs/benchmarks").

%% `erl -run bench main Suites Quick Save Results Fleet': the values of the variables of `make bench'.
-spec main([string()]) -> no_return().
main([Suites, Quick, Save, Results, Fleet]) ->
    _ = logger:set_primary_config(level, error),
    try run(string:lexemes(Suites, " ,"), Save =:= "yes", options(Quick, Results, Fleet))
    of ok -> halt(0)
    catch Class:Reason:Stack ->
        io:format(standard_error, "bench: ~p~n~p~n", [{Class, Reason}, Stack]),
        halt(1)
    end.

options(Quick, Results, Fleet) ->
    Sizes = [{Key, list_to_integer(Size)} || {Key, Size} <- [{results, Results}, {fleet, Fleet}], Size =/= ""],
    maps:from_list([{quick, Quick =:= "yes"} | Sizes]).

run([], Save, Options) ->
    run(?DEFAULT, Save, Options);
run(Suites, Save, Options) ->
    [] = Suites -- ?SUITES,
    lists:foreach(fun(Suite) -> suite(Suite, Options, Save) end, Suites).

suite(Suite, Options, Save) ->
    %% Printed first, so that the figures have their context.
    Machine = bench_machine:describe(["make bench SUITES=", Suite, [" QUICK=yes" || #{quick := true} <- [Options]],
                                      [io_lib:format(" RESULTS=~b", [Results]) || #{results := Results} <- [Options]],
                                      [io_lib:format(" FLEET=~b", [Fleet]) || #{fleet := Fleet} <- [Options]]]),
    io:put_chars(["\n", Machine]),
    {Sections, Check} = case (module(Suite)):suite(Options) of
        %% Checked after the figures are printed, which say why.
        {_, _} = WithCheck -> WithCheck;
        Unchecked -> {Unchecked, fun() -> ok end}
    end,
    [io:put_chars(text(Section)) || Section <- Sections],
    _ = Save andalso save(Suite, Machine, Sections),
    Check().

module(Suite) -> list_to_atom("bench_" ++ Suite).

text(#{title := Title, about := About, tables := Tables}) ->
    unicode:characters_to_binary(["\n## ", Title, "\n\n", wrapped(About), [["\n", bench_table:format(Table)] || Table <- Tables]]).

%% Lines of at most 110 characters.
wrapped(Text) -> wrap(string:lexemes(unicode:characters_to_list(Text), " "), 0).

wrap([], _) -> "\n";
wrap([Word | Words], 0) -> [Word | wrap(Words, length(Word))];
wrap([Word | Words], Used) when Used + length(Word) < 110 -> [" ", Word | wrap(Words, Used + 1 + length(Word))];
wrap(Words, _) -> ["\n" | wrap(Words, 0)].

%% A file for each suite, so that each can be repeated alone.
save(Suite, Machine, Sections) ->
    File = filename:join(?RESULTS, Suite ++ ".md"),
    ok = filelib:ensure_dir(File),
    Charts = fun(Section) -> [{lists:flatten(Name), Svg} || {Name, Svg} <- maps:get(charts, Section, [])] end,
    ok = file:write_file(File, [
        "# Benchmark: ", Suite, "\n\nHow it is measured is in `test/tools/bench/bench_", Suite, ".erl`. Ratios of one run say "
        "something;\nfigures of two machines, or of two days, cannot be compared.\n\n", Machine,
        [[text(Section), [["\n![", maps:get(title, Section), "](", Name, ")\n"] || {Name, _} <- Charts(Section)]]
         || Section <- Sections]]),
    [ok = file:write_file(filename:join(?RESULTS, Name), unicode:characters_to_binary(Svg))
     || Section <- Sections, {Name, Svg} <- Charts(Section)],
    bench_runs:say("bench: saved in ~s", [File]).
