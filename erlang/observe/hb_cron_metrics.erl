%%% @doc The table of metrics: name, type, unit, meaning and source of each. The API, the exposition for Prometheus
%%% ({@link hb_cron_prometheus}) and docs/metrics.md are generated from it. Other modules count.
-module(hb_cron_metrics).

-export([table/0, values/0, full_name/1]).

-export_type([metric/0, value/0, histogram/0]).

-type metric() :: #{
    name := atom(),
    type := counter | gauge | histogram,
    unit := none | seconds | bytes,
    help := binary(),
    label => atom(),
    from := {library | engine | checkpoint | meter | cluster, Key :: atom()}
}.
%% `label': the values of a metric with a label are a map by the label's value.

-type histogram() :: #{buckets := [{UpperBound :: float() | infinity, Count :: non_neg_integer()}],
                       sum := number(), count := non_neg_integer()}.
%% Cumulative: each count is of all values at or below its bound.

-type value() :: number() | histogram() | #{LabelValue :: atom() => number()}.

%% The prefix of full names.
-define(PREFIX, "hb_process_monitor_").

%% @doc All metrics, in the order of the docs.
-spec table() -> [metric(), ...].
table() ->
    [%% Gauges
     gauge(monitors, none, {engine, monitors}, <<"Monitors registered.">>),
     gauge(fetches_inflight, none, {engine, inflight}, <<"Fetches under way.">>),
     gauge(fetches_slow, none, {engine, slow}, <<"Fetches under way in the slow lane.">>),
     gauge(fetches_queued, none, {engine, queued}, <<"Monitors that wait for a place to fetch.">>),
     gauge(fetch_threads, none, {engine, threads}, <<"Threads that fetch.">>),
     gauge(buffered_bytes, bytes, {engine, buffered}, <<"Memory of pages that are fetched and not acked.">>),
     gauge(open_breakers, none, {engine, open_breakers}, <<"CU hosts whose breaker is not closed.">>),
     gauge(dead_letters, none, {checkpoint, dead_letters}, <<"Results that were given up and are kept.">>),
     gauge(checkpoint_failing, none, {checkpoint, failing}, <<"1 while the checkpoint cannot be written, otherwise 0.">>),
     gauge(checkpoint_writing_seconds, seconds, {checkpoint, writing_for_ms},
           <<"Duration of the commit under way so far, otherwise 0.">>),
     gauge(stalled_pushes, none, {meter, stalled}, <<"Monitors whose push has taken longer than cron_push_stall.">>),
     gauge(oldest_push_seconds, seconds, {meter, oldest_push_ms}, <<"Duration of the longest push under way so far.">>),
     gauge(cluster_configured, none, {cluster, configured}, <<"1 if the host node has the option cron_cluster, otherwise 0.">>),
     gauge(cluster_connected, none, {cluster, connected}, <<"1 while the database of the cluster answers, otherwise 0.">>),
     gauge(cluster_may_push, none, {cluster, may_push}, <<"1 while the host node may push in its cluster, otherwise 0.">>),
     gauge(cluster_nodes, none, {cluster, nodes}, <<"Host nodes in the cluster, as this one last saw it.">>),
     gauge(cluster_shards, none, {cluster, shards}, <<"Shards that the host node owns.">>),
     gauge(cluster_shards_moving, none, {cluster, moving}, <<"Shards that the host node is handing over.">>),
     gauge(cluster_unsaved_seconds, seconds, {cluster, unsaved_ms}, <<"Age of the oldest ack that the database has not saved, otherwise 0.">>),
     %% Counters
     counter(engine_starts_total, none, {library, engines}, <<"Engines started; each after the first one follows a crash or a restart.">>),
     counter(ticks_total, none, {library, ticks}, <<"Ticks sent to monitors.">>),
     counter(ticks_missed_total, none, {library, missed_ticks}, <<"Ticks skipped because the monitor was busy or the node late.">>),
     counter(ticks_quiet_total, none, {library, quiet_ticks}, <<"Ticks not sent because no result was expected.">>),
     counter(fetches_total, none, {library, fetches}, <<"Fetches begun.">>),
     (counter(fetch_failures_total, none, {library, failures}, <<"Fetches that failed, by class.">>))#{label => class},
     counter(fetch_demotions_total, none, {library, demotions}, <<"Fetches that were too slow while places were scarce, and were repeated in the slow lane.">>),
     counter(breaker_opens_total, none, {library, breaker_opens}, <<"Times that the breaker of a CU host opened.">>),
     counter(results_fetched_total, none, {library, results}, <<"Results in the pages fetched.">>),
     counter(push_failures_total, none, {meter, push_failures}, <<"Pushes that failed, each try counted.">>),
     counter(dead_letters_total, none, {meter, given_up}, <<"Results given up to the dead letters.">>),
     counter(checkpoint_failures_total, none, {library, commit_failures}, <<"Commits of the checkpoint that failed.">>),
     counter(checkpoint_replacements_total, none, {library, checkpoint_replacements},
             <<"Times that the checkpoint's file was deleted or replaced while the node ran, and was written again.">>),
     counter(events_dropped_total, none, {library, events_dropped}, <<"Events dropped because their handlers were too slow.">>),
     counter(cluster_joins_total, none, {library, cluster_joins}, <<"Times that the host node joined a cluster.">>),
     counter(cluster_evictions_total, none, {library, cluster_evictions},
             <<"Times that the host node lost all shards, because the others took it for dead.">>),
     counter(cluster_burials_total, none, {library, cluster_burials}, <<"Silent host nodes that this one buried.">>),
     counter(cluster_claims_total, none, {library, cluster_claims}, <<"Shards that the host node claimed.">>),
     counter(cluster_hand_overs_total, none, {library, cluster_hand_overs}, <<"Shards that the host node handed over.">>),
     counter(cluster_fenced_total, none, {library, cluster_fenced},
             <<"Acks that the database refused: the process had another owner, or was started anew or forgotten.">>),
     counter(cluster_statements_total, none, {library, cluster_statements}, <<"Statements sent to the database of the cluster.">>),
     counter(cluster_statement_failures_total, none, {library, cluster_statement_failures},
             <<"Statements to that database without an answer, or that it refused.">>),
     %% Histograms
     histogram(tick_lateness_seconds, {library, lateness}, <<"Time from the due time of a tick to its sending.">>),
     histogram(fetch_duration_seconds, {library, fetch}, <<"A fetch, from the request to a decoded page or a failure.">>),
     histogram(decode_duration_seconds, {library, decode}, <<"Decoding a page with results.">>),
     histogram(terms_duration_seconds, {library, terms}, <<"Making the terms of one part of a page, on a scheduler.">>),
     histogram(page_duration_seconds, {library, page}, <<"Time from handing a page to its monitor to its last ack.">>),
     histogram(push_duration_seconds, {meter, push}, <<"A push that succeeded, with its ack.">>),
     histogram(lag_seconds, {library, lag}, <<"Time from a result's own time to its ack, if its cursor has a time.">>),
     histogram(checkpoint_commit_duration_seconds, {library, commit}, <<"A commit of the checkpoint that succeeded.">>),
     histogram(cluster_statement_duration_seconds, {library, cluster_statement}, <<"A statement to the database of the cluster.">>)].

gauge(Name, Unit, From, Help) -> #{name => Name, type => gauge, unit => Unit, from => From, help => Help}.

counter(Name, Unit, From, Help) -> #{name => Name, type => counter, unit => Unit, from => From, help => Help}.

histogram(Name, From, Help) -> #{name => Name, type => histogram, unit => seconds, from => From, help => Help}.

%% @doc The fully qualified name of a metric.
-spec full_name(metric()) -> binary().
full_name(#{name := Name}) -> <<?PREFIX, (atom_to_binary(Name))/binary>>.

%% @doc The value of every metric. Asks no process, so it takes microseconds for any number of monitors. If no
%% engine runs, gauges are zero, and counters stay.
-spec values() -> #{Name :: atom() => value()}.
values() ->
    Engine = engine(),
    Sources = Engine#{library => hb_process_monitor_nif:metrics(), meter => hb_cron_push_meter:read()},
    maps:from_list([{Name, value(Metric, Sources)} || #{name := Name} = Metric <- table()]).

engine() ->
    case hb_cron_registry:engine() of
        {ok, Engine, _Ticker} ->
            #{engine => hb_process_monitor_nif:counters(Engine),
              checkpoint => hb_process_monitor_nif:checkpoint_status(Engine),
              cluster => cluster(hb_cron_cluster:status())};
        none ->
            #{engine => #{}, checkpoint => #{}, cluster => #{}}
    end.

cluster(undefined) ->
    #{};
cluster(#{connected := Connected, may_push := MayPush, nodes := Nodes} = Status) ->
    Status#{configured => 1, connected := flag(Connected), may_push := flag(MayPush), nodes := length(Nodes)}.

flag(true) -> 1;
flag(false) -> 0.

value(#{type := histogram, from := {Source, Key}}, Sources) ->
    #{Source := #{Key := Histogram}} = Sources,
    cumulative(Histogram);
value(#{label := _, from := {Source, Key}}, Sources) ->
    #{Source := #{Key := Values}} = Sources,
    maps:from_list(Values);
value(#{from := {meter, oldest_push_ms}}, #{meter := #{oldest_push_ms := Ms}}) ->
    Ms / 1000;
value(#{from := {checkpoint, writing_for_ms}}, #{checkpoint := Checkpoint}) ->
    maps:get(writing_for_ms, Checkpoint, 0) / 1000;
value(#{from := {cluster, unsaved_ms}}, #{cluster := Cluster}) ->
    maps:get(unsaved_ms, Cluster, 0) / 1000;
value(#{from := {Source, Key}}, Sources) ->
    #{Source := Values} = Sources,
    maps:get(Key, Values, 0).

cumulative({Counts, Over, SumUs}) ->
    {Buckets, Below} = lists:mapfoldl(fun({Us, Count}, Before) ->
        {{Us / 1000000, Before + Count}, Before + Count}
    end, 0, Counts),
    All = Below + Over,
    #{buckets => Buckets ++ [{infinity, All}], sum => SumUs / 1000000, count => All}.
