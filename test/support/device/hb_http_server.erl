%%% Double of the host's HTTP server: the node message of a listener, and requests, which reach a device the way they do
%%% in the host. No signature is verified on the way.
-module(hb_http_server).
-export([set_opts/1]).
%% For tests
-export([start_listener/2, request/3]).

set_opts(Opts) ->
    host_double:call({hb_http_server, set_opts}, [Opts], fun() ->
        case Opts of
            #{http_server := Ref} -> cowboy:set_env(Ref, node_msg, Opts);
            #{} -> ok
        end
    end).

start_listener(Ref, NodeMsg) -> cowboy:set_env(Ref, node_msg, NodeMsg#{http_server => Ref}).

%% A request to `/~process-monitor@1.0/Key'. Of a signed message, what is not signed does not arrive, except for what
%% `Also' has: the host adds the parameters of the URL afterwards. The path is then the key.
request(Key, Message, Also) ->
    Ref = hb:address(),
    #{preloaded_devices := Devices} = NodeMsg = cowboy:get_env(Ref, node_msg, no_node_msg),
    case lists:search(fun(#{<<"name">> := Name}) -> Name =:= <<"process-monitor@1.0">> end, Devices) of
        {value, #{<<"module">> := Module}} ->
            Request = maps:merge(hb_message:received(Message), Also),
            resolve(Module, Key, Request#{<<"path">> => Key, <<"method">> => <<"POST">>}, NodeMsg);
        false ->
            device_not_admissible
    end.

resolve(Module, Key, Request, NodeMsg) ->
    Function = binary_to_existing_atom(binary:replace(Key, <<"-">>, <<"_">>, [global])),
    #{exports := Exports} = Module:info(#{}),
    Names = lists:usort([Key, atom_to_binary(Function)]),
    case Names -- Exports =:= [] andalso erlang:function_exported(Module, Function, 3) of
        true ->
            {Outcome, #{<<"status">> := Status, <<"body">> := Body}} = Module:Function(#{}, Request, NodeMsg),
            true = (Outcome =:= ok) =:= (Status < 300),
            {Status, Body};
        false ->
            not_a_key
    end.
