%%% Double of the library of listeners, reduced to the host's HTTP server: that of a test, or of a release.
-module(ranch).
-export([info/0]).

info() ->
    case whereis(host_double) of
        undefined -> [{Name, [{status, running}]} || Name <- host_listeners:names()];
        _ -> host_double:call({ranch, info}, [], fun() -> [{http_listener, [{status, running}]}] end)
    end.
