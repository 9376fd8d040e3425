%%% Connections to the dashboard without its token: they are closed after some seconds, and any number of them
%%% leaves room for connections with the token.
-module(dashboard_guard_tests).
-include_lib("eunit/include/eunit.hrl").

-import(page_client, [get/2, host/1, port/1]).

eunit_wrapper_(Tests) -> deadline:each(Tests).

all_test_() ->
    {foreach, fun page_client:setup/0, fun page_client:cleanup/1,
     [{with, [T]} || T <- [
        fun half_sent_requests_do_not_block_the_page/1,
        fun flood_of_half_sent_requests_leaves_room_for_the_page/1,
        fun half_sent_requests_beyond_some_end_the_oldest/1,
        fun request_that_is_sent_drop_by_drop_is_closed/1,
        fun answer_that_is_not_read_is_closed/1,
        fun connection_that_has_shown_the_token_stays_open/1
     ]]}.

half_sent_requests_do_not_block_the_page(World) ->
    Attackers = attackers(40, World),
    [?assertMatch({200, _, _}, get(World, "/api/1/metrics")) || _ <- lists:seq(1, 20)],
    stop(Attackers).

%% More connections than httpd accepts, each reopened as soon as it is closed.
flood_of_half_sent_requests_leaves_room_for_the_page(World) ->
    Attackers = attackers(300, World),
    [harness:eventually(fun() ->
        try get(World, "/api/1/metrics") of
            {Code, _, _} -> Code =:= 200
        catch error:{badmatch, {error, _}} -> false
        end
    end) || _ <- lists:seq(1, 5)],
    stop(Attackers).

half_sent_requests_beyond_some_end_the_oldest(World) ->
    Sockets = [half_sent(World) || _ <- lists:seq(1, 40)],
    [receive {tcp_closed, Socket} -> ok end || Socket <- Sockets].

%% Each byte alone would keep the connection open.
request_that_is_sent_drop_by_drop_is_closed(World) ->
    Socket = half_sent(World),
    drip(Socket).

drip(Socket) ->
    receive {tcp_closed, Socket} -> ok
    after 100 ->
        case gen_tcp:send(Socket, "x") of
            ok -> drip(Socket);
            {error, _} -> ok
        end
    end.

%% The page exceeds the buffers of the sockets.
answer_that_is_not_read_is_closed(World) ->
    Before = length(connections()),
    {ok, Socket} = gen_tcp:connect({127, 0, 0, 1}, port(World), [binary, {active, false}, {recbuf, 1024}]),
    Request = ["GET / HTTP/1.1\r\n", host(World), "\r\n\r\n"],
    ok = gen_tcp:send(Socket, lists:duplicate(50, Request)),
    harness:eventually(fun() -> length(connections()) > Before end),
    harness:eventually(fun() -> length(connections()) =:= Before end),
    ok = gen_tcp:close(Socket).

connection_that_has_shown_the_token_stays_open(#{token := Token} = World) ->
    {ok, Socket} = gen_tcp:connect({127, 0, 0, 1}, port(World), [binary, {active, false}]),
    Ask = fun() ->
        ok = gen_tcp:send(Socket, ["GET /api/1/none HTTP/1.1\r\n", host(World), "\r\nAuthorization: Bearer ", Token, "\r\n\r\n"]),
        <<"HTTP/1.1 404", _/binary>> = answer(Socket, <<>>)
    end,
    _ = Ask(),
    %% When this connection is closed, the other would be closed as well.
    Stranger = half_sent(World),
    receive {tcp_closed, Stranger} -> ok end,
    _ = Ask(),
    ok = gen_tcp:close(Socket).

%% A whole answer, which may come in several parts.
answer(Socket, Received) ->
    {ok, Part} = gen_tcp:recv(Socket, 0, deadline:ms()),
    All = <<Received/binary, Part/binary>>,
    case re:run(All, "(?i)content-length: *([0-9]+).*?\r\n\r\n(.*)", [dotall, {capture, all_but_first, binary}]) of
        {match, [Length, Body]} ->
            case byte_size(Body) >= binary_to_integer(Length) of true -> All; false -> answer(Socket, All) end;
        nomatch ->
            answer(Socket, All)
    end.

half_sent(World) ->
    {ok, Socket} = gen_tcp:connect({127, 0, 0, 1}, port(World), [binary, {active, true}]),
    ok = gen_tcp:send(Socket, "GET / HTTP/1.1\r\nHost: "),
    Socket.

connections() -> hb_cron_httpd:requests(whereis(hb_cron_dashboard_sup)).

%% Processes that keep this many half-sent requests open. Returns when all have begun.
attackers(Count, World) ->
    Test = self(),
    Pids = [spawn_link(fun() -> attack(World, fun() -> Test ! {self(), began} end) end) || _ <- lists:seq(1, Count)],
    [receive {Pid, began} -> ok end || Pid <- Pids],
    Pids.

attack(World, Began) ->
    case gen_tcp:connect({127, 0, 0, 1}, port(World), [binary, {active, true}]) of
        {ok, Socket} ->
            _ = gen_tcp:send(Socket, "GET / HTTP/1.1\r\nHost: "),
            _ = Began(),
            closed(Socket);
        {error, _} ->
            receive after 5 -> ok end
    end,
    attack(World, fun() -> ok end).

closed(Socket) ->
    receive
        {tcp_closed, Socket} -> ok;
        {tcp_error, Socket, _} -> ok;
        {tcp, Socket, _} -> gen_tcp:close(Socket)
    end.

stop(Pids) -> [begin unlink(Pid), exit(Pid, kill) end || Pid <- Pids].
