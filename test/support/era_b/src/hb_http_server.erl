%%% Double of a later host's HTTP server: its listener has a node message, which consists of what is built in and of
%%% the operator's file, as flat text: `key: value' in each line.
-module(hb_http_server).
-export([start/0]).

start() ->
    BuiltIn = #{port => 8734, routes => hb_opts:get(routes), http_server => <<"address">>},
    ok = host_listeners:start(<<"address">>, #{node_msg => maps:merge(BuiltIn, configured())}).

configured() ->
    case file:read_file(os:getenv("HB_CONFIG", "config.flat")) of
        {ok, Text} ->
            maps:from_list([{binary_to_atom(binary:replace(Key, <<"-">>, <<"_">>, [global])), string:trim(Value, trailing)}
                            || Line <- binary:split(Text, <<"\n">>, [global]), [Key, Value] <- [binary:split(Line, <<": ">>, [global])]]);
        {error, enoent} -> #{}
    end.
