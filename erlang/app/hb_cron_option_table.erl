%%% @doc The table of options: key, scope, default, type, allowed values and meaning of each. docs/options.md is
%%% generated from it (`make docs'). {@link hb_cron_options} reads options; this module declares them.
-module(hb_cron_option_table).

-export([entries/0, rate/0, all/0]).

-export_type([entry/0]).

-type entry() :: {Key :: atom(), Scope :: monitor | node, Default :: term(), hb_cron_option_type:type(),
                  Values :: string(), Meaning :: string()}.
%% Scope `monitor': may be given to `start/2', too. `node': for the host to set.

-define(MAX_U32, 16#ffffffff).

%% @doc All options.
-spec entries() -> [entry(), ...].
entries() ->
    [
     {cron_node, monitor, undefined, nodes,
      "URL or list of URLs",
      "Base URL of the CU. After a failure the next URL is used at once. By default the host decides: "
      "`hb_router:find(compute, ProcID)`, else its option `nodes`, else the first of the operator's `routes` "
      "whose template fits `/cron/ProcID` or `/result/ProcID`, else `http://localhost:PORT` with the host's "
      "`genesis_wasm_port`, else its built-in `routes`, else `http://localhost:6363`. `user:password@` before "
      "the host, in percent encoding, is sent as `Authorization: Basic` and never printed."},
     {cron_page_limit, monitor, 1000, {range, 1, 1000},
      "1 to 1000",
      "Results asked for per page. Small pages cost a CU more."},
     {cron_push, monitor, undefined, push,
      "`ao`, `converge`, `mu`, `{Module, Function}` or a fun of two arguments",
      "How results are pushed: see [pushing](pushing.md). By default the host decides."},
     {cron_result_format, monitor, undefined, {one_of, [map, record]},
      "`map` or `record`",
      "What `dev_mu` or your own function gets. By default the host decides."},
     {cron_push_timeout, monitor, 60000, {range, 1, ?MAX_U32},
      "ms",
      "Time for one result with `ao` and `converge`. What was sent by then is not sent again."},
     {cron_push_attempts, monitor, 5, {infinity_or, {range, 1, ?MAX_U32}},
      "number or `infinity`",
      "Tries before a result becomes a dead letter. Without a checkpoint there are no dead letters, and a "
      "push is retried without end."},
     {cron_push_backoff, monitor, {1000, 300000}, backoff,
      "`{First, Longest}` in ms",
      "Pause between two tries: drawn evenly from below a bound that doubles from the first value to the "
      "second."},
     {cron_push_stall, monitor, 300000, {range, 1, ?MAX_U32},
      "ms",
      "A push that takes longer is logged. Nothing ends it, because its effect is unknown."},
     {cron_poll, monitor, expected, {one_of, [expected, rate]},
      "`expected` or `rate`",
      "When the CU is asked. `expected`: while a result is due, once between two ticks, and at least every "
      "`cron_poll_max_gap`; at every tick where nothing tells when results come, as with crons in blocks. "
      "`rate`: at every tick, and again until a page is empty."},
     {cron_poll_max_gap, monitor, 60000, {range, 1, ?MAX_U32},
      "ms",
      "The longest time without a request with `expected`. A cron that has never run since the monitor started "
      "is noticed within it. Ten times as long where the host knows the tags of the process."},
     {cron_walk_after, monitor, 60000, {range, 1, ?MAX_U32},
      "ms",
      "After so long with empty pages the newest cursor is probed, to find results behind a run of errors; ten times "
      "as long while no result is expected. "
      "Also the least time between two walks."},
     {cron_stale_after, monitor, infinity, {infinity_or, {range, 1, 1 bsl 53}},
      "ms or `infinity`",
      "A stored cursor that is older is not resumed from. Cursors do not age while a node runs."},
     {cron_max_ahead, monitor, 3600000, {infinity_or, {range, 1, 1 bsl 53}},
      "ms or `infinity`",
      "A result dated further ahead of the node's clock is held back and logged as `future_cursor`."},
     {cron_connect_timeout, monitor, 5000, {range, 1, ?MAX_U32},
      "ms",
      "Time for a connection: name, proxy and TLS included."},
     {cron_first_byte_timeout, monitor, 60000, {range, 1, ?MAX_U32},
      "ms",
      "Time from the request to the end of the response's head."},
     {cron_timeout, monitor, 60000, {range, 1, ?MAX_U32},
      "ms",
      "Time for a whole response, redirects included."},
     {cron_max_page_bytes, monitor, 67108864, {range, 1024, ?MAX_U32},
      "bytes",
      "Largest body, as sent and as inflated."},
     {cron_owner, monitor, undefined, address,
      "address",
      "Address that started the process over HTTP, which its limit counts for. Kept with the process."},
     {cron_max_inflight, node, 64, {range, 1, 1024},
      "1 to 1024",
      "Fetches at once, and threads for them."},
     {cron_max_buffered_bytes, node, 268435456, {range, 1, 1 bsl 53},
      "bytes",
      "Memory of pages that wait to be pushed. While it is used up, no fetch begins. In all, pages take at most "
      "3 times as much, and 1 MiB for each fetch thread. One page is always allowed."},
     {cron_cacertfile, node, undefined, path,
      "path",
      "PEM file of certificates to trust beside the built-in ones (Mozilla's)."},
     {cron_checkpoint, node, <<"cron-checkpoint.redb">>, {false_or, path},
      "path or `false`",
      "File of cursors and dead letters, relative to the node's working directory. `false`: cursors are "
      "kept in memory until the application stops, and there are no dead letters."},
     {cron_checkpoint_interval, node, 50, {range, 1, ?MAX_U32},
      "ms",
      "Least time between two commits while 100 acks of a process wait for one; 20 times as long while there are fewer. "
      "A commit that a caller waits for comes at once."},
     {cron_dead_letters_max, node, 10000, {range, 0, 1 bsl 53},
      "number",
      "Dead letters kept. While there are as many, a push that fails is retried without end."},
     {cron_dead_letters_max_bytes, node, 268435456, {range, 0, 1 bsl 53},
      "bytes",
      "Size of dead letters kept, likewise."},
     {cron_forget_stopped_after, node, infinity, {infinity_or, {range, 1, 1 bsl 53}},
      "ms or `infinity`",
      "A stopped process without dead letters is forgotten after this time."},
     {cron_cluster, node, undefined, cluster,
      "`postgresql://` URL",
      "The database of the [cluster](cluster.md) that this host node is part of. Its password is never printed. In a "
      "cluster `cron_checkpoint` is not used."},
     {cron_cluster_node, node, undefined, name,
      "text",
      "The name of this host node in the cluster, for people. By default the machine's name and the number of the "
      "operating system's process."},
     {cron_cluster_ttl, node, 6000, {range, 1000, 600000},
      "ms",
      "After so long without a sign of life from a host node the others take over its processes. All host nodes of a "
      "cluster must have the same value."},
     {cron_processes, node, [], processes,
      "list of ids, `{Id, Options}` or objects with `id`",
      "Processes to monitor from the start of the application."},
     {cron_autostart, node, true, {one_of, [true, false]},
      "`true` or `false`",
      "Whether the application starts by itself once the host runs, if there is something to monitor or the host takes "
      "the [device](device.md): see "
      "[install](install.md#after-a-reboot)."},
     {cron_monitor_read, node, operator, {one_of, [operator, all]},
      "`operator` or `all`",
      "Whether reading over HTTP takes a message signed by the operator or an address of `cron_monitor_access`."},
     {cron_monitor_access, node, [], addresses,
      "list of addresses",
      "Addresses that may start processes over HTTP, and change those that they started. The operator may always."},
     {cron_monitors_max, node, 100, {range, 0, ?MAX_U32},
      "number",
      "Processes that each address of `cron_monitor_access` may have at the same time."},
     {cron_monitor_port, node, false, {false_or, endpoint},
      "`false`, a port of loopback, or `<<\"ADDRESS:PORT\">>`",
      "Where clients of AO may start and end monitoring: see [clients of AO](device.md#clients-of-ao)."},
     {cron_monitor_requests, node, 120, {range, 1, ?MAX_U32},
      "number",
      "Requests to `cron_monitor_port` that one address may send in a minute."},
     {cron_events, node, auto, {one_of, [auto, true, false]},
      "`auto`, `true`, `false`",
      "Telemetry events: `auto` while a handler is attached, `true` whenever the host has `telemetry`, "
      "`false` never. See [events](events.md)."},
     {cron_log_level, node, info, {one_of, [none, error, warning, info, debug, trace]},
      "level or `none`",
      "Which log records of the library OTP's logger gets."}
    ].

%% @doc The host's option for the rate. In a caller's map it is named `rate'.
-spec rate() -> entry().
rate() ->
    {default_cron_rate, monitor, 10000, {range, 1, ?MAX_U32},
     "ms",
     "Time between two ticks. In the map of `start/2` its name is `rate`."}.

%% @doc All options, and the rate.
-spec all() -> [entry(), ...].
all() -> [rate() | entries()].
