%%% @doc Registers the device `process-monitor@1.0' with the host's HTTP listener, and again after the listener was
%%% restarted. The host has a list of devices in the listener's node message; our entry comes first. Everything else in
%%% the node message stays. A host that packages its devices has no such list, and an early one no node message.
-module(hb_cron_device_registration).
-behaviour(gen_server).

-import(hb_cron_host_calls, [call/3, is_exported/3]).

-export([start_link/0, check/0, retire/0, is_available/0]).
-export([init/1, handle_call/3, handle_cast/2, handle_info/2]).

%% The time between two checks, in ms.
-define(CHECK_MS, 2000).
-define(NAME, <<"process-monitor@1.0">>).
-define(MODULE_OF_DEVICE, dev_process_monitor).
%% How often another change of the node message may come in between.
-define(TRIES, 10).

-record(state, {
    %% Whether the host can have the device.
    available :: boolean(),
    %% What was logged last.
    logged = none :: term()
}).

-type outcome() :: registered | {registered, hb_cron_node_message:listener()} | no_listener
                 | {not_registered, Reason :: atom()}.

-spec start_link() -> gen_server:start_ret().
start_link() ->
    gen_server:start_link({local, ?MODULE}, ?MODULE, [], []).

%% @doc Checks now.
-spec check() -> ok.
check() -> gen_server:call(?MODULE, check, infinity).

%% @doc The application has ended in any way: removes the device. Called by the application, since this process may have
%% been killed with the tree.
-spec retire() -> ok.
retire() ->
    _ = is_available() andalso change(fun without/1, ?TRIES),
    ok.

%% @private
-spec init([]) -> {ok, #state{}}.
init([]) ->
    State = #state{available = is_available()},
    self() ! check,
    {ok, State}.

%% @doc Whether the host can have the device. The second call is of a host that packages its devices.
-spec is_available() -> boolean().
is_available() ->
    is_exported(hb_http_server, set_opts, 1) andalso not is_exported(hb_device_load, reference, 2).

%% @private
-spec handle_call(term(), gen_server:from(), #state{}) -> {reply, ok | {error, unknown_call}, #state{}}.
handle_call(check, _From, State) ->
    {reply, ok, register_device(State)};
handle_call(_Call, _From, State) ->
    {reply, {error, unknown_call}, State}.

%% @private
-spec handle_cast(term(), #state{}) -> {noreply, #state{}}.
handle_cast(_Cast, State) ->
    {noreply, State}.

%% @private
-spec handle_info(term(), #state{}) -> {noreply, #state{}}.
handle_info(check, #state{available = true} = State) ->
    _ = erlang:send_after(?CHECK_MS, self(), check),
    {noreply, register_device(State)};
handle_info(_Stray, State) ->
    {noreply, State}.

register_device(#state{available = false} = State) ->
    State;
register_device(State) ->
    case change(fun with/1, ?TRIES) of
        registered -> State#state{logged = none};
        no_listener -> State;
        {registered, Listener} -> logged({ok, device_registered, {?NAME, Listener}}, State);
        {not_registered, Reason} -> logged({error, device_not_registered, {?NAME, Reason}}, State)
    end.

logged(Entry, #state{logged = Entry} = State) ->
    State;
logged(Entry, State) ->
    ok = hb_cron_host_logger:log(undefined, Entry),
    State#state{logged = Entry}.

%% Changes the list of devices. The host has no atomic change: the node message is compared with what was read right
%% before it is replaced.
-spec change(fun(([term()]) -> same | taken | [term()]), Tries :: non_neg_integer()) -> outcome().
change(_Change, 0) ->
    {not_registered, node_message_changes};
change(Change, Tries) ->
    case hb_cron_node_message:find() of
        {ok, Listener, #{preloaded_devices := [_ | _] = Devices} = Options} when length(Devices) > 0 ->
            case Change(Devices) of
                same -> registered;
                taken -> {not_registered, name_is_taken};
                Changed -> replace(Listener, Options, Options#{preloaded_devices := Changed}, Change, Tries)
            end;
        {ok, _Listener, _Options} ->
            {not_registered, no_list_of_devices};
        none ->
            no_listener
    end.

replace(Listener, Read, New, Change, Tries) ->
    case hb_cron_node_message:find() of
        {ok, Listener, Read} ->
            try call(hb_http_server, set_opts, [New]) of
                _ -> confirm(Listener, New)
            catch
                _:_ -> {not_registered, not_accepted}
            end;
        _ ->
            change(Change, Tries - 1)
    end.

confirm(Listener, #{preloaded_devices := Devices}) ->
    case hb_cron_node_message:find() of
        {ok, Listener, #{preloaded_devices := Devices}} -> {registered, Listener};
        _ -> {not_registered, not_accepted}
    end.

with(Devices) ->
    case [Module || #{<<"name">> := ?NAME, <<"module">> := Module} <- Devices] of
        [] -> [#{<<"name">> => ?NAME, <<"module">> => ?MODULE_OF_DEVICE} | Devices];
        [?MODULE_OF_DEVICE | _] -> same;
        [_ | _] -> taken
    end.

without(Devices) ->
    case [Device || Device <- Devices, not is_ours(Device)] of
        Devices -> same;
        Others -> Others
    end.

is_ours(#{<<"name">> := ?NAME, <<"module">> := ?MODULE_OF_DEVICE}) -> true;
is_ours(_Device) -> false.
