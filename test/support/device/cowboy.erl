%%% Double of the HTTP server's library: the environment of listeners.
-module(cowboy).
-export([get_env/3, set_env/3, stop_listener/1]).

%% A change right after the read is `{node_message, read}' for host_double:on/2.
get_env(Ref, Key, Default) ->
    Value = value(Ref, Key, Default),
    host_double:call({node_message, read}, [Ref], fun() -> Value end).

value(Ref, Key, Default) ->
    case ets:lookup(host_double, {env, Ref, Key}) of
        [{_, Value}] -> Value;
        [] -> Default
    end.

set_env(Ref, Key, Value) ->
    true = ets:insert(host_double, {{env, Ref, Key}, Value}),
    ok.

stop_listener(Ref) ->
    true = ets:match_delete(host_double, {{env, Ref, '_'}, '_'}),
    ok.
