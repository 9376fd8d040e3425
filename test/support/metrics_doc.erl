%%% docs/metrics.md, made of the table of metrics: `make docs' writes it, and a test sees that it is up to
%%% date.
-module(metrics_doc).

-export([main/0, file/0, markdown/0]).

%% Of a node that is started for it, in the checkout.
main() ->
    ok = file:write_file(file(), markdown()),
    halt(0).

file() -> "docs/metrics.md".

markdown() ->
    iolist_to_binary([
        "# Metrics\n\n"
        "Made by `make docs` from `hb_cron_metrics:table/0`.\n\n"
        "`hb_process_monitor:metrics()` gives all of them as a map, each under its name without\n"
        "`hb_process_monitor_`. A histogram is `#{buckets => [{UpperBound, Count}], sum => Sum, count => Count}`, where\n"
        "each count is of all at or below its bound; one with a label is a map from the label's value.\n"
        "`hb_process_monitor:prometheus()` gives them as text for Prometheus, and a host with the library `prometheus`\n"
        "shows them with its own. They are the same but for how a number is written: that library has each bound that is\n"
        "no whole number in full, `le=\"1.00000000000000005551e-01\"` for `le=\"0.1\"`.\n\n"
        "Counters and histograms count from the node's start, and go on through crashes and restarts of the\n"
        "application. Of a result that is pushed fast, its lag and its push are counted together with others', when its\n"
        "page or its part of one ends, or a second has passed. Of the gauges, `stalled_pushes` and\n"
        "`oldest_push_seconds` are looked at once a second.\n\n"
        "| name | type | label | meaning |\n"
        "| --- | --- | --- | --- |\n",
        [row(Metric) || Metric <- hb_cron_metrics:table()],
        "\nThe upper bounds of the buckets, in seconds:\n\n",
        [bounds(Metric) || #{type := histogram} = Metric <- hb_cron_metrics:table()]]).

row(#{type := Type, help := Help} = Metric) ->
    ["| `", hb_cron_metrics:full_name(Metric), "` | ", atom_to_binary(Type), " | ",
     case Metric of #{label := Label} -> ["`", atom_to_binary(Label), "`"]; #{} -> "" end, " | ", Help, " |\n"].

bounds(#{name := Name} = Metric) ->
    #{Name := #{buckets := Buckets}} = hb_cron_metrics:values(),
    ["* `", hb_cron_metrics:full_name(Metric), "`: ",
     lists:join(", ", [plain(Bound) || {Bound, _} <- Buckets, Bound =/= infinity]), "\n"].

plain(Bound) when Bound == trunc(Bound) -> integer_to_list(trunc(Bound));
plain(Bound) -> float_to_list(Bound, [{decimals, 6}, compact]).
