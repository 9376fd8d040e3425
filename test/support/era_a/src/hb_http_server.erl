%%% Double of an early host's HTTP server: its listener has options of its own, which no operator can set.
-module(hb_http_server).
-export([start/0]).

start() -> ok = host_listeners:start({?MODULE, 8734}, #{opts => #{port => 8734}}).
