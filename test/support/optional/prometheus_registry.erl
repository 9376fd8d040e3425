%%% A double of prometheus.erl's registry: collectors by registry, in a table that lives as long as its
%%% application. Compiled and loaded on demand.
-module(prometheus_registry).
-export([register_collector/1, deregister_collector/1, collector_registeredp/1, collectors/1, collect/2]).
-export([start/0, stop/0]).

-define(TABLE, prometheus_registry_table).

start() -> optional_library:start_table(?TABLE, bag).

stop() -> optional_library:stop_table(?TABLE).

%% Registering a collector again has no effect.
register_collector(Collector) ->
    true = ets:insert(?TABLE, {default, Collector}),
    ok.

deregister_collector(Collector) ->
    true = ets:delete_object(?TABLE, {default, Collector}),
    ok = Collector:deregister_cleanup(default),
    ok.

collector_registeredp(Collector) ->
    ets:match(?TABLE, {default, Collector}) =/= [].

collectors(Registry) -> [Collector || {_, Collector} <- ets:lookup(?TABLE, Registry)].

%% Called by a scrape.
collect(Registry, Callback) ->
    lists:foreach(fun(Collector) -> Collector:collect_mf(Registry, Callback) end, collectors(Registry)).
