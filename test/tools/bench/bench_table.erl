%%% Aligned Markdown tables, readable on a terminal and in a file.
-module(bench_table).

-export([format/1, number/1, spread/1]).

-export_type([table/0]).

-type table() :: {Header :: [iodata()], Rows :: [[iodata() | number() | {number(), number(), number()}]]}.

%% The first column is left-aligned text, the others are right-aligned.
-spec format(table()) -> iodata().
format({Header, Rows}) ->
    All = [[unicode:characters_to_list(cell(Cell)) || Cell <- Row] || Row <- [Header | Rows]],
    Widths = [lists:max([3 | [length(lists:nth(N, Row)) || Row <- All]]) || N <- lists:seq(1, length(Header))],
    [First | Rest] = [line(Row, Widths) || Row <- All],
    [First, rule(Widths) | Rest].

line([Text | Cells], [Width | Widths]) ->
    Left = string:pad(Text, Width, trailing),
    Right = [[" | ", string:pad(Cell, W, leading)] || {Cell, W} <- lists:zip(Cells, Widths)],
    ["| ", Left, Right, " |\n"].

rule([Width | Widths]) ->
    ["| ", lists:duplicate(Width, $-), [[" | ", lists:duplicate(W - 1, $-), $:] || W <- Widths], " |\n"].

cell({_, _, _} = Spread) -> spread(Spread);
cell(Number) when is_number(Number) -> number(Number);
cell(Text) -> Text.

%% Median (least-greatest).
spread({Median, Least, Greatest}) -> [number(Median), " (", number(Least), "-", number(Greatest), ")"].

%% Three significant digits, or all digits of an integer.
number(Number) when is_integer(Number) -> thousands(integer_to_list(Number));
number(Number) when abs(Number) >= 100 -> number(round(Number));
number(Number) when abs(Number) >= 10 -> io_lib:format("~.1f", [Number]);
number(Number) when abs(Number) >= 0.1; Number == 0 -> io_lib:format("~.2f", [Number * 1.0]);
number(Number) -> io_lib:format("~.4f", [Number * 1.0]).

thousands([$- | Digits]) -> [$- | thousands(Digits)];
thousands(Digits) when length(Digits) =< 3 -> Digits;
thousands(Digits) ->
    {Front, Back} = lists:split(length(Digits) - 3, Digits),
    thousands(Front) ++ "," ++ Back.
