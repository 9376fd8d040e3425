%%% Double of the listeners' library, as far as the host's HTTP server is concerned.
-module(ranch).
-export([info/0]).

info() -> host_double:call({ranch, info}, [], fun() -> [{http_listener, [{status, running}]}] end).
