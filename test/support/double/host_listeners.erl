%%% Double of the HTTP listeners of a host's node in a release: their names and environments, in which a later host
%%% keeps the options of the node.
-module(host_listeners).

-export([start/2, names/0, env/3]).

start(Name, Env) -> persistent_term:put(?MODULE, (all())#{Name => Env}).

names() -> maps:keys(all()).

env(Name, Key, Default) ->
    #{Name := Env} = all(),
    maps:get(Key, Env, Default).

all() -> persistent_term:get(?MODULE, #{}).
