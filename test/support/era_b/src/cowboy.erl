%%% Double of the HTTP server's library: the environment of a listener, in which a later host keeps the options of
%%% the node.
-module(cowboy).
-export([get_env/3]).

get_env(Ref, Key, Default) ->
    case whereis(host_double) of
        undefined -> host_listeners:env(Ref, Key, Default);
        _ -> host_double:call({cowboy, get_env}, [Ref, Key, Default], fun() -> of_test(Ref, Key, Default) end)
    end.

of_test(http_listener, node_msg, _Default) -> #{priv_wallet => {wallet, <<"node">>}, http_server => http_listener};
of_test(_Ref, _Key, Default) -> Default.
