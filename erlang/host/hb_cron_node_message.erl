%%% @doc The host's node message: the options of its HTTP listener, to which the operator's configuration belongs on
%%% a HyperBEAM of spring 2025 and later. An earlier one has a listener without a node message.
-module(hb_cron_node_message).

-import(hb_cron_host_calls, [call/3]).

-export([find/0, get/0, value/2, is_listening/0]).

-export_type([listener/0]).

-type listener() :: term().
%% The name of a listener, as cowboy and ranch know it.

%% @doc The listener of the node and its node message. If several listeners have one, as with several nodes in one
%% VM, it is the one of the node's own address. Nothing is started or created: a host that does not run has none.
-spec find() -> {ok, listener(), NodeMessage :: map()} | none.
find() ->
    case [{Listener, Options} || Listener <- listeners(), #{} = Options <- [node_message(Listener)]] of
        [] -> none;
        [{Listener, Options}] -> {ok, Listener, Options};
        [{First, FirstOptions} | _] = All ->
            Address = try call(hb, address, []) catch _:_ -> First end,
            {Listener, Options} = case lists:keyfind(Address, 1, All) of
                false -> {First, FirstOptions};
                Own -> Own
            end,
            {ok, Listener, Options}
    end.

%% @doc The node message; `none' if the host has none, or does not run yet.
-spec get() -> map() | none.
get() ->
    case find() of
        {ok, _Listener, Options} -> Options;
        none -> none
    end.

%% @doc The value of a key of a node message, written as an atom or as text, with `_' or `-'; `undefined' if it has
%% none.
-spec value(Key :: atom(), NodeMessage :: map() | none) -> term().
value(_Key, none) ->
    undefined;
value(Key, NodeMessage) ->
    Name = atom_to_binary(Key),
    Spellings = [Key, Name, binary:replace(Name, <<"_">>, <<"-">>, [global])],
    first([maps:get(Spelling, NodeMessage) || Spelling <- Spellings, is_map_key(Spelling, NodeMessage)]).

first([Value | _]) -> Value;
first([]) -> undefined.

%% @doc Whether the HTTP listener of a host is up, of any generation.
-spec is_listening() -> boolean().
is_listening() ->
    lists:any(fun({hb_http_server, _Port}) -> true; (Listener) -> is_map(node_message(Listener)) end, listeners()).

%% By ranch's table: `ranch:info/0' asks the supervisor of each listener's connections, and that of a host's HTTP/3
%% listener does not answer. Ranch returns a list up to version 1.8, a map from 2.0 on.
listeners() ->
    try ets:select(ranch_server, [{{{proto_opts, '$1'}, '_'}, [], ['$1']}]) of
        [_ | _] = Listeners -> Listeners;
        [] -> listed()
    catch
        error:badarg -> listed()
    end.

listed() ->
    try call(ranch, info, []) of
        #{} = ByName -> lists:sort(maps:keys(ByName));
        List -> [Listener || {Listener, _} <- List]
    catch
        %% No ranch, or it does not run.
        _:_ -> []
    end.

%% It is empty while the host restarts the listener.
node_message(Listener) ->
    try call(cowboy, get_env, [Listener, node_msg, undefined]) of
        #{} = NodeMessage when map_size(NodeMessage) > 0 -> NodeMessage;
        _ -> undefined
    catch
        _:_ -> undefined
    end.
