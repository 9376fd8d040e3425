%%% Double of a later host's router: it exists, but raises, because the option that it reads is not set.
-module(hb_router).
-export([find/2, find/3]).

find(Service, Id) -> find(Service, Id, '_').

find(_Service, _Id, _Address) -> error({badmap, hb_opts:get(nodes)}).
