%%% The baseline of the benchmarks: monitors in plain Erlang, without Rust. Like the module that the library
%%% replaces, each is a process with a second one that sleeps and sends it ticks. At a tick it requests a page from
%%% the CU with httpc, decodes it with jiffy, pushes its results one by one, and requests the next page, until one
%%% is empty.
%%%
%%% It is meant to be well written: bodies are binaries, up to 64 connections stay open, and their buffers hold a
%%% good part of a page. But it has no retries, no checkpoint and no limits: a failed request ends the run. It is
%%% not the fastest possible loop: a page is requested after the previous one was pushed, in one process, whose
%%% heap is not enlarged in advance.
-module(bench_plain).

-export([prepare/0, decoder/0, start/2, settle/1, stop/1]).
%% Parts that are measured alone
-export([body/1, decode/1]).

-define(TIMEOUT, 60000).

%% Work that is done once in the life of a node, which is not measured.
prepare() ->
    {ok, _} = application:ensure_all_started(inets),
    {ok, _} = inets:start(httpc, [{profile, ?MODULE}]),
    ok = httpc:set_options([{ipfamily, inet}, {keep_alive_timeout, 120000}, {max_sessions, 64},
                            {socket_opts, [{nodelay, true}, {buffer, 262144}]}], ?MODULE),
    ok = persistent_term:put(?MODULE, decoder()),
    %% Load the client's modules now: loading them on their first call takes time.
    {ok, Modules} = application:get_key(inets, modules),
    Client = [M || M <- Modules, Prefix <- ["httpc", "http_"], lists:prefix(Prefix, atom_to_list(M))],
    ok = code:ensure_modules_loaded([uri_string, decoder() | Client]).

%% jiffy, otherwise OTP's decoder, which exists since version 27.
decoder() ->
    case code:ensure_loaded(jiffy) of
        {module, jiffy} -> jiffy;
        {error, _} -> json
    end.

%% Starts at the first result. Linked to its caller: a failed request ends both.
start(ProcId, #{url := Url, limit := Limit, rate := Rate, push := Push}) ->
    Base = <<Url/binary, "/cron/", ProcId/binary, "?">>,
    Rest = <<"limit=", (integer_to_binary(Limit))/binary>>,
    spawn_link(fun() ->
        Monitor = self(),
        _ = spawn_link(fun() -> ticker(Rate, Monitor) end),
        monitor(ProcId, Push, fun(Cursor) -> decode(body([Base, from(Cursor), Rest])) end, <<>>)
    end).

ticker(Rate, Monitor) ->
    timer:sleep(Rate),
    Monitor ! tick,
    ticker(Rate, Monitor).

%% Returns when a monitor has served all earlier messages.
settle(Monitor) ->
    Ref = make_ref(),
    Monitor ! {settle, self(), Ref},
    receive Ref -> ok end.

%% Its ticker ends with it.
stop(Monitor) ->
    unlink(Monitor),
    exit(Monitor, kill).

monitor(ProcId, Push, Ask, Cursor) ->
    receive
        tick ->
            monitor(ProcId, Push, Ask, poll(ProcId, Push, Ask, Cursor));
        {settle, From, Ref} ->
            From ! Ref,
            monitor(ProcId, Push, Ask, Cursor)
    end.

poll(ProcId, Push, Ask, Cursor) ->
    case Ask(Cursor) of
        #{<<"edges">> := []} -> Cursor;
        #{<<"edges">> := Edges} -> poll(ProcId, Push, Ask, push_all(Edges, ProcId, Push, Cursor))
    end.

from(<<>>) -> <<>>;
from(Cursor) -> [<<"from=">>, uri_string:quote(Cursor), $&].

%% Parses the CU's answer.
body(Url) ->
    {ok, {200, Body}} =
        httpc:request(get, {iolist_to_binary(Url), []},
                      [{timeout, ?TIMEOUT}, {connect_timeout, 5000}, {autoredirect, false}],
                      [{body_format, binary}, {full_result, false}], ?MODULE),
    Body.

decode(Body) ->
    case persistent_term:get(?MODULE) of
        jiffy -> jiffy:decode(Body, [return_maps]);
        json -> json:decode(Body)
    end.

push_all([], _ProcId, _Push, Cursor) ->
    Cursor;
push_all([#{<<"node">> := Node, <<"cursor">> := Cursor} | Edges], ProcId, Push, Before) ->
    Message = #{message => Node#{<<"cursor">> => Cursor}},
    ok = Push(Message, #{proc_id => ProcId, cursor => Before, logger => undefined}),
    push_all(Edges, ProcId, Push, Cursor).
