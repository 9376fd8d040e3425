%%% The documents name files that are there, and link to what is there. Whether what they say is true is
%%% for other tests.
-module(docs_tests).
-include_lib("eunit/include/eunit.hrl").

%% Short for long directories, as the guide says.
-define(SHORT, #{"engine" => "native/cron_engine/src", "io" => "native/cron_io/src",
                 "checkpoint" => "native/cron_checkpoint/src", "nif" => "native/hb_process_monitor_nif/src"}).

eunit_wrapper_(Tests) -> deadline:each(Tests).

guide_files_it_names_exist_test() ->
    Named = matches("docs/how-a-result-travels.md", "`([a-z_]+/)?([a-z_]+\\.(?:rs|erl))`"),
    ?assert(length(Named) > 30),
    ?assertEqual([], [File || [Short, Name] <- Named, File <- [file(string:trim(Short, trailing, "/"), Name)],
                              not filelib:is_regular(path(File))]).

documents_links_to_files_lead_somewhere_test() ->
    Documents = ["README.md", "ARCHITECTURE.md", "CHANGELOG.md", "CONTRIBUTING.md"
                 | [filename:join("docs", Name) || Name <- filelib:wildcard("*.md", path("docs"))]],
    Links = [{Document, Link} || Document <- Documents, [Link] <- matches(Document, "\\]\\(([^):#]+)[^):]*\\)")],
    ?assert(length(Links) > 5),
    ?assertEqual([], [Link || {Document, File} = Link <- Links,
                              not filelib:is_file(path(filename:join(filename:dirname(Document), File)))]).

file("", Name) ->
    case filelib:wildcard("erlang/**/" ++ Name, path(".")) of
        [File] -> File;
        _ -> Name
    end;
file(Short, Name) -> filename:join(maps:get(Short, ?SHORT, Short), Name).

matches(Document, Pattern) ->
    {ok, Text} = file:read_file(path(Document)),
    case re:run(Text, Pattern, [global, {capture, all_but_first, list}]) of
        {match, Found} -> Found;
        nomatch -> []
    end.

path(File) -> harness:checkout(File).
