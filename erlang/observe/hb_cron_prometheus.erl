%%% @doc The metrics for Prometheus, in two ways: as text (exposition format 0.0.4), to be served over HTTP; and,
%%% if the host has the library `prometheus', as a collector among the host's metrics. The library is called at run
%%% time only, while it runs.
-module(hb_cron_prometheus).

-export([text/0, text/2, content_type/0]).
%% With the host's library
-export([register/0, deregister/0]).
%% Callbacks of `prometheus_collector'
-export([collect_mf/2, collect_metrics/2, deregister_cleanup/1]).

-define(REGISTRY, prometheus_registry).
-define(MODEL, prometheus_model_helpers).

%% @doc The current metrics as text.
-spec text() -> binary().
text() -> text(hb_cron_metrics:table(), hb_cron_metrics:values()).

%% @doc Metrics with these values as text.
-spec text([hb_cron_metrics:metric()], #{atom() => hb_cron_metrics:value()}) -> binary().
text(Table, Values) ->
    iolist_to_binary([family(Metric, maps:get(Name, Values)) || #{name := Name} = Metric <- Table]).

%% @doc The `content-type' of an answer with that text.
-spec content_type() -> binary().
content_type() -> <<"text/plain; version=0.0.4; charset=utf-8">>.

family(#{type := Type, help := Help} = Metric, Value) ->
    Name = hb_cron_metrics:full_name(Metric),
    [<<"# HELP ">>, Name, $\s, escape(Help, false), $\n,
     <<"# TYPE ">>, Name, $\s, atom_to_binary(Type), $\n,
     samples(Name, Metric, Value)].

samples(Name, #{type := histogram}, #{buckets := Buckets, sum := Sum, count := Count}) ->
    [[sample([Name, <<"_bucket">>], [{le, bound(Bound)}], Below) || {Bound, Below} <- Buckets],
     sample([Name, <<"_sum">>], [], Sum),
     sample([Name, <<"_count">>], [], Count)];
samples(Name, #{label := Label}, Values) ->
    [sample(Name, [{Label, atom_to_binary(Of)}], Value) || {Of, Value} <- lists:sort(maps:to_list(Values))];
samples(Name, _Metric, Value) ->
    sample(Name, [], Value).

sample(Name, [], Value) ->
    [Name, $\s, number(Value), $\n];
sample(Name, [{Label, Of}], Value) ->
    [Name, ${, atom_to_binary(Label), <<"=\"">>, escape(Of, true), <<"\"} ">>, number(Value), $\n].

bound(infinity) -> <<"+Inf">>;
bound(Seconds) -> number(Seconds).

%% The shortest decimals, and whole numbers without any: `1' and `0.0025', as other exporters write them.
number(Value) when is_integer(Value) -> integer_to_binary(Value);
number(Value) when Value == trunc(Value) -> integer_to_binary(trunc(Value));
number(Value) -> float_to_binary(Value, [{decimals, 6}, compact]).

escape(Text, InQuotes) ->
    << <<(escaped(Char, InQuotes))/binary>> || <<Char>> <= Text >>.

escaped($\\, _) -> <<"\\\\">>;
escaped($\n, _) -> <<"\\n">>;
escaped($", true) -> <<"\\\"">>;
escaped(Char, _) -> <<Char>>.

%% @doc Registers the collector in the library's default registry. `none': there is no such library, or it does not
%% run yet.
-spec register() -> ok | none.
register() ->
    case with_registry(collector_registeredp) of
        {ok, false} -> done(with_registry(register_collector));
        Known -> done(Known)
    end.

%% @doc Removes the collector.
-spec deregister() -> ok | none.
deregister() -> done(with_registry(deregister_collector)).

done({ok, _}) -> ok;
done(none) -> none.

with_registry(Function) ->
    case erlang:function_exported(?REGISTRY, Function, 1) andalso
         erlang:function_exported(?MODEL, create_mf, 4) of
        true ->
            %% Its table goes with its application.
            try {ok, hb_cron_host_calls:call(?REGISTRY, Function, [?MODULE])}
            catch _:_ -> none
            end;
        false ->
            none
    end.

%% @private
-spec collect_mf(Registry :: term(), Callback :: fun((term()) -> term())) -> ok.
collect_mf(_Registry, Callback) ->
    Values = hb_cron_metrics:values(),
    lists:foreach(fun(#{name := Name, type := Type, help := Help} = Metric) ->
        Samples = model(Metric, maps:get(Name, Values)),
        Args = [hb_cron_metrics:full_name(Metric), Help, Type, Samples],
        Callback(hb_cron_host_calls:call(?MODEL, create_mf, Args))
    end, hb_cron_metrics:table()).

%% @private
-spec collect_metrics(Name :: term(), Data) -> Data.
collect_metrics(_Name, Samples) -> Samples.

%% @private
-spec deregister_cleanup(Registry :: term()) -> ok.
deregister_cleanup(_Registry) -> ok.

%% In the library's form of samples: `{Labels, Value}', `{Labels, Buckets, Count, Sum}'.
model(#{type := histogram}, #{buckets := Buckets, sum := Sum, count := Count}) ->
    [{[], [{whole(Bound), Below} || {Bound, Below} <- Buckets], Count, Sum}];
model(#{label := Label}, Values) ->
    [{[{Label, Of}], Value} || {Of, Value} <- lists:sort(maps:to_list(Values))];
model(_Metric, Value) ->
    [{[], Value}].

%% The library writes 1.0 as 1.00000000000000000000e+00, and 1 as 1.
whole(Bound) when is_float(Bound), Bound == trunc(Bound) -> trunc(Bound);
whole(Bound) -> Bound.
