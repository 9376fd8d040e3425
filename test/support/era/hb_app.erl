%%% The application of the test release. If HB_TEST_PORT names a port on loopback, the node connects to it and
%%% executes the commands from there; otherwise it only runs. HB_TEST_LISTENER=later: its HTTP listener is not up
%%% until a command starts it.
-module(hb_app).
-behaviour(application).
-export([start/2, stop/1]).

start(_Type, _Args) ->
    {ok, Sup} = hb_sup:start_link(),
    _ = os:getenv("HB_TEST_LISTENER") =:= "later" orelse hb_http_server:start(),
    _ = case os:getenv("HB_TEST_PORT") of
        false -> ok;
        Port -> hb_line:serve(list_to_integer(Port))
    end,
    {ok, Sup}.

stop(_State) -> ok.
