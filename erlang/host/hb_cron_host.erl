%%% @doc The host, HyperBEAM: its options, its logger, and how it pushes a result. Each of the host's
%%% modules is called only where the host exports it, so this one loads and works on a host that has
%%% none of them. Where the host says that a CU is, {@link hb_cron_router} knows.
%%%
%%% This module is also the behaviour of its adapters, one for each way of pushing: in a Monitor, one
%%% result at a time.
-module(hb_cron_host).

-export([detect/0, describe/0]).
-export([option/1, start_logger/0, end_logger/1, register_with/1, log/2]).
%% Pushing
-export([device/1, device_name/1, push/4, adapters/0]).
%% For adapters
-export([is_exported/3, has/3, call/3]).

-export_type([logger/0, entry/0, device/0, push_state/0, outcome/0]).

-include_lib("kernel/include/logger.hrl").

-define(HOST, {?MODULE, exports}).
-define(DEVICE, {?MODULE, device}).

-type logger() :: pid() | undefined.
%% A process of the host's hb_logger; `undefined' where the host has none.

-type entry() :: {ok | error, Type :: atom(), Details :: term()}.
%% What hb_logger prints nicely.

-type device() :: {Adapter :: module(), What :: term()}.
%% What results are pushed with, and what the adapter needs to know of it.

-type push_state() :: #{proc_id := binary(), cursor := hb_cron_options:cursor(), logger := logger()}.
%% What a push is told beside the result; `cursor' is that of the last result acked.

-type outcome() :: ok | {error, Reason :: term(), Left :: map(), Host :: works | unknown}.
%% Of a push that failed: what is left to push of the result, which may be less than there was; and
%% whether it is known all the same that the host can push, so that the fault is the result's.

-callback is_available() -> boolean().
%% Whether the host has what this adapter calls.

-callback push(Result :: map(), push_state(), What :: term(), hb_cron_options:monitor()) -> outcome().
%% Pushes one result. Called in the Monitor, which is deaf until it returns. May raise, which is an
%% error that leaves all of the result.

%% @doc Those that the option `cron_push' can name, in the order in which they are chosen where it does
%% not: the last one suits any host.
-spec adapters() -> [{Name :: atom(), module()}].
adapters() ->
    [{ao, hb_cron_host_ao},
     {converge, hb_cron_host_converge},
     {mu, hb_cron_host_mu}].

%% @doc Finds out what the host exports. Asked once, when the application starts: asking for a
%% module that is not there searches the whole code path.
-spec detect() -> ok.
detect() ->
    Calls = [{hb_opts, get, 1}, {hb_logger, start, 0}, {hb_logger, register, 1},
             {hb_logger, log, 2}, {hb_router, find, 2}, {ar_bundles, json_struct_to_item, 1}],
    ok = persistent_term:put(?HOST, [Call || {M, F, A} = Call <- Calls, is_exported(M, F, A)]),
    [Adapter | _] = [Adapter || {_, Adapter} <- adapters(), Adapter:is_available()],
    persistent_term:put(?DEVICE, Adapter).

%% @doc Whether the host exports that, for `is_available/0': it may search the whole code path. In
%% embedded mode a module outside of the boot script is not loaded by being asked for.
-spec is_exported(module(), Function :: atom(), arity()) -> boolean().
is_exported(Module, Function, Arity) ->
    _ = case code:ensure_loaded(Module) of
        {error, embedded} -> code:load_file(Module);
        Loaded -> Loaded
    end,
    erlang:function_exported(Module, Function, Arity).

%% @doc Whether the host exported that when it was last looked at.
-spec has(module(), Function :: atom(), arity()) -> boolean().
has(Module, Function, Arity) ->
    lists:member({Module, Function, Arity}, persistent_term:get(?HOST, [])).

%% @doc Calls the host, at run time alone: what it exports differs, and none of it is there when
%% this is built.
-spec call(module(), Function :: atom(), Args :: [term()]) -> term().
call(Module, Function, Args) -> apply(Module, Function, Args).

%% `undefined' where the host does not export it.
call_if_there(Module, Function, Args) ->
    case has(Module, Function, length(Args)) of
        true -> call(Module, Function, Args);
        false -> undefined
    end.

%% What only observes must not end its caller, whatever the host's logger does.
observed(Module, Function, Args) ->
    try call_if_there(Module, Function, Args)
    catch _:_ -> undefined
    end.

%% @doc What of the host is used: for an operator who wants to know before anything is started.
-spec describe() -> #{options := module() | none, logger := module() | none,
                      router := {hb_cron_router:source(), Origins :: [binary()]},
                      push := atom() | {module(), atom()} | fun(), result_format := map | record}.
describe() ->
    %% While the application runs, what it found at its start is what counts; where it does not, its start
    %% looks again.
    ok = case whereis(hb_cron_sup) of
        undefined -> detect();
        _ -> ok
    end,
    {Source, Nodes} = hb_cron_router:nodes_of(binary:copy(<<"A">>, 43)),
    %% Nobody says that the host runs.
    Option = fun(Key) -> try option(Key) catch _:_ -> undefined end end,
    Push = Option(cron_push),
    Format = Option(cron_result_format),
    {Adapter, What} = device(#{cron_push => Push, cron_result_format => Format}),
    {Name, Adapter} = lists:keyfind(Adapter, 2, adapters()),
    #{options => case has(hb_opts, get, 1) of true -> hb_opts; false -> none end,
      logger => case has(hb_logger, start, 0) of true -> hb_logger; false -> none end,
      router => {Source, [hb_cron_router:origin(Node) || Node <- Nodes]},
      push => case What of {Own, _} when Own =:= Push -> Own; _ -> Name end,
      result_format => case What of {_, Known} -> Known; none -> map end}.

%% @doc The host's value of an option; `undefined' where it has none.
-spec option(Key :: atom()) -> term().
option(Key) -> call_if_there(hb_opts, get, [Key]).

%% @doc What a monitor's results are pushed with: by its option `cron_push', else by the host.
-spec device(#{cron_push := term(), cron_result_format := map | record | undefined, atom() => term()}) -> device().
device(#{cron_push := undefined} = Options) ->
    named(persistent_term:get(?DEVICE, hb_cron_host_mu), Options);
device(#{cron_push := Name} = Options) when is_atom(Name) ->
    {Name, Adapter} = lists:keyfind(Name, 1, adapters()),
    named(Adapter, Options);
device(#{cron_push := Push} = Options) ->
    hb_cron_host_mu:device(Push, Options).

named(hb_cron_host_mu, Options) -> hb_cron_host_mu:device({dev_mu, push}, Options);
named(Adapter, _Options) -> {Adapter, none}.

%% @doc What a monitor's results are pushed with, as the option `cron_push' would say it.
-spec device_name(#{cron_push := term(), atom() => term()}) -> atom() | {module(), atom()} | fun().
device_name(#{cron_push := undefined}) ->
    {Name, _} = lists:keyfind(persistent_term:get(?DEVICE, hb_cron_host_mu), 2, adapters()),
    Name;
device_name(#{cron_push := Push}) ->
    Push.

%% @doc Pushes one result with a device, in the calling process.
-spec push(device(), Result :: map(), push_state(), hb_cron_options:monitor()) -> outcome().
push({Adapter, What}, Result, State, Options) ->
    try Adapter:push(Result, State, What, Options)
    catch Class:Reason -> {error, {Class, Reason}, Result, unknown}
    end.

%% @doc Starts a logger of the host, where it has one.
-spec start_logger() -> logger().
start_logger() ->
    case observed(hb_logger, start, []) of
        Logger when is_pid(Logger) -> Logger;
        _ -> undefined
    end.

%% @doc Ends a logger that {@link start_logger/0} started. The host's never ends by itself.
-spec end_logger(logger() | none) -> ok.
end_logger(Logger) when is_pid(Logger) -> exit(Logger, shutdown), ok;
end_logger(_) -> ok.

%% @doc Registers the calling process with a logger.
-spec register_with(logger()) -> ok.
register_with(undefined) ->
    ok;
register_with(Logger) ->
    _ = observed(hb_logger, register, [Logger]),
    ok.

%% @doc Logs to the monitor's logger, and to OTP's.
-spec log(logger(), entry()) -> ok.
log(Logger, {Status, Type, Details} = Entry) ->
    _ = is_pid(Logger) andalso observed(hb_logger, log, [Logger, Entry]),
    Report = #{what => Type, details => Details},
    Meta = #{domain => [hb_process_monitor], report_cb => fun hb_process_monitor_log_format:report/2},
    Level = level(Status, Type),
    ?LOG(Level, Report, Meta).

%% Failures, and their end, are of a level that OTP's logger shows by default.
level(error, _) -> warning;
level(ok, recovered) -> notice;
level(ok, checkpoint_stall_ended) -> notice;
level(ok, _) -> info.
