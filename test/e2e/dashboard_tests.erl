%%% The dashboard's server over real HTTP: start, stop, failures, and every refusal of access. dashboard_api_tests
%%% covers the answers, test/tools/browser the page in a browser.
-module(dashboard_tests).
-include_lib("eunit/include/eunit.hrl").
-include_lib("inets/include/httpd.hrl").

-import(page_client, [get/2, post/2, request/4, raw/2, port/1, host/1, auth/1, path/2]).

-define(M, hb_process_monitor).

eunit_wrapper_(Tests) -> deadline:each(Tests).

all_test_() ->
    {foreach, fun page_client:setup/0, fun page_client:cleanup/1,
     [{with, [T]} || T <- [
        fun page_asked_for_twice_is_at_the_same_url/1,
        fun page_at_another_port_is_refused_with_its_url/1,
        fun port_in_use_is_an_error_that_says_so/1,
        fun port_in_use_on_ipv6_alone_is_an_error_too/1,
        fun invalid_port_is_refused/1,
        fun page_listens_on_loopback_and_nowhere_else/1,
        fun page_stopped_is_gone_and_comes_back_with_another_token/1,
        fun application_stopped_takes_the_page_along/1,
        fun server_killed_takes_the_page_alone_along/1,
        fun server_killed_with_a_hanging_request_can_be_restarted/1,
        fun page_with_a_hanging_request_is_stopped_and_started/1,
        fun html_has_a_policy_of_its_own_and_needs_no_token/1,
        fun every_answer_has_the_headers_of_security/1,
        fun token_missing_or_wrong_is_refused/1,
        fun answer_is_sent_without_waiting_for_the_ack_of_its_head/1,
        fun token_is_hidden_from_status_and_processes/1,
        fun foreign_host_is_refused_everywhere/1,
        fun foreign_origin_is_refused/1,
        fun method_that_is_not_the_one_is_refused/1,
        fun body_that_is_too_large_is_refused/1,
        fun unknown_or_climbing_path_is_refused/1
     ]]}.

%% The server

page_asked_for_twice_is_at_the_same_url(#{url := Url} = World) ->
    ?assertEqual({ok, Url}, ?M:dashboard(port(World))),
    ?assertEqual({ok, Url}, ?M:dashboard(0)).

page_at_another_port_is_refused_with_its_url(#{url := Url} = World) ->
    ?assertEqual({error, {already_at, Url}}, ?M:dashboard(port(World) bxor 1)).

port_in_use_is_an_error_that_says_so(_) -> taken([inet, {ip, {127, 0, 0, 1}}]).

port_in_use_on_ipv6_alone_is_an_error_too(_) ->
    case has_ipv6() of
        true -> taken([inet6, {ip, {0, 0, 0, 0, 0, 0, 0, 1}}, {ipv6_v6only, true}]);
        false -> ok
    end.

taken(Where) ->
    ok = ?M:dashboard_stop(),
    {ok, Socket} = gen_tcp:listen(0, Where),
    {ok, Port} = inet:port(Socket),
    ?assertEqual({error, {port_in_use, Port}}, ?M:dashboard(Port)),
    ok = gen_tcp:close(Socket),
    ?assertMatch({ok, _}, ?M:dashboard(Port)).

has_ipv6() ->
    case gen_tcp:listen(0, [inet6, {ip, {0, 0, 0, 0, 0, 0, 0, 1}}]) of
        {ok, Socket} -> ok = gen_tcp:close(Socket), true;
        {error, _} -> false
    end.

invalid_port_is_refused(_) ->
    [?assertError({bad_port, Bad}, ?M:dashboard(Bad)) || Bad <- [-1, 65536, "8737", undefined]].

page_listens_on_loopback_and_nowhere_else(World) ->
    {ok, Interfaces} = inet:getifaddrs(),
    Addresses = [Address || {_, Options} <- Interfaces, {addr, Address} <- Options, tuple_size(Address) =:= 4],
    ?assert(lists:member({127, 0, 0, 1}, Addresses)),
    [?assertEqual({Address, {error, econnrefused}}, {Address, gen_tcp:connect(Address, port(World), [])})
     || Address <- [{127, 0, 0, 2} | Addresses], Address =/= {127, 0, 0, 1}],
    has_ipv6() andalso begin
        {ok, Socket} = gen_tcp:connect({0, 0, 0, 0, 0, 0, 0, 1}, port(World), [inet6]),
        gen_tcp:close(Socket)
    end.

page_stopped_is_gone_and_comes_back_with_another_token(#{token := Token} = World) ->
    Port = port(World),
    ok = ?M:dashboard_stop(),
    refuses(Port),
    ok = ?M:dashboard_stop(),
    {ok, Url} = ?M:dashboard(Port),
    ?assertMatch([_, Other] when Other =/= Token, string:split(binary_to_list(Url), "#")),
    ?assertMatch({401, _, _}, get(World, "/api/1/metrics")).

application_stopped_takes_the_page_along(World) ->
    ok = application:stop(?M),
    refuses(port(World)),
    ?assertEqual(ok, ?M:dashboard_stop()).

%% The listening socket closes shortly after its owner ends.
refuses(Port) ->
    harness:eventually(fun() -> gen_tcp:connect({127, 0, 0, 1}, Port, []) =:= {error, econnrefused} end).

server_killed_takes_the_page_alone_along(#{cu := Cu} = World) ->
    {Monitor, _} = harness:start_and_push(Cu, harness:proc_id(), 1),
    Ticker = whereis(hb_cron_engine),
    killed = harness:kill(whereis(hb_cron_dashboard)),
    refuses(port(World)),
    ?assertEqual(Ticker, whereis(hb_cron_engine)),
    ?assert(is_process_alive(Monitor)),
    ?assertMatch({ok, _}, ?M:dashboard(port(World))).

server_killed_with_a_hanging_request_can_be_restarted(World) ->
    _ = hanging(World),
    killed = harness:kill(whereis(hb_cron_dashboard)),
    ?assertMatch({ok, _}, ?M:dashboard(port(World))).

page_with_a_hanging_request_is_stopped_and_started(World) ->
    Request = hanging(World),
    ok = ?M:dashboard_stop(),
    ?assertNot(is_process_alive(Request)),
    ?assertMatch({ok, _}, ?M:dashboard(port(World))).

%% A request of httpd that hangs, and does not react to the end of its supervisor.
hanging(World) ->
    {ok, _} = gen_tcp:connect({127, 0, 0, 1}, port(World), []),
    harness:eventually(fun() -> requests() =/= [] end),
    [Request | _] = requests(),
    true = erlang:suspend_process(Request),
    Request.

requests() -> hb_cron_httpd:requests(whereis(hb_cron_dashboard_sup)).

%% Access

%% httpd sends a response in two pieces, 40 ms apart if the system waits for the ack of the first.
answer_is_sent_without_waiting_for_the_ack_of_its_head(_World) ->
    {ok, Listen} = gen_tcp:listen(0, [{ip, {127, 0, 0, 1}}]),
    {ok, Port} = inet:port(Listen),
    {ok, Browser} = gen_tcp:connect({127, 0, 0, 1}, Port, []),
    {ok, Socket} = gen_tcp:accept(Listen),
    ?assertEqual({ok, [{nodelay, false}]}, inet:getopts(Socket, [nodelay])),
    Asked = #mod{socket = Socket, method = "GET", request_uri = "/", parsed_header = []},
    {break, [{response, {response, [{code, 403} | _], _}}]} = hb_cron_dashboard_web:do(Asked),
    ?assertEqual({ok, [{nodelay, true}]}, inet:getopts(Socket, [nodelay])),
    [ok = gen_tcp:close(S) || S <- [Browser, Socket, Listen]].

html_has_a_policy_of_its_own_and_needs_no_token(World) ->
    {200, Headers, Html} = request(World, get, "/", []),
    ?assertEqual("text/html; charset=utf-8", proplists:get_value("content-type", Headers)),
    Policy = proplists:get_value("content-security-policy", Headers),
    [?assertNotEqual(nomatch, string:find(Policy, Part))
     || Part <- ["default-src 'none'", "connect-src 'self'", "frame-ancestors 'none'", "form-action 'none'", "base-uri 'none'"]],
    ?assertEqual(nomatch, string:find(Policy, "unsafe")),
    %% The policy allows exactly the embedded style and script.
    [begin
        {match, [Text]} = re:run(Html, ["<", Tag, ">(.*)</", Tag, ">"], [dotall, {capture, all_but_first, binary}]),
        Hash = binary_to_list(base64:encode(crypto:hash(sha256, Text))),
        ?assertNotEqual(nomatch, string:find(Policy, Tag ++ "-src 'sha256-" ++ Hash ++ "'"))
     end || Tag <- ["style", "script"]],
    %% The page loads nothing from elsewhere.
    ?assertEqual(nomatch, re:run(Html, "(src|href)='(?!data:,|/'|#main')|@import|url\\(|innerHTML|insertAdjacent|document[.]write|eval[(]| on[a-z]+='")),
    ?assertMatch({_, _}, binary:match(Html, <<"w3.org/2000/svg">>)).

every_answer_has_the_headers_of_security(World) ->
    Expected = [{"x-frame-options", "DENY"}, {"x-content-type-options", "nosniff"}, {"cache-control", "no-store"},
                {"referrer-policy", "no-referrer"}, {"cross-origin-resource-policy", "same-origin"}],
    Answers = [request(World, get, "/", []), request(World, get, "/api/1/metrics", []), get(World, "/api/1/metrics"),
               get(World, "/nothing"), request(World, post, "/", [])],
    [?assertEqual([], Expected -- Headers) || {_, Headers, _} <- Answers],
    [?assertMatch("default-src 'none'" ++ _, proplists:get_value("content-security-policy", Headers)) || {_, Headers, _} <- Answers],
    %% Responses of httpd itself, too.
    {400, Bad} = raw(World, ["GET / HTTP/1.1"]),
    ?assertMatch({_, _}, binary:match(Bad, <<"nosniff">>)),
    [?assertEqual(undefined, proplists:get_value("server", Headers)) || {_, Headers, _} <- Answers].

token_missing_or_wrong_is_refused(#{token := Token} = World) ->
    Wrong = ["", "Bearer", "Bearer ", "Bearer " ++ tl(Token), "Bearer x" ++ tl(Token), "Bearer " ++ Token ++ "x",
             "Basic " ++ Token, Token, "bearer " ++ Token],
    [?assertMatch({_, {401, _, #{<<"error">> := <<"bad_token">>}}}, {Value, request(World, get, "/api/1/metrics", [{"authorization", Value}])})
     || Value <- Wrong],
    ?assertMatch({401, _, _}, request(World, get, "/api/1/metrics", [])),
    ?assertMatch({401, _, _}, request(World, get, "/api/1/metrics?token=" ++ Token, [])),
    ?assertMatch({200, _, _}, get(World, "/api/1/metrics")),
    %% A change is refused as well, and has no effect.
    #{cu := Cu} = World,
    Id = harness:proc_id(),
    _ = harness:start_and_push(Cu, Id, 1),
    [?assertMatch({401, _, _}, request(World, post, path(Id, Path), [])) || Path <- ["/pause", "/stop", "/forget"]],
    ?assertNotMatch(#{state := State} when State =:= paused; State =:= pausing, ?M:info(Id)).

token_is_hidden_from_status_and_processes(#{token := Token}) ->
    Server = whereis(hb_cron_dashboard),
    Status = io_lib:format("~p~p~p", [sys:get_status(Server), supervisor:get_childspec(hb_cron_sup, dashboard),
                                      ets:tab2list(hb_cron_dashboard)]),
    ?assertEqual(nomatch, string:find(Status, Token)).

foreign_host_is_refused_everywhere(#{token := Token} = World) ->
    Port = integer_to_list(port(World)),
    Auth = "Authorization: Bearer " ++ Token,
    [?assertMatch({Host, {200, _}}, {Host, raw(World, ["GET /api/1/metrics HTTP/1.1", "Host: " ++ Host, Auth])})
     || Host <- ["127.0.0.1:" ++ Port, "localhost:" ++ Port, "[::1]:" ++ Port]],
    [?assertMatch({Path, Host, {403, _}}, {Path, Host, raw(World, ["GET " ++ Path ++ " HTTP/1.1", "Host: " ++ Host, Auth])})
     || Path <- ["/", "/api/1/metrics"],
        Host <- ["evil.example", "evil.example:" ++ Port, "127.0.0.1", "127.0.0.1:1", "localhost.evil.example:" ++ Port, ""]],
    ?assertMatch({403, _}, raw(World, ["GET /api/1/metrics HTTP/1.1", host(World), "Host: evil.example", Auth])),
    ?assertMatch({403, _}, raw(World, ["GET http://evil.example/ HTTP/1.1", "Host: evil.example", Auth])).

foreign_origin_is_refused(#{base := Base} = World) ->
    With = fun(Extra) -> request(World, get, "/api/1/metrics", Extra ++ auth(World)) end,
    ?assertMatch({200, _, _}, With([{"origin", Base}, {"sec-fetch-site", "same-origin"}])),
    [?assertMatch({Extra, {403, _, #{<<"error">> := <<"bad_origin">>}}}, {Extra, With([Extra])})
     || Extra <- [{"origin", "http://evil.example"}, {"origin", "null"}, {"origin", "http://127.0.0.1"}, {"origin", Base ++ ".evil.example"},
                  {"origin", "https" ++ lists:nthtail(4, Base)}, {"sec-fetch-site", "cross-site"}, {"sec-fetch-site", "same-site"},
                  {"sec-fetch-site", "none"}]].

method_that_is_not_the_one_is_refused(#{cu := Cu} = World) ->
    Id = harness:proc_id(),
    _ = harness:start_and_push(Cu, Id, 1),
    [begin
        {405, Headers, _} = get(World, path(Id, Path)),
        ?assertEqual("POST", proplists:get_value("allow", Headers))
     end || Path <- ["/pause", "/resume", "/poll", "/stop", "/start", "/forget", "/dead-letters/1/redeliver", "/dead-letters/1/discard"]],
    [begin
        {405, Headers, _} = post(World, Path),
        ?assertEqual("GET", proplists:get_value("allow", Headers))
     end || Path <- ["/", "/api/1/metrics", "/api/1/findings", "/api/1/monitors", path(Id, ""), path(Id, "/history"), path(Id, "/dead-letters")]],
    [?assertMatch({405, _, _}, request(World, Method, path(Id, "/pause"), auth(World))) || Method <- [put, patch, delete]],
    ?assertNotMatch(#{state := State} when State =:= paused; State =:= pausing, ?M:info(Id)).

body_that_is_too_large_is_refused(#{token := Token} = World) ->
    [?assertMatch({Size, {413, _}}, {Size, raw(World, ["POST " ++ path(harness:proc_id(), "/pause") ++ " HTTP/1.1", host(World),
                                                       "Authorization: Bearer " ++ Token, "Content-Length: " ++ Size])})
     || Size <- ["2000", "99999999999"]],
    ?assertMatch({Code, _} when Code =:= 413; Code =:= 414, raw(World, ["GET /" ++ lists:duplicate(4000, $a) ++ " HTTP/1.1", host(World)])).

unknown_or_climbing_path_is_refused(World) ->
    [?assertMatch({Path, {404, _, _}}, {Path, get(World, Path)})
     || Path <- ["/nothing", "/index.html", "/api/1/", "/api/1", "/api/2/metrics", "/api/1/metrics/more", "/api/1/monitors/"
                 ++ binary_to_list(harness:proc_id()) ++ "/nothing", "/favicon.ico"]],
    [?assertMatch({Path, {404, _}}, {Path, raw(World, ["GET " ++ Path ++ " HTTP/1.1", host(World)])})
     || Path <- ["/../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "/..%2f..%2fetc/passwd", "//etc/passwd", "/etc/passwd",
                 "/api/../etc/passwd"]].
