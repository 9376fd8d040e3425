%%% Faults of a Compute Unit, end to end, one per row. Each must be logged under its class, and leave the monitor
%%% alive with its position unchanged. When the fault ends, every result arrives in order, exactly once.
-module(fault_tests).
-include_lib("eunit/include/eunit.hrl").

%% The number of a result from the year 2100.
-define(YEAR_2100, 2342444800).
-define(JSON, [{<<"content-type">>, <<"application/json">>}]).

eunit_wrapper_(Tests) -> deadline:each(Tests).

faults_test_() ->
    {setup, fun harness:setup/0, fun harness:cleanup/1, fun(_) ->
        [{lists:flatten(io_lib:format("~s is ~p", [Name, Class])),
          fun() -> fault_is_logged_and_outlived(Class, Answer, Options) end}
         || {Name, Class, Answer, Options} <- faults()]
    end}.

%% {Fault, logged class, answer of the CU, options of the monitor}
faults() ->
    [{"status 500", status, status(500, <<"{\"error\":\"fetch failed\"}">>), #{}},
     {"status 403", status, status(403, <<"{\"error\":\"Access denied\"}">>), #{}},
     {"status 404 in plain text", status, status(404, <<"Not Found">>), #{}},
     {"status 429", status, status(429, <<>>), #{}},
     {"status 502 with HTML", status, status(502, <<"<html>Bad Gateway</html>">>), #{}},
     {"status 503 with Retry-After", status, {raw, test_cu:reply(503, [{<<"retry-after">>, <<"1">>}], <<>>)}, #{}},
     {"status 201 with a page", status, status(201, test_cu:page([2], false, <<>>)), #{}},
     {"status 204", status, {raw, <<"HTTP/1.1 204 No Content\r\n\r\n">>}, #{}},
     {"a page of HTML", bad_json, body(<<"<html><body>Welcome</body></html>">>), #{}},
     {"an empty body", bad_json, body(<<>>), #{}},
     {"half a page", bad_json, body(half(test_cu:page([2, 3], true, <<"x">>))), #{}},
     {"a page and more", bad_json, body([test_cu:page([2], false, <<"x">>), <<"}">>]), #{}},
     {"bytes that are no UTF-8", bad_utf8, body(<<"{\"edges\":[{\"node\":{\"x\":\"", 255, "\"},\"cursor\":\"c\"}]}">>), #{}},
     {"a connection closed without an answer", connect, close, #{}},
     {"a body shorter than announced", connect,
      {raw_then_close, <<"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"edges\":">>}, #{}},
     {"no HTTP", protocol, {raw_then_close, <<"SSH-2.0-OpenSSH_9.2\r\n\r\n\r\n">>}, #{}},
     {"endless headers", protocol, {raw_then_close, [<<"HTTP/1.1 200 OK\r\n">>, [<<"x-filler: ", (binary:copy(<<"y">>, 1000))/binary, "\r\n">> || _ <- lists:seq(1, 200)]]}, #{}},
     {"an interim answer and no more", connect, {raw_then_close, <<"HTTP/1.1 100 Continue\r\n\r\n">>}, #{}},
     {"an interim answer and garbage", protocol, {raw_then_close, <<"HTTP/1.1 102 Processing\r\n\r\ngarbage\r\n\r\n">>}, #{}},
     {"a header with a NUL", protocol, answer(<<"x: a", 0, "b">>, <<"{}">>), #{}},
     {"a length that is negative", protocol, answer(<<"content-length: -2">>, <<"{}">>), #{}},
     {"two lengths", protocol, answer(<<"content-length: 2\r\ncontent-length: 3">>, <<"{}">>), #{}},
     {"a length and chunks", protocol, answer(<<"content-length: 2\r\ntransfer-encoding: chunked">>, <<"2\r\n{}\r\n0\r\n\r\n">>), #{}},
     {"a chunk of more bytes than there are numbers", protocol, answer(<<"transfer-encoding: chunked">>, <<"FFFFFFFFFFFFFFFFF\r\n{}">>), #{}},
     {"half a chunk", connect, answer(<<"transfer-encoding: chunked">>, <<"64\r\n{\"edges\":">>), #{}},
     {"no answer", timeout, hang, #{cron_timeout => 200}},
     {"no answer at first", first_byte_timeout, hang, #{cron_first_byte_timeout => 200}},
     {"a head that drips", first_byte_timeout, {raw_then_drip, <<"HTTP/1.1 200 OK\r\n">>, <<"x: y\r\n">>}, #{cron_first_byte_timeout => 200}},
     {"interim answers that drip", first_byte_timeout, {raw_then_drip, <<>>, <<"HTTP/1.1 102 Processing\r\n\r\n">>}, #{cron_first_byte_timeout => 200}},
     {"a body that drips", timeout, {raw_then_drip, <<"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n{">>, <<" ">>}, #{cron_timeout => 200}},
     {"half an answer", timeout, {raw_then_hang, <<"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"edges\":">>}, #{cron_timeout => 200}},
     {"a page larger than allowed", body_too_large, body(test_cu:page([2], false, binary:copy(<<"x">>, 5000))), #{cron_max_page_bytes => 4096}},
     {"an endless chunked body", body_too_large,
      {raw_then_hang, [<<"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n">>, [<<"400\r\n", (binary:copy(<<" ">>, 1024))/binary, "\r\n">> || _ <- lists:seq(1, 64)]]}, #{cron_max_page_bytes => 4096}},
     {"a small body that inflates", body_too_large,
      {raw, test_cu:reply(200, [{<<"content-encoding">>, <<"gzip">>}], zlib:gzip(binary:copy(<<" ">>, 1 bsl 22)))}, #{cron_max_page_bytes => 1 bsl 20}},
     {"a body too large as it is compressed", body_too_large, encoded(<<"gzip">>, zlib:gzip(crypto:strong_rand_bytes(5000))), #{cron_max_page_bytes => 4096}},
     {"a body with an unrequested encoding", bad_encoding, encoded(<<"br">>, <<"{}">>), #{}},
     {"a body compressed twice", bad_encoding, encoded(<<"gzip, gzip">>, zlib:gzip(zlib:gzip(<<"{}">>))), #{}},
     {"half a body of gzip", bad_encoding, encoded(<<"gzip">>, half(zlib:gzip(crypto:strong_rand_bytes(5000)))), #{}},
     {"a body that is not gzip, announced as gzip", bad_encoding, encoded(<<"gzip">>, test_cu:page([2], false, <<>>)), #{}},
     {"JSON nested too deeply", too_deep, body(nested(5000)), #{}},
     {"JSON that is a list", bad_page, body(<<"[]">>), #{}},
     {"JSON that is null", bad_page, body(<<"null">>), #{}},
     {"an error with status 200", bad_page, body(<<"{\"error\":\"no such thing\"}">>), #{}},
     {"edges that are no list", bad_page, body(<<"{\"edges\":{\"0\":{}}}">>), #{}},
     {"an edge that is no object", bad_page, body(<<"{\"edges\":[7]}">>), #{}},
     {"a node that is no object", bad_page, body(<<"{\"edges\":[{\"node\":\"x\",\"cursor\":\"c\"}]}">>), #{}},
     {"a number out of range", bad_number, body(<<"{\"edges\":[{\"node\":{\"x\":1e999},\"cursor\":\"c\"}]}">>), #{}},
     {"an edge without a cursor", no_cursor, body(<<"{\"edges\":[{\"node\":{}}]}">>), #{}},
     {"a cursor that is null", no_cursor, body(<<"{\"edges\":[{\"node\":{},\"cursor\":null}]}">>), #{}},
     {"a cursor that is empty", no_cursor, body(<<"{\"edges\":[{\"node\":{},\"cursor\":\"\"}]}">>), #{}},
     {"a cursor that is too long", cursor_too_long, body([<<"{\"edges\":[{\"node\":{},\"cursor\":\"">>, binary:copy(<<"c">>, 4097), <<"\"}]}">>]), #{}},
     {"a cursor that does not move", cursor_regressed, body(test_cu:page([1], true, <<"x">>)), #{}},
     {"a page of older results", cursor_regressed, body(test_cu:page([0, 1], true, <<"x">>)), #{}},
     {"a page that goes back within", cursor_regressed, body(test_cu:page([2, 4, 3], true, <<"x">>)), #{}},
     {"a page with a result twice", cursor_regressed, body(test_cu:page([2, 2], true, <<"x">>)), #{}},
     {"a page that rewinds after a good result", cursor_regressed, body(test_cu:page([2, 3, 1], true, <<"x">>)), #{}},
     {"a result dated 2100", future_cursor, body(test_cu:page([?YEAR_2100], true, <<"x">>)), #{}},
     {"more edges than a CU gives", too_many_edges, body(edges(10001)), #{}},
     {"a string beyond all measure", string_too_long, gzip(test_cu:page([2], false, binary:copy(<<"x">>, 33 bsl 20))), #{}},
     {"an integer of a million digits", bad_number, body([<<"{\"edges\":[{\"node\":{\"x\":">>, binary:copy(<<"7">>, 1000000), <<"},\"cursor\":\"c\"}]}">>]), #{}},
     {"a number that is none", bad_json, body(<<"{\"edges\":[{\"node\":{\"x\":NaN},\"cursor\":\"c\"}]}">>), #{}},
     {"edges twice", bad_page, body(<<"{\"edges\":[],\"edges\":[]}">>), #{}},
     {"an empty page with a next one", empty_page, body(test_cu:page([], true, <<>>)), #{}},
     {"a redirect to another host", redirect, redirect(<<"http://127.0.0.2:1/">>), #{}},
     {"a redirect to another scheme", redirect, redirect(<<"file:///etc/passwd">>), #{}},
     {"a redirect without a location", redirect, {raw, test_cu:reply(302, [], <<>>)}, #{}},
     {"redirects without end", redirect, redirect(<<"/round/and/round">>), #{}},
     {"a refused connection", connect, down, #{}}].

status(Status, Body) -> {raw, test_cu:reply(Status, ?JSON, Body)}.

gzip(Body) -> {raw, test_cu:reply(200, [{<<"content-encoding">>, <<"gzip">>}], zlib:gzip(Body))}.

edges(Count) ->
    [<<"{\"edges\":[">>, lists:join($,, lists:duplicate(Count, <<"{\"cursor\":\"c\"}">>)), <<"]}">>].

body(Body) -> {raw, test_cu:reply(200, ?JSON, Body)}.

%% An answer with exactly these headers.
answer(Headers, Body) -> {raw_then_close, [<<"HTTP/1.1 200 OK\r\n">>, Headers, <<"\r\n\r\n">>, Body]}.

encoded(Encoding, Body) -> {raw, test_cu:reply(200, [{<<"content-encoding">>, Encoding} | ?JSON], Body)}.

redirect(To) -> {raw, test_cu:reply(302, [{<<"location">>, To}], <<>>)}.

half(Body) ->
    Binary = iolist_to_binary(Body),
    binary:part(Binary, 0, byte_size(Binary) div 2).

nested(Depth) ->
    [<<"{\"edges\":[{\"node\":{\"x\":">>, lists:duplicate(Depth, $[), lists:duplicate(Depth, $]), <<"},\"cursor\":\"c\"}]}">>].

fault_is_logged_and_outlived(Class, Answer, Options) ->
    Cu = test_cu:start(),
    Id = harness:proc_id(),
    harness:report_pushes(Id),
    test_cu:add(Cu, Id, 1),
    {Monitor, Logger} = harness:start(Cu, Id, Options#{cursor => earliest}),
    Monitor ! tick,
    harness:await_results(1, 1),
    harness:await_polled(Cu, Id),
    begin_fault(Cu, Answer),
    test_cu:add(Cu, Id, 3),
    Monitor ! tick,
    harness:await_logged(Logger, fun({error, Logged, {For, Text, 1}}) ->
        Logged =:= Class andalso For =:= Id andalso is_binary(Text)
    end),
    %% The cursor is unchanged, and the monitor works.
    ?assert(is_process_alive(Monitor)),
    harness:no_result(),
    end_fault(Cu, Answer),
    Monitor ! tick,
    harness:await_results(2, 4),
    %% The pause after the failure may end before the fault does.
    harness:await_logged(Logger, fun({ok, recovered, {For, fetch, Failures}}) -> For =:= Id andalso Failures >= 1 end),
    ok = hb_process_monitor:stop(Monitor, deadline:ms()),
    harness:no_result(),
    test_cu:stop(Cu).

begin_fault(Cu, down) -> test_cu:go_down(Cu);
begin_fault(Cu, Answer) -> test_cu:script(Cu, fun(_) -> Answer end).

end_fault(Cu, down) -> test_cu:come_up(Cu);
end_fault(Cu, _) -> test_cu:script(Cu, fun(_) -> pass end).

others_test_() ->
    harness:tests([
        fun redirect_within_the_origin_is_followed/1,
        fun interim_answer_is_followed_by_the_page/1,
        fun page_in_gzip_is_pushed/1,
        fun extra_answer_is_not_accepted/1,
        fun connection_closed_between_two_polls_is_no_failure/1,
        fun large_body_beside_another_waits_for_room/1,
        fun name_that_does_not_resolve_is_an_error/1,
        fun result_dated_2100_is_shown_and_those_around_it_pushed/1,
        fun outage_that_repeats_is_logged_at_1_2_4_8_and_when_it_is_over/1,
        fun next_node_of_a_list_is_asked_after_a_failure/1,
        fun secrets_and_cursors_are_not_logged/1,
        fun slow_cu_of_one_process_does_not_hold_up_another/1
    ]).

redirect_within_the_origin_is_followed(Cu) ->
    Id = harness:proc_id(),
    harness:report_pushes(Id),
    test_cu:add(Cu, Id, 2),
    %% The path moves below /v2. The location repeats the query.
    test_cu:script(Cu, fun(#{path := <<"/v2", _/binary>>, query := #{<<"from">> := _}}) ->
                               {raw, test_cu:reply(200, test_cu:page([], false, <<>>))};
                          (#{path := <<"/v2", _/binary>>}) ->
                               {raw, test_cu:reply(200, test_cu:page([1, 2], false, <<"x">>))};
                          (#{path := Path, query := #{<<"from">> := _}}) -> redirect(<<"/v2", Path/binary, "?from=x">>);
                          (#{path := Path}) -> redirect(<<"/v2", Path/binary>>)
                       end),
    {Monitor, _} = harness:start(Cu, Id, #{cursor => earliest}),
    Monitor ! tick,
    harness:await_results(1, 2).

interim_answer_is_followed_by_the_page(Cu) ->
    Page = [<<"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n">>, test_cu:reply(200, test_cu:page([1, 2], false, <<>>))],
    two_are_pushed(Cu, {raw, Page}).

page_in_gzip_is_pushed(Cu) ->
    two_are_pushed(Cu, encoded(<<"gzip">>, zlib:gzip(test_cu:page([1, 2], false, <<>>)))).

%% Bytes after the response on a connection are not the next response.
extra_answer_is_not_accepted(Cu) ->
    Unasked = test_cu:reply(200, test_cu:page([7, 8], false, <<>>)),
    two_are_pushed(Cu, {raw, [test_cu:reply(200, test_cu:page([1, 2], false, <<>>)), Unasked]}).

%% The first answer is this one; all later ones are good.
two_are_pushed(Cu, First) ->
    Id = harness:proc_id(),
    harness:report_pushes(Id),
    test_cu:add(Cu, Id, 2),
    test_cu:script(Cu, fun(#{query := #{<<"from">> := _}}) -> pass; (_) -> First end),
    {Monitor, Logger} = harness:start(Cu, Id, #{cursor => earliest}),
    Monitor ! tick,
    harness:await_results(1, 2),
    harness:await_polled(Cu, Id),
    harness:no_result(),
    ?assertEqual([], [Entry || {error, _, _} = Entry <- harness:report(Logger)]).

connection_closed_between_two_polls_is_no_failure(Cu) ->
    Id = harness:proc_id(),
    harness:report_pushes(Id),
    test_cu:add(Cu, Id, 1),
    {Monitor, Logger} = harness:start(Cu, Id, #{cursor => earliest}),
    Monitor ! tick,
    harness:await_results(1, 1),
    harness:await_polled(Cu, Id),
    ok = test_cu:go_down(Cu),
    ok = test_cu:come_up(Cu),
    test_cu:add(Cu, Id, 1),
    Monitor ! tick,
    harness:await_results(2, 2),
    ?assertEqual([], [Entry || {error, _, _} = Entry <- harness:report(Logger)]).

%% Arriving bodies count against the budget, but a single body is always allowed.
large_body_beside_another_waits_for_room(Cu) ->
    harness:host(#{cron_max_buffered_bytes => 3 bsl 20}),
    _ = application:stop(hb_process_monitor),
    [Stuck, Id] = [harness:proc_id(), harness:proc_id()],
    harness:report_pushes(Id),
    Filler = binary:copy(<<"x">>, 5 bsl 20),
    Half = [<<"HTTP/1.1 200 OK\r\ncontent-length: 99999999\r\n\r\n{\"filler\":\"">>, Filler],
    Large = test_cu:reply(200, [<<"{\"filler\":\"">>, Filler, <<"\",\"edges\":[]}">>]),
    test_cu:script(Cu, fun(#{process := P}) when P =:= Stuck -> {raw_then_hang, Half}; (_) -> {raw, Large} end),
    {First, _} = harness:start(Cu, Stuck, #{cursor => earliest, cron_max_page_bytes => 100 bsl 20}),
    First ! tick,
    {Monitor, Logger} = harness:start(Cu, Id, #{cursor => earliest}),
    %% The pages of this process fit until half of the other body has arrived.
    harness:eventually(fun() ->
        Monitor ! tick,
        lists:any(fun({error, no_room, {_, _, _}}) -> true; (_) -> false end, harness:report(Logger))
    end),
    exit(First, kill),
    test_cu:script(Cu, fun(_) -> pass end),
    test_cu:add(Cu, Id, 2),
    Monitor ! tick,
    harness:await_results(1, 2).

name_that_does_not_resolve_is_an_error(_Cu) ->
    Id = harness:proc_id(),
    {Monitor, Logger} = hb_process_monitor:start(Id, #{
        rate => 3600000, cursor => earliest, cron_node => <<"http://no-such-host.invalid:6363">>}),
    Monitor ! tick,
    %% If the environment names a proxy, the proxy resolves names.
    Proxies = ["ALL_PROXY", "all_proxy", "HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"],
    Proxied = lists:any(fun(Name) -> os:getenv(Name) =/= false end, Proxies),
    harness:await_logged(Logger, fun({error, Class, {_, _, 1}}) -> Class =:= resolve orelse Proxied end).

outage_that_repeats_is_logged_at_1_2_4_8_and_when_it_is_over(Cu) ->
    Id = harness:proc_id(),
    harness:report_pushes(Id),
    test_cu:add(Cu, Id, 1),
    test_cu:script(Cu, fun(_) -> status(500, <<>>) end),
    {Monitor, Logger} = harness:start(Cu, Id, #{cursor => earliest}),
    [begin
        Monitor ! tick,
        harness:eventually(fun() ->
            #{failures := Failures} = hb_cron_engine:counters(),
            %% It may retry by itself in between.
            Failures >= N
        end)
    end || N <- lists:seq(1, 10)],
    test_cu:script(Cu, fun(_) -> pass end),
    Monitor ! tick,
    harness:await_results(1, 1),
    harness:await_logged(Logger, fun({ok, recovered, {_, fetch, Failures}}) -> Failures >= 10 end),
    ?assertMatch([1, 2, 4, 8 | _], [N || {error, status, {_, _, N}} <- lists:reverse(harness:report(Logger))]).

%% A CU has a single result with a wrong date for a while. Earlier results are pushed; later ones arrive once it is
%% gone, and the cursor does not move to 2100.
result_dated_2100_is_shown_and_those_around_it_pushed(Cu) ->
    Id = harness:proc_id(),
    {Monitor, Logger} = harness:start_and_push(Cu, Id, 1),
    test_cu:add(Cu, Id, 30),
    test_cu:script(Cu, fun
        (#{kind := cron, query := #{<<"from">> := From}}) ->
            Numbers = lists:seq(test_cu:number(From) + 1, 5) ++ [?YEAR_2100],
            {raw, test_cu:reply(200, test_cu:page(Numbers, true, <<"x">>))};
        (_) -> {raw, test_cu:reply(200, test_cu:page([?YEAR_2100], true, <<"x">>))}
    end),
    Monitor ! tick,
    harness:await_results(2, 5),
    harness:await_logged(Logger, fun({error, future_cursor, {For, Text, _}}) ->
        For =:= Id andalso binary:match(Text, <<"cron_max_ahead">>) =/= nomatch
    end),
    #{state := backing_off, error := #{what := fetch, class := future_cursor}, cursor := Cursor} = hb_process_monitor:info(Id),
    ?assertEqual(test_cu:cursor(5), Cursor),
    #{advice := Advice} = hb_process_monitor:doctor(#{probe => false}),
    ?assertMatch([_], [Do || {_, What, Do} <- Advice, binary:match(What, Id) =/= nomatch,
                             binary:match(Do, <<"cron_max_ahead">>) =/= nomatch]),
    ?assertMatch(#{fetch_failures_total := #{future_cursor := Count}} when Count > 0, hb_process_monitor:metrics()),
    harness:no_result(),
    test_cu:script(Cu, fun(_) -> pass end),
    Monitor ! tick,
    harness:await_results(6, 31),
    harness:await_logged(Logger, fun({ok, recovered, {For, fetch, _}}) -> For =:= Id end).

next_node_of_a_list_is_asked_after_a_failure(Cu) ->
    Id = harness:proc_id(),
    harness:report_pushes(Id),
    test_cu:add(Cu, Id, 1),
    Dead = test_cu:start(),
    ok = test_cu:go_down(Dead),
    {Monitor, Logger} = harness:start(Cu, Id, #{cursor => earliest, cron_node => [test_cu:url(Dead), test_cu:url(Cu)]}),
    Monitor ! tick,
    harness:await_logged(Logger, fun({error, connect, {_, _, 1}}) -> true end),
    Monitor ! tick,
    harness:await_results(1, 1),
    test_cu:stop(Dead).

secrets_and_cursors_are_not_logged(Cu) ->
    Id = harness:proc_id(),
    <<"http://", Host/binary>> = test_cu:url(Cu),
    test_cu:script(Cu, fun(_) -> body(<<"{\"edges\":\"a body's secret\"}">>) end),
    {Monitor, Logger} = harness:start(Cu, Id, #{
        cursor => <<"a cursor's secret">>, cron_node => <<"http://user:password-secret@", Host/binary>>}),
    Monitor ! tick,
    harness:await_logged(Logger, fun({error, bad_page, {_, _, 1}}) -> true end),
    %% The URL's password is used.
    [#{headers := #{'Authorization' := Authorization}}] = test_cu:requests(Cu, Id),
    ?assertEqual(<<"Basic ", (base64:encode(<<"user:password-secret">>))/binary>>, Authorization),
    Errors = [Details || {error, _, Details} <- harness:report(Logger)],
    ?assertEqual(nomatch, string:find(io_lib:format("~0p", [Errors]), "secret")).

slow_cu_of_one_process_does_not_hold_up_another(Cu) ->
    Slow = harness:proc_id(),
    Fast = harness:proc_id(),
    harness:report_pushes(Fast),
    test_cu:add(Cu, Fast, 10),
    test_cu:script(Cu, fun(#{process := P}) when P =:= Slow -> hang; (_) -> pass end),
    {SlowMonitor, _} = harness:start(Cu, Slow, #{cursor => earliest}),
    SlowMonitor ! tick,
    harness:eventually(fun() -> test_cu:requests(Cu, Slow) =/= [] end),
    {FastMonitor, _} = harness:start(Cu, Fast, #{cursor => earliest}),
    FastMonitor ! tick,
    harness:await_results(1, 10).
