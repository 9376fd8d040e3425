%%% Draws the samples of a soak: one panel for each quantity, with the times of faults in all of them.
-module(soak_chart).
-export([write/3]).

-import(svg, [text/4]).

%% In pixels.
-define(LEFT, 130).
-define(WIDTH, 900).
-define(HEIGHT, 70).
-define(GAP, 14).
-define(TOP, 40).
-define(RIGHT, 130).

%% `Faults': each with the seconds of its beginning and end.
write(File, Samples, Faults) ->
    Last = lists:max([Second || #{second := Second} <- Samples]),
    Names = [Name || {Name, _} <- soak_verdict:quantities()],
    Height = ?TOP + length(Names) * (?HEIGHT + ?GAP) + 20,
    ok = file:write_file(File, svg:drawing(?LEFT + ?WIDTH + ?RIGHT, Height, [
        text(?LEFT, 16, "start", io_lib:format("~b s; shaded: faults; left of the line: warming up", [Last])),
        [panel(N, Name, Samples, Faults, Last) || {N, Name} <- lists:enumerate(0, Names)]])).

panel(N, Name, Samples, Faults, Last) ->
    Top = ?TOP + N * (?HEIGHT + ?GAP),
    Values = [maps:get(Name, Sample, 0) || Sample <- Samples],
    %% From zero, so that growth appears in proportion.
    Max = max(1, lists:max(Values)),
    Points = [{x(Second, Last), Top + ?HEIGHT - ?HEIGHT * maps:get(Name, Sample, 0) / Max}
              || #{second := Second} = Sample <- Samples],
    [[io_lib:format("<rect x=\"~.1f\" y=\"~b\" width=\"~.1f\" height=\"~b\" fill=\"#c33\" opacity=\"0.08\"><title>~s</title></rect>~n",
                    [x(From, Last), Top, x(To, Last) - x(From, Last), ?HEIGHT, Fault]) || {Fault, From, To} <- Faults],
     svg:frame(?LEFT, Top, ?WIDTH, ?HEIGHT),
     io_lib:format("<line x1=\"~b\" y1=\"~b\" x2=\"~b\" y2=\"~b\" stroke=\"#888\" stroke-dasharray=\"3\"/>~n",
                   [?LEFT + ?WIDTH div 4, Top, ?LEFT + ?WIDTH div 4, Top + ?HEIGHT]),
     svg:polyline(1, Points),
     text(?LEFT - 8, Top + ?HEIGHT div 2, "end", atom_to_list(Name)),
     text(?LEFT + ?WIDTH + 8, Top + 10, "start", ["max ", integer_to_list(lists:max(Values))]),
     text(?LEFT + ?WIDTH + 8, Top + ?HEIGHT div 2 + 4, "start", ["median ", integer_to_list(soak_verdict:median(Values))]),
     text(?LEFT + ?WIDTH + 8, Top + ?HEIGHT, "start", ["min ", integer_to_list(lists:min(Values))])].

x(Second, Last) -> ?LEFT + ?WIDTH * Second / Last.
