%%% Double of an early host's router: reads the option `nodes', and returns a string.
-module(hb_router).
-export([find/2, find/3]).

find(Service, Id) -> find(Service, Id, '_').

find(Service, _Id, Address) ->
    case hb_opts:get(nodes, #{}) of
        #{Service := #{Address := Node}} -> {ok, Node};
        #{} -> {error, service_type_not_found}
    end.
