%%% A world for the dashboard: a Compute Unit with current results, monitors that work, and one monitor of each
%%% that does not. page_seen judges what the page shows.
-module(lively).
-export([start/0, stop/1, hostile/0]).

%% Hostile texts that a CU and a device may send.
hostile() -> <<"</pre><img src=x onerror='document.title=1'><script>document.title=2</script> & \"quoted\" \\">>.

%% Readable ids, sorted by their numbers.
id(N) ->
    Name = element(N, {"Alpha", "Bravo", "Carol", "Delta", "Hotel", "India", "Kappa", "Oscar"}),
    <<_:6/binary, Rest:37/binary, _/binary>> = base64:encode(crypto:hash(sha256, <<N>>)),
    iolist_to_binary([Name, $-, << <<(case Char of $+ -> $-; $/ -> $_; _ -> Char end)>> || <<Char>> <= Rest >>]).

start() ->
    Table = ets:new(?MODULE, [public, ordered_set]),
    Cu = test_cu:start(),
    ok = test_cu:script(Cu, fun(Request) -> answer(Table, Request) end),
    Producer = spawn_link(fun() -> produce(Table, 0) end),
    Dir = string:trim(os:cmd("mktemp -d")),
    hb_opts:set(#{cron_checkpoint => list_to_binary(filename:join(Dir, "checkpoint.redb")), cron_push_attempts => 1,
                  cron_push_backoff => {1, 2}, cron_node => test_cu:url(Cu)}),
    Started = [begin
        Id = id(N),
        {_, _} = hb_process_monitor:start(Id, maps:merge(#{rate => 500, cursor => earliest, cron_push => push(N)}, Options)),
        {Name, Id}
    end || {N, Name, Options} <- [
        {1, works, #{}}, {2, poison, #{}}, {3, works_too, #{rate => 1000}},
        {4, no_cu, #{cron_node => <<"http://127.0.0.1:9">>}}, {5, paused, #{paused => true}},
        {6, slow, #{}}, {7, quiet, #{rate => 4000}}, {8, failing, #{cron_push_attempts => infinity, cron_push_backoff => {3600000, 3600000}}}]],
    #{cu => Cu, dir => Dir, producer => Producer, ids => maps:from_list(Started)}.

stop(#{cu := Cu, dir := Dir, producer := Producer}) ->
    ok = application:stop(hb_process_monitor),
    true = unlink(Producer),
    true = exit(Producer, kill),
    _ = file:del_dir_r(Dir),
    test_cu:stop(Cu).

push(2) -> fun(#{message := #{<<"poison">> := true}}, _) -> {error, {refused, hostile()}}; (_, _) -> ok end;
push(6) -> fun(_, _) -> receive never -> ok end end;
push(8) -> fun(_, _) -> {error, {device_is_down, hostile()}} end;
push(_) -> fun(_, _) -> ok end.

%% Current results, in waves. One process gets none, and some of another are poison.
produce(Table, Step) ->
    Now = os:system_time(millisecond),
    Wave = round(20 + 16 * math:sin(Step / 60)),
    [add(Table, id(N), Now, Poison) || {N, Count, Poison} <- [{1, Wave, false}, {3, max(0, Wave - 25), false}, {6, 1, false}, {8, 1, false}],
                                       _ <- lists:seq(1, Count)],
    case Step of
        5 -> add(Table, id(2), Now, true), add(Table, id(2), Now, false), add(Table, id(2), Now, true), add(Table, id(2), Now, false);
        _ -> add(Table, id(2), Now, false)
    end,
    receive after 100 -> produce(Table, Step + 1) end.

add(Table, Id, At, Poison) ->
    N = ets:update_counter(Table, {count, Id}, 1, {{count, Id}, 0}),
    true = ets:insert(Table, {{Id, N}, At, Poison}).

%% As a CU does: the results after a cursor, or the latest one.
answer(Table, #{kind := cron, process := Id, query := Query}) ->
    From = case Query of #{<<"from">> := Cursor} -> number(Cursor); #{} -> 0 end,
    Limit = case Query of #{<<"limit">> := Text} -> binary_to_integer(Text); #{} -> 1000 end,
    page(Table, Id, From + 1, min(count(Table, Id), From + Limit));
answer(Table, #{kind := results, process := Id}) ->
    page(Table, Id, count(Table, Id), count(Table, Id));
answer(_Table, _) ->
    pass.

count(Table, Id) ->
    case ets:lookup(Table, {count, Id}) of
        [{_, Count}] -> Count;
        [] -> 0
    end.

page(Table, Id, First, Last) ->
    Edges = [edge(N, ets:lookup(Table, {Id, N})) || N <- lists:seq(max(1, First), Last)],
    {raw, test_cu:reply(200, hb_cron_json:encode(#{pageInfo => #{hasNextPage => false}, edges => Edges}))}.

edge(N, [{_, At, Poison}]) ->
    Cursor = hb_cron_json:encode(#{timestamp => At, ordinate => integer_to_binary(N), cron => <<"0-10-seconds">>, sort => <<"ASC">>}),
    #{node => #{poison => Poison, 'Output' => #{data => hostile()}, 'Messages' => [], 'Spawns' => [], 'Assignments' => []},
      cursor => base64:encode(iolist_to_binary(Cursor))}.

number(Cursor) ->
    #{<<"ordinate">> := N} = json_text:decode(base64:decode(Cursor)),
    binary_to_integer(N).
