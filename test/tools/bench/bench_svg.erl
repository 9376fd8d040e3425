%%% Charts: bars, and lines over a logarithmic axis. All axes begin at zero, so that differences appear in
%%% proportion.
-module(bench_svg).

-export([bars/3, lines/4]).

-import(svg, [text/4]).

%% In pixels.
-define(LEFT, 170).
-define(RIGHT, 110).
-define(BAR, 22).
-define(WIDTH, 620).
-define(HEIGHT, 120).
-define(GAP, 54).
-define(TOP, 44).

-define(COLOURS, ["#246", "#c73", "#999", "#5a5"]).

%% One bar for each label and value.
bars(Title, Unit, Bars) ->
    Greatest = max(1.0e-9, lists:max([Value || {_, Value} <- Bars])),
    drawing(?TOP + length(Bars) * (?BAR + 8) + 16, Title, [begin
        Top = ?TOP + N * (?BAR + 8),
        Length = ?WIDTH * Value / Greatest,
        Colour = lists:nth(N rem length(?COLOURS) + 1, ?COLOURS),
        [io_lib:format("<rect x=\"~b\" y=\"~b\" width=\"~.1f\" height=\"~b\" fill=\"~s\"/>~n",
                       [?LEFT, Top, Length, ?BAR, Colour]),
         text(?LEFT - 8, Top + 15, "end", Label),
         text(?LEFT + Length + 6, Top + 15, "start", [bench_table:number(Value), " ", Unit])]
    end || {N, {Label, Value}} <- lists:enumerate(0, Bars)]).

%% One panel for each `{Name, Values}', below each other, over `Xs', each ten times the previous one.
lines(Title, XName, Xs, Panels) ->
    Height = ?TOP + length(Panels) * (?HEIGHT + ?GAP),
    drawing(Height, Title, [panel(N, XName, Xs, Panel) || {N, Panel} <- lists:enumerate(0, Panels)]).

panel(N, XName, Xs, {Name, Values}) ->
    Top = ?TOP + 10 + N * (?HEIGHT + ?GAP),
    Greatest = max(1.0e-9, lists:max([Value || Value <- Values, is_number(Value)])),
    Points = [{x(At, length(Xs)), Top + ?HEIGHT - ?HEIGHT * max(0, Value) / Greatest, Value}
              || {At, Value} <- lists:enumerate(0, Values), is_number(Value)],
    [svg:frame(?LEFT, Top, ?WIDTH, ?HEIGHT),
     svg:polyline(2, [{X, Y} || {X, Y, _} <- Points]),
     [[io_lib:format("<circle cx=\"~.1f\" cy=\"~.1f\" r=\"3\" fill=\"#246\"/>~n", [X, Y]),
       text(X, label_y(Y, Top), "middle", bench_table:number(Value))] || {X, Y, Value} <- Points],
     [text(x(At, length(Xs)), Top + ?HEIGHT + 14, "middle", bench_table:number(X)) || {At, X} <- lists:enumerate(0, Xs)],
     text(?LEFT + ?WIDTH + 30, Top + ?HEIGHT + 14, "start", XName),
     text(?LEFT - 20, Top + ?HEIGHT div 2, "end", Name)].

%% Above its point, or below it if there is no room.
label_y(Y, Top) when Y < Top + 16 -> Y + 16;
label_y(Y, _) -> Y - 6.

x(At, Count) -> ?LEFT + 20.0 + (?WIDTH - 40) * At / max(1, Count - 1).

drawing(Height, Title, Inner) ->
    svg:drawing(?LEFT + ?WIDTH + ?RIGHT, Height, [
        io_lib:format("<text x=\"16\" y=\"22\" font-size=\"14\">~ts</text>~n", [Title]), Inner]).
