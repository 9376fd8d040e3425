%%% How many threads and connections fetches take, whatever dies meanwhile.
-module(fetch_threads_tests).
-include_lib("eunit/include/eunit.hrl").

eunit_wrapper_(Tests) -> deadline:each(Tests).

-define(INFLIGHT, 8).
-define(KILLS, 8).

all_test_() ->
    {setup, fun() -> harness:setup(#{cron_max_inflight => ?INFLIGHT}) end, fun harness:cleanup/1, fun(Cu) ->
        [{timeout, 300, {"tickers_killed_while_a_cu_hangs_leave_no_threads_behind",
            fun() -> tickers_killed_while_a_cu_hangs_leave_no_threads_behind(Cu) end}}]
    end}.

tickers_killed_while_a_cu_hangs_leave_no_threads_behind(Cu) ->
    %% Threads of earlier tests end when they are idle for long enough.
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
        %% Those of the next one.
        asked(Cu),
        ?assertEqual({Kill, ?INFLIGHT}, {Kill, fetch_threads()})
     end || Kill <- lists:seq(1, ?KILLS)],
    %% The CU is in this node, too, and closes what its peer has closed when it sees that.
    harness:eventually(fun() -> maps:get(fds, os_node:status(self)) =< Fds + ?INFLIGHT end),
    %% And all go on.
    test_cu:script(Cu, fun(_) -> pass end),
    [Id | _] = Ids,
    harness:sink(Id),
    test_cu:add(Cu, Id, 3),
    killed = harness:kill(whereis(hb_cron_engine)),
    harness:results(1, 3),
    [ok = hb_process_monitor:stop(Monitor, 20000) || Monitor <- Monitors],
    ok.

%% Waits until as many fetches wait for the CU as may.
asked(Cu) ->
    harness:eventually(fun() -> length(test_cu:requests(Cu)) >= ?INFLIGHT end).

fetch_threads() ->
    length([Name || "hb_cron_fetch" = Name <- os_node:threads(self)]).
