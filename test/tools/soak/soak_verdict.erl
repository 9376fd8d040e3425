%%% Judges the samples of a soak, as plain data: whether anything grew or was lost. The first quarter is warm-up;
%%% the medians of the second and the last quarter are compared.
-module(soak_verdict).
-export([quantities/0, csv_header/0, csv_line/1, of_samples/1, of_results/2, print/5, median/1]).

%% The tolerated growth from the second to the last quarter, in percent.
-define(TOLERANCE, 15).

%% The quantities, and their additional tolerance, because small values may double by chance. `none': shown without
%% a verdict.
quantities() ->
    [{rss_kb, 4096}, {memory_total, 2000000}, {memory_processes, 1000000}, {memory_binary, 1000000},
     {memory_ets, 200000}, {memory_code, 500000}, {memory_atom, 50000}, {memory_system, 1000000}, {atoms, 100},
     {processes, 10}, {ports, 4}, {threads, 4}, {fds, 10}, {monitors, none}, {inflight, none}, {queued, none},
     {open_breakers, none}, {buffered, none}, {pushed, none}, {again, none}, {failed, none}, {failures, none}].

csv_header() ->
    [lists:join($,, [<<"second">> | [atom_to_binary(Name) || {Name, _} <- quantities()]]), $\n].

%% While the engine is restarted there is nothing to read.
csv_line(#{second := Second} = Sample) ->
    Values = [integer_to_binary(maps:get(Name, Sample, 0)) || {Name, _} <- quantities()],
    [lists:join($,, [integer_to_binary(Second) | Values]), $\n].

%% The quantities that grew.
of_samples(Samples) ->
    [{grown, Name, {from, Before}, {to, After}, {allowed, Allowed}}
     || {Name, Before, After, Allowed} <- compared(Samples), is_integer(Allowed), After > Allowed].

compared(Samples) ->
    Quarter = length(Samples) div 4,
    Second = lists:sublist(Samples, Quarter + 1, Quarter),
    Last = lists:nthtail(length(Samples) - Quarter, Samples),
    [begin
        [Before, After] = [median([maps:get(Name, Sample, 0) || Sample <- Part]) || Part <- [Second, Last]],
        Allowed = case Floor of
            none -> none;
            _ -> Before + Before * ?TOLERANCE div 100 + Floor
        end,
        {Name, Before, After, Allowed}
     end || {Name, Floor} <- quantities()].

%% Losses and reorderings. `Settled': the number of results of each process, and the last one pushed.
of_results(Settled, #{out_of_order := OutOfOrder}) ->
    [{not_pushed, Id, {has, Has}, {last, Last}} || {Id, Has, Last} <- Settled, Has =/= Last]
    ++ [{out_of_order, OutOfOrder} || OutOfOrder > 0].

print(Samples, Faults, #{pushed := Pushed, again := Again, failed := Failed}, Settled, Violations) ->
    io:format("~-18s~15s~15s~15s~n", ["median of", "2nd quarter", "last quarter", "allowed"]),
    [io:format("~-18s~15b~15b~15s~n", [Name, Before, After, case Allowed of
        none -> "";
        _ -> integer_to_list(Allowed)
     end]) || {Name, Before, After, Allowed} <- compared(Samples)],
    io:format("~b faults of ~b kinds; ~b results of ~b processes; ~b pushes, ~b of them again, ~b failed on purpose~n",
              [length(Faults), length(lists:usort([Fault || {Fault, _, _} <- Faults])),
               lists:sum([Has || {_, Has, _} <- Settled]), length(Settled), Pushed, Again, Failed]),
    io:format("~ts~n", [case Violations of
        [] -> "nothing grew, and nothing was lost";
        _ -> io_lib:format("VIOLATED, ~b times:~n~p", [length(Violations), lists:sublist(Violations, 20)])
    end]).

%% The lower one of two middle numbers.
median(Numbers) -> lists:nth((length(Numbers) + 1) div 2, lists:sort(Numbers)).
