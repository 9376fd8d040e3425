%%% @doc Finds the Compute Unit of a process: by the host's router, then by its options. Asked when a monitor
%%% starts without `cron_node', and again when fetches fail.
-module(hb_cron_router).

-export([nodes_of/1, origin/1]).

-export_type([source/0]).

%% The default: HyperBEAM's own local CU.
-define(DEFAULT_NODE, <<"http://localhost:6363">>).

-type source() :: hb_router | nodes | routes | default.
%% The host's router, its option `nodes', its option `routes', or none of them.

%% @doc The base URLs of a process's CU, in order of preference, and their source.
-spec nodes_of(ProcId :: binary()) -> {source(), Nodes :: [binary(), ...]}.
nodes_of(ProcId) ->
    Sources = [{hb_router, fun router/1}, {nodes, fun option_nodes/1}, {routes, fun routes/1}],
    first(Sources, ProcId).

first([], _ProcId) ->
    {default, [?DEFAULT_NODE]};
first([{Source, Ask} | Sources], ProcId) ->
    %% A router that is not set up raises, and options may hold anything: neither is an answer.
    try [Url || Node <- Ask(ProcId), Url <- [url(Node)], is_binary(Url)] of
        [_ | _] = Urls -> {Source, Urls};
        [] -> first(Sources, ProcId)
    catch
        _:_ -> first(Sources, ProcId)
    end.

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
routes(ProcId) ->
    Routes = [Route || #{<<"template">> := Template} = Route <- as_list(hb_cron_host_calls:option(routes)),
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
as_list(#{} = Numbered) -> [Value || {_, Value} <- lists:sort([{number(Key), Value} || {Key, Value} <- maps:to_list(Numbered)])];
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
