%%% @doc The host, HyperBEAM: the only module that knows it. Each of the host's modules is called
%%% only where the host exports it, so this one loads and works on a host that has none of them.
-module(hb_process_monitor_host).

-export([detect/0]).
-export([option/1, node_of/1, route/1, origin/1, push/0]).
-export([start_logger/0, register_with/1, log/2]).

-export_type([logger/0, entry/0, push/0]).

-include_lib("kernel/include/logger.hrl").

-define(HOST, {?MODULE, exports}).

%% Where no option, router or host says otherwise: HyperBEAM's own local CU.
-define(DEFAULT_NODE, <<"http://localhost:6363">>).

-type logger() :: pid() | undefined.
%% A process of the host's hb_logger; `undefined' where the host has none.

-type entry() :: {ok | error, Type :: atom(), Details :: term()}.
%% What hb_logger prints nicely.

-type push() :: {module(), Function :: atom()} | fun((Message :: map(), State :: map()) -> term()).

%% @doc Finds out what the host exports. Asked once, when the application starts: asking for a
%% module that is not there searches the whole code path.
-spec detect() -> ok.
detect() ->
    Calls = [{hb_opts, get, 1}, {hb_logger, start, 0}, {hb_logger, register, 1},
             {hb_logger, log, 2}, {hb_router, find, 2}],
    persistent_term:put(?HOST, [Call || Call <- Calls, is_exported(Call)]).

is_exported({Module, Function, Arity}) ->
    _ = code:ensure_loaded(Module),
    erlang:function_exported(Module, Function, Arity).

%% Calls the host where it exports that; `undefined' where it does not.
call(Module, Function, Args) ->
    Call = {Module, Function, length(Args)},
    case lists:member(Call, persistent_term:get(?HOST, [])) of
        true -> apply(Module, Function, Args);
        false -> undefined
    end.

%% @doc The host's value of an option; `undefined' where it has none.
-spec option(Key :: atom()) -> term().
option(Key) -> call(hb_opts, get, [Key]).

%% @doc The base URL of the CU that the host's router gives for a process, or the local CU's.
-spec node_of(ProcId :: binary()) -> binary().
node_of(ProcId) ->
    case route(ProcId) of
        {ok, Node} -> Node;
        none -> ?DEFAULT_NODE
    end.

%% @doc The base URL of the CU that the host's router gives for a process, if it gives one.
-spec route(ProcId :: binary()) -> {ok, Node :: binary()} | none.
route(ProcId) ->
    try call(hb_router, find, [compute, ProcId]) of
        {ok, Node} when is_binary(Node); is_list(Node) ->
            case unicode:characters_to_binary(Node) of
                Url when is_binary(Url) -> {ok, Url};
                _ -> none
            end;
        _ ->
            none
    catch
        %% A host whose router is not set up raises: it has no answer.
        _:_ -> none
    end.

%% @doc A base URL as it may be logged: without user information, path and query.
-spec origin(Url :: binary()) -> binary().
origin(Url) ->
    case uri_string:parse(Url) of
        #{scheme := Scheme, host := Host} = Parts ->
            Port = case Parts of #{port := P} when is_integer(P) -> [$:, integer_to_list(P)]; #{} -> [] end,
            iolist_to_binary([Scheme, "://", Host, Port]);
        _ ->
            <<>>
    end.

%% @doc What a result is pushed with, unless the option `cron_push' says otherwise.
-spec push() -> push().
push() -> {dev_mu, push}.

%% @doc Starts a logger of the host, where it has one.
-spec start_logger() -> logger().
start_logger() -> call(hb_logger, start, []).

%% @doc Registers the calling process with a logger.
-spec register_with(logger()) -> ok.
register_with(undefined) ->
    ok;
register_with(Logger) ->
    _ = call(hb_logger, register, [Logger]),
    ok.

%% @doc Logs to the monitor's logger, and to OTP's.
-spec log(logger(), entry()) -> ok.
log(Logger, {Status, Type, Details} = Entry) ->
    _ = is_pid(Logger) andalso call(hb_logger, log, [Logger, Entry]),
    Report = #{what => Type, details => Details},
    Meta = #{domain => [hb_process_monitor]},
    case Status of
        ok -> ?LOG_INFO(Report, Meta);
        error -> ?LOG_WARNING(Report, Meta)
    end.
