%%% @doc Starts what is to be monitored once the host runs, without a call: `cron_processes', and what was monitored
%%% before the node ended. {@link hb_process_monitor} calls it in a process of its own when it is loaded, which a
%%% release does while it boots.
%%%
%%% It waits until the application `hb' runs and its HTTP listener is up, which has the operator's options. It loads
%%% and starts nothing before that; and nothing at all in a node without that application, if the option
%%% `cron_autostart' is false, or if there is nothing to monitor, no cluster, and the host cannot have the device, by which processes
%%% are started over HTTP. It starts the application once in the life of a node: one that was stopped stays stopped
%%% when modules are reloaded.
-module(hb_cron_autostart).

-export([run/0]).
%% For itself: such a call leaves code that was replaced.
-export([continue/1]).
%% For tests
-export([is_wanted/2]).

-include_lib("kernel/include/logger.hrl").

-define(HOST, hb).
%% The host's supervisor.
-define(HOST_SUP, hb_sup).
-define(DONE, {?MODULE, done}).
%% How often it looks, in ms: at first, and later.
-define(SOON, 100).
-define(LATER, 1000).
%% For how long it looks often, in ms.
-define(EAGER, 10000).
%% How long the host may take until it runs, and its listener until it is up, in ms.
-define(HOST_LIMIT, 600000).
-define(LISTENER_LIMIT, 60000).
%% The first and the longest pause after a start that failed, in ms.
-define(BACKOFF, {1000, 300000}).
%% How long the application controller may take to answer, in ms.
-define(ANSWER_LIMIT, 5000).
%% The depth to which the reason of a failure is logged.
-define(DEPTH, 20).

-type step() :: {host, Since :: integer()} | {listener, Since :: integer()} | {start, Tries :: pos_integer()}
              | {pause, Until :: integer(), step()}.
%% What it waits for, and since or until when, in ms of the monotonic clock.

%% @doc Waits for the host, then starts. Ends at once if another process does so, or did.
-spec run() -> ok.
run() ->
    try register(?MODULE, self()) of
        true -> continue({host, now_ms()})
    catch
        error:badarg -> ok
    end.

%% @private
-spec continue(step()) -> ok.
continue(Step) ->
    case step(Step) of
        {Ms, Next} -> receive after Ms -> ?MODULE:continue(Next) end;
        done -> ok
    end.

%% Nothing that fails here is a crash.
step(Step) ->
    try persistent_term:get(?DONE, false) orelse next(Step) of
        true -> done;
        Next -> Next
    catch
        Class:Reason ->
            log({Class, Reason}),
            done
    end.

next({host, Since}) ->
    case host() of
        started ->
            ok = load(),
            next({listener, now_ms()});
        %% That takes as long as it takes: the host may have to make a key before it listens.
        starting ->
            ok = load(),
            case hb_cron_node_message:is_listening() of
                true -> configured();
                false -> look_again({host, Since}, Since, ?HOST_LIMIT, fun() -> done end)
            end;
        known -> look_again({host, Since}, Since, ?HOST_LIMIT, fun() -> done end);
        none -> done
    end;
next({listener, Since}) ->
    %% A host without the library of listeners has none.
    case hb_cron_node_message:is_listening() orelse not hb_cron_host_calls:is_exported(ranch, info, 0) of
        true -> configured();
        false -> look_again({listener, Since}, Since, ?LISTENER_LIMIT, fun configured/0)
    end;
next({start, Tries}) ->
    start(Tries);
next({pause, Until, Next}) ->
    case Until - now_ms() of
        Left when Left > 0 -> {min(Left, ?LATER), {pause, Until, Next}};
        _ -> next(Next)
    end.

%% `starting': its supervisor is there, which is all that runs of a host without its application. `known': it may run
%% later. While a node boots, the application may not have been loaded yet, but has its file.
host() ->
    Started = try application:which_applications(?ANSWER_LIMIT)
              catch exit:_ -> []
              end,
    case {lists:keymember(?HOST, 1, Started), whereis(?HOST_SUP)} of
        {true, _} -> started;
        {false, Sup} when is_pid(Sup) -> starting;
        {false, undefined} ->
            case is_list(code:where_is_file("hb.app")) orelse application:get_key(?HOST, vsn) =/= undefined of
                true -> known;
                false -> none
            end
    end.

%% In embedded mode a call loads no module.
load() ->
    _ = erlang:module_loaded(hb_cron_loader) orelse code:load_file(hb_cron_loader),
    hb_cron_loader:ensure_loaded().

look_again(Step, Since, Limit, Else) ->
    case now_ms() - Since of
        Waited when Waited >= Limit -> Else();
        Waited when Waited >= ?EAGER -> {?LATER, Step};
        _ -> {?SOON, Step}
    end.

configured() ->
    ok = hb_cron_host_calls:detect(),
    case is_wanted(hb_cron_options:for_node(), hb_cron_device_registration:is_available()) of
        true -> next({start, 1});
        false -> done
    end.

%% @private
%% Whether the application starts with these options of scope node, on a host that can have the device or not.
-spec is_wanted(hb_cron_options:node_options(), HasDevice :: boolean()) -> boolean().
is_wanted(#{cron_autostart := false}, _HasDevice) -> false;
is_wanted(#{cron_processes := [_ | _]}, _HasDevice) -> true;
is_wanted(#{cron_cluster := Cluster}, _HasDevice) when Cluster =/= undefined -> true;
is_wanted(_Options, true) -> true;
is_wanted(#{cron_checkpoint := false}, false) -> false;
is_wanted(#{cron_checkpoint := Path}, false) -> filelib:is_regular(Path).

%% For example, another node may still have the checkpoint open.
start(Tries) ->
    try hb_cron_start:resume_all() of
        _Outcomes ->
            ok = persistent_term:put(?DONE, true),
            done
    catch
        %% A library is loaded once in the life of a node.
        error:{nif_not_loaded, Tried} ->
            log({nif_not_loaded, Tried}),
            done;
        _:Reason ->
            Pause = rand:uniform(hb_cron_retry_policy:longest_pause(Tries, ?BACKOFF)),
            _ = hb_cron_retry_policy:is_reported(Tries) andalso log({Reason, {again_in_ms, Pause}}),
            next({pause, now_ms() + Pause, {start, Tries + 1}})
    end.

%% Without the domain of the library, which OTP's logger shows only while the application runs. It may be that no other
%% module could be loaded.
log(Details) ->
    Shown = case erlang:module_loaded(hb_cron_secret) of
        true -> hb_cron_secret:redact(Details);
        false -> Details
    end,
    ?LOG_ERROR("not_autostarted ~0tP", [Shown, ?DEPTH]).

now_ms() -> erlang:monotonic_time(millisecond).
