%%% The supervisor of the tests' own release: an application must have one. It has no children.
-module(hb_sup).
-behaviour(supervisor).
-export([start_link/0, init/1]).

start_link() -> supervisor:start_link({local, ?MODULE}, ?MODULE, []).

init([]) -> {ok, {#{}, []}}.
