%%% The docs name files, calls and commands that exist, link to what exists, and are all reachable from the README.
%%% examples_tests runs the examples; options_tests, prometheus_tests and a Rust test compare the generated pages.
-module(docs_tests).
-include_lib("eunit/include/eunit.hrl").

%% Short for long directories, as the guide says.
-define(SHORT, #{"engine" => "native/cron_engine/src", "io" => "native/cron_io/src",
                 "checkpoint" => "native/cron_checkpoint/src", "nif" => "native/hb_process_monitor_nif/src"}).
%% The contents of the site.
-define(CONTENTS, "docs/SUMMARY.md").
%% The longest README, in lines: three minutes to read.
-define(README_LINES, 130).

eunit_wrapper_(Tests) -> deadline:each(Tests).

guide_files_it_names_exist_test() ->
    Named = matches("docs/how-a-result-travels.md", "`([a-z_]+(?:/[a-z_]+)*/)?([a-z_]+\\.(?:rs|erl))`"),
    ?assert(length(Named) > 30),
    ?assertEqual([], [File || [Short, Name] <- Named, File <- [file(string:trim(Short, trailing, "/"), Name)],
                              not filelib:is_regular(path(File))]).

documents_links_lead_somewhere_test() ->
    Links = [{Document, Link} || Document <- documents(), [Link] <- matches(Document, "\\]\\(([^)]+)\\)"), not is_web(Link)],
    ?assert(length(Links) > 60),
    ?assertEqual([], [Link || {Document, To} = Link <- Links, not leads(Document, To)]).

link_to_nothing_is_found_test() ->
    ?assertNot(leads("README.md", "docs/nothing.md")),
    ?assertNot(leads("README.md", "docs/comparison.md#no-such-heading")).

documents_are_reachable_from_readme_test() ->
    ?assertEqual([], documents() -- reachable(["README.md"], [])).

%% The order of the pages of the site. It is no page itself.
contents_of_the_site_have_every_document_once_test() ->
    Pages = contents(text(?CONTENTS)),
    ?assertEqual({[], []}, {documents() -- Pages, Pages -- documents()}).

page_that_contents_lack_is_found_test() ->
    Pages = contents(re:replace(text(?CONTENTS), "\\(install\\.md\\)", "(installed.md)", [{return, list}])),
    ?assertEqual({["docs/install.md"], ["docs/installed.md"]}, {documents() -- Pages, Pages -- documents()}).

contents(Text) ->
    {match, Links} = re:run(Text, "\\]\\(([^)]+)\\)", [global, {capture, all_but_first, list}]),
    [flat(filename:join("docs", Link)) || [Link] <- Links].

readme_is_short_test() ->
    ?assert(length(string:split(text("README.md"), "\n", all)) =< ?README_LINES).

documents_call_exported_functions_test() ->
    _ = code:ensure_loaded(hb_process_monitor),
    Calls = [{Document, list_to_atom(Function), arity(Arguments)}
             || Document <- documents(),
                [Function, Arguments] <- matches(Document, "hb_process_monitor:([a-z_]+)\\(((?:[^()]|\\([^()]*\\))*)\\)")],
    ?assert(length(Calls) >= 8),
    ?assertEqual([], [Call || {_, Function, Arity} = Call <- Calls,
                              not erlang:function_exported(hb_process_monitor, Function, Arity)]),
    Arities = [{Document, list_to_atom(Function), list_to_integer(Arity)}
               || Document <- documents(), [Function, Arity] <- matches(Document, "`hb_process_monitor:([a-z_]+)/([0-9])")],
    ?assertEqual([], [Call || {_, Function, Arity} = Call <- Arities,
                              not erlang:function_exported(hb_process_monitor, Function, Arity)]).

documents_name_commands_of_the_makefile_test() ->
    Targets = [Target || [Target] <- matches("Makefile", "(?m)^([a-z0-9-]+):")],
    Named = [{Document, Target} || Document <- documents(), Document =/= "CHANGELOG.md",
                                   [Target] <- matches(Document, "`make ([a-z0-9-]+)")
                                       ++ matches(Document, "(?m)^    make ([a-z0-9-]+)")],
    ?assert(length(Named) > 30),
    ?assertEqual([], [Name || {_, Target} = Name <- Named, not lists:member(Target, Targets)]).

%% The command that lists the others needs nothing installed.
make_help_lists_every_documented_command_test() ->
    {0, Help} = os_program:run(os:find_executable("make"), ["--no-print-directory", "help"], #{cd => path(".")}),
    [?assertMatch({Target, {_, _}}, {Target, binary:match(iolist_to_binary(Help), list_to_binary("make " ++ Target))})
     || Target <- ["demo", "test", "install", "uninstall", "verify", "dist", "bench"]].

documents_erlang_blocks_parse_test() ->
    Blocks = [{Document, Line} || Document <- documents(), [Line] <- matches(Document, "(?m)^    ((?:[0-9]+> )?(?:\\{[A-Za-z_, ]+\\} = )?hb_process_monitor:[^\\n]+)")],
    ?assert(length(Blocks) > 5),
    [?assertMatch({_, _, {ok, _}}, {Document, Line, parsed(Line)}) || {Document, Line} <- Blocks].

parsed(Line) ->
    Expression = re:replace(Line, "^[0-9]+> ", "", [{return, list}]),
    {ok, Tokens, _} = erl_scan:string(Expression),
    erl_parse:parse_exprs(Tokens).

documents() ->
    ["README.md", "ARCHITECTURE.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md"
     | [File || Name <- filelib:wildcard("**/*.md", path("docs")), File <- [filename:join("docs", Name)], File =/= ?CONTENTS]].

is_web(Link) -> string:prefix(Link, "http") =/= nomatch.

leads(Document, Link) ->
    {To, Heading} = case string:split(Link, "#") of
        [File] -> {File, none};
        [File, Anchor] -> {File, Anchor}
    end,
    Target = case To of "" -> Document; _ -> filename:join(filename:dirname(Document), To) end,
    filelib:is_file(path(Target)) andalso (Heading =:= none orelse lists:member(Heading, headings(Target))).

%% As GitHub makes anchors.
headings(Document) ->
    [re:replace(re:replace(string:lowercase(Title), "[^a-z0-9 -]", "", [global]), " ", "-", [global, {return, list}])
     || [Title] <- matches(Document, "(?m)^#+ (.*)$")].

reachable([], Seen) -> Seen;
reachable([Document | Rest], Seen) ->
    case lists:member(Document, Seen) orelse filename:extension(Document) =/= ".md" of
        true -> reachable(Rest, Seen);
        false ->
            Links = [flat(filename:join(filename:dirname(Document), hd(string:split(Link, "#"))))
                     || [Link] <- matches(Document, "\\]\\(([^)#][^)]*)\\)"), not is_web(Link)],
            reachable(Links ++ Rest, [Document | Seen])
    end.

flat(Path) -> flat(filename:split(Path), []).

flat([], Done) -> filename:join(lists:reverse(Done));
flat(["." | Rest], Done) -> flat(Rest, Done);
flat([".." | Rest], [_ | Done]) -> flat(Rest, Done);
flat([Name | Rest], Done) -> flat(Rest, [Name | Done]).

arity("") -> 0;
arity(Arguments) ->
    length(string:split(re:replace(Arguments, "[\\[{(#][^\\[{(]*[\\]})]", "x", [global, {return, list}]), ",", all)).

file("", Name) ->
    case filelib:wildcard("erlang/**/" ++ Name, path(".")) of
        [File] -> File;
        _ -> Name
    end;
file(Path, Name) ->
    [Short | Rest] = filename:split(Path),
    filename:join([maps:get(Short, ?SHORT, Short) | Rest] ++ [Name]).

matches(Document, Pattern) ->
    case re:run(text(Document), Pattern, [global, {capture, all_but_first, list}]) of
        {match, Found} -> Found;
        nomatch -> []
    end.

text(Document) ->
    {ok, Text} = file:read_file(path(Document)),
    Text.

path(File) -> harness:checkout(File).
