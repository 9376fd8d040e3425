%%% Shared helpers of the dashboard's tests: a node with the dashboard, and requests to it over real HTTP, with
%%% httpc or byte by byte.
-module(page_client).
-export([setup/0, cleanup/1, port/1, host/1, auth/1, path/2]).
-export([get/2, post/2, body/2, request/4, raw/2]).

setup() ->
    {ok, _} = application:ensure_all_started(inets),
    Cu = harness:setup(#{cron_push_attempts => 1, cron_push_backoff => {1, 2}}),
    {ok, Url} = hb_process_monitor:dashboard(0),
    [Base, Token] = binary:split(Url, <<"/#">>),
    #{cu => Cu, url => Url, base => binary_to_list(Base), token => binary_to_list(Token)}.

cleanup(#{cu := Cu}) -> harness:cleanup(Cu).

port(#{base := Base}) -> list_to_integer(lists:last(string:tokens(Base, ":"))).

%% The status, the headers and the decoded body.
get(World, Path) -> request(World, get, Path, auth(World)).
post(World, Path) -> request(World, post, Path, auth(World)).

auth(#{token := Token}) -> [{"authorization", "Bearer " ++ Token}].

request(#{base := Base}, Method, Path, Headers) ->
    Request = case Method of
        get -> {Base ++ Path, Headers};
        _ -> {Base ++ Path, Headers, "text/plain", ""}
    end,
    {ok, {{_, Code, _}, Given, Body}} = httpc:request(Method, Request, [{autoredirect, false}], [{body_format, binary}]),
    {Code, Given, told(proplists:get_value("content-type", Given), Body)}.

told("application/json" ++ _, Body) -> json_text:decode(Body);
told(_, Body) -> Body.

body(World, Path) -> {200, _, Body} = get(World, Path), Body.

%% Sends the lines unchanged: httpc would not send some of them.
raw(World, Lines) ->
    {ok, Socket} = gen_tcp:connect({127, 0, 0, 1}, port(World), [binary, {active, false}]),
    ok = gen_tcp:send(Socket, [lists:join("\r\n", Lines), "\r\n\r\n"]),
    {ok, <<"HTTP/1.1 ", Code:3/binary, _/binary>> = Answer} = gen_tcp:recv(Socket, 0, deadline:ms()),
    ok = gen_tcp:close(Socket),
    {binary_to_integer(Code), Answer}.

host(World) -> "Host: 127.0.0.1:" ++ integer_to_list(port(World)).

%% The API path of a monitor, or of one of its parts.
path(Id, Rest) -> "/api/1/monitors/" ++ binary_to_list(Id) ++ Rest.
