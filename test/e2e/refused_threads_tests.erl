%%% The system refuses threads for a while, as at a limit of processes. Each thread of the library is requested
%%% again, and everything works once threads are granted, without a restart. test/support/refuse_threads.c is
%%% preloaded in the node and refuses its threads.
-module(refused_threads_tests).
-include_lib("eunit/include/eunit.hrl").
%% Runs in the separate node.
-export([main/1]).

%% How long all cases may take, in ms. Only a failure takes this long.
-define(LIMIT, 200000).
-define(VARIABLE, "REFUSE_THREADS").

eunit_wrapper_(Tests) -> deadline:each(Tests).

thread_refused_is_asked_for_again_test_() ->
    {timeout, 300, fun() ->
        ?assertEqual([{Case, ok} || Case <- cases()],
                     preloaded_node:run(?MODULE, "refuse_threads.c", ?VARIABLE, ?LIMIT))
    end}.

cases() -> [outbox_and_fetch, name, probe, fetch_beside_one_that_hangs, checkpoint].

main([Port]) ->
    preloaded_node:main(Port, cases(), fun() ->
        Cu = harness:setup(#{cron_checkpoint => false}),
        {fun(Case) -> try run(Case, Cu) after allow() end end, fun() -> harness:cleanup(Cu) end}
    end).

%% This case comes first, while there is no thread yet.
run(outbox_and_fetch, Cu) ->
    {Id, Monitor, Logger} = refused(Cu, #{}, fun() ->
        harness:eventually(fun() -> maps:get(failures, hb_cron_engine:counters()) > 0 end),
        [] = [Name || "hb_cron" ++ _ = Name <- os_node:threads(self)]
    end),
    %% The outbox sends its backlog by itself.
    has_failed(Logger, internal, <<"no thread for a fetch">>),
    works(Monitor),
    #{state := State} = hb_process_monitor:info(Id),
    true = State =/= unknown,
    ok;
run(name, Cu) ->
    {_, _, _} = with_a_thread_to_fetch(Cu),
    Url = iolist_to_binary(["http://localhost:", integer_to_list(maps:get(port, Cu))]),
    {_, Monitor, Logger} = refused(Cu, #{cron_node => Url}, fun no_more/0),
    has_failed(Logger, connect, <<"cannot start a thread for name resolution">>),
    works(Monitor);
run(fetch_beside_one_that_hangs, Cu) ->
    {Id, Hanging, _} = with_a_thread_to_fetch(Cu),
    test_cu:forget_requests(Cu),
    test_cu:script(Cu, fun(#{process := Process}) when Process =:= Id -> hang; (_) -> pass end),
    Hanging ! tick,
    harness:eventually(fun() -> test_cu:requests(Cu, Id) =/= [] end),
    %% Idle threads end.
    harness:eventually(fun() -> length([fetch || "hb_cron_fetch" <- os_node:threads(self)]) =:= 1 end),
    {_, _, _} = refused(Cu, #{}, fun no_more/0),
    %% No other fetch begins meanwhile, and the first one still hangs.
    harness:await_results(1, 2),
    test_cu:script(Cu, fun(_) -> pass end),
    ok;
run(probe, Cu) ->
    {Id, _, _} = with_a_thread_to_fetch(Cu),
    refuse(),
    #{cu := {not_asked, _}} = hb_process_monitor:doctor(#{process => Id}),
    true = refusals() > 0,
    allow(),
    #{cu := [#{answer := {ok, _}}]} = hb_process_monitor:doctor(#{process => Id}),
    ok;
run(checkpoint, Cu) ->
    ok = application:stop(hb_process_monitor),
    harness:host(#{}),
    refuse(),
    Id = harness:proc_id(),
    ok = try harness:start(Cu, Id, #{})
    catch error:{checkpoint_unavailable, _, Why} ->
        {_, _} = binary:match(Why, <<"cannot start its writer thread">>),
        ok
    end,
    true = refusals() > 0,
    allow(),
    {Monitor, _} = harness:start_and_push(Cu, Id, 3),
    hb_process_monitor:stop(Monitor, 20000).

%% Starts a monitor with two results while threads are refused. `Seen' returns when enough refusals have happened.
refused(Cu, Options, Seen) ->
    Id = harness:proc_id(),
    harness:report_pushes(Id),
    test_cu:add(Cu, Id, 2),
    refuse(),
    {Monitor, Logger} = harness:start(Cu, Id, Options#{cursor => earliest}),
    Monitor ! tick,
    harness:eventually(fun() -> refusals() > 0 end),
    Seen(),
    allow(),
    {Id, Monitor, Logger}.

no_more() -> ok.

%% A monitor that has just fetched, on a thread that is now idle.
with_a_thread_to_fetch(Cu) ->
    Id = harness:proc_id(),
    {Monitor, Logger} = harness:start_and_push(Cu, Id, 1),
    harness:await_polled(Cu, Id),
    {Id, Monitor, Logger}.

has_failed(Logger, Class, Words) ->
    harness:await_logged(Logger, fun({error, Logged, {_, Text, _}}) ->
        Logged =:= Class andalso binary:match(Text, Words) =/= nomatch
    end).

works(Monitor) ->
    Monitor ! tick,
    harness:await_results(1, 2).

refuse() -> ok = file:write_file(control(), <<>>).

allow() -> preloaded_node:allow(?VARIABLE).

%% How many threads have been refused.
refusals() -> filelib:file_size(control()).

control() -> preloaded_node:control(?VARIABLE).
