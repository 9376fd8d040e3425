%%% The number of threads and connections for fetches, whatever processes die.
-module(fetch_threads_tests).
-include_lib("eunit/include/eunit.hrl").

eunit_wrapper_(Tests) -> deadline:each(Tests).

-define(INFLIGHT, 8).
-define(KILLS, 8).

all_test_() ->
    {setup, fun() -> harness:setup(#{cron_max_inflight => ?INFLIGHT}) end, fun harness:cleanup/1, fun(Cu) ->
        [{timeout, 300, {"engines_killed_while_a_cu_hangs_leave_no_threads_behind",
            fun() -> engines_killed_while_a_cu_hangs_leave_no_threads_behind(Cu) end}}]
    end}.

engines_killed_while_a_cu_hangs_leave_no_threads_behind(Cu) ->
    %% Threads of earlier tests end after some idle time.
    harness:eventually(fun() -> fetch_threads() =:= 0 end),
    test_cu:script(Cu, fun(_) -> hang end),
    Ids = [harness:proc_id() || _ <- lists:seq(1, 2 * ?INFLIGHT)],
    Monitors = [element(1, harness:start(Cu, Id, #{rate => 100, cursor => earliest})) || Id <- Ids],
    asked(Cu),
    #{fds := Fds} = os_node:status(self),
    ?assertEqual(?INFLIGHT, fetch_threads()),
    [begin
        Ticker = whereis(hb_cron_engine),
        test_cu:forget_requests(Cu),
        killed = harness:kill(Ticker),
        %% The threads of the next engine.
        asked(Cu),
        ?assertEqual({Kill, ?INFLIGHT}, {Kill, fetch_threads()})
     end || Kill <- lists:seq(1, ?KILLS)],
    %% The CU runs in this node, and closes a connection when it notices that the peer has closed it.
    harness:eventually(fun() -> maps:get(fds, os_node:status(self)) =< Fds + ?INFLIGHT end),
    %% All monitors continue.
    test_cu:script(Cu, fun(_) -> pass end),
    [Id | _] = Ids,
    harness:report_pushes(Id),
    test_cu:add(Cu, Id, 3),
    killed = harness:kill(whereis(hb_cron_engine)),
    harness:await_results(1, 3),
    [ok = hb_process_monitor:stop(Monitor, 20000) || Monitor <- Monitors],
    ok.

%% Waits until the maximum number of fetches wait for the CU.
asked(Cu) ->
    harness:eventually(fun() -> length(test_cu:requests(Cu)) >= ?INFLIGHT end).

fetch_threads() ->
    length([Name || "hb_cron_fetch" = Name <- os_node:threads(self)]).
