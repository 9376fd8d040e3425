%%% Double of the HTTP client of a host of November 2025: what it posts is recorded.
-module(hb_http).
-export([post/3]).

post(Node, Request, Opts) ->
    host_double:call({hb_http, post}, [Node, Request, Opts], fun() -> {ok, #{<<"status">> => 200}} end).
