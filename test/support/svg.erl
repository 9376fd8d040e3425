%%% Elements of charts in SVG.
-module(svg).

-export([drawing/3, text/4, frame/4, polyline/2]).

%% A complete drawing on white, in pixels.
drawing(Width, Height, Inner) ->
    [io_lib:format("<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"~b\" height=\"~b\" font-family=\"sans-serif\""
                   " font-size=\"11\">~n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>~n", [Width, Height]),
     Inner, "</svg>\n"].

%% `Anchor': which end of the text is at `X', in SVG's terms.
text(X, Y, Anchor, Text) ->
    io_lib:format("<text x=\"~.1f\" y=\"~.1f\" text-anchor=\"~s\">~ts</text>~n", [X * 1.0, Y * 1.0, Anchor, Text]).

%% The frame of a panel.
frame(Left, Top, Width, Height) ->
    io_lib:format("<rect x=\"~b\" y=\"~b\" width=\"~b\" height=\"~b\" fill=\"none\" stroke=\"#ccc\"/>~n",
                  [Left, Top, Width, Height]).

polyline(Width, Points) ->
    [io_lib:format("<polyline fill=\"none\" stroke=\"#246\" stroke-width=\"~b\" points=\"", [Width]),
     [io_lib:format("~.1f,~.1f ", [X * 1.0, Y * 1.0]) || {X, Y} <- Points], "\"/>\n"].
