%%% The Compute Unit that the benchmark drains: one process with a fixed number of results, its
%%% answers made once at the start, so that making them is not what is measured. It runs in an OS
%%% process of its own, so that its memory and CPU are nobody's but its own.
%%%
%%% It is no double for tests: it cannot be scripted, gets no new results and knows only the pages
%%% that a drain asks for. Their bytes are test_cu's.
-module(bench_cu).

%% As an OS process
-export([main/1]).
%% What there is to drain
-export([process_id/0, results/0, page_limit/0, data_bytes/0, path/1]).

-define(RESULTS, 100000).
-define(PAGE_LIMIT, 500).
-define(DATA_BYTES, 400).
%% It ends by itself, whatever became of who started it.
-define(LIFETIME, 600000).

process_id() -> binary:copy(<<"B">>, 43).

results() -> ?RESULTS.

page_limit() -> ?PAGE_LIMIT.

data_bytes() -> ?DATA_BYTES.

%% The path of the page after the N-th result.
path(0) ->
    iolist_to_binary(io_lib:format("/cron/~ts?limit=~b", [process_id(), ?PAGE_LIMIT]));
path(N) ->
    iolist_to_binary(io_lib:format("/cron/~ts?from=~ts&limit=~b",
                                   [process_id(), uri_string:quote(test_cu:cursor(N)), ?PAGE_LIMIT])).

%% Listens on any port of loopback and writes its URL to a file once it is ready.
main([File]) ->
    %% Being told to end is no news.
    _ = logger:set_primary_config(level, error),
    Pages = ets:new(?MODULE, [public, {read_concurrency, true}]),
    Data = binary:copy(<<"x">>, ?DATA_BYTES),
    [true = ets:insert(Pages, {{from(N), ?PAGE_LIMIT}, page_after(N, Data)})
     || N <- lists:seq(0, ?RESULTS, ?PAGE_LIMIT)],
    {ok, Listen} = gen_tcp:listen(0, [binary, {ip, {127, 0, 0, 1}}, {packet, http_bin},
                                      {active, false}, {reuseaddr, true}, {backlog, 128},
                                      {nodelay, true}]),
    {ok, Port} = inet:port(Listen),
    _ = spawn_link(fun() -> acceptor(Listen, Pages) end),
    ok = file:write_file(File ++ ".new", io_lib:format("http://127.0.0.1:~b", [Port])),
    ok = file:rename(File ++ ".new", File),
    receive after ?LIFETIME -> halt(1) end.

from(0) -> <<>>;
from(N) -> test_cu:cursor(N).

page_after(N, Data) ->
    Last = min(?RESULTS, N + ?PAGE_LIMIT),
    Body = test_cu:page(lists:seq(N + 1, Last), Last < ?RESULTS, Data),
    iolist_to_binary(test_cu:reply(200, Body)).

acceptor(Listen, Pages) ->
    {ok, Socket} = gen_tcp:accept(Listen),
    Connection = spawn(fun() -> receive go -> connection(Socket, Pages) end end),
    ok = gen_tcp:controlling_process(Socket, Connection),
    Connection ! go,
    acceptor(Listen, Pages).

%% One request after another, until the client closes.
connection(Socket, Pages) ->
    case request(Socket) of
        {ok, Target} ->
            case gen_tcp:send(Socket, answer(Target, Pages)) of
                ok -> connection(Socket, Pages);
                {error, _} -> gen_tcp:close(Socket)
            end;
        closed ->
            gen_tcp:close(Socket)
    end.

request(Socket) ->
    case gen_tcp:recv(Socket, 0) of
        {ok, {http_request, 'GET', {abs_path, Target}, _}} -> headers(Socket, Target);
        _ -> closed
    end.

headers(Socket, Target) ->
    case gen_tcp:recv(Socket, 0) of
        {ok, http_eoh} -> {ok, Target};
        {ok, _} -> headers(Socket, Target);
        {error, _} -> closed
    end.

answer(Target, Pages) ->
    #{path := Path} = Uri = uri_string:parse(Target),
    Query = maps:from_list(uri_string:dissect_query(maps:get(query, Uri, <<>>))),
    From = maps:get(<<"from">>, Query, <<>>),
    Limit = binary_to_integer(maps:get(<<"limit">>, Query, <<"500">>)),
    Known = Path =:= <<"/cron/", (process_id())/binary>>,
    case Known andalso ets:lookup(Pages, {From, Limit}) of
        [{_, Reply}] -> Reply;
        _ -> test_cu:reply(404, <<"Not Found">>)
    end.
