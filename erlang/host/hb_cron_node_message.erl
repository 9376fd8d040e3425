%%% @doc The host's node message: the options of its HTTP listener, to which the operator's configuration belongs on
%%% a HyperBEAM of spring 2025 and later. An earlier one has no node message.
-module(hb_cron_node_message).

-import(hb_cron_host_calls, [call/3]).

-export([find/0, get/0]).

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

%% Ranch returns a list up to version 1.8, a map from 2.0 on.
listeners() ->
    try call(ranch, info, []) of
        #{} = ByName -> lists:sort(maps:keys(ByName));
        List -> [Listener || {Listener, _} <- List]
    catch
        %% No ranch, or it does not run.
        _:_ -> []
    end.

node_message(Listener) ->
    try call(cowboy, get_env, [Listener, node_msg, undefined])
    catch _:_ -> undefined
    end.
