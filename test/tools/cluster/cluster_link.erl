%%% A connection between a host node and its database that can be slow, cut or reset: a proxy on loopback. What is sent
%%% while it is cut is not thrown away: it arrives once it is whole again, also if the sender has gone meanwhile.
-module(cluster_link).

-export([start/1, stop/1, port/1, set/2, reset/1]).

-export_type([link/0, state/0]).

-opaque link() :: {Owner :: pid(), inet:port_number(), atomics:atomics_ref()}.

-type state() :: pass | cut | {delay, Ms :: pos_integer()}.
%% `delay': how much later each answer arrives.

-define(CUT, (1 bsl 40)).
%% How often a cut link looks whether it is whole again, in ms.
-define(POLL, 10).
%% How long the server may take to accept, in ms.
-define(CONNECT, 5000).

-define(OPTIONS, [binary, {active, false}, {nodelay, true}]).

%% A link to a port of loopback.
-spec start(inet:port_number()) -> link().
start(To) ->
    State = atomics:new(1, []),
    Caller = self(),
    Owner = spawn_link(fun() ->
        {ok, Listen} = gen_tcp:listen(0, [{ip, {127, 0, 0, 1}}, {backlog, 256} | ?OPTIONS]),
        {ok, Port} = inet:port(Listen),
        Caller ! {self(), Port},
        Self = self(),
        _ = spawn_link(fun() -> accept(Listen, To, State, Self) end),
        own([])
    end),
    receive {Owner, Port} -> {Owner, Port, State} end.

%% Ends the link and its connections.
-spec stop(link()) -> ok.
stop({Owner, _, _}) ->
    true = unlink(Owner),
    true = exit(Owner, kill),
    ok.

-spec port(link()) -> inet:port_number().
port({_, Port, _}) -> Port.

-spec set(state(), link()) -> ok.
set(pass, {_, _, State}) -> atomics:put(State, 1, 0);
set(cut, {_, _, State}) -> atomics:put(State, 1, ?CUT);
set({delay, Ms}, {_, _, State}) -> atomics:put(State, 1, Ms).

%% Resets all connections.
-spec reset(link()) -> ok.
reset({Owner, _, _}) -> Owner ! reset, ok.

%% Knows the pairs of sockets that may be open.
own(Pairs) ->
    receive
        {connected, Pair} ->
            own([Pair | [Known || {Client, _} = Known <- Pairs, erlang:port_info(Client) =/= undefined]]);
        reset ->
            _ = [begin inet:setopts(Socket, [{linger, {true, 0}}]), gen_tcp:close(Socket) end
                 || {Client, Server} <- Pairs, Socket <- [Client, Server]],
            own([])
    end.

%% The acceptor owns the sockets of clients.
accept(Listen, To, State, Owner) ->
    case gen_tcp:accept(Listen) of
        {ok, Client} ->
            _ = spawn_link(fun() -> connect(Client, To, State, Owner) end),
            accept(Listen, To, State, Owner);
        {error, closed} ->
            ok
    end.

%% Copies answers; another process copies what the client sends.
connect(Client, To, State, Owner) ->
    case gen_tcp:connect({127, 0, 0, 1}, To, ?OPTIONS, ?CONNECT) of
        {ok, Server} ->
            Owner ! {connected, {Client, Server}},
            Requests = spawn_link(fun() -> copy(Client, Server, fun() -> whole(State) end) end),
            Ref = monitor(process, Requests),
            copy(Server, Client, fun() -> whole(State), delay(State) end),
            %% The socket to the server ends with this process.
            receive {'DOWN', Ref, process, _, _} -> ok end;
        {error, _} ->
            gen_tcp:close(Client)
    end.

%% What one side has sent before it closed arrives, too.
copy(From, To, Gate) ->
    Received = gen_tcp:recv(From, 0),
    _ = Gate(),
    case Received of
        {ok, Data} ->
            _ = gen_tcp:send(To, Data),
            copy(From, To, Gate);
        {error, _} ->
            _ = gen_tcp:close(To),
            _ = gen_tcp:close(From),
            ok
    end.

whole(State) ->
    case atomics:get(State, 1) of
        ?CUT -> receive after ?POLL -> whole(State) end;
        _ -> ok
    end.

delay(State) ->
    case atomics:get(State, 1) of
        Ms when Ms > 0, Ms < ?CUT -> receive after Ms -> ok end;
        _ -> ok
    end.
