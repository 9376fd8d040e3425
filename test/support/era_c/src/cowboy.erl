%%% Double of the HTTP server's library: the environment of a listener, in which a later host keeps the options of
%%% the node.
-module(cowboy).
-export([get_env/3]).

get_env(Ref, Key, Default) ->
    host_double:call({cowboy, get_env}, [Ref, Key, Default], fun() ->
        case {Ref, Key} of
            {http_listener, node_msg} -> #{priv_wallet => {wallet, <<"node">>}, http_server => Ref};
            _ -> Default
        end
    end).
