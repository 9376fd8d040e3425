%%% The cost of decoding pages, compared with jiffy: from the received body to the delivered terms, without
%%% requests, waits and pushes.
%%%
%%% The library counts the time that its threads and functions spend on decoding, while a backlog arrives at a pace
%%% that leaves the machine mostly idle. Plain Erlang decodes the same pages at the same pace, each in a new
%%% process with an empty heap.
-module(bench_decode).

-export([suite/1, measured/1]).

-define(EDGES, 1000).
-define(PAGES_PER_SECOND, 20).

suite(#{quick := Quick}) ->
    {Pages, Rounds} = case Quick of true -> {20, 1}; false -> {100, 3} end,
    Kinds = [{"400 bytes of data", "data:400"}, {"many small strings", "tags:20"}],
    Measured = [{Name, bench_runs:in_turn(Rounds, [
        {Who, fun() -> bench_runs:node(?MODULE, #{who => Who, pages => Pages, limit => 120000}, {Kind, "1000000"}) end}
        || Who <- [ours, plain]])} || {Name, Kind} <- Kinds],
    Spread = fun(Key, Runs) -> bench_stats:spread([maps:get(Key, Run) || Run <- Runs]) end,
    [#{title => io_lib:format("Decoding alone: pages of ~b edges", [?EDGES]),
       about => io_lib:format("Body to terms as they are delivered, us per page, ~b pages a round, ~b rounds, median "
                              "(min-max). Plain Erlang is `jiffy:decode(Body, [return_maps])'.", [Pages, Rounds]),
       tables => [{["", "ours, us", "plain Erlang, us", "plain / ours, by pairs"],
                   [[Name, Spread(page_us, Ours), Spread(page_us, Plain), bench_stats:ratios(page_us, Plain, Ours)]
                    || {Name, #{ours := Ours, plain := Plain}} <- Measured]}]}].

measured(#{who := ours, pages := Pages} = Run) ->
    ok = bench_monitors:prepare(Run#{checkpoint => false}),
    Push = bench_push:new(#{per_second => ?PAGES_PER_SECOND * ?EDGES}),
    Monitors = bench_monitors:start(Run, [1], #{rate => 3600000, limit => ?EDGES, push => bench_push:function(Push)}),
    ok = bench_monitors:settle(Run, Monitors),
    bench_monitors:tick(Monitors),
    %% The first pages enlarge buffers, which stay.
    {Before, Us} = decoded_from(5),
    {After, AllUs} = decoded_from(Before + Pages),
    #{page_us => (AllUs - Us) / (After - Before)};
measured(#{who := plain, pages := Pages, url := Url}) ->
    ok = bench_plain:prepare(),
    Begin = bench_run:now_us(),
    Us = [begin
        Body = bench_plain:body([Url, "/cron/", bench_monitors:id(1), "?limit=", integer_to_list(?EDGES)]),
        bench_run:sleep_until(Begin + N * 1000000 div ?PAGES_PER_SECOND),
        time_to_decode(Body)
    end || N <- lists:seq(1, Pages + 5)],
    #{page_us => lists:sum(lists:nthtail(5, Us)) / Pages}.

decoded_from(Least) ->
    bench_run:until(fun() -> element(1, decoded()) >= Least end),
    decoded().

%% The number of pages, and their total time in us.
decoded() ->
    #{decode := {Buckets, Over, Us}, terms := {_, _, TermsUs}} = hb_process_monitor_nif:metrics(),
    {Over + lists:sum([Count || {_, Count} <- Buckets]), Us + TermsUs}.

time_to_decode(Body) ->
    {_, Ref} = spawn_monitor(fun() ->
        Begin = bench_run:now_us(),
        #{<<"edges">> := Edges} = bench_plain:decode(Body),
        Took = bench_run:now_us() - Begin,
        ?EDGES = length(Edges),
        exit({took, Took})
    end),
    receive {'DOWN', Ref, process, _, {took, Took}} -> Took end.
