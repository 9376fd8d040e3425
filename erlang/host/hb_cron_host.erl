%%% @doc How results are pushed on the host, HyperBEAM: chooses an adapter by what the host exports or by the option
%%% `cron_push', and pushes with it. This module is also the behaviour of the adapters, one for each way of pushing. Calls
%%% of the host are in {@link hb_cron_host_calls}, its logger in {@link hb_cron_host_logger}, its Compute Units in
%%% {@link hb_cron_router}.
-module(hb_cron_host).

-export([detect/0, describe/2]).
%% Pushing
-export([device/1, device_name/1, push/4, adapters/0]).

-export_type([device/0, push_state/0, outcome/0, host_state/0]).

-define(DEVICE, {?MODULE, device}).

-type device() :: {Adapter :: module(), What :: term()}.
%% The adapter that pushes results, and its configuration.

-type push_state() :: #{proc_id := binary(), cursor := hb_cron_options:cursor(), logger := hb_cron_host_logger:logger()}.
%% What a push gets beside the result; `cursor' is that of the last ack.

-type outcome() :: ok | {error, Reason :: term(), Left :: map(), host_state()}.
%% Of a push that failed: why, and what is left of the result.

-type host_state() :: works | unknown | broken.
%% What a failed push says of the host. `works': it accepted or refused an item, so the fault is an item's. `broken':
%% it cannot push whatever the item is, so no result is given up.

-callback is_available() -> boolean().
%% Whether the host has what this adapter calls.

-callback push(Result :: map(), push_state(), What :: term(), hb_cron_options:monitor()) -> outcome().
%% Pushes one result. Called in the monitor, which reads no messages until it returns. May raise, which is an error
%% that leaves all of the result.

%% @doc The adapters, by their names for the option `cron_push', in the order of preference: the last one works on
%% any host.
-spec adapters() -> [{Name :: atom(), module()}].
adapters() ->
    [{ao, hb_cron_host_ao},
     {converge, hb_cron_host_converge},
     {mu, hb_cron_host_mu}].

%% @doc Finds out what the host exports. Called once, when the application starts: looking for a module that does not
%% exist searches the whole code path.
-spec detect() -> ok.
detect() ->
    ok = hb_cron_host_calls:detect(),
    ok = hb_cron_process_tags:detect(),
    [Adapter | _] = [Adapter || {_, Adapter} <- adapters(), Adapter:is_available()],
    persistent_term:put(?DEVICE, Adapter).

%% @doc What is used of the host, for inspection before anything is started. `Routing' is what its configuration says
%% of Compute Units.
-spec describe(#{cron_push := term(), cron_result_format := term(), atom() => term()}, hb_cron_router:routing()) ->
    #{options := module() | none, logger := module() | none,
      router := {hb_cron_router:source(), Origins :: [binary()]},
      push := atom() | {module(), atom()} | fun(), result_format := map | record}.
describe(#{cron_push := Push} = Settings, Routing) ->
    {Source, Nodes} = hb_cron_router:nodes_of(binary:copy(<<"A">>, 43), Routing),
    {Adapter, What} = device(Settings),
    {Name, Adapter} = lists:keyfind(Adapter, 2, adapters()),
    #{options => case hb_cron_host_calls:has(hb_opts, get, 1) of true -> hb_opts; false -> none end,
      logger => case hb_cron_host_calls:has(hb_logger, start, 0) of true -> hb_logger; false -> none end,
      router => {Source, [hb_cron_router:origin(Node) || Node <- Nodes]},
      push => case What of {Own, _} when Own =:= Push -> Own; _ -> Name end,
      result_format => case What of {_, Known} -> Known; none -> map end}.

%% @doc The device of a monitor's results: by its option `cron_push', otherwise by the host.
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

%% @doc The device of a monitor's results, as the option `cron_push' would name it.
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
