%%% @doc Starts and stops the monitors of those that may do so over HTTP: the operator of the node, and addresses that have
%%% access, each with its own processes. The device ({@link hb_cron_device}) and the listener ({@link hb_cron_listener_web})
%%% decide by the signer of a request which of them it is.
%%%
%%% `Claim' uses the request up. It is called once nothing speaks against the request any more, right before it takes
%%% effect, and throws a refusal if the request was used before.
-module(hb_cron_device_monitors).

-import(hb_cron_device_access, [refuse/2]).

-export([start/4, stop/2, may_concern/2]).

-type claim() :: fun(() -> ok).

%% How long a stop may take, in ms. It continues after that.
-define(PATIENCE, 5000).

%% @doc Starts a process, with options that are checked already. Returns whether it was not monitored before. Throws a
%% refusal, {@link hb_cron_device_access:refusal()}.
-spec start(ProcId :: binary(), Options :: map(), operator | {address, binary()}, claim()) -> IsNew :: boolean().
start(ProcId, Options, operator, Claim) ->
    start(ProcId, Options, Claim);
start(ProcId, Options, {address, Address}, Claim) ->
    %% One at a time, so that the limit holds.
    Start = fun() -> start_owned(ProcId, Options, Address, Claim) end,
    global:trans({{?MODULE, Address}, self()}, Start, [node()]).

start_owned(ProcId, Options, Address, Claim) ->
    #{cron_monitors_max := Most} = hb_cron_registry:node_options(),
    case hb_cron_device_owner:of_process(ProcId) of
        {ok, Address} -> ok;
        {ok, _} -> refuse(403, [<<"The process is monitored for another address.">>]);
        none ->
            length(hb_cron_device_owner:all(Address)) < Most orelse
                refuse(429, [<<"The address has as many processes as it may: ">>, integer_to_binary(Most), <<".">>])
    end,
    start(ProcId, Options#{cron_owner => Address}, Claim).

start(ProcId, Options, Claim) ->
    IsNew = hb_cron_registry:find(ProcId) =:= none,
    ok = Claim(),
    try hb_process_monitor:start(ProcId, Options) of
        {_Monitor, _Logger} -> IsNew
    catch
        error:{bad_option, Option, _} -> refuse(400, [<<"Invalid value of `">>, atom_to_binary(Option), <<"`.">>]);
        error:{bad_rate, _} -> refuse(400, [<<"Invalid value of `rate`.">>]);
        error:{bad_cursor, _} -> refuse(400, [<<"Invalid value of `cursor`.">>])
    end.

%% @doc Stops a process. `waiting': it has not ended yet. Throws a refusal.
-spec stop(ProcId :: binary(), claim()) -> ok | waiting | {error, not_monitored}.
stop(ProcId, Claim) ->
    ok = Claim(),
    case hb_process_monitor:stop(ProcId, ?PATIENCE) of
        {error, timeout} -> waiting;
        {error, not_durable} -> refuse(503, [<<"It has ended, but the checkpoint cannot be written at present.">>]);
        Outcome -> Outcome
    end.

%% @doc Whether a request may concern a process: the operator's any process, an address's its own. Throws a refusal.
-spec may_concern(ProcId :: binary(), hb_cron_device_access:role()) -> ok.
may_concern(ProcId, {address, Address}) ->
    hb_cron_device_owner:of_process(ProcId) =:= {ok, Address} orelse
        refuse(403, [<<"The address did not start this process.">>]),
    ok;
may_concern(_ProcId, _Role) ->
    ok.
