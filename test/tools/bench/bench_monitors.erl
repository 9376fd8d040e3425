%%% A common interface to monitors of the library and of plain Erlang, for suites that compare the two.
-module(bench_monitors).

-export([prepare/1, start/3, id/1, tick/1, settle/2, stop/2, counters/0]).

%% Work that is done once in the life of a node.
prepare(#{who := plain}) ->
    bench_plain:prepare();
prepare(#{dir := Dir} = Run) ->
    Checkpoint = case maps:get(checkpoint, Run, true) of
        %% A binary, like the default. A monitor reads it, and therefore has it on its heap.
        true -> unicode:characters_to_binary(filename:join(Dir, "checkpoint.redb"));
        false -> false
    end,
    ok = hb_opts:set(maps:merge(#{cron_checkpoint => Checkpoint}, maps:get(options, Run, #{}))),
    %% One for all: the host's logger would be a process for each monitor.
    persistent_term:put({?MODULE, logger}, spawn(fun forget/0)),
    {ok, _} = application:ensure_all_started(hb_process_monitor),
    ok.

forget() -> receive _ -> forget() end.

%% Starts monitors of these numbers from the first result on, with the options `rate', `limit', `push'.
start(#{who := plain, url := Url}, Numbers, Options) ->
    [bench_plain:start(id(N), Options#{url => Url}) || N <- Numbers];
start(#{url := Url}, Numbers, #{rate := Rate, limit := Limit, push := Push}) ->
    Options = #{rate => Rate, cron_page_limit => Limit, cron_push => Push, cursor => earliest,
                cron_node => Url, logger => persistent_term:get({?MODULE, logger})},
    [element(1, hb_process_monitor:start(id(N), Options)) || N <- Numbers].

%% The process id of a number.
id(N) ->
    Digits = integer_to_binary(N),
    <<(binary:copy(<<"0">>, 43 - byte_size(Digits)))/binary, Digits/binary>>.

tick(Monitors) -> lists:foreach(fun(Monitor) -> Monitor ! tick end, Monitors).

%% Waits until all polls have ended, and their results are pushed.
settle(#{who := plain}, Monitors) ->
    lists:foreach(fun bench_plain:settle/1, Monitors);
settle(_, Monitors) ->
    %% A pending tick first becomes a poll, and the end of a poll leaves pushes.
    lists:foreach(fun sys:get_state/1, Monitors),
    bench_run:until(fun() ->
        #{inflight := Inflight, queued := Queued} = counters(),
        Inflight + Queued =:= 0
    end),
    lists:foreach(fun sys:get_state/1, Monitors).

stop(#{who := plain}, Monitors) ->
    lists:foreach(fun bench_plain:stop/1, Monitors);
stop(_, Monitors) ->
    Refs = [monitor(process, Monitor) || Monitor <- Monitors],
    lists:foreach(fun hb_process_monitor:stop/1, Monitors),
    lists:foreach(fun(Ref) -> receive {'DOWN', Ref, process, _, _} -> ok end end, Refs).

counters() -> hb_cron_engine:counters().
