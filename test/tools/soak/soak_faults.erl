%%% The faults of a soak: of the CU, the network, the push and the node's own parts, each for a while, in turn and
%%% sometimes two at once. The driver decides when they end and what they must not cause.
-module(soak_faults).
-export([kinds/0, exclude/2, begins/3, ends/2]).

-type fault() :: atom().

-define(HTML, <<"<html><body><h1>502 Bad Gateway</h1></body></html>">>).

-spec kinds() -> [fault()].
kinds() ->
    [cu_down, hang, slow, drip, reset, garbage, half, html, server_error, retry_after, bad_gzip, other_json,
     redirect_loop, stuck, too_deep, push_failures, monitors_stop, monitors_die, engine_dies].

%% Whether two faults exclude each other: the CU has one script, and some faults come alone.
-spec exclude(fault(), fault()) -> boolean().
exclude(Fault, Other) -> Fault =:= Other orelse of_script(Fault) andalso of_script(Other).

of_script(Fault) ->
    not lists:member(Fault, [cu_down, push_failures, monitors_stop, monitors_die, engine_dies]).

%% Begins a fault. `Tell' sends an order to the node; `World' is the driver's.
-spec begins(fault(), fun((Order :: term()) -> term()), map()) -> ok.
begins(cu_down, _Tell, #{cu := Cu}) ->
    test_cu:go_down(Cu);
begins(push_failures, Tell, _World) ->
    Tell({fail_pushes, 5});
begins(monitors_stop, Tell, #{ids := Ids}) ->
    Tell({stop, some(Ids)});
begins(monitors_die, Tell, #{ids := Ids}) ->
    Tell({kill, some(Ids)});
begins(engine_dies, Tell, _World) ->
    _ = Tell(kill_engine),
    ok;
begins(Fault, _Tell, #{cu := Cu}) ->
    %% Half of the answers fail.
    test_cu:script(Cu, fun(Request) ->
        case rand:uniform(2) of
            1 -> answer(Fault, Request, Cu);
            2 -> pass
        end
    end).

%% Ends a fault, and repairs its effects.
-spec ends(fault(), map()) -> ok.
ends(cu_down, #{cu := Cu}) -> test_cu:come_up(Cu);
ends(push_failures, #{tell := Tell}) -> Tell({fail_pushes, 0});
%% Starts the processes that are not monitored.
ends(Fault, #{restart := Restart}) when Fault =:= monitors_stop; Fault =:= monitors_die -> Restart();
ends(engine_dies, _World) -> ok;
ends(_Fault, #{cu := Cu}) -> test_cu:script(Cu, fun(_) -> pass end).

some(Ids) -> [Id || Id <- Ids, rand:uniform(5) =:= 1].

answer(hang, _, _) -> hang;
answer(slow, _, _) -> receive after rand:uniform(1500) -> pass end;
answer(drip, _, _) -> {raw_then_drip, <<"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n{">>, <<" ">>};
answer(reset, _, _) -> reset;
answer(garbage, _, _) -> {raw_then_close, rand:bytes(200)};
answer(half, _, _) -> {raw_then_close, <<"HTTP/1.1 200 OK\r\ncontent-length: 5000\r\n\r\n{\"edges\":[{\"node\":">>};
answer(html, _, _) -> {raw, test_cu:reply(502, [{<<"content-type">>, <<"text/html">>}], ?HTML)};
answer(server_error, _, _) -> {raw, test_cu:reply(500, <<"{\"error\":\"fetch failed\"}">>)};
answer(retry_after, _, _) -> {raw, test_cu:reply(503, [{<<"retry-after">>, <<"2">>}], <<>>)};
answer(bad_gzip, _, _) -> {raw, test_cu:reply(200, [{<<"content-encoding">>, <<"gzip">>}], rand:bytes(200))};
answer(other_json, _, _) -> {raw, test_cu:reply(200, <<"{\"edges\":[{\"node\":[],\"cursor\":null}]}">>)};
answer(redirect_loop, #{path := Path}, _) -> {raw, test_cu:reply(302, [{<<"location">>, Path}], <<>>)};
%% A page that ends at its start cursor.
answer(stuck, #{query := #{<<"from">> := From}}, _) ->
    {raw, test_cu:reply(200, [<<"{\"edges\":[{\"node\":{},\"cursor\":\"">>, From, <<"\"}]}">>])};
answer(stuck, _, _) -> pass;
answer(too_deep, _, _) -> {raw, test_cu:reply(200, [<<"{\"edges\":[{\"node\":{\"a\":">>, lists:duplicate(200, $[)])}.
