%%% Double of the scheduler device of a host of May 2025, for reading the current slot of a process.
-module(dev_scheduler).
-export([slot/3]).

slot(#{}, #{<<"target">> := Id}, _Opts) ->
    {ok, #{<<"current">> => length(host_double:scheduled(Id))}}.
