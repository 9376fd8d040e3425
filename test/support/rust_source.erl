%%% Reads Rust sources without a compiler: which files of a crate import which, the functions that are NIFs, and
%%% constants. It knows as much of the language as this project's sources need.
-module(rust_source).

-export([crate/1, imports/1, circles/1, graph_circles/1, nifs/1, constant/2]).

-type path() :: [string()].
%% A module of a crate: ["monitor", "gap"] is src/monitor/gap.rs, and [] is src/lib.rs.

%% The sources of a crate, without files of tests.
-spec crate(Dir :: file:filename()) -> #{path() => string()}.
crate(Dir) ->
    Files = filelib:wildcard("**/*.rs", filename:join(Dir, "src")),
    maps:from_list([{Path, read(filename:join([Dir, "src", File]))}
                    || File <- Files, Path <- [path(File)], not is_test(Path)]).

path("lib.rs") -> [];
path(File) -> filename:split(filename:rootname(File)).

is_test([]) -> false;
is_test(Path) -> lists:suffix("tests", lists:last(Path)).

read(File) ->
    {ok, Text} = file:read_file(File),
    unicode:characters_to_list(Text).

%% The pairs of files of which the first one imports from the second one. lib.rs, which declares the others, is left
%% out, and so is what a file imports by `self::' from the submodules that it is split into.
-spec imports(#{path() => string()}) -> [{path(), path()}].
imports(Crate) ->
    Exports = re_exports(maps:get([], Crate, "")),
    lists:usort([{From, To} || {From, Text} <- maps:to_list(Crate), From =/= [],
                               Name <- names(From, code(Text)),
                               To <- file(re_exported(Name, Exports), Crate), To =/= From, To =/= []]).

%% Sets of files that import each other, directly or through others of the set.
-spec circles(#{path() => string()}) -> [[path()]].
circles(Crate) ->
    graph_circles(imports(Crate)).

%% The same for any pairs.
-spec graph_circles([{Vertex, Vertex}]) -> [[Vertex]].
graph_circles(Pairs) ->
    Graph = digraph:new(),
    [digraph:add_vertex(Graph, V) || {From, To} <- Pairs, V <- [From, To]],
    [digraph:add_edge(Graph, From, To) || {From, To} <- Pairs],
    Circles = [lists:sort(Circle) || Circle <- digraph_utils:cyclic_strong_components(Graph)],
    digraph:delete(Graph),
    lists:sort(Circles).

%% Without comments and unit tests.
code(Text) ->
    lists:foldl(fun(Pattern, Rest) -> re:replace(Rest, Pattern, "", [global, dotall, multiline, unicode, {return, list}]) end,
                Text, ["//[^\n]*", "^#\\[cfg\\(test\\)\\]\\s*mod \\w+ \\{.*?^\\}", "#\\[cfg\\(test\\)\\]\\s*use [^;]+;"]).

%% The names from the crate that a file uses, by their whole paths.
names(File, Code) ->
    Uses = [Name || [Tree] <- matches(Code, "\\buse\\s+((?:crate|super)\\b[^;]*);"), {_, Name} <- tree(Tree)],
    Inline = [Name || [Name] <- matches(without_uses(Code), "\\b((?:crate|super)(?:::\\w+)+)")],
    [absolute(File, string:split(Name, "::", all)) || Name <- Uses ++ Inline].

without_uses(Code) ->
    re:replace(Code, "\\buse\\s[^;]+;", "", [global, unicode, {return, list}]).

absolute(_File, ["crate" | Path]) -> Path;
absolute(File, ["super" | Path]) -> absolute_in(lists:droplast(File), Path).

absolute_in(Parent, ["super" | Path]) -> absolute_in(lists:droplast(Parent), Path);
absolute_in(Parent, Path) -> Parent ++ Path.

%% The longest part of a path that is a file. A path of which none is belongs to lib.rs.
file(Path, Crate) ->
    case is_map_key(Path, Crate) of
        true -> [Path];
        false when Path =:= [] -> [];
        false -> file(lists:droplast(Path), Crate)
    end.

%% What lib.rs exports under another path than that of its file: the name, and the path.
re_exports(Lib) ->
    maps:from_list([{As, string:split(Name, "::", all)}
                    || [Tree] <- matches(code(Lib), "\\bpub(?:\\(crate\\))?\\s+use\\s+([^;]+);"), {As, Name} <- tree(Tree)]).

re_exported([First | Rest] = Path, Exports) ->
    case Exports of
        #{First := Real} when hd(Real) =/= First -> Real ++ Rest;
        _ -> Path
    end;
re_exported([], _) ->
    [].

%% The names in `a::{b, c::{self, d as e}}', each with its path.
tree(Text) ->
    case string:split(string:trim(Text), "{") of
        [Plain] ->
            leaf(Plain);
        [Prefix, Rest] ->
            Group = lists:droplast(string:trim(Rest)),
            [{case As of "self" -> last(Prefix); _ -> As end, case Name of "self" -> whole(Prefix); _ -> Prefix ++ Name end}
             || Part <- split(Group), {As, Name} <- tree(Part)]
    end.

leaf(Text) ->
    case string:split(Text, " as ") of
        [Name, As] -> [{string:trim(As), string:trim(Name)}];
        [Name] -> [{last(Name), string:trim(Name)}]
    end.

whole(Prefix) -> string:trim(Prefix, trailing, ":").

last(Name) -> lists:last(string:split(whole(string:trim(Name)), "::", all)).

%% At commas outside of brackets of any kind.
split(Text) -> split(Text, 0, "", []).

split([], _Depth, Part, Parts) -> [P || P <- lists:reverse([lists:reverse(Part) | Parts]), string:trim(P) =/= ""];
split([$, | Text], 0, Part, Parts) -> split(Text, 0, "", [lists:reverse(Part) | Parts]);
split([$-, $> | Text], Depth, Part, Parts) -> split(Text, Depth, [$>, $- | Part], Parts);
split([C | Text], Depth, Part, Parts) when C =:= ${; C =:= $(; C =:= $<; C =:= $[ -> split(Text, Depth + 1, [C | Part], Parts);
split([C | Text], Depth, Part, Parts) when C =:= $}; C =:= $); C =:= $>; C =:= $] -> split(Text, Depth - 1, [C | Part], Parts);
split([C | Text], Depth, Part, Parts) -> split(Text, Depth, [C | Part], Parts).

%% The functions of a source that Erlang can call, without the environment that they are given.
-spec nifs(string()) -> [{atom(), arity()}].
nifs(Text) ->
    Pattern = "#\\[rustler::nif[^\\]]*\\]\\s*(?:#\\[[^\\]]*\\]\\s*)*(?:pub(?:\\(crate\\))?\\s+)?fn\\s+(\\w+)(?:<[^>]*>)?\\s*"
              "\\(((?:[^()]|\\([^()]*\\))*)\\)",
    [{list_to_atom(Name), length([Argument || Argument <- split(Arguments), not is_env(Argument)])}
     || [Name, Arguments] <- matches(code(Text), Pattern)].

is_env(Argument) ->
    re:run(Argument, ":\\s*Env\\b", [{capture, none}]) =:= match.

%% A constant that is a number, or a product or shift of numbers.
-spec constant(Name :: string(), string()) -> integer().
constant(Name, Text) ->
    [[Value]] = matches(code(Text), "\\bconst " ++ Name ++ ": \\w+ = ([0-9_ *<]+);"),
    value(lists:filter(fun(C) -> C =/= $_ andalso C =/= $\s end, Value)).

value(Text) ->
    case {string:split(Text, "*"), string:split(Text, "<<")} of
        {[A, B], _} -> value(A) * value(B);
        {_, [A, B]} -> value(A) bsl value(B);
        _ -> list_to_integer(Text)
    end.

matches(Text, Pattern) ->
    case re:run(Text, Pattern, [global, unicode, {capture, all_but_first, list}]) of
        {match, Found} -> Found;
        nomatch -> []
    end.
