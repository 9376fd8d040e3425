%%% @doc Prints the states of monitors: many as a table, one line by line. {@link hb_cron_info} has the states.
-module(hb_cron_table).

-export([listing/1, one/1, asking/1, duration/1]).

%% The number of rows by default.
-define(ROWS, 40).
%% The longest error in a table.
-define(ERROR, 60).

%% {Heading, side}: the last column is as wide as it needs to be.
-define(COLUMNS, [{"process", trailing}, {"state", trailing}, {"cursor age", leading}, {"lag", leading},
                  {"last result", leading}, {"unacked", leading}, {"letters", leading}, {"next tick", leading},
                  {"next result", leading},
                  {"error", trailing}]).

%% @doc A listing as a table, and the call for the next one.
-spec listing(hb_cron_info:list_options()) -> unicode:chardata().
listing(Options) ->
    {Rows, Next} = hb_cron_info:list(maps:merge(#{limit => ?ROWS}, Options)),
    Lines = [[Heading || {Heading, _} <- ?COLUMNS] | [cells(Row) || Row <- Rows]],
    Widths = [lists:max([string:length(lists:nth(N, Line)) || Line <- Lines]) || N <- lists:seq(1, length(?COLUMNS))],
    [[[line(Line, Widths), $\n] || Line <- Lines], foot(length(Rows), Next, Options)].

line(Cells, Widths) ->
    Padded = [string:pad(Cell, Width, Side) || {Cell, Width, {_, Side}} <- lists:zip3(Cells, Widths, ?COLUMNS)],
    string:trim(unicode:characters_to_list(lists:join("  ", Padded)), trailing).

foot(Shown, done, _Options) ->
    io_lib:format("~b of ~b~n", [Shown, hb_cron_info:count()]);
foot(Shown, Next, Options) ->
    io_lib:format("~b of ~b; more: hb_process_monitor:i(~0tp).~n",
                  [Shown, hb_cron_info:count(), Options#{start_after => Next}]).

cells(#{process := ProcId, state := State, cursor_age := Age, lag := Lag, last_result := Last,
        unacked := Unacked, dead_letters := Letters, next_tick := Tick, next_result := Next, error := Error} = Row) ->
    [binary_to_list(ProcId), state(State, Row), duration(Age), duration(Lag), duration(ago(Last)),
     integer_to_list(Unacked), integer_to_list(Letters), duration(Tick), next(Next), failure(Error)].

next(0) -> "due";
next(Ms) -> duration(Ms).

%% A push that hangs is marked.
state(pushing, #{at_push := For}) when is_integer(For), For >= 1000 -> ["pushing ", duration(For)];
state(State, _Row) -> atom_to_list(State).

ago(undefined) -> undefined;
ago(At) -> max(0, erlang:system_time(millisecond) - At).

failure(undefined) -> "";
failure(#{what := What, class := Class, text := Text, failures := Failures}) ->
    Kind = case {What, Class} of {push, push_held} -> "push held"; {push, _} -> "push"; {fetch, _} -> atom_to_list(Class) end,
    Whole = unicode:characters_to_list(io_lib:format("~ts ×~b: ~ts", [Kind, Failures, Text])),
    Line = [case C < $\s of true -> $\s; false -> C end || C <- Whole],
    case length(Line) > ?ERROR of
        true -> lists:sublist(Line, ?ERROR - 1) ++ "…";
        false -> Line
    end.

%% @doc One monitor, line by line.
-spec one(hb_cron_info:info() | {elsewhere, Name :: binary()} | undefined) -> unicode:chardata().
one(undefined) ->
    "not monitored\n";
one({elsewhere, Name}) ->
    ["the host node ", Name, " monitors it\n"];
one(#{process := ProcId, monitor := Monitor, state := State, at_push := AtPush, stalled := Stalled} = Info) ->
    #{cursor := Cursor, cursor_age := Age, cursor_time := CursorTime, lag := Lag, last_result := Last,
      unacked := Unacked, buffered_bytes := Bytes, next_tick := Tick, next_try := Try, rate := Rate,
      next_result := Next, requests_per_result := Requests,
      nodes := Nodes, node := Asked, push := Push, dead_letters := Letters, error := Error,
      supervised := Supervised} = Info,
    Pushing = case AtPush of undefined -> ""; _ -> [", in a push for ", duration(AtPush)] end,
    Stall = case Stalled of true -> ", stalled"; false -> "" end,
    Lines = [
        {"process", ProcId},
        {"monitor", io_lib:format("~p~ts", [Monitor, case Supervised of true -> ", supervised by the host"; false -> "" end])},
        {"state", [atom_to_list(State), Pushing, Stall]},
        {"cursor", io_lib:format("~0tp", [Cursor])},
        {"cursor's time", [moment(CursorTime), case Age of undefined -> ""; _ -> [", ", duration(Age), " ago"] end]},
        {"lag", duration(Lag)},
        {"last result", moment(Last)},
        {"unacked", io_lib:format("~b results, ~b bytes", [Unacked, Bytes])},
        {"dead letters", integer_to_list(Letters)},
        {"tick", io_lib:format("every ~ts, next in ~ts", [duration(Rate), duration(Tick)])},
        {"next result", case Next of undefined -> "-"; 0 -> "due"; _ -> ["expected in ", duration(Next)] end},
        {"asking", asking(Info)},
        {"requests", case Requests of undefined -> "-"; _ -> io_lib:format("~.2f a result", [Requests]) end},
        {"next try", case Try of undefined -> "-"; _ -> ["in ", duration(Try)] end},
        {"push", io_lib:format("~0tp", [Push])},
        {"error", case Error of undefined -> "-"; #{ago := Ago, text := Text} ->
            io_lib:format("~ts ago, ~ts~n~17ts~ts", [duration(Ago), failure(Error#{text := <<>>}), "", Text]) end}
        | [{"node", io_lib:format("~ts, ~ts~ts", [Node, breaker(Breaker), case Node of Asked -> ", used next"; _ -> "" end])}
           || #{node := Node, breaker := Breaker} <- Nodes]
    ],
    [[string:pad(Name, 17), Value, $\n] || {Name, Value} <- Lines].

%% @doc When a monitor asks its CU, and why. The engine gives the reasons; nothing is concluded here.
-spec asking(#{asks := hb_cron_info:asks() | undefined, next_result := non_neg_integer() | undefined, atom() => term()}) ->
    unicode:chardata().
asking(#{asks := undefined}) ->
    "-";
asking(#{asks := #{how := every_tick, why := Why}} = Info) ->
    ["asks at every tick: ", why(Why), tags(Info)];
asking(#{asks := #{how := expected, every := Every, result_time := Time}, next_result := Next} = Info) ->
    ["expects the next result of the cron of ", duration(Every * 1000), " at ", second(Time), "; asks ",
     case Next of
         In when is_integer(In), In > 0 -> ["from ", second(erlang:system_time(millisecond) + In), " on"];
         _ -> "at every tick until it is there"
     end, safety(Info), tags(Info)];
asking(#{asks := #{how := rarely}} = Info) ->
    ["expects no result: by its tags, no cron of the process ever runs", safety(Info)].

why(rate) -> "cron_poll is rate";
why(no_result) -> "no result was seen yet";
why(untimed) -> "a cron runs in blocks, or its cursors do not say when it runs";
why(unseen) -> "the process has a cron that has not run yet";
why(delay) -> "the delay of the CU is not known yet".

safety(#{longest_gap := Gap}) when is_integer(Gap) -> ["; a request at least every ", duration(Gap)];
safety(#{}) -> "".

tags(#{asks := #{why := rate}}) -> "";
tags(#{crons := Crons}) when is_list(Crons) -> " (tags known)";
tags(#{}) -> " (tags not known)".

%% To the second, if the calendar has it.
second(Ms) ->
    try calendar:system_time_to_rfc3339(Ms div 1000, [{offset, "Z"}])
    catch error:_ -> integer_to_list(Ms)
    end.

breaker(closed) -> "breaker closed";
breaker(half_open) -> "breaker half open";
breaker({open, For}) -> ["breaker open for ", duration(For)].

moment(undefined) -> "-";
moment(Ms) ->
    %% A cursor may have any time: one outside of the calendar is printed as a number.
    try calendar:system_time_to_rfc3339(Ms, [{unit, millisecond}, {offset, "Z"}])
    catch error:_ -> integer_to_list(Ms)
    end.

%% @doc A time in ms, in few characters.
-spec duration(non_neg_integer() | undefined) -> string().
duration(undefined) -> "-";
duration(Ms) when Ms < 1000 -> integer_to_list(Ms) ++ " ms";
duration(Ms) when Ms < 60000 -> float_to_list(Ms / 1000, [{decimals, 1}]) ++ " s";
duration(Ms) when Ms < 3600000 -> lists:flatten(io_lib:format("~bm ~2..0bs", [Ms div 60000, Ms div 1000 rem 60]));
duration(Ms) when Ms < 86400000 -> lists:flatten(io_lib:format("~bh ~2..0bm", [Ms div 3600000, Ms div 60000 rem 60]));
duration(Ms) -> lists:flatten(io_lib:format("~bd ~2..0bh", [Ms div 86400000, Ms div 3600000 rem 24])).
