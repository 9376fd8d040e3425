%%% Describes the machine of a benchmark.
-module(bench_machine).

-export([describe/1]).

%% A Markdown list.
describe(Command) ->
    {{Year, Month, Day}, _} = calendar:universal_time(),
    unicode:characters_to_binary([["* ", Name, ": ", Value, "\n"] || {Name, Value} <- [
        {"command", ["`", Command, "`"]},
        {"date", io_lib:format("~4..0b-~2..0b-~2..0b", [Year, Month, Day])},
        {"CPU", [field("/proc/cpuinfo", "model name"), ", ", integer_to_list(cores()), " cores"]},
        {"memory", memory()},
        {"system", string:trim(os:cmd("uname -sr"))},
        {"OTP", [erlang:system_info(otp_release), ", erts ", erlang:system_info(version)]},
        {"Rust", string:trim(os:cmd("rustc --version"))},
        {"load when it began", hd(string:lexemes(read("/proc/loadavg"), " "))},
        {"JSON of plain Erlang", atom_to_list(bench_plain:decoder())}
    ]]).

cores() -> erlang:system_info(logical_processors_available).

memory() ->
    [Kb | _] = string:lexemes(field("/proc/meminfo", "MemTotal"), " "),
    io_lib:format("~.1f GiB", [list_to_integer(Kb) / 1048576]).

field(File, Name) ->
    case re:run(read(File), ["(?m)^", Name, "\\s*:\\s*(.*)$"], [{capture, all_but_first, list}]) of
        {match, [Value]} -> Value;
        nomatch -> "unknown"
    end.

read(File) ->
    {ok, Text} = file:read_file(File),
    unicode:characters_to_list(Text).
