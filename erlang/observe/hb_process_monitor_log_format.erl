%%% @doc Formats the library's log records: in one line for any formatter, as their `report_cb'; and, as a
%%% formatter, in columns for a console: time, level, type, process, details. Records of other domains are left to
%%% OTP's own formatter.
%%%
%%% To use the columns: `logger:update_handler_config(default, formatter, {hb_process_monitor_log_format,
%%% #{}})'; the map is {@link logger_formatter}'s, for all other records.
-module(hb_process_monitor_log_format).

-export([report/2, details/1]).
%% The formatter
-export([format/2, check_config/1]).

%% The longest detail that is printed as a whole. A cursor is longer.
-define(LONGEST, 160).
%% The longest text of a record of the library, which names files.
-define(LONGEST_RECORD, 1000).
-define(DEPTH, 12).
-define(WHAT_WIDTH, 18).
%% The width of a process, and the space if there is none.
-define(PROCESS_WIDTH, 43).

%% @doc A record in one line.
-spec report(logger:report(), logger:report_cb_config() | map()) -> unicode:chardata().
report(Report, _Config) ->
    {What, ProcId, Details} = parts(Report),
    lists:join($\s, [Part || Part <- [What, ProcId | Details], Part =/= <<>>]).

%% @doc Details of a record in one line.
-spec details([term()]) -> unicode:chardata().
details(Details) -> lists:join($\s, [detail(Part) || Part <- Details]).

%% @doc A record of the library in columns, any other in OTP's format.
-spec format(logger:log_event(), logger:formatter_config()) -> unicode:chardata().
format(#{level := Level, msg := {report, Report}, meta := #{domain := [hb_process_monitor | _], time := Time}}, _Config) ->
    {What, ProcId, Details} = parts(Report),
    [clock(Time), $\s, string:pad(level(Level), 6), string:pad(What, ?WHAT_WIDTH), $\s,
     string:pad(ProcId, ?PROCESS_WIDTH), [[$\s, Detail] || Detail <- Details], $\n];
format(Event, Config) ->
    logger_formatter:format(Event, Config).

%% @doc The configuration of OTP's formatter.
-spec check_config(logger:formatter_config()) -> ok | {error, term()}.
check_config(Config) -> logger_formatter:check_config(Config).

parts(#{what := record, target := Target, text := Text}) ->
    {<<"library">>, <<>>, [line(Target), line(Text, ?LONGEST_RECORD)]};
parts(#{what := What, details := Details}) when is_tuple(Details), tuple_size(Details) > 0 ->
    [First | Rest] = All = tuple_to_list(Details),
    case is_binary(First) andalso hb_cron_process_id:is_valid(First) of
        true -> {atom_to_binary(What), First, [detail(Part) || Part <- Rest]};
        false -> {atom_to_binary(What), <<>>, [detail(Part) || Part <- All]}
    end;
parts(#{what := What, details := Details}) when is_atom(What) ->
    {atom_to_binary(What), <<>>, [detail(Details)]};
parts(Report) ->
    {<<"report">>, <<>>, [detail(Report)]}.

detail({Key, Value}) when is_atom(Key) -> [atom_to_binary(Key), $=, detail(Value)];
detail(Text) when is_binary(Text) ->
    case is_list(unicode:characters_to_list(Text)) of
        true -> line(Text);
        false -> term(Text)
    end;
detail(Other) -> term(Other).

term(Term) -> line(unicode:characters_to_binary(io_lib:format("~0tP", [Term, ?DEPTH]))).

%% No logged text can begin a line, or control the terminal.
line(Text) -> line(Text, ?LONGEST).

line(Text, Longest) ->
    Chars = [case C < $\s orelse (C >= 127 andalso C < 160) of true -> $\s; false -> C end
             || C <- unicode:characters_to_list(Text)],
    case length(Chars) > Longest of
        %% Three dots in ASCII: the console may not be UTF-8.
        true -> unicode:characters_to_binary([lists:sublist(Chars, Longest), "..."]);
        false -> unicode:characters_to_binary(Chars)
    end.

level(warning) -> "warn";
level(emergency) -> "emerg";
level(critical) -> "crit";
level(Level) -> atom_to_list(Level).

clock(Time) ->
    {_, {Hour, Minute, Second}} = calendar:system_time_to_local_time(Time, microsecond),
    io_lib:format("~2..0b:~2..0b:~2..0b.~3..0b", [Hour, Minute, Second, Time div 1000 rem 1000]).
