%%% @doc Handles the HTTP requests of the dashboard, called by httpd: checks access, finds the route, and makes an
%%% HTTP response. {@link hb_cron_dashboard_api} has the contents.
%%%
%%% Loopback is no protection: every web page in a browser on this machine can send requests here, even by a name
%%% that resolves to loopback. Therefore the `Host' must be a loopback name, and the `Origin' must be ours.
%%% Everything except the page, which has no data, requires the token, which no other page can know.
-module(hb_cron_dashboard_web).
-behaviour(httpd_custom_api).

%% For httpd
-export([do/1]).
-export([response_header/1, request_header/1, response_default_headers/0]).

-include_lib("inets/include/httpd.hrl").

-type answer() :: {Code :: 200..599, Headers :: [{string(), string()}], Body :: iodata()}.

%% @private
-spec do(#mod{}) -> {break, [{response, {response, [term()], iodata()}}]}.
do(#mod{method = Method, request_uri = Target, parsed_header = Headers} = Mod) ->
    ok = hb_cron_httpd:no_delay(Mod),
    {Code, Given, Body} = try answer(Method, Target, Headers)
    catch Class:Reason:Stack ->
        %% Omit the arguments of functions: the token may be among them.
        Where = [{Module, Function, At} || {Module, Function, _, At} <- Stack],
        hb_cron_host_logger:log(undefined, {error, page_failed, {Class, Reason, Where}}),
        refused(500, failed, <<"The request failed. The node's log has the reason.">>)
    end,
    hb_cron_httpd:response(Code, Given, Body).

%% The headers of every response, including httpd's own errors.
%% @private
-spec response_default_headers() -> [{string(), string()}].
response_default_headers() ->
    [{"content-security-policy", "default-src 'none'; frame-ancestors 'none'"},
     {"x-frame-options", "DENY"}, {"x-content-type-options", "nosniff"}, {"cache-control", "no-store"},
     {"referrer-policy", "no-referrer"}, {"cross-origin-opener-policy", "same-origin"},
     {"cross-origin-resource-policy", "same-origin"}].

%% @private
-spec response_header({string(), string()}) -> {true, {string(), string()}}.
response_header(Header) -> {true, Header}.

%% @private
-spec request_header({string(), string()}) -> {true, {string(), string()}}.
request_header(Header) -> {true, Header}.

-spec answer(string(), string(), [{string(), string()}]) -> answer().
answer(Method, Target, Headers) ->
    case hb_cron_dashboard:access() of
        none ->
            refused(503, stopped, <<"The dashboard has been stopped.">>);
        {Port, TokenHash} ->
            case is_our_host(Headers, Port) of
                true -> to_us(Method, split(Target), Headers, TokenHash);
                false -> refused(403, bad_host, <<"The dashboard is served only as 127.0.0.1, [::1] and localhost.">>)
            end
    end.

to_us("GET", {<<"/">>, _}, _Headers, _TokenHash) ->
    {Html, Policy} = hb_cron_dashboard_page:html(),
    {200, [{"content-type", "text/html; charset=utf-8"}, {"content-security-policy", Policy}], Html};
to_us(_Method, {<<"/">>, _}, _Headers, _TokenHash) ->
    not_allowed("GET");
to_us(Method, {<<"/api/1/", Path/binary>>, Query}, Headers, TokenHash) ->
    case {is_same_origin(Headers), has_token(Headers, TokenHash)} of
        {false, _} -> refused(403, bad_origin, <<"Only the dashboard itself may send this request.">>);
        {_, false} -> refused(401, bad_token, <<"The token is missing or wrong: open the URL that dashboard/1 returned.">>);
        {true, true} ->
            ok = hb_cron_dashboard_guard:trust(),
            asked(Method, binary:split(Path, <<"/">>, [global]), Query)
    end;
to_us(_Method, _Target, _Headers, _TokenHash) ->
    unknown().

asked(Method, Path, Query) ->
    case hb_cron_dashboard_api:route(Path) of
        {Method, Route} ->
            case uri_string:dissect_query(Query) of
                Pairs when is_list(Pairs) -> told(hb_cron_dashboard_api:answer(Route, maps:from_list(Pairs)));
                {error, _, _} -> told({error, 400, bad_query, <<"The query string is malformed.">>})
            end;
        {Allowed, _} -> not_allowed(Allowed);
        none -> unknown()
    end.

told({ok, Term}) -> json(200, Term);
told({error, Code, Reason, Text}) -> refused(Code, Reason, Text).

unknown() -> refused(404, unknown, <<"This path does not exist.">>).

not_allowed(Method) ->
    {Code, Headers, Body} = refused(405, bad_method, <<"This path requires another method.">>),
    {Code, [{"allow", Method} | Headers], Body}.

refused(Code, Reason, Text) -> json(Code, #{error => Reason, text => Text}).

json(Code, Term) ->
    {Code, [{"content-type", "application/json; charset=utf-8"}], hb_cron_json:encode(Term)}.

split(Target) ->
    case binary:split(unicode:characters_to_binary(Target), <<"?">>) of
        [Path, Query] -> {Path, Query};
        [Path] -> {Path, <<>>}
    end.

%% A foreign name that resolves to loopback is not accepted.
is_our_host(Headers, Port) ->
    Of = integer_to_list(Port),
    case values("host", Headers) of
        [Host] -> lists:member(Host, ["127.0.0.1:" ++ Of, "[::1]:" ++ Of, "localhost:" ++ Of]);
        _ -> false
    end.

%% Browsers send both with requests that another page makes. Other clients send neither, and need the token.
is_same_origin(Headers) ->
    [Host] = values("host", Headers),
    lists:all(fun(Origin) -> Origin =:= "http://" ++ Host end, values("origin", Headers)) andalso
    lists:all(fun(Site) -> Site =:= "same-origin" end, values("sec-fetch-site", Headers)).

%% Compares hashes in constant time, so that the time reveals nothing about the token.
has_token(Headers, TokenHash) ->
    case values("authorization", Headers) of
        ["Bearer " ++ Token] -> crypto:hash_equals(crypto:hash(sha256, unicode:characters_to_binary(Token)), TokenHash);
        _ -> false
    end.

values(Name, Headers) -> [Value || {Of, Value} <- Headers, Of =:= Name].
