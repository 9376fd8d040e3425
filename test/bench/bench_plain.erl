%%% What the library is measured against: a loop in plain Erlang, without a line of Rust of ours.
%%% One process asks the CU for a page with httpc, decodes it with jiffy, pushes its results one by
%%% one and asks for the next page, until a page is empty. It is the way a monitor is written
%%% without this library, and it is meant to be written well: bodies are binaries, the connection
%%% stays open, its buffer holds a good part of a page.
%%%
%%% It is not a monitor: it has no ticks, no retries, and a failed request ends it. Nor is it the
%%% fastest loop possible: a page is asked for when the one before it is pushed, as one process does,
%%% and its heap is not made large in advance: 8 MB make the loop 1.4 times as fast, but a node with
%%% a process for every monitor would not spend them on each.
-module(bench_plain).
-export([prepare/0, decoder/0, drain/5]).

-define(TIMEOUT, 60000).

%% Everything that happens once in the life of a node: it is not part of what is measured.
prepare() ->
    {ok, _} = application:ensure_all_started(inets),
    {ok, _} = inets:start(httpc, [{profile, ?MODULE}]),
    ok = httpc:set_options([{ipfamily, inet}, {keep_alive_timeout, 120000}, {max_sessions, 2},
                            {socket_opts, [{nodelay, true}, {buffer, 262144}]}], ?MODULE),
    %% Loading a module on its first call takes time: the client's are loaded now.
    {ok, Modules} = application:get_key(inets, modules),
    Client = [M || M <- Modules, Prefix <- ["httpc", "http_"], lists:prefix(Prefix, atom_to_list(M))],
    ok = code:ensure_modules_loaded([uri_string, decoder() | Client]).

%% jiffy, or what OTP has since version 27.
decoder() ->
    case code:ensure_loaded(jiffy) of
        {module, jiffy} -> jiffy;
        {error, _} -> json
    end.

%% Pushes every result after `Cursor', the empty binary for all. Says the last cursor.
drain(Node, ProcId, Limit, Push, Cursor) ->
    Base = <<Node/binary, "/cron/", ProcId/binary, "?">>,
    Rest = <<"limit=", (integer_to_binary(Limit))/binary>>,
    loop(Base, Rest, ProcId, Push, decoder(), Cursor).

loop(Base, Rest, ProcId, Push, Decoder, Cursor) ->
    Body = fetch([Base, from(Cursor), Rest]),
    case decode(Decoder, Body) of
        #{<<"edges">> := []} ->
            Cursor;
        #{<<"edges">> := Edges} ->
            loop(Base, Rest, ProcId, Push, Decoder, push_all(Edges, ProcId, Push, Cursor))
    end.

from(<<>>) -> <<>>;
from(Cursor) -> [<<"from=">>, uri_string:quote(Cursor), $&].

fetch(Url) ->
    {ok, {200, Body}} =
        httpc:request(get, {iolist_to_binary(Url), []},
                      [{timeout, ?TIMEOUT}, {connect_timeout, 5000}, {autoredirect, false}],
                      [{body_format, binary}, {full_result, false}], ?MODULE),
    Body.

decode(jiffy, Body) -> jiffy:decode(Body, [return_maps, {null_term, null}]);
decode(json, Body) -> json:decode(Body).

push_all([], _ProcId, _Push, Cursor) ->
    Cursor;
push_all([#{<<"node">> := Node, <<"cursor">> := Cursor} | Edges], ProcId, Push, Before) ->
    Message = #{message => Node#{<<"cursor">> => Cursor}},
    ok = Push(Message, #{proc_id => ProcId, cursor => Before, logger => undefined}),
    push_all(Edges, ProcId, Push, Cursor).
