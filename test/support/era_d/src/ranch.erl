%%% Double of the library of listeners, reduced to the host's HTTP server.
-module(ranch).
-export([info/0]).

info() -> host_double:call({ranch, info}, [], fun() -> #{http_listener => #{status => running}} end).
