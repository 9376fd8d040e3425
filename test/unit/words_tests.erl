%%% The words of code, scripts and documents: plain English without the phrases below, and the words of the glossary in
%%% the names of modules and exported functions. Line breaks within comments do not hide a phrase.
-module(words_tests).
-include_lib("eunit/include/eunit.hrl").

%% Phrases that hide the subject of a sentence, or that belong to old names. They are found in any case, as whole words.
-define(PHRASES, ["nobody", "somebody", "anybody", "everybody", "whoever", "whose it is", "is told", "are told", "was told",
                  "were told", "been told", "be told", "told of", "what it is told", "of whatever", "whatever becomes",
                  "whichever way", "of its own accord", "took leave", "there is to be", "all there is", "that which",
                  "looking on", "looks on", "operations page", "as it was", "is no matter", "of no use",
                  "is not to be had", "the keeper", "but for", "hears of", "hear of"]).
%% Files in which a phrase is right.
-define(RIGHT, [{"docs/glossary.md", "looking on"},
                {"docs/glossary.md", "operations page"},
                {"erlang/hb_process_monitor.erl", "as it was"},
                {"native/cron_io/src/body.rs", "as it was"},
                {"native/cron_engine/src/decode/terms.rs", "that which"},
                {"test/unit/words_tests.erl", any}]).
%% The checked files, below the checkout.
-define(FILES, ["*.md", "*.toml", "Makefile", "rebar.config", ".cargo/*.toml", ".github/**/*.{md,yml}", "docs/**/*.md",
                "erlang/**/*.{erl,src,html,css,js}", "examples/*.erl", "native/**/*.{rs,toml}", "scripts/**/*.sh",
                "test/**/*.{erl,rs,sh,c,md,toml}"]).

eunit_wrapper_(Tests) -> deadline:each(Tests).

files_have_none_of_the_phrases_test() ->
    Files = files(),
    ?assert(length(Files) > 300),
    Found = [{File, Phrase, Around} || File <- Files, {Phrase, Around} <- found(read(File)), not is_right(File, Phrase)],
    ?assertEqual([], Found).

allowed_phrases_are_there_test() ->
    [?assertMatch({File, [_ | _]}, {File, [Found || {Found, _} <- found(read(File)), Found =:= Phrase]})
     || {File, Phrase} <- ?RIGHT, Phrase =/= any].

phrase_in_any_case_and_broken_over_lines_is_found_test() ->
    [?assertMatch({Text, [{Phrase, _}]}, {Text, found(Text)})
     || {Phrase, Text} <- [{"nobody", <<"Nobody does it.">>},
                           {"is told", <<"%% The engine is\n    %% told the result.\n">>},
                           {"are told", <<"    /// The monitors are\n    /// told.\n">>},
                           {"of whatever", <<"# The end of\n# whatever part.\n">>},
                           {"somebody", <<"somebody's file">>}]],
    ?assertEqual([], found(<<"nobodys_test, told, a whoeverish word, is\n\ntold_you">>)).

names_have_none_of_the_words_to_avoid_test() ->
    Avoided = avoided(),
    ?assert(lists:member("journal", Avoided)),
    ?assertEqual(["hb_cron_journal", "hb_cron_x:ask/1"],
                 names_with(Avoided, [{"hb_cron_journal", []}, {"hb_cron_x", ["ask/1", "task/0"]}])),
    ?assertEqual([], names_with(Avoided, [exports(File) || File <- files(), filename:extension(File) =:= ".erl",
                                                           lists:prefix("erlang/", File)])).

files() ->
    Root = harness:checkout(""),
    Below = [File || Pattern <- ?FILES, File <- filelib:wildcard(Pattern, Root), not is_excluded(filename:split(File))],
    lists:usort(Below).

%% Build results of cargo.
is_excluded(Parts) -> lists:member("target", Parts).

read(File) ->
    {ok, Text} = file:read_file(harness:checkout(File)),
    Text.

is_right(File, Phrase) -> lists:member({File, Phrase}, ?RIGHT) orelse lists:member({File, any}, ?RIGHT).

%% {Phrase, Around}: the phrases in a text, each with its surroundings.
found(Text) ->
    Line = re:replace(Text, "\\n[ \\t]*(//[/!]?|%+|#|\\*)?[ \\t]*", " ", [global, {return, binary}]),
    case re:run(Line, pattern(), [global, caseless, {capture, [0, 1], index}]) of
        {match, Matches} -> [{phrase(Line, Whole), binary:part(Line, Around)} || [Around, Whole] <- Matches];
        nomatch -> []
    end.

phrase(Line, Part) -> string:lowercase(binary_to_list(binary:part(Line, Part))).

pattern() -> [".{0,40}\\b(", lists:join($|, ?PHRASES), ")\\b.{0,30}"].

%% Single words of the glossary's column `not' that no row uses as its word.
avoided() ->
    {match, [_Heading, _Line | Rows]} = re:run(read("docs/glossary.md"), "^\\| [^|]+ \\| ([^|]+) \\| ([^|]+) \\|$",
                                               [global, multiline, {capture, all_but_first, list}]),
    Words = lists:append([words(Word) || [Word, _] <- Rows]),
    [Avoided || [_, Not] <- Rows, Phrase <- string:lexemes(Not, ","), [Avoided] <- [words(Phrase)],
                not lists:member(Avoided, Words)].

words(Text) -> string:lexemes(Text, " ,;:`_-").

exports(File) ->
    {match, Lists} = re:run(read(File), "^-export\\(\\[([^]]*)\\]", [global, multiline, {capture, all_but_first, list}]),
    {filename:basename(File, ".erl"), lists:append([string:lexemes(List, " ,\n") || [List] <- Lists])}.

%% The names of modules, and of their exported functions, that contain one of the words.
names_with(Words, Modules) ->
    Has = fun(Name) -> lists:any(fun(Part) -> lists:member(Part, Words) end, string:lexemes(Name, "_/0123456789")) end,
    [Module || {Module, _} <- Modules, Has(Module)]
        ++ [Module ++ ":" ++ Function || {Module, Functions} <- Modules, Function <- Functions, Has(Function)].
