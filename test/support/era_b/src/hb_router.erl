%%% Double of a later host's router: it is there, and raises, since nothing sets the option it reads.
-module(hb_router).
-export([find/2, find/3]).

find(Service, Id) -> find(Service, Id, '_').

find(_Service, _Id, _Address) -> error({badmap, hb_opts:get(nodes)}).
