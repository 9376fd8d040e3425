%%% The dashboard's API over real HTTP: each endpoint, listings of monitors, dead letters, and hostile text, which
%%% must arrive unchanged. dashboard_tests covers access.
-module(dashboard_api_tests).
-include_lib("eunit/include/eunit.hrl").

-import(page_client, [get/2, post/2, body/2, raw/2, host/1, auth/1, path/2]).

-define(M, hb_process_monitor).

eunit_wrapper_(Tests) -> deadline:each(Tests).

all_test_() ->
    {foreach, fun page_client:setup/0, fun page_client:cleanup/1,
     [{with, [T]} || T <- [
        fun metrics_come_with_the_nodes_time/1,
        fun monitors_come_page_by_page_each_once/1,
        fun monitors_are_found_by_state_and_part_of_an_id/1,
        fun monitors_are_sorted_by_their_lag_and_failures/1,
        fun monitor_that_ends_is_no_longer_listed/1,
        fun query_that_is_wrong_is_refused/1,
        fun monitor_is_shown_with_its_compute_units/1,
        fun monitor_paused_and_resumed_by_the_page_is/1,
        fun process_that_is_not_monitored_is_not_found/1,
        fun dead_letters_come_twenty_at_a_time/1,
        fun dead_letter_is_redelivered_and_gone/1,
        fun dead_letter_that_fails_again_says_why/1,
        fun dead_letter_clicked_twice_is_pushed_once/1,
        fun dead_letter_is_discarded/1,
        fun json_of_any_term_reads_back_as_that_term/1,
        fun hostile_text_comes_through_as_it_is/1,
        fun text_that_is_too_long_is_cut/1
     ]]}.

metrics_come_with_the_nodes_time(#{cu := Cu} = World) ->
    #{<<"at">> := Before} = body(World, "/api/1/metrics"),
    _ = harness:start_and_push(Cu, harness:proc_id(), 3),
    Name = atom_to_binary(node()),
    #{<<"at">> := After, <<"node">> := Name, <<"states">> := States, <<"metrics">> := Metrics} = body(World, "/api/1/metrics"),
    ?assert(After > Before),
    ?assert(lists:member(<<"backing_off">>, States)),
    ?assertMatch(#{<<"monitors">> := 1, <<"fetches_total">> := Fetches} when Fetches > 0, Metrics),
    #{<<"push_duration_seconds">> := #{<<"buckets">> := Buckets, <<"count">> := Count}} = Metrics,
    ?assertEqual([null, Count], lists:last(Buckets)).

%% Sorted ids.
ids(Count) -> lists:sort([harness:proc_id() || _ <- lists:seq(1, Count)]).

started(Cu, Ids, Options) -> [harness:start(Cu, Id, Options) || Id <- Ids].

processes(#{<<"monitors">> := Rows}) -> [Id || #{<<"process">> := Id} <- Rows].

monitors_come_page_by_page_each_once(#{cu := Cu} = World) ->
    Ids = ids(7),
    _ = started(Cu, Ids, #{}),
    %% At first without an order, so that nothing is waited for.
    #{<<"monitors">> := [#{<<"state">> := _, <<"monitor">> := <<"<", _/binary>>, <<"error">> := _, <<"dead_letters">> := 0} | _]} =
        First = body(World, "/api/1/monitors?limit=3"),
    ?assertEqual(lists:sublist(Ids, 3), processes(First)),
    ?assertMatch(#{<<"count">> := 7}, First),
    Page = fun(Nth) -> body(World, "/api/1/monitors?limit=3&page=" ++ integer_to_list(Nth)) end,
    await_survey(World, 7),
    ?assertEqual([lists:sublist(Ids, 3), lists:sublist(Ids, 4, 3), [lists:last(Ids)], []], [processes(Page(Nth)) || Nth <- [1, 2, 3, 4]]),
    ?assertEqual([], processes(Page(99999))),
    ?assertEqual(Ids, processes(body(World, "/api/1/monitors"))),
    ?assertEqual(lists:reverse(Ids), processes(body(World, "/api/1/monitors?order=desc"))).

%% A survey has all monitors.
await_survey(World, Count) ->
    harness:eventually(fun() -> maps:get(<<"all">>, counts(body(World, "/api/1/monitors?order=desc")), none) =:= Count end).

counts(#{<<"counts">> := Counts}) -> Counts.

monitors_are_found_by_state_and_part_of_an_id(#{cu := Cu} = World) ->
    [A, B, C] = Ids = ids(3),
    _ = started(Cu, [A, B], #{paused => true}),
    _ = started(Cu, [C], #{}),
    Get = fun(Query) -> processes(body(World, "/api/1/monitors?" ++ uri_string:compose_query(Query))) end,
    harness:eventually(fun() -> Get([{"show", "paused"}]) =:= [A, B] end),
    ?assertEqual([], Get([{"show", "dead_letters"}])),
    [?assertEqual([Id], Get([{"find", binary_to_list(string:lowercase(Part))}])) || Id <- Ids, Part <- [Id, binary:part(Id, 0, 20), binary:part(Id, 17, 20)]],
    ?assertEqual([], Get([{"find", binary_to_list(B) ++ "x"}])),
    ?assertEqual([], Get([{"find", "\"><script>"}])),
    ?assertEqual([], Get([{"find", binary_to_list(C)}, {"show", "paused"}])),
    #{<<"count">> := 2, <<"counts">> := Counts} = body(World, "/api/1/monitors?show=paused"),
    ?assertMatch(#{<<"all">> := 3, <<"paused">> := 2, <<"errors">> := 0}, Counts),
    %% A search that reaches its limit returns where to continue, even without a match.
    ?assertEqual({[], B}, ?M:list(#{state => backing_off, look_at => 2})),
    ?assertEqual({[], done}, ?M:list(#{state => backing_off, look_at => 2, start_after => B})).

monitors_are_sorted_by_their_lag_and_failures(#{cu := Cu} = World) ->
    [A, B, C] = ids(3),
    [dev_mu:route(Id, fun(_, _) -> ok end) || Id <- [A, C]],
    dev_mu:route(B, fun(_, _) -> {error, refused} end),
    [test_cu:add(Cu, Id, 1) || Id <- [A, B, C]],
    [Monitor ! tick || {Monitor, _} <- started(Cu, [A, B, C], #{cursor => earliest, cron_push_attempts => infinity, cron_push_backoff => {3600000, 3600000}})],
    Get = fun(Sort) -> processes(body(World, "/api/1/monitors?sort=" ++ Sort)) end,
    harness:eventually(fun() -> Get("errors&order=desc") =:= [B, A, C] end),
    harness:eventually(fun() -> lists:last(Get("last_result")) =:= B end),
    ?assertEqual([B], processes(body(World, "/api/1/monitors?show=errors"))).

monitor_that_ends_is_no_longer_listed(#{cu := Cu} = World) ->
    [A, B] = ids(2),
    _ = started(Cu, [A, B], #{}),
    await_survey(World, 2),
    ok = ?M:stop(A, deadline:ms()),
    ?assertEqual([B], processes(body(World, "/api/1/monitors?order=desc"))).

query_that_is_wrong_is_refused(World) ->
    [?assertMatch({Query, {400, _, #{<<"text">> := _}}}, {Query, get(World, "/api/1/monitors?" ++ Query)})
     || Query <- ["limit=0", "limit=201", "limit=x", "limit=-1", "limit=1e3", "limit=99999999999999999999", "show=nothing", "sort=nothing", "order=up", "page=0",
                  "page=x", "find=" ++ lists:duplicate(300, $a), "show"]],
    ?assertMatch({400, _}, raw(World, ["GET /api/1/monitors?%zz=1 HTTP/1.1", host(World), "Authorization: " ++ element(2, hd(auth(World)))])),
    [?assertMatch({Id, {400, _, #{<<"error">> := <<"bad_process_id">>}}}, {Id, get(World, "/api/1/monitors/" ++ Id)})
     || Id <- ["x", lists:duplicate(43, $!), lists:duplicate(32, $a)]].

monitor_is_shown_with_its_compute_units(#{cu := Cu} = World) ->
    Id = harness:proc_id(),
    _ = harness:start_and_push(Cu, Id, 2),
    Node = test_cu:url(Cu),
    ?assertMatch(#{<<"process">> := Id, <<"rate">> := 3600000, <<"push">> := <<"mu">>, <<"supervised">> := false, <<"error">> := null,
                   <<"nodes">> := [#{<<"node">> := Node, <<"breaker">> := <<"closed">>}]}, body(World, path(Id, ""))).

monitor_paused_and_resumed_by_the_page_is(#{cu := Cu} = World) ->
    Id = harness:proc_id(),
    _ = harness:start_and_push(Cu, Id, 1),
    ?assertMatch({200, _, #{<<"done">> := true}}, post(World, path(Id, "/pause"))),
    harness:eventually(fun() -> maps:get(state, ?M:info(Id)) =:= paused end),
    ?assertMatch({200, _, #{<<"done">> := true}}, post(World, path(Id, "/resume"))),
    test_cu:add(Cu, Id, 1),
    harness:eventually(fun() -> maps:get(state, ?M:info(Id)) =/= paused end).

process_that_is_not_monitored_is_not_found(World) ->
    Id = harness:proc_id(),
    [?assertMatch({404, _, #{<<"error">> := <<"not_monitored">>}}, Answer)
     || Answer <- [get(World, path(Id, "")), post(World, path(Id, "/pause")), post(World, path(Id, "/resume")),
                   post(World, path(Id, "/dead-letters/1/redeliver"))]],
    ?assertMatch({404, _, #{<<"error">> := <<"not_found">>}}, post(World, path(Id, "/dead-letters/1/discard"))),
    ?assertMatch(#{<<"letters">> := [], <<"next">> := null, <<"count">> := 0}, body(World, path(Id, "/dead-letters"))).

%% Dead letters: every second push fails, so the device counts as available.
letters(Cu, Id, Count, Error) ->
    dev_mu:route(Id, fun(Result, _) ->
        case harness:number(Result) rem 2 of
            0 -> Error();
            1 -> ok
        end
    end),
    test_cu:add(Cu, Id, 2 * Count),
    {Monitor, _} = harness:start(Cu, Id, #{cursor => earliest}),
    Monitor ! tick,
    harness:eventually(fun() -> {ok, All} = ?M:dead_letters(Id), length(All) =:= Count end).

fails() -> {error, poison}.

dead_letters_come_twenty_at_a_time(#{cu := Cu} = World) ->
    Id = harness:proc_id(),
    letters(Cu, Id, 23, fun fails/0),
    #{<<"letters">> := First, <<"next">> := Next, <<"count">> := 23} = body(World, path(Id, "/dead-letters")),
    ?assertEqual(20, length(First)),
    #{<<"letters">> := Rest, <<"next">> := null} = body(World, path(Id, "/dead-letters?after=" ++ integer_to_list(Next))),
    ?assertEqual(23, length(lists:usort([Number || #{<<"id">> := Number} <- First ++ Rest]))),
    Cursor = test_cu:cursor(2),
    [#{<<"result">> := Result, <<"error">> := Error, <<"cursor">> := Cursor, <<"attempts">> := 1, <<"at">> := _, <<"bytes">> := _} | _] = First,
    ?assertMatch({_, _}, binary:match(Result, <<"tick 2">>)),
    ?assertMatch({_, _}, binary:match(Error, <<"poison">>)),
    ?assertMatch(#{<<"monitors">> := [#{<<"dead_letters">> := 23}]}, body(World, "/api/1/monitors")).

letter_of(Id) -> {ok, [#{id := Letter} | _]} = ?M:dead_letters(Id), Letter.

letter_path(Id, What) -> path(Id, lists:concat(["/dead-letters/", letter_of(Id), "/", What])).

dead_letter_is_redelivered_and_gone(#{cu := Cu} = World) ->
    Id = harness:proc_id(),
    letters(Cu, Id, 1, fun fails/0),
    harness:report_pushes(Id),
    ?assertMatch({200, _, #{<<"done">> := true}}, post(World, letter_path(Id, "redeliver"))),
    harness:await_results(2, 2),
    ?assertEqual({ok, []}, ?M:dead_letters(Id)).

dead_letter_that_fails_again_says_why(#{cu := Cu} = World) ->
    Id = harness:proc_id(),
    letters(Cu, Id, 1, fun() -> {error, <<"<b>again</b>">>} end),
    {409, _, #{<<"error">> := <<"push_failed">>, <<"text">> := Text}} = post(World, letter_path(Id, "redeliver")),
    ?assertMatch({_, _}, binary:match(Text, <<"<b>again</b>">>)),
    ?assertMatch({ok, [_]}, ?M:dead_letters(Id)).

%% The second click comes during the push of the first one. One push answers both.
dead_letter_clicked_twice_is_pushed_once(#{cu := Cu} = World) ->
    Id = harness:proc_id(),
    letters(Cu, Id, 1, fun fails/0),
    Self = self(),
    dev_mu:route(Id, fun(_, _) -> Self ! {at_push, self()}, receive go -> ok end end),
    Path = letter_path(Id, "redeliver"),
    Click = fun() -> spawn_monitor(fun() -> exit(post(World, Path)) end) end,
    {_, First} = Click(),
    Pushing = receive {at_push, Pid} -> Pid after deadline:ms() -> error(no_push) end,
    {_, Second} = Click(),
    harness:eventually(fun two_wait/0),
    Pushing ! go,
    [receive {'DOWN', Ref, process, _, Answer} -> ?assertMatch({200, _, #{<<"done">> := true}}, Answer) after deadline:ms() -> error(no_answer) end
     || Ref <- [First, Second]],
    receive {at_push, _} -> error(pushed_twice) after 0 -> ok end,
    ?assertEqual({ok, []}, ?M:dead_letters(Id)).

two_wait() ->
    [Redelivering] = [Map || Map <- tuple_to_list(sys:get_state(hb_cron_dashboard)), is_map(Map)],
    [Waiting || {_, _, Waiting} <- maps:values(Redelivering), length(Waiting) =:= 2] =/= [].

dead_letter_is_discarded(#{cu := Cu} = World) ->
    Id = harness:proc_id(),
    letters(Cu, Id, 1, fun fails/0),
    ?assertMatch({200, _, #{<<"done">> := true}}, post(World, letter_path(Id, "discard"))),
    ?assertEqual({ok, []}, ?M:dead_letters(Id)),
    ?assertMatch({400, _, _}, post(World, path(Id, "/dead-letters/x/discard"))).

json_of_any_term_reads_back_as_that_term(_) ->
    Same = #{<<"a">> => [1, -1, 0, 1.5, 1.0e-7, -2.0e22, 123456789012345678901234567890], <<"b">> => #{<<>> => []},
             <<"c">> => [true, false, null, #{}, <<>>, <<"text">>]},
    Read = fun(Term) -> json_text:decode(iolist_to_binary(hb_cron_json:encode(Term))) end,
    ?assertEqual(Same, Read(Same)),
    ?assertEqual(#{<<"key">> => [null, <<"atom">>]}, Read(#{key => [undefined, atom]})),
    %% Every byte, alone and within a text.
    [?assertEqual(<<"a", Char/utf8, "b">>, Read(<<"a", Char/utf8, "b">>)) || Char <- lists:seq(0, 16#7FF) ++ [16#2027, 16#2028, 16#2029, 16#FFFF, 16#10FFFF]],
    [?assertEqual(<<"a", 16#FFFD/utf8, "b">>, Read(<<"a", Byte, "b">>)) || Byte <- lists:seq(16#80, 16#FF)],
    [?assertError(badarg, hb_cron_json:encode(Bad)) || Bad <- [{tuple}, self(), [self()], #{key => {}}, <<1:1>>]].

hostile() -> <<"</script><img src=x onerror=alert(1)>\"'\\\n\t\r & \x{2028} ☃ 𝄞 "/utf8, 0, 255, 128>>.

hostile_text_comes_through_as_it_is(#{cu := Cu} = World) ->
    %% In JSON, unchanged except for invalid UTF-8.
    Json = iolist_to_binary(hb_cron_json:encode(#{hostile() => [hostile(), hostile]})),
    Valid = <<"</script><img src=x onerror=alert(1)>\"'\\\n\t\r & \x{2028} ☃ 𝄞 "/utf8, 0, (unicode:characters_to_binary([16#FFFD, 16#FFFD]))/binary>>,
    ?assertEqual(#{Valid => [Valid, <<"hostile">>]}, json_text:decode(Json)),
    ?assertEqual(nomatch, binary:match(Json, [<<"<">>, <<0>>, <<"\n">>])),
    %% End to end, from a device's error and a CU's result.
    Id = harness:proc_id(),
    Data = <<"<img src=x onerror=alert(2)>\\\"\\\\">>,
    dev_mu:route(Id, fun(_, _) -> {error, hostile()} end),
    test_cu:add_nodes(Cu, Id, [<<"{\"Output\":\"", Data/binary, "\"}">>]),
    {Monitor, _} = harness:start(Cu, Id, #{cursor => earliest}),
    Monitor ! tick,
    harness:eventually(fun() -> {ok, All} = ?M:dead_letters(Id), length(All) =:= 1 end),
    #{<<"letters">> := [#{<<"result">> := Result, <<"error">> := Error}]} = body(World, path(Id, "/dead-letters")),
    ?assertMatch({_, _}, binary:match(Result, <<"<img src=x onerror=alert(2)>">>)),
    %% The text is not UTF-8: OTP prints its bytes, or since OTP 29 the valid beginning.
    ?assertMatch({_, _}, binary:match(Error, [<<"<<60,47,115,99">>, <<"<<\"</script><img src=x">>])),
    ?assertEqual(nomatch, binary:match(Error, [<<0>>, <<"\n">>, <<"\t">>])).

text_that_is_too_long_is_cut(#{cu := Cu} = World) ->
    Id = harness:proc_id(),
    dev_mu:route(Id, fun(_, _) -> {error, binary:copy(<<"long ">>, 100000)} end),
    test_cu:add_nodes(Cu, Id, [<<"{\"Output\":\"", (binary:copy(<<"x">>, 2000000))/binary, "\"}">>]),
    {Monitor, _} = harness:start(Cu, Id, #{cursor => earliest}),
    Monitor ! tick,
    harness:eventually(fun() -> {ok, All} = ?M:dead_letters(Id), length(All) =:= 1 end),
    #{<<"letters">> := [#{<<"result">> := Result, <<"error">> := Error}]} = body(World, path(Id, "/dead-letters")),
    ?assertEqual(<<"too long to be shown">>, Result),
    ?assert(byte_size(Error) < 5000).
