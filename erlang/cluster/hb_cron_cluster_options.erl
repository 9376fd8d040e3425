%%% @doc The options of a process as the database of a cluster has them: encodes those of a caller, and decodes what
%%% another host node wrote. Anything in the database is checked as if a stranger had sent it: no atom is made, and
%%% only functions that this host node's own configuration names are called.
-module(hb_cron_cluster_options).

-export([pack/1, unpack/1, set_paused/2, is_paused/1]).

-export_type([error/0]).

-type error() :: {bad_cluster_options, Reason :: term()}.

%% The longest options, in bytes.
-define(MAX_BYTES, 65536).

%% @doc Encodes the options that a caller gave. Raises `{bad_option, Key, Value}' for a value that cannot move to
%% another host node.
-spec pack(Given :: map()) -> binary().
pack(Given) ->
    Options = hb_cron_secret:reveal_options(maps:without([cursor], Given)),
    maps:foreach(fun(Key, Value) ->
        can_move(Value) orelse error({bad_option, Key, hb_cron_secret:redact(Value)})
    end, Options),
    Packed = term_to_binary(Options),
    byte_size(Packed) =< ?MAX_BYTES orelse error({bad_option, options, {larger_than_bytes, ?MAX_BYTES}}),
    Packed.

can_move(Value) when is_pid(Value); is_function(Value); is_reference(Value); is_port(Value) -> false;
can_move([Head | Tail]) -> can_move(Head) andalso can_move(Tail);
can_move(Value) when is_tuple(Value) -> can_move(tuple_to_list(Value));
can_move(Value) when is_map(Value) -> can_move(maps:to_list(Value));
can_move(_Value) -> true.

%% @doc Decodes the options of a process.
-spec unpack(Packed :: binary()) -> {ok, Options :: map()} | {error, error()}.
unpack(Packed) when byte_size(Packed) > ?MAX_BYTES ->
    {error, {bad_cluster_options, {larger_than_bytes, ?MAX_BYTES}}};
unpack(Packed) ->
    try binary_to_term(Packed, [safe]) of
        %% What a file of one node may have in addition.
        #{} = Options -> checked(maps:without([cursor, logger, supervised], Options));
        _ -> {error, {bad_cluster_options, not_a_map}}
    catch
        error:badarg -> {error, {bad_cluster_options, unknown_atom_or_invalid_term}}
    end.

checked(#{cron_push := {Module, Function}} = Options) when is_atom(Module), is_atom(Function) ->
    case is_allowed({Module, Function}) of
        true -> {ok, Options};
        false -> {error, {bad_cluster_options, {function_not_allowed, {Module, Function}}}}
    end;
checked(Options) ->
    case lists:all(fun({_, Value}) -> can_move(Value) end, maps:to_list(Options)) of
        true -> {ok, Options};
        false -> {error, {bad_cluster_options, not_data}}
    end.

%% The function that this host node's configuration names for all processes, or for one of `cron_processes'.
is_allowed(Function) ->
    #{options := Configured} = hb_cron_configuration:for_monitors(),
    #{cron_processes := Entries} = hb_cron_registry:node_options(),
    case Configured of
        #{cron_push := {Function, _Source}} -> true;
        #{} -> lists:any(fun(Entry) -> named_by(Entry) =:= Function end, Entries)
    end.

named_by(Entry) ->
    try hb_cron_process_entry:read(Entry) of
        {_ProcId, Options} -> maps:get(cron_push, Options, none)
    catch
        error:_ -> none
    end.

%% @doc The same options with the pause changed.
-spec set_paused(boolean(), Packed :: binary()) -> {ok, binary()} | {error, error()}.
set_paused(Paused, Packed) ->
    case unpack(Packed) of
        {ok, Options} when Paused -> {ok, term_to_binary(Options#{paused => true})};
        {ok, Options} -> {ok, term_to_binary(maps:remove(paused, Options))};
        {error, Reason} -> {error, Reason}
    end.

%% @doc Whether a process with these options is paused.
-spec is_paused(Options :: map()) -> boolean().
is_paused(Options) -> maps:get(paused, Options, false) =:= true.
