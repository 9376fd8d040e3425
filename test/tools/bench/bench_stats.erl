%%% Statistics.
-module(bench_stats).

-export([median/1, spread/1, percentile/2, medians/2, ratios/3]).

median(Numbers) -> percentile(50, Numbers).

%% Median, least and greatest.
spread(Numbers) -> {median(Numbers), lists:min(Numbers), lists:max(Numbers)}.

%% The least number that this many in a hundred do not exceed.
percentile(Percent, Numbers) ->
    Sorted = lists:sort(Numbers),
    Rank = max(1, ceil(length(Sorted) * Percent / 100)),
    lists:nth(Rank, Sorted).

%% The median of one figure over the runs.
medians(Key, Runs) -> median([maps:get(Key, Figures) || Figures <- Runs]).

%% The median of one figure, pair by pair: the machine's speed drifts less between two consecutive runs.
ratios(Key, Runs, Against) ->
    spread(lists:zipwith(fun(#{Key := One}, #{Key := Other}) -> One / max(Other, 1.0e-9) end, Runs, Against)).
