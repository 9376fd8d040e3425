%%% @doc Answers the HTTP requests of the listener, called by httpd. The protocol is that of AO's Messenger Unit: `POST
%%% /monitor/{process}' starts monitoring, `DELETE' of the same path ends it. The body is a signed ANS-104 item whose target
%%% is the process. Answers are texts.
%%%
%%% What is cheap comes first: the number of requests of an address, the path, the item's form, the signer's access. Only
%%% then is the signature verified. An item is used once, for either method, since it names none.
-module(hb_cron_listener_web).
-behaviour(httpd_custom_api).

-import(hb_cron_device_access, [refuse/2]).

-export([max_bytes/0]).
%% For httpd
-export([do/1]).
-export([response_header/1, request_header/1, response_default_headers/0]).

-include_lib("inets/include/httpd.hrl").

%% The largest body, in bytes. An item of a client of AO has about 1,100.
-define(MAX_BYTES, 16384).
%% For how long an item that was used is remembered: 30 days, in ms.
-define(REMEMBERED, 30 * 24 * 3600 * 1000).

%% @doc The largest body of a request.
-spec max_bytes() -> pos_integer().
max_bytes() -> ?MAX_BYTES.

%% @private
-spec do(#mod{}) -> {break, [{response, {response, [term()], iodata()}}]}.
do(#mod{method = Method, request_uri = Target, init_data = #init_data{peername = {_, Peer}}, entity_body = Body} = Mod) ->
    ok = hb_cron_httpd:no_delay(Mod),
    {Code, Headers, Text} = try answer(Method, Target, Peer, iolist_to_binary(Body))
    catch
        throw:{refused, Status, Why} ->
            {Status, [], Why};
        Class:Reason:Stack ->
            Where = [{Module, Function, At} || {Module, Function, _, At} <- Stack],
            ok = hb_cron_host_logger:log(undefined, {error, listener_failed, hb_cron_secret:redact(
                {Class, hb_cron_sys_status:reason(Reason), Where})}),
            {500, [], <<"The request failed. The node's log has the reason.">>}
    end,
    hb_cron_httpd:response(Code, [{"content-type", "text/plain; charset=utf-8"} | Headers], Text).

%% The headers of every response, including httpd's own errors.
%% @private
-spec response_default_headers() -> [{string(), string()}].
response_default_headers() -> [{"cache-control", "no-store"}, {"x-content-type-options", "nosniff"}].

%% @private
-spec response_header({string(), string()}) -> {true, {string(), string()}}.
response_header(Header) -> {true, Header}.

%% @private
-spec request_header({string(), string()}) -> {true, {string(), string()}}.
request_header(Header) -> {true, Header}.

answer(Method, Target, Peer, Body) ->
    case hb_cron_listener_limit:take(Peer) of
        ok -> answer(Method, process(Target), Body);
        {wait, Seconds} ->
            {429, [{"retry-after", integer_to_list(Seconds)}], <<"Too many requests from this address.">>}
    end.

answer("POST", ProcId, Body) -> start(ProcId, item(ProcId, Body));
answer("DELETE", ProcId, Body) -> stop(ProcId, item(ProcId, Body));
answer(_Method, _ProcId, _Body) -> {405, [{"allow", "POST, DELETE"}], <<"This path takes POST and DELETE.">>}.

process(Target) ->
    case string:split(unicode:characters_to_binary(Target), <<"?">>) of
        [<<"/monitor/", ProcId/binary>> | _] ->
            hb_cron_process_id:is_valid(ProcId) orelse refuse(404, <<"The process is not an id of 43 characters.">>),
            ProcId;
        _ ->
            refuse(404, <<"This path does not exist: only /monitor/ and the id of a process.">>)
    end.

%% A verified item for a process, with the role of its signer.
item(ProcId, Body) ->
    Item = case hb_cron_data_item:read(Body) of
        {ok, Read} -> Read;
        {error, malformed} -> refuse(400, <<"The body is not a signed ANS-104 item.">>);
        {error, unknown_signature} -> unknown_signature()
    end,
    maps:get(target, Item) =:= ProcId orelse refuse(400, <<"The item's target is not the process of the path.">>),
    Role = hb_cron_device_access:role(maps:get(address, Item)),
    case hb_cron_data_item:is_valid(Item) of
        true -> Item#{role => Role};
        false -> refuse(401, <<"The signature is invalid.">>);
        {error, unknown_signature} -> unknown_signature()
    end.

-spec unknown_signature() -> no_return().
unknown_signature() -> refuse(401, <<"Signatures of this type are not verified here: use an Arweave wallet.">>).

start(ProcId, #{role := Role} = Item) ->
    case hb_cron_device_owner:of_process(ProcId) of
        {ok, _} ->
            ok = claim(Item),
            {200, [], <<"The process is monitored already.">>};
        none ->
            _ = hb_cron_device_monitors:start(ProcId, #{}, Role, fun() -> claim(Item) end),
            {200, [], <<"The process is monitored.">>}
    end.

stop(ProcId, #{role := Role} = Item) ->
    ok = hb_cron_device_monitors:may_concern(ProcId, Role),
    case hb_cron_device_monitors:stop(ProcId, fun() -> claim(Item) end) of
        ok -> {200, [], <<"The process is not monitored any more.">>};
        waiting -> {202, [], <<"The process will not be monitored any more once its current push has ended.">>};
        {error, not_monitored} -> {404, [], <<"The process is not monitored.">>}
    end.

%% Signatures of Ethereum are deterministic: an honest later item is the same, byte for byte.
claim(#{type := ethereum}) ->
    ok;
claim(#{id := Id}) ->
    case hb_cron_device_replay:remember(hb_cron_listener_replay, Id, erlang:system_time(millisecond), ?REMEMBERED) of
        ok -> ok;
        {error, seen} -> refuse(409, <<"The item was used before: sign another one.">>);
        {error, too_old} -> refuse(409, <<"The item may have been used before this node started: sign another one.">>);
        {error, too_many} -> refuse(429, <<"Too many items at present.">>);
        {error, not_durable} -> refuse(503, <<"The item cannot be noted as used, so nothing was done.">>)
    end.
