%%% @doc Calls of the host's modules, and the host's options. A module of the host is called only if the host exports the
%%% function, so everything works on a host that has none of them.
-module(hb_cron_host_calls).

-export([detect/0, is_exported/3, has/3, call/3, call_if_exported/3, option/1]).

-define(EXPORTS, {?MODULE, exports}).

%% @doc Finds out which of the host's optional functions it exports.
-spec detect() -> ok.
detect() ->
    Calls = [{hb_opts, get, 1}, {hb_logger, start, 0}, {hb_logger, register, 1},
             {hb_logger, log, 2}, {hb_router, find, 2}, {ar_bundles, json_struct_to_item, 1}],
    persistent_term:put(?EXPORTS, [Call || {M, F, A} = Call <- Calls, is_exported(M, F, A)]).

%% @doc Whether the host exports a function, for `is_available/0': it may search the whole code path. In embedded
%% mode a module outside of the boot script must be loaded explicitly.
-spec is_exported(module(), Function :: atom(), arity()) -> boolean().
is_exported(Module, Function, Arity) ->
    _ = case code:ensure_loaded(Module) of
        {error, embedded} -> code:load_file(Module);
        Loaded -> Loaded
    end,
    erlang:function_exported(Module, Function, Arity).

%% @doc Whether the host exported a function when the application started.
-spec has(module(), Function :: atom(), arity()) -> boolean().
has(Module, Function, Arity) ->
    lists:member({Module, Function, Arity}, persistent_term:get(?EXPORTS, [])).

%% @doc Calls the host, at run time only: what it exports differs, and none of it exists when this is built.
-spec call(module(), Function :: atom(), Args :: [term()]) -> term().
call(Module, Function, Args) -> apply(Module, Function, Args).

%% @doc Calls the host if it exports the function; `undefined' otherwise.
-spec call_if_exported(module(), Function :: atom(), Args :: [term()]) -> term().
call_if_exported(Module, Function, Args) ->
    case has(Module, Function, length(Args)) of
        true -> call(Module, Function, Args);
        false -> undefined
    end.

%% @doc The host's value of an option; `undefined' if it has none.
-spec option(Key :: atom()) -> term().
option(Key) -> call_if_exported(hb_opts, get, [Key]).
