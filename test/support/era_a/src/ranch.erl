%%% Double of the library of listeners, reduced to the host's HTTP server.
-module(ranch).
-export([info/0]).

info() -> [{Name, [{status, running}]} || Name <- host_listeners:names()].
