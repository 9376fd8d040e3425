%%% Double of the HTTP server's library: the environment of a listener, which holds the options of a host of 2026.
-module(cowboy).
-export([get_env/3]).

get_env(Ref, Key, Default) ->
    host_double:call({cowboy, get_env}, [Ref, Key, Default], fun() ->
        case {Ref, Key} of
            {http_listener, node_msg} -> #{<<"priv-wallet">> => {wallet, <<"node">>}, <<"http-server">> => Ref};
            _ -> Default
        end
    end).
