%%% A double of prometheus.erl's model: accepts what create_mf/4 accepts, and checks what the real library leaves
%%% to Prometheus. Compiled and loaded on demand.
-module(prometheus_model_helpers).
-export([create_mf/4]).

create_mf(Name, Help, Type, Metrics) when is_binary(Name), is_binary(Help), is_list(Metrics) ->
    {match, _} = re:run(Name, "^[a-zA-Z_:][a-zA-Z0-9_:]*$"),
    {Name, Help, Type, [metric(Type, Metric) || Metric <- Metrics]}.

metric(Type, {Labels, Value}) when Type =:= counter; Type =:= gauge ->
    true = is_number(Value),
    {labels(Labels), Value};
metric(histogram, {Labels, Buckets, Count, Sum}) ->
    {Bounds, Counts} = lists:unzip(Buckets),
    %% Atoms sort after numbers, so `infinity' comes last.
    {Bounds, infinity} = {lists:usort(Bounds), lists:last(Bounds)},
    {Counts, Count} = {lists:sort(Counts), lists:last(Counts)},
    true = is_number(Sum),
    {labels(Labels), Buckets, Count, Sum}.

labels(Labels) ->
    [{atom_to_binary(Name), if is_atom(Of) -> atom_to_binary(Of); is_binary(Of) -> Of end} || {Name, Of} <- Labels].
