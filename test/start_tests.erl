%%% The public interface: what start and stop take, answer and refuse.
-module(start_tests).
-include_lib("eunit/include/eunit.hrl").

all_test_() ->
    {foreach, fun harness:setup/0, fun harness:cleanup/1,
     [{with, [T]} || T <- [
        fun started_monitor_pushes_results/1
     ]]}.

started_monitor_pushes_results(Cu) ->
    ProcId = harness:proc_id(),
    harness:sink(ProcId),
    test_cu:add(Cu, ProcId, 3),
    {Monitor, Logger} = harness:start(Cu, ProcId, #{cursor => earliest}),
    ?assert(is_pid(Monitor)),
    ?assert(is_pid(Logger)),
    Monitor ! tick,
    harness:results(1, 3),
    ?assertEqual(stop, hb_process_monitor:stop(Monitor)).
