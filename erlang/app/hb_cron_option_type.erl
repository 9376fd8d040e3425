%%% @doc The types of options: the values that each allows, and how one is read from what the configuration of a host
%%% can express. A flat file and an environment variable have text alone, JSON has text, numbers, lists and objects,
%%% and some hosts keep a list as a map that is numbered from 1. No atom is made from what is read.
-module(hb_cron_option_type).

-export([is_valid/2, read/2]).

-export_type([type/0]).

-type type() :: {range, Low :: integer(), High :: integer()}
              | {one_of, [atom(), ...]}
              | {infinity_or, type()}
              | {false_or, type()}
              | address | addresses | backoff | cluster | endpoint | name | nodes | path | processes | push.

-define(MAX_U32, 16#ffffffff).
%% What separates the elements of a list in a text.
-define(SEPARATOR, ",").
%% The first of several URLs may hold a comma itself.
-define(BETWEEN_NODES, ",\\s*(?=https?://)").
-define(CLUSTER, "^postgres(ql)?://").
%% The longest name of a host node, in bytes.
-define(MAX_NAME, 100).
%% A module's and a function's name, in the form that needs no quotes.
-define(CALL, "^([a-z][A-Za-z0-9_@]{0,254}):([a-z][A-Za-z0-9_@]{0,254})$").

%% @doc Whether a value is allowed.
-spec is_valid(type(), Value :: term()) -> boolean().
is_valid({range, Low, High}, Value) -> is_integer(Value) andalso Value >= Low andalso Value =< High;
is_valid({one_of, Atoms}, Value) -> lists:member(Value, Atoms);
is_valid({infinity_or, Type}, Value) -> Value =:= infinity orelse is_valid(Type, Value);
is_valid({false_or, Type}, Value) -> Value =:= false orelse is_valid(Type, Value);
is_valid(address, Address) ->
    is_binary(Address) andalso hb_cron_process_id:is_valid(Address);
is_valid(addresses, List) ->
    is_list(List) andalso is_proper(List) andalso lists:all(fun(Address) -> is_valid(address, Address) end, List);
is_valid(backoff, {First, Longest}) ->
    is_integer(First) andalso is_integer(Longest) andalso
        First >= 1 andalso Longest >= First andalso Longest =< ?MAX_U32;
is_valid(backoff, _) ->
    false;
%% The library reads the rest of the URL.
is_valid(cluster, Url) ->
    is_binary(Url) andalso match =:= re:run(Url, ?CLUSTER, [{capture, none}]);
is_valid(endpoint, Endpoint) ->
    hb_cron_endpoint:parse(Endpoint) =/= error;
is_valid(name, Name) ->
    is_binary(Name) andalso Name =/= <<>> andalso byte_size(Name) =< ?MAX_NAME;
is_valid(nodes, Nodes) when is_list(Nodes), Nodes =/= [] ->
    case io_lib:char_list(Nodes) of
        true -> is_node(Nodes);
        false -> is_proper(Nodes) andalso lists:all(fun is_node/1, Nodes)
    end;
is_valid(nodes, Node) ->
    is_node(Node);
is_valid(path, Path) ->
    (is_binary(Path) andalso Path =/= <<>>) orelse (is_list(Path) andalso Path =/= [] andalso io_lib:char_list(Path));
%% Each entry is checked when its process starts, so that a bad one does not keep the others from starting.
is_valid(processes, List) ->
    is_list(List) andalso is_proper(List);
is_valid(push, {Module, Function}) ->
    is_atom(Module) andalso is_atom(Function);
is_valid(push, Name) when is_atom(Name) ->
    lists:keymember(Name, 1, hb_cron_host:adapters());
is_valid(push, Fun) ->
    is_function(Fun, 2).

is_node([_ | _] = Node) -> io_lib:char_list(Node) andalso is_node(unicode:characters_to_binary(Node));
is_node(Node) -> hb_cron_router:is_url(Node).

is_proper(List) ->
    try length(List) >= 0
    catch error:badarg -> false
    end.

%% @doc The valid value that a configured one stands for.
-spec read(type(), Value :: term()) -> {ok, Valid :: term()} | error.
read(Type, Value) ->
    try converted(Type, Value) of
        Converted ->
            case is_valid(Type, Converted) of
                true -> {ok, Converted};
                false -> error
            end
    catch
        error:_ -> error
    end.

converted({range, _, _}, Value) ->
    case text(Value) of
        none -> Value;
        Text -> binary_to_integer(Text)
    end;
converted({one_of, Atoms}, Value) ->
    named(Atoms, Value);
converted({infinity_or, Type}, Value) ->
    case named([infinity], Value) of
        infinity -> infinity;
        _ -> converted(Type, Value)
    end;
converted({false_or, Type}, Value) ->
    case named([false], Value) of
        false -> false;
        _ -> converted(Type, Value)
    end;
converted(address, Value) ->
    text_or_term(Value);
converted(addresses, Value) ->
    case list(Value) of none -> Value; Addresses -> [text_or_term(Address) || Address <- Addresses] end;
converted(backoff, Value) ->
    case list(Value) of
        [First, Longest] -> {number(First), number(Longest)};
        _ -> Value
    end;
converted(Type, Value) when Type =:= cluster; Type =:= name ->
    text_or_term(Value);
converted(endpoint, Value) ->
    case text(Value) of
        none -> Value;
        Text ->
            try binary_to_integer(Text)
            catch error:badarg -> Text
            end
    end;
converted(nodes, Value) ->
    case text(Value) of
        none -> case list(Value) of none -> Value; Nodes -> [text_or_term(Node) || Node <- Nodes] end;
        Text -> one_or_several([string:trim(Node) || Node <- re:split(Text, ?BETWEEN_NODES)])
    end;
converted(path, Value) ->
    Value;
converted(processes, #{} = Map) ->
    case numbered(Map) of
        none -> [Map];
        List -> List
    end;
converted(processes, Value) ->
    case text(Value) of
        none -> Value;
        Text -> elements(Text)
    end;
converted(push, Value) ->
    case {text(Value), named([Name || {Name, _} <- hb_cron_host:adapters()], Value)} of
        {_, Name} when is_atom(Name) -> Name;
        {none, _} -> Value;
        {Text, _} -> call(Text)
    end.

%% A value that is one of these atoms, as an atom or as text in any case.
named(Atoms, Value) ->
    case text(Value) of
        none -> Value;
        Text ->
            Lower = string:lowercase(Text),
            case [Atom || Atom <- Atoms, atom_to_binary(Atom) =:= Lower] of
                [Atom] -> Atom;
                [] -> Value
            end
    end.

number(Value) ->
    {ok, Number} = read({range, 1, ?MAX_U32}, Value),
    Number.

one_or_several([Node]) -> Node;
one_or_several(Nodes) -> Nodes.

%% Text, without spaces around it.
text(Value) when is_binary(Value), Value =/= <<>> ->
    string:trim(Value);
text([_ | _] = Value) ->
    case io_lib:char_list(Value) of
        true -> string:trim(unicode:characters_to_binary(Value));
        false -> none
    end;
text(_) ->
    none.

text_or_term(Value) ->
    case text(Value) of
        none -> Value;
        Text -> Text
    end.

%% A pair of numbers is also a list of characters: a list of two elements counts as that.
list([_, _] = Pair) -> Pair;
list(#{} = Map) -> numbered(Map);
list(Value) ->
    case text(Value) of
        none when is_list(Value) -> Value;
        none -> none;
        Text -> elements(Text)
    end.

elements(Text) ->
    [Element || Part <- string:split(Text, ?SEPARATOR, all), Element <- [string:trim(Part)], Element =/= <<>>].

%% The values of a map that is numbered from 1. It may say how its values were encoded.
numbered(#{} = Map) ->
    Pairs = [{index(Key), Value} || {Key, Value} <- maps:to_list(Map), Key =/= <<"ao-types">>],
    Sorted = lists:sort(fun({A, _}, {B, _}) -> A =< B end, Pairs),
    case [Index || {Index, _} <- Sorted] =:= lists:seq(1, length(Sorted)) of
        true when Sorted =/= [] -> [Value || {_, Value} <- Sorted];
        _ -> none
    end.

index(Key) when is_binary(Key) ->
    try binary_to_integer(Key)
    catch error:badarg -> none
    end;
index(Key) ->
    Key.

%% `module:function'. A module that has a file on the code path may be named before it is loaded. A loaded module has
%% the atoms of its functions.
call(Text) ->
    {match, [ModuleName, FunctionName]} = re:run(Text, ?CALL, [{capture, all_but_first, binary}]),
    Module = module(ModuleName),
    _ = hb_cron_host_calls:is_exported(Module, module_info, 0),
    Function = binary_to_existing_atom(FunctionName),
    true = hb_cron_host_calls:is_exported(Module, Function, 2),
    {Module, Function}.

module(Name) ->
    try binary_to_existing_atom(Name)
    catch
        error:badarg ->
            case code:where_is_file(binary_to_list(Name) ++ code:objfile_extension()) of
                non_existing -> error(no_such_module);
                _File -> binary_to_atom(Name)
            end
    end.
