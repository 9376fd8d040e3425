%%% A scriptable Compute Unit on loopback: real HTTP with keep-alive, over TCP or TLS, which answers as the AO CU
%%% does. Results are numbered from 1 and generated on request, so a process can have millions. A script can
%%% replace any answer, to simulate faults.
-module(test_cu).

%% The CU
-export([start/0, start/1, stop/1, url/1, go_down/1, come_up/1]).
%% Its processes
-export([add/3, add_nodes/3, run_cron/4, count/2, cursor/1, cursor/2, number/1]).
%% Its behaviour
-export([script/2, requests/1, requests/2, forget_requests/1]).
-export([page/3, reply/2, reply/3]).

-export_type([cu/0, request/0, answer/0]).

-type cu() :: #{url := binary(), port := inet:port_number(), tls := none | [ssl:tls_server_option()],
                table := ets:table(), owner := pid()}.
-type request() :: #{kind := cron | results | other, process := binary(), path := binary(),
                     query := #{binary() => binary()},
                     headers := #{atom() | binary() => binary()}, at := integer()}.
-type answer() :: pass | close | reset | hang | {raw, iodata()} | {raw_then_hang, iodata()}
                | {raw_then_close, iodata()} | {raw_then_drip, iodata(), iodata()}.

%% The time before the first result, in ms since 1970; a tool may set another one.
-define(BASE, persistent_term:get({?MODULE, base}, 1760000000000)).

start() -> start(#{}).

%% `data_bytes': the length of a result's data; `port': the port to listen on, 0 for any; `tls': the options of a
%% TLS server, including its certificate.
start(Options) ->
    Caller = self(),
    {Owner, Ref} = spawn_monitor(fun() -> init(Caller, Options) end),
    receive
        {Owner, Cu} -> demonitor(Ref, [flush]), Cu;
        {'DOWN', Ref, process, _, Reason} -> error({test_cu, Reason})
    end.

stop(#{owner := Owner}) -> call(Owner, stop).

url(#{url := Url}) -> Url.

%% Refuses connections, and closes existing ones.
go_down(#{owner := Owner}) -> call(Owner, go_down).

come_up(#{owner := Owner}) -> call(Owner, come_up).

call(Owner, What) ->
    Ref = monitor(process, Owner),
    Owner ! {self(), Ref, What},
    receive
        {Ref, Answer} -> demonitor(Ref, [flush]), Answer;
        {'DOWN', Ref, process, _, Reason} -> error({test_cu, Reason})
    end.

%% Adds results to a process, and returns their new number.
add(#{table := Table}, ProcId, Count) ->
    ets:update_counter(Table, {count, ProcId}, Count, {{count, ProcId}, 0}).

%% The process has a result every so many seconds, by the clock of this CU, with cursors that name the cron. It began so
%% many ms ago.
run_cron(#{table := Table}, ProcId, Seconds, Ago) ->
    true = ets:insert(Table, {{cron, ProcId}, Seconds, erlang:monotonic_time(millisecond) - Ago}),
    ok.

%% Adds results with these contents, in JSON.
add_nodes(#{table := Table} = Cu, ProcId, Nodes) ->
    First = count(Cu, ProcId) + 1,
    true = ets:insert(Table, [{{node, ProcId, N}, Node} || {N, Node} <- lists:enumerate(First, Nodes)]),
    add(Cu, ProcId, length(Nodes)).

count(#{table := Table}, ProcId) ->
    case {ets:lookup(Table, {cron, ProcId}), ets:lookup(Table, {count, ProcId})} of
        {[{_, Seconds, Since}], _} -> (erlang:monotonic_time(millisecond) - Since) div (Seconds * 1000);
        {[], [{_, Count}]} -> Count;
        {[], []} -> 0
    end.

%% The cursor of a process's N-th result. Its base64 contains + and /, which must be encoded in a URL.
cursor(N) -> encoded(N * 1000, <<">>>?~~">>).

%% The same of a process that has a result every so many seconds.
cursor(N, Seconds) -> encoded(N * Seconds * 1000, <<(integer_to_binary(Seconds))/binary, "-seconds">>).

encoded(AfterBase, Cron) ->
    base64:encode(<<"{\"timestamp\":", (integer_to_binary(?BASE + AfterBase))/binary,
                    ",\"ordinate\":\"1\",\"cron\":\"0-", Cron/binary, "\",\"sort\":\"ASC\"}">>).

%% The number of the result with a cursor, or the second after the base if its process has a cron. A bare number of ms is accepted, as by a real CU.
number(Cursor) ->
    case re:run(Cursor, "^[0-9]+$") of
        {match, _} ->
            (binary_to_integer(Cursor) - ?BASE) div 1000 - 1;
        nomatch ->
            {match, [Timestamp]} = re:run(base64:decode(Cursor), "\"timestamp\":([0-9]+)",
                                          [{capture, all_but_first, binary}]),
            (binary_to_integer(Timestamp) - ?BASE) div 1000
    end.

%% From now on `Script(Request)' decides on each answer; `pass' is the answer of a good CU.
script(#{table := Table}, Script) ->
    true = ets:insert(Table, {script, Script}),
    ok.

%% All requests, oldest first.
requests(#{table := Table}) ->
    [Request || {_, Request} <- lists:sort(ets:match_object(Table, {{request, '_'}, '_'}))].

requests(Cu, ProcId) ->
    [Request || #{process := P} = Request <- requests(Cu), P =:= ProcId].

forget_requests(#{table := Table}) ->
    ets:match_delete(Table, {{request, '_'}, '_'}).

%% The owner: holds the table and the listening socket

init(Caller, Options) ->
    Table = ets:new(?MODULE, [public, ordered_set, {read_concurrency, true}]),
    true = ets:insert(Table, [{script, fun(_) -> pass end},
                              {data, binary:copy(<<"x">>, maps:get(data_bytes, Options, 16))}]),
    Tls = maps:get(tls, Options, none),
    Socket = listen(maps:get(port, Options, 0), Tls),
    {ok, Port} = port(Socket),
    Scheme = case Tls of none -> "http"; _ -> "https" end,
    Url = iolist_to_binary(io_lib:format("~s://127.0.0.1:~b", [Scheme, Port])),
    Cu = #{url => Url, port => Port, tls => Tls, table => Table, owner => self()},
    Caller ! {self(), Cu},
    Monitor = monitor(process, Caller),
    owner(Cu, start_acceptors(Socket, Table), Monitor).

owner(#{port := Port, tls := Tls, table := Table} = Cu, Acceptors, Monitor) ->
    receive
        {From, Ref, go_down} ->
            stop_acceptors(Acceptors),
            From ! {Ref, ok},
            owner(Cu, down, Monitor);
        {From, Ref, come_up} when Acceptors =:= down ->
            Socket = listen(Port, Tls),
            From ! {Ref, ok},
            owner(Cu, start_acceptors(Socket, Table), Monitor);
        {From, Ref, stop} ->
            stop_acceptors(Acceptors),
            From ! {Ref, ok};
        {'DOWN', Monitor, process, _, _} ->
            stop_acceptors(Acceptors);
        _ ->
            owner(Cu, Acceptors, Monitor)
    end.

%% A socket comes with its module: gen_tcp or ssl.
listen(Port, Tls) ->
    Options = [binary, {ip, {127, 0, 0, 1}}, {packet, http_bin}, {active, false}, {reuseaddr, true},
               {backlog, 1024}, {nodelay, true}],
    {Module, All} = case Tls of
        none -> {gen_tcp, Options};
        _ -> {ssl, Options ++ [{log_level, none} | Tls]}
    end,
    {ok, Socket} = Module:listen(Port, All),
    {Module, Socket}.

port({gen_tcp, Socket}) ->
    inet:port(Socket);
port({ssl, Socket}) ->
    {ok, {_, Port}} = ssl:sockname(Socket),
    {ok, Port}.

accept({gen_tcp, Listen}, Timeout) -> gen_tcp:accept(Listen, Timeout);
accept({ssl, Listen}, Timeout) -> ssl:transport_accept(Listen, Timeout).

handshake({gen_tcp, Socket}) -> {ok, Socket};
handshake({ssl, Socket}) -> ssl:handshake(Socket, deadline:ms()).

send({Module, Socket}, Data) -> Module:send(Socket, Data).

recv({Module, Socket}) -> Module:recv(Socket, 0).

close({Module, Socket}) -> Module:close(Socket).

start_acceptors(Socket, Table) ->
    {Socket, spawn_link(fun() -> process_flag(trap_exit, true), acceptor(Socket, Table) end)}.

stop_acceptors(down) ->
    ok;
stop_acceptors({Socket, Acceptor}) ->
    unlink(Acceptor),
    ok = close(Socket),
    Ref = monitor(process, Acceptor),
    exit(Acceptor, kill),
    receive {'DOWN', Ref, process, _, _} -> ok end.

%% Connections are linked to their acceptor, and end with it.
acceptor({Module, _} = Listen, Table) ->
    case accept(Listen, 1000) of
        {ok, Socket} ->
            Connection = spawn_link(fun() -> receive go -> connected({Module, Socket}, Table) end end),
            ok = Module:controlling_process(Socket, Connection),
            Connection ! go,
            acceptor(Listen, Table);
        {error, timeout} ->
            flush_exits(),
            acceptor(Listen, Table);
        {error, _} ->
            exit(closed)
    end.

%% Exit signals of ended connections.
flush_exits() ->
    receive {'EXIT', _, _} -> flush_exits()
    after 0 -> ok
    end.

connected({Module, _} = Socket, Table) ->
    case handshake(Socket) of
        {ok, Ready} -> connection({Module, Ready}, Table);
        {error, _} -> refused
    end.

connection(Socket, Table) ->
    case request(Socket) of
        {ok, Target, Headers} ->
            Request = (parse(Target))#{headers => Headers},
            try
                true = ets:insert(Table, {{request, erlang:unique_integer([monotonic])}, Request}),
                ets:lookup_element(Table, script, 2)
            of
                Script -> answer(Script(Request), Request, Socket, Table)
            catch
                %% The table ended with its owner: the CU is being stopped.
                error:badarg -> close(Socket)
            end;
        closed ->
            close(Socket)
    end.

answer(pass, Request, Socket, Table) ->
    answer({raw, respond(Request, Table)}, Request, Socket, Table);
answer({raw, Data}, _Request, Socket, Table) ->
    _ = send(Socket, Data),
    connection(Socket, Table);
answer({raw_then_hang, Data}, _Request, Socket, _Table) ->
    _ = send(Socket, Data),
    hang(Socket);
answer({raw_then_close, Data}, _Request, Socket, _Table) ->
    _ = send(Socket, Data),
    close(Socket);
answer({raw_then_drip, Data, Drip}, _Request, Socket, _Table) ->
    _ = send(Socket, Data),
    drip(Socket, Drip);
answer(hang, _Request, Socket, _Table) ->
    hang(Socket);
answer(reset, _Request, {gen_tcp, Raw} = Socket, _Table) ->
    %% Closing with a linger time of zero resets the connection.
    _ = inet:setopts(Raw, [{linger, {true, 0}}]),
    close(Socket);
answer(close, _Request, Socket, _Table) ->
    close(Socket).

drip(Socket, Drip) ->
    case send(Socket, Drip) of
        ok -> receive after 10 -> drip(Socket, Drip) end;
        {error, _} -> close(Socket)
    end.

hang(Socket) ->
    _ = recv(Socket),
    close(Socket).

request(Socket) ->
    case recv(Socket) of
        {ok, {http_request, 'GET', {abs_path, Target}, _}} -> headers(Socket, Target, #{});
        {ok, _} -> closed;
        {error, _} -> closed
    end.

headers(Socket, Target, Headers) ->
    case recv(Socket) of
        {ok, http_eoh} -> {ok, Target, Headers};
        {ok, {http_header, _, Name, _, Value}} -> headers(Socket, Target, Headers#{Name => Value});
        {error, _} -> closed
    end.

parse(Target) ->
    #{path := Path} = Uri = uri_string:parse(Target),
    Pairs = uri_string:dissect_query(maps:get(query, Uri, <<>>)),
    {Kind, Process} = case binary:split(Path, <<"/">>, [global]) of
        [<<>>, <<"cron">>, P] -> {cron, P};
        [<<>>, <<"results">>, P] -> {results, P};
        _ -> {other, <<>>}
    end,
    #{kind => Kind, process => Process, path => Path, query => maps:from_list(Pairs),
      at => erlang:monotonic_time(millisecond)}.

%% The answers of a good CU

respond(#{kind := cron, process := ProcId, query := Query}, Table) ->
    Limit = min(1000, binary_to_integer(maps:get(<<"limit">>, Query, <<"500">>))),
    try first(maps:get(<<"from">>, Query, <<>>), seconds(Table, ProcId)) of
        First -> reply(200, page_body(Table, ProcId, First, Limit))
    catch
        _:_ -> reply(500, <<"{\"error\":\"Invalid Arguments 'from': Expected number, received nan.\"}">>)
    end;
respond(#{kind := results, process := ProcId}, Table) ->
    case count(#{table => Table}, ProcId) of
        0 -> reply(200, page([], false, <<>>));
        Count -> reply(200, page_of([numbered(Table, ProcId, Count, node_of(Count, data(Table)))], Count > 1))
    end;
respond(#{kind := other}, _Table) ->
    reply(404, <<"Not Found">>).

first(<<>>, _Seconds) -> 1;
first(Cursor, Seconds) -> number(Cursor) div Seconds + 1.

%% How many seconds lie between two results.
seconds(Table, ProcId) ->
    case ets:lookup(Table, {cron, ProcId}) of
        [{_, Seconds, _}] -> Seconds;
        [] -> 1
    end.

data(Table) -> ets:lookup_element(Table, data, 2).

page_body(Table, ProcId, First, Limit) ->
    Count = count(#{table => Table}, ProcId),
    Last = max(First - 1, min(Count, First + Limit - 1)),
    page_of([numbered(Table, ProcId, N, node_of(Table, ProcId, N)) || N <- lists:seq(First, Last)], Last < Count).

numbered(Table, ProcId, N, Node) ->
    case ets:lookup(Table, {cron, ProcId}) of
        [{_, Seconds, _}] -> edge_at(cursor(N, Seconds), Node);
        [] -> edge(N, Node)
    end.

node_of(Table, ProcId, N) ->
    case ets:lookup(Table, {node, ProcId, N}) of
        [{_, Node}] -> Node;
        [] -> node_of(N, data(Table))
    end.

%% The body of a page with these results.
page(Numbers, HasNextPage, Data) ->
    page_of([edge(N, node_of(N, Data)) || N <- Numbers], HasNextPage).

page_of(Edges, HasNextPage) ->
    [<<"{\"pageInfo\":{\"hasNextPage\":">>, atom_to_binary(HasNextPage), <<"},\"edges\":[">>,
     lists:join($,, Edges), <<"]}">>].

edge(N, Node) -> edge_at(cursor(N), Node).

edge_at(Cursor, Node) ->
    [<<"{\"node\":">>, Node, <<",\"cursor\":\"">>, Cursor, <<"\"}">>].

node_of(N, Data) ->
    Number = integer_to_binary(N),
    [<<"{\"Messages\":[{\"Target\":\"AZaz09-_AZaz09-_AZaz09-_AZaz09-_AZaz09-_AZa\",\"Anchor\":\"">>,
     Number, <<"\",\"Tags\":[{\"name\":\"Type\",\"value\":\"Message\"}],\"Data\":\"">>, Data,
     <<"\"}],\"Assignments\":[],\"Spawns\":[],\"Output\":{\"data\":\"tick ">>, Number, <<"\"}}">>].

reply(Status, Body) ->
    reply(Status, [{<<"content-type">>, <<"application/json; charset=utf-8">>}], Body).

reply(Status, Headers, Body) ->
    [<<"HTTP/1.1 ">>, integer_to_binary(Status), <<" Whatever\r\n">>,
     [[Name, <<": ">>, Value, <<"\r\n">>] || {Name, Value} <- Headers],
     <<"content-length: ">>, integer_to_binary(iolist_size(Body)), <<"\r\n\r\n">>, Body].
