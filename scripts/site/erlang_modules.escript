#!/usr/bin/env escript
%% Prints the page of the site that lists the Erlang modules, by folder, with what each is for. Arguments: the directories
%% of the sources. The reference of each module is erlang/MODULE.html.

-include_lib("xmerl/include/xmerl.hrl").

main(Dirs) ->
    ok = io:setopts([{encoding, unicode}]),
    io:put_chars("# Erlang modules\n\n"
                 "For users [`hb_process_monitor`](erlang/hb_process_monitor.html) is enough. The other modules are for contributors: "
                 "[ARCHITECTURE.md](ARCHITECTURE.md) says how they work together.\n"),
    [folder(Dir) || Dir <- Dirs].

folder(Dir) ->
    io:format("\n## `~ts`\n\n| module | what it is for |\n| --- | --- |\n", [Dir]),
    [row(File) || File <- lists:sort(filelib:wildcard(filename:join(Dir, "*.erl")))].

row(File) ->
    {Module, Doc} = edoc:get_doc(File, [{preprocess, true}]),
    Brief = lists:flatten([text(Content) || #xmlElement{content = Content} <- xmerl_xpath:string("/module/description/briefDescription", Doc)]),
    io:format("| [`~s`](erlang/~s.html) | ~ts |\n", [Module, Module, cell(Brief)]).

%% The text of elements, with code as Markdown has it.
text(#xmlText{value = Text}) -> Text;
text(#xmlElement{name = Name, content = Content}) when Name =:= tt; Name =:= code -> ["`", text(Content), "`"];
text(#xmlElement{content = Content}) -> text(Content);
text(Contents) -> [text(Content) || Content <- Contents].

cell(Text) -> re:replace(string:replace(Text, "|", "\\|", all), "\\s+", " ", [global, unicode, {return, list}]).
