%%% Double of a later host's store.
-module(hb_cache).
-export([read/2]).

read(Id, Opts) when is_map(Opts) ->
    host_double:call({hb_cache, read}, [Id, Opts], fun() ->
        case host_double:kind(Id) of
            not_found -> not_found;
            _ -> {ok, #{<<"id">> => Id, <<"type">> => <<"Process">>, <<"device">> => <<"process@1.0">>}}
        end
    end).
