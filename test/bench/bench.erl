%%% The measuring half of `make bench': one run in the OS process it is called in, and the table of
%%% all runs. What it measures is how fast a backlog of one process is drained into a push that only
%%% counts, and what CPU and memory that takes.
%%%
%%% It says nothing of many monitors at once, of a CU that is slow, far away or behind TLS, nor of a
%%% push that does something. Figures of two machines cannot be compared; the ratios of one can.
-module(bench).
-export([main/1]).

%% In ms. Only a failure takes this long.
-define(DEADLINE, 60000).

%% What the rows are called.
-define(ROWS, [{"ours", "ours"}, {"volatile", "ours, no checkpoint"}, {"plain", "plain Erlang"},
               {"floor", "floor of the server"}]).

main(["run", Who, Url]) ->
    _ = logger:set_primary_config(level, error),
    Run = run(Who, list_to_binary(Url)),
    io:format("~ts ~.3f ~.3f ~.3f~n", [Who | Run]),
    halt(0);
main(["table", File]) ->
    {ok, Text} = file:read_file(File),
    table([parse(Line) || Line <- string:lexemes(Text, "\n")]),
    halt(0).

%% One run: [Results per second, CPU seconds of the drain, peak memory of the OS process in MB].
run(Who, Url) ->
    Count = counters:new(1, []),
    Go = prepare(Who, Url, Count),
    Cpu = cpu_seconds(),
    Begin = now_us(),
    Ended = Go(),
    {End, Cursor} = receive
        {last, At, With} -> {At, With};
        {out_of_order, Expected, Got} -> fail("result ~p came instead of ~b", [Got, Expected])
    after ?DEADLINE ->
        fail("~ts: only ~b results within ~b ms", [Who, counters:get(Count, 1), ?DEADLINE])
    end,
    CpuUsed = cpu_seconds() - Cpu,
    ok = Ended(),
    %% Nothing may have come after the last one.
    receive {out_of_order, More, Extra} -> fail("result ~p came as number ~b", [Extra, More])
    after 0 -> ok
    end,
    Results = bench_cu:results(),
    case {counters:get(Count, 1), Cursor =:= test_cu:cursor(Results)} of
        {Results, true} -> ok;
        Wrong -> fail("~ts: count and whether the last cursor is right: ~p", [Who, Wrong])
    end,
    [Results * 1.0e6 / (End - Begin), CpuUsed, peak_mb()].

%% The push: it counts, and it compares the count with the number that a result has in its Anchor.
push(Count) ->
    Self = self(),
    Results = bench_cu:results(),
    fun(#{message := #{<<"Messages">> := [#{<<"Anchor">> := Anchor}], <<"cursor">> := Cursor}}, _State) ->
        ok = counters:add(Count, 1, 1),
        case {counters:get(Count, 1), binary_to_integer(Anchor)} of
            {Results, Results} -> Self ! {last, now_us(), Cursor}, ok;
            {Number, Number} -> ok;
            {Number, Other} -> Self ! {out_of_order, Number, Other}, ok
        end
    end.

%% Makes everything ready. The fun that it gives begins to drain, and gives a fun in turn that waits
%% until the drain has ended, the empty page included.
prepare("volatile", Url, Count) ->
    ok = hb_opts:set(#{cron_checkpoint => false}),
    prepare("ours", Url, Count);
prepare("ours", Url, Count) ->
    {Monitor, _} = hb_process_monitor:start(bench_cu:process_id(), #{
        cursor => earliest, cron_node => Url, cron_page_limit => bench_cu:page_limit(),
        rate => 3600000, cron_push => push(Count)
    }),
    _ = sys:get_state(Monitor),
    fun() ->
        Monitor ! tick,
        fun() ->
            Asked = bench_cu:results() div bench_cu:page_limit() + 1,
            harness:eventually(fun() ->
                #{inflight := Inflight, queued := Queued, fetches := Fetches} =
                    hb_process_monitor_ticker:counters(),
                Inflight + Queued =:= 0 andalso Fetches >= Asked
            end),
            _ = sys:get_state(Monitor),
            ok
        end
    end;
prepare("plain", Url, Count) ->
    ok = bench_plain:prepare(),
    Push = push(Count),
    in_a_process(fun() ->
        bench_plain:drain(Url, bench_cu:process_id(), bench_cu:page_limit(), Push, <<>>)
    end);
prepare("floor", Url, Count) ->
    #{host := Host, port := Port} = uri_string:parse(Url),
    Pages = [{bench_cu:path(N), test_cu:cursor(N), N}
             || N <- lists:seq(0, bench_cu:results(), bench_cu:page_limit())],
    Self = self(),
    in_a_process(fun() ->
        {ok, Socket} = gen_tcp:connect(binary_to_list(Host), Port,
                                       [binary, {active, false}, {nodelay, true}, {buffer, 524288}]),
        read_all(Pages, Host, Socket, Count, Self)
    end).

in_a_process(Drain) ->
    fun() ->
        {Pid, Ref} = spawn_opt(Drain, [link, monitor]),
        fun() -> receive {'DOWN', Ref, process, Pid, normal} -> ok end end
    end.

%% The floor: every byte is read, none is looked at but those at a page's end.
read_all([{Path, _, _}], Host, Socket, _Count, _Bench) ->
    <<"\"edges\":[]}">> = ending(get(Path, Host, Socket), 11),
    gen_tcp:close(Socket);
read_all([{Path, _, Before} | [{_, Cursor, Last} | _] = Pages], Host, Socket, Count, Bench) ->
    Tail = <<Cursor/binary, "\"}]}">>,
    Tail = ending(get(Path, Host, Socket), byte_size(Tail)),
    ok = counters:add(Count, 1, Last - Before),
    _ = Last =:= bench_cu:results() andalso (Bench ! {last, now_us(), Cursor}),
    read_all(Pages, Host, Socket, Count, Bench).

ending(Body, Length) -> binary:part(Body, byte_size(Body), -Length).

get(Path, Host, Socket) ->
    ok = inet:setopts(Socket, [{packet, http_bin}]),
    ok = gen_tcp:send(Socket, [<<"GET ">>, Path, <<" HTTP/1.1\r\nhost: ">>, Host, <<"\r\n\r\n">>]),
    {ok, {http_response, _, 200, _}} = gen_tcp:recv(Socket, 0),
    Length = content_length(Socket, undefined),
    ok = inet:setopts(Socket, [{packet, raw}]),
    {ok, Body} = gen_tcp:recv(Socket, Length),
    Body.

content_length(Socket, Length) ->
    case gen_tcp:recv(Socket, 0) of
        {ok, {http_header, _, 'Content-Length', _, Value}} -> content_length(Socket, binary_to_integer(Value));
        {ok, {http_header, _, _, _, _}} -> content_length(Socket, Length);
        {ok, http_eoh} -> Length
    end.

%% What the operating system says of this OS process

cpu_seconds() ->
    {ok, Stat} = file:read_file("/proc/self/stat"),
    %% The command's name, in brackets, may hold anything.
    [_, Fields] = string:split(Stat, ") ", trailing),
    %% Fields 14 and 15 of proc(5), in ticks of 10 ms on every Linux.
    [User, System] = lists:sublist(string:lexemes(Fields, " "), 12, 2),
    (binary_to_integer(User) + binary_to_integer(System)) / 100.

peak_mb() ->
    #{peak_kb := Kb} = os_node:status(self),
    Kb / 1024.

now_us() -> erlang:monotonic_time(microsecond).

-spec fail(io:format(), [term()]) -> no_return().
fail(Format, Args) ->
    io:format(standard_error, "bench: " ++ Format ++ "~n", Args),
    halt(1).

%% The table

parse(Line) ->
    [Who | Numbers] = string:lexemes(Line, " "),
    {binary_to_list(Who), [binary_to_float(Number) || Number <- Numbers]}.

table(Runs) ->
    Of = fun(Who, Column) -> [lists:nth(Column, Numbers) || {Name, Numbers} <- Runs, Name =:= Who] end,
    io:format("~b results of one process with ~b bytes of data each, in pages of ~b, into a push that~n"
              "counts. ~b runs each, in turn, every run in an OS process of its own. OTP ~ts, ~b cores,~n"
              "JSON of plain Erlang: ~ts.~n~n",
              [bench_cu:results(), bench_cu:data_bytes(), bench_cu:page_limit(), length(Of("ours", 1)),
               erlang:system_info(otp_release), erlang:system_info(logical_processors_available),
               bench_plain:decoder()]),
    io:format("~-21ts~-31ts~9ts~13ts~n", ["", "results/s median (min-max)", "CPU s", "peak MB"]),
    [begin
        {Median, Min, Max} = spread(Of(Who, 1)),
        Rates = io_lib:format("~b (~b-~b)", [round(Median), round(Min), round(Max)]),
        io:format("~-21ts~-31ts~9.2f~13.1f~n", [Row, Rates, median(Of(Who, 2)), median(Of(Who, 3))])
     end || {Who, Row} <- ?ROWS],
    ratios("ours / plain Erlang", Of, "ours", "plain"),
    ratios("ours / ours, no checkpoint", Of, "ours", "volatile").

%% Pair by pair: the machine's speed may drift, but less between two runs in turn.
ratios(What, Of, Who, Against) ->
    io:format("~n~-38ts~9ts~9ts~9ts~n", [What ++ ", by pairs", "median", "min", "max"]),
    [begin
        Ratios = lists:zipwith(fun(One, Other) -> One / Other end, Of(Who, Column), Of(Against, Column)),
        {Median, Min, Max} = spread(Ratios),
        io:format("~-38ts~9.2f~9.2f~9.2f~n", [Row, Median, Min, Max])
     end || {Column, Row} <- [{1, "results/s"}, {2, "CPU seconds"}, {3, "peak memory"}]],
    ok.

spread(Numbers) -> {median(Numbers), lists:min(Numbers), lists:max(Numbers)}.

%% Of an odd number of numbers.
median(Numbers) -> lists:nth((length(Numbers) + 1) div 2, lists:sort(Numbers)).
