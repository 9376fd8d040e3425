%%% Double of the HTTP server's library: the environment of a listener.
-module(cowboy).
-export([get_env/3]).

get_env(Ref, Key, Default) -> host_listeners:env(Ref, Key, Default).
