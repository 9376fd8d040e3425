%%% @doc Finds the Compute Unit of a process: by the host's router, then by its options. Asked when a monitor
%%% starts without `cron_node', and again when fetches fail.
-module(hb_cron_router).

-export([nodes_of/2, routing/1, is_url/1, origin/1]).

-export_type([source/0, routing/0]).

%% The default: HyperBEAM's own local CU.
-define(DEFAULT_NODE, <<"http://localhost:6363">>).

-type source() :: hb_router | nodes | routes | genesis_wasm_port | default.
%% The host's router, its option `nodes', its option `routes', the port of its own CU, or none of them.

-type routing() :: #{routes := term(), built_in_routes := term(), genesis_wasm_port := inet:port_number() | undefined}.
%% What the configuration of the host says. `routes': the operator's; `built_in_routes': those that the host has
%% without any configuration.

%% @doc The base URLs of a process's CU, in order of preference, and their source.
-spec nodes_of(ProcId :: binary(), routing()) -> {source(), Nodes :: [binary(), ...]}.
nodes_of(ProcId, #{routes := Routes, built_in_routes := BuiltIn, genesis_wasm_port := Port}) ->
    first([{hb_router, fun() -> router(ProcId) end}, {nodes, fun() -> option_nodes(ProcId) end},
           {routes, fun() -> routes(Routes, ProcId) end}, {genesis_wasm_port, fun() -> local(Port) end},
           {routes, fun() -> routes(BuiltIn, ProcId) end}]).

first([]) ->
    {default, [?DEFAULT_NODE]};
first([{Source, Ask} | Sources]) ->
    %% A router that is not set up raises, and options may hold anything: neither is an answer.
    try [Url || Node <- Ask(), Url <- [url(Node)], is_url(Url)] of
        [_ | _] = Urls -> {Source, Urls};
        [] -> first(Sources)
    catch
        _:_ -> first(Sources)
    end.

%% @doc What the configuration says, from the host's node message. That also holds what is built in: an operator's
%% routes differ from those.
-spec routing(NodeMessage :: map() | none) -> routing().
routing(NodeMessage) ->
    [BuiltIn, BuiltInPort] = [option(Key) || Key <- [routes, genesis_wasm_port]],
    Routes = case hb_cron_node_message:value(routes, NodeMessage) of
        BuiltIn -> undefined;
        Own -> Own
    end,
    Port = case hb_cron_node_message:value(genesis_wasm_port, NodeMessage) of
        undefined -> BuiltInPort;
        OwnPort -> OwnPort
    end,
    #{routes => Routes, built_in_routes => BuiltIn, genesis_wasm_port => port(Port)}.

%% The host may not run.
option(Key) ->
    try hb_cron_host_calls:option(Key)
    catch _:_ -> undefined
    end.

port(Port) when is_integer(Port), Port >= 1, Port =< 65535 ->
    Port;
port(Text) when is_binary(Text); is_list(Text) ->
    try port(binary_to_integer(iolist_to_binary(Text)))
    catch error:badarg -> undefined
    end;
port(_) ->
    undefined.

local(undefined) -> [];
local(Port) -> [["http://localhost:", integer_to_list(Port)]].

router(ProcId) ->
    case hb_cron_host_calls:has(hb_router, find, 2) of
        true ->
            {ok, Node} = hb_cron_host_calls:call(hb_router, find, [compute, ProcId]),
            [Node];
        false ->
            []
    end.

%% By service, then by process id, with `_' for all others: what the router reads, on a host without the router.
option_nodes(ProcId) ->
    #{compute := Compute} = hb_cron_host_calls:option(nodes),
    case Compute of
        #{ProcId := Node} -> [Node];
        #{'_' := Node} -> [Node];
        Node -> [Node]
    end.

%% The first route whose template fits a request to a CU, as the host reads its routes: for its own requests,
%% `/result', or for ours, `/cron'.
routes(All, ProcId) ->
    Routes = [Route || #{<<"template">> := Template} = Route <- as_list(All),
                       is_binary(Template) orelse is_list(Template)],
    case lists:search(fun(#{<<"template">> := Template}) -> fits(Template, ProcId) end, Routes) of
        {value, Route} -> [prefix(Node) || Node <- nodes_of_route(Route)];
        false -> []
    end.

fits(Template, ProcId) ->
    lists:any(fun(Path) -> re:run([Path, ProcId], Template, [{capture, none}]) =:= match end,
              [<<"/cron/">>, <<"/result/">>]).

nodes_of_route(#{<<"nodes">> := Nodes}) -> as_list(Nodes);
nodes_of_route(#{<<"node">> := Node}) -> [Node];
nodes_of_route(#{}) -> [].

prefix(#{<<"prefix">> := Prefix}) -> Prefix;
prefix(Node) -> Node.

%% The host keeps lists also as maps numbered from 1.
as_list(List) when is_list(List) -> List;
as_list(#{} = Numbered) ->
    Pairs = [{number(Key), Value} || {Key, Value} <- maps:to_list(Numbered), Key =/= <<"ao-types">>],
    [Value || {_, Value} <- lists:sort(Pairs)];
as_list(undefined) -> [].

number(Key) when is_binary(Key) -> binary_to_integer(Key);
number(Key) -> Key.

%% The host writes prefixes with a slash at the end.
url(Node) when is_binary(Node); is_list(Node) ->
    case unicode:characters_to_binary(Node) of
        Url when is_binary(Url) -> string:trim(Url, trailing, "/");
        _ -> none
    end;
url(_) ->
    none.

%% @doc Whether a text is the base URL of a CU. Without the library, which knows, every text is: no fetch begins.
-spec is_url(term()) -> boolean().
is_url(Url) when is_binary(Url) ->
    hb_process_monitor_nif:loaded() =/= ok orelse hb_process_monitor_nif:check_node(Url) =:= ok;
is_url(_) ->
    false.

%% @doc The part of a base URL that may be logged: without user information, path and query.
-spec origin(Url :: binary()) -> binary().
origin(Url) ->
    case uri_string:parse(Url) of
        #{scheme := Scheme, host := Host} = Parts ->
            Port = case Parts of #{port := P} when is_integer(P) -> [$:, integer_to_list(P)]; #{} -> [] end,
            iolist_to_binary([Scheme, "://", Host, Port]);
        _ ->
            <<>>
    end.
