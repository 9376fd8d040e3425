%%% Many starts at once: the outcome of each entry, what else happens to the same processes meanwhile, and what is
%%% started again after the tree, the engine or the node died.
-module(start_all_tests).
-include_lib("eunit/include/eunit.hrl").

%% Called in another node.
-export([start_until_killed/2]).
%% A handler of OTP's logger.
-export([log/2]).

-define(M, hb_process_monitor).
%% More than are starting at once, and more than are read at once.
-define(MANY, 1200).

eunit_wrapper_(Tests) -> deadline:each(Tests).

all_test_() ->
    harness:tests([
        fun outcomes_come_in_the_order_of_the_entries/1,
        fun entry_that_is_invalid_is_its_own_outcome/1,
        fun process_named_twice_is_started_by_the_first_entry/1,
        fun process_named_twice_has_the_first_valid_options/1,
        fun no_entry_is_no_outcome/1,
        fun list_that_is_improper_starts_nothing/1,
        fun messages_of_the_caller_stay_in_its_mailbox/1,
        fun each_process_gets_the_options_of_its_entry/1,
        fun monitors_without_a_logger_get_one_each/1,
        fun started_processes_push_their_results/1,
        fun started_monitors_are_children_of_the_tree/1,
        fun starts_one_by_one_meanwhile_make_one_monitor_each/1,
        fun two_lists_at_once_make_one_monitor_each/1,
        fun monitor_that_crashed_before_is_replaced_by_the_start/1,
        fun configured_processes_start_together/1
    ]).

crash_test_() ->
    harness:tests_with_crashes([
        fun tree_that_dies_meanwhile_is_the_outcome_of_the_rest/1,
        fun monitor_that_is_killed_while_it_starts_is_restarted/1,
        fun tree_that_died_starts_all_again/1,
        fun monitors_of_a_tree_that_died_are_not_reported/1,
        fun engine_that_died_gets_all_monitors_again/1,
        fun node_killed_meanwhile_resumes_what_was_durable/1
    ]).

ids(Count) -> [harness:proc_id() || _ <- lists:seq(1, Count)].

%% Tests send their own ticks.
options(Cu) -> options(Cu, #{}).

options(Cu, More) -> maps:merge(#{rate => 3600000, cron_node => test_cu:url(Cu), cursor => earliest}, More).

all_run(Ids) -> lists:all(fun(Id) -> hb_cron_registry:find(Id) =/= none end, Ids).

outcomes_come_in_the_order_of_the_entries(Cu) ->
    harness:host(#{cron_node => test_cu:url(Cu)}),
    Ids = ids(?MANY),
    Outcomes = ?M:start_all(Ids),
    ?assertEqual(?MANY, length(Outcomes)),
    lists:foreach(fun({Id, {started, {Monitor, Logger}}}) ->
        ?assertMatch({ok, {Monitor, Logger, _}}, hb_cron_registry:find(Id))
    end, lists:zip(Ids, Outcomes)),
    ?assertEqual([{already_monitored, Started} || {started, Started} <- Outcomes], ?M:start_all(Ids)).

entry_that_is_invalid_is_its_own_outcome(Cu) ->
    Node = test_cu:url(Cu),
    [A, B, C, D, E, F] = ids(6),
    Raw = base64:decode(<< <<(case Ch of $- -> $+; $_ -> $/; _ -> Ch end)>> || <<Ch>> <= <<F/binary, "=">> >>),
    Secret = <<"http://user:secret@host/?q=1">>,
    ?assertMatch([
        {started, {_, _}}, {error, {bad_process_id, <<"short">>}}, {error, {bad_rate, 0}},
        {error, {bad_option, no_such_option, 1}}, {error, {bad_entry, {B, 1000}}}, {error, {bad_entry, {a, b}}},
        {error, {bad_process_id, {a, b, c}}}, {error, {bad_cursor, latest}},
        {error, {bad_option, cron_node, <<"http://***@host/?q=1">>}}, {started, {_, _}}, {started, {_, _}}
    ], ?M:start_all([
        {A, options(Cu)}, <<"short">>, {B, #{rate => 0, cron_node => Node}}, {C, #{no_such_option => 1}}, {B, 1000}, {a, b},
        {a, b, c}, {D, options(Cu, #{cursor => latest})}, {E, #{cron_node => Secret}},
        {binary_to_list(E), options(Cu)}, {Raw, options(Cu)}
    ])),
    ?assertEqual(lists:sort([A, E, F]), lists:sort([Id || #{process := Id} <- ?M:list()])).

process_named_twice_is_started_by_the_first_entry(Cu) ->
    [One, Other] = ids(2),
    Entry = fun(Id, Rate) -> {Id, options(Cu, #{rate => Rate})} end,
    [{started, Started}, {started, _}, {already_monitored, Started}, {already_monitored, Started}] =
        ?M:start_all([Entry(One, 1000000), Entry(Other, 1000000), Entry(One, 2000000), Entry(binary_to_list(One), 3000000)]),
    ?assertMatch({ok, {_, _, #{rate := 1000000}}}, hb_cron_registry:find(One)).

process_named_twice_has_the_first_valid_options(Cu) ->
    [One] = ids(1),
    ?assertMatch([{error, {bad_rate, 0}}, {started, S}, {already_monitored, S}],
                 ?M:start_all([{One, #{rate => 0}}, {One, options(Cu, #{rate => 2000000})}, {One, options(Cu)}])),
    ?assertMatch({ok, {_, _, #{rate := 2000000}}}, hb_cron_registry:find(One)).

no_entry_is_no_outcome(_Cu) ->
    ?assertEqual([], ?M:start_all([])).

list_that_is_improper_starts_nothing(Cu) ->
    [One] = ids(1),
    ?assertError(_, ?M:start_all([{One, options(Cu)} | improper])),
    ?assertError(_, ?M:start_all(One)),
    ?assertEqual([], ?M:list()).

messages_of_the_caller_stay_in_its_mailbox(Cu) ->
    [self() ! {waiting, N} || N <- lists:seq(1, 1000)],
    [{started, _}, {started, _}] = ?M:start_all([{Id, options(Cu)} || Id <- ids(2)]),
    [receive {waiting, N} -> ok after 0 -> error(lost) end || N <- lists:seq(1, 1000)],
    ?assertEqual({messages, []}, process_info(self(), messages)).

%% More kinds than are remembered while a list is read.
each_process_gets_the_options_of_its_entry(Cu) ->
    Entries = [{Id, options(Cu, #{rate => 1000000 + N rem 40, cron_page_limit => 1 + N rem 7})}
               || {N, Id} <- lists:zip(lists:seq(1, 200), ids(200))],
    _ = ?M:start_all(Entries),
    lists:foreach(fun({Id, #{rate := Rate, cron_page_limit := Limit}}) ->
        {ok, {_, _, #{rate := Rate} = Options}} = hb_cron_registry:find(Id),
        ?assertMatch(#{cron_page_limit := Limit}, hb_cron_options:settings(Options))
    end, Entries).

monitors_without_a_logger_get_one_each(Cu) ->
    Own = spawn_link(fun() -> receive stop -> ok end end),
    Outcomes = ?M:start_all([{Id, options(Cu)} || Id <- ids(20)] ++ [{Id, options(Cu, #{logger => Own})} || Id <- ids(20)]),
    Loggers = [Logger || {started, {_, Logger}} <- Outcomes],
    ?assertEqual(21, length(lists:usort(Loggers))),
    Ticker = whereis(hb_cron_engine),
    lists:foreach(fun({started, {Monitor, Logger}}) ->
        harness:eventually(fun() -> [] =:= [Monitor, Ticker] -- [Pid || {ok, registered, Pid} <- harness:report(Logger)] end)
    end, lists:sublist(Outcomes, 20)),
    unlink(Own).

started_processes_push_their_results(Cu) ->
    [One, Other] = Ids = ids(2),
    harness:report_pushes(One),
    harness:report_pushes(Other),
    [test_cu:add(Cu, Id, 3) || Id <- Ids],
    [{started, {First, _}}, {started, {Second, _}}] = ?M:start_all([{Id, options(Cu)} || Id <- Ids]),
    First ! tick,
    harness:await_results(1, 3),
    Second ! tick,
    harness:await_results(1, 3).

started_monitors_are_children_of_the_tree(Cu) ->
    Pids = [Monitor || {started, {Monitor, _}} <- ?M:start_all([{Id, options(Cu)} || Id <- ids(100)])],
    ?assertEqual(lists:sort(Pids), lists:sort([Pid || {_, Pid, worker, _} <- supervisor:which_children(hb_cron_monitors_sup)])),
    Refs = [monitor(process, Pid) || Pid <- Pids],
    ok = application:stop(hb_process_monitor),
    [receive {'DOWN', Ref, process, _, shutdown} -> ok end || Ref <- Refs].

starts_one_by_one_meanwhile_make_one_monitor_each(Cu) ->
    Ids = ids(?MANY),
    Self = self(),
    Options = options(Cu),
    Singles = [spawn_link(fun() -> Self ! {self(), [?M:start(Id, Options) || Id <- Order]} end)
               || Order <- [Ids, lists:reverse(Ids)]],
    Outcomes = [Started || {_, Started} <- ?M:start_all([{Id, Options} || Id <- Ids])],
    [Forward, Backward] = [receive {Single, Started} -> Started end || Single <- Singles],
    ?assertEqual(Outcomes, Forward),
    ?assertEqual(Outcomes, lists:reverse(Backward)),
    ?assertEqual(?MANY, length(?M:list())).

two_lists_at_once_make_one_monitor_each(Cu) ->
    Ids = ids(?MANY),
    Self = self(),
    Lists = [spawn_link(fun() -> Self ! {self(), ?M:start_all([{Id, options(Cu)} || Id <- Ids])} end) || _ <- "ab"],
    [One, Other] = [receive {List, Outcomes} -> Outcomes end || List <- Lists],
    lists:foreach(fun({{Is, Started}, {IsToo, StartedToo}}) ->
        ?assertEqual(Started, StartedToo),
        ?assertEqual([already_monitored, started], lists:sort([Is, IsToo]))
    end, lists:zip(One, Other)).

monitor_that_crashed_before_is_replaced_by_the_start(Cu) ->
    [Id] = ids(1),
    [{started, {Monitor, _}}] = ?M:start_all([{Id, options(Cu)}]),
    ok = sys:suspend(hb_cron_monitors_sup),
    killed = harness:kill(Monitor),
    harness:eventually(fun() -> hb_cron_restarts:is_planned(Id) end),
    ok = sys:resume(hb_cron_monitors_sup),
    ?assertMatch([{_, {_, _}}], ?M:start_all([{Id, options(Cu)}])),
    harness:eventually(fun() -> hb_cron_restarts:all() =:= [] end),
    ?assertMatch([#{process := Id}], ?M:list()).

configured_processes_start_together(Cu) ->
    Ids = ids(?MANY),
    Entries = [{Id, #{rate => 3600000}} || Id <- Ids],
    harness:host(#{cron_node => test_cu:url(Cu), cron_processes => Entries ++ [not_an_id | Entries]}),
    {ok, _} = application:ensure_all_started(hb_process_monitor),
    harness:eventually(fun() -> all_run(Ids) end),
    ?assertEqual(?MANY, length(?M:list())).

%% Crashes

tree_that_dies_meanwhile_is_the_outcome_of_the_rest(Cu) ->
    {ok, _} = application:ensure_all_started(hb_process_monitor),
    Ids = ids(?MANY),
    Self = self(),
    %% Its start waits, and the tree dies.
    ok = sys:suspend(hb_cron_monitors_sup),
    Caller = spawn_link(fun() -> Self ! {self(), ?M:start_all([{Id, options(Cu)} || Id <- Ids])} end),
    Sup = whereis(hb_cron_monitors_sup),
    harness:eventually(fun() -> process_info(Sup, message_queue_len) =/= {message_queue_len, 0} end),
    _ = harness:kill(whereis(hb_cron_sup)),
    Outcomes = receive {Caller, All} -> All end,
    ?assertEqual(?MANY, length(Outcomes)),
    ?assertEqual([], [Other || Other <- Outcomes, case Other of {error, {not_started, _}} -> false; _ -> true end]).

monitor_that_is_killed_while_it_starts_is_restarted(Cu) ->
    [Id] = ids(1),
    {ok, _} = application:ensure_all_started(hb_process_monitor),
    Self = self(),
    %% The monitor waits for its settings, which no function of the host can do; so it is killed as soon as it has its place.
    Killer = spawn_link(fun Kill() ->
        case hb_cron_registry:listing_of(Id) of
            [{_, Monitor}] -> exit(Monitor, kill), Self ! {killed, Monitor};
            [] -> Kill()
        end
    end),
    [Outcome] = ?M:start_all([{Id, options(Cu)}]),
    Killed = receive {killed, Monitor} -> Monitor end,
    unlink(Killer),
    case Outcome of
        {started, {Pid, _}} -> ?assertEqual(Killed, Pid);
        {error, {not_started, killed}} -> ok
    end,
    harness:eventually(fun() -> hb_cron_registry:find(Id) =/= none end),
    {ok, {Restarted, _, _}} = hb_cron_registry:find(Id),
    ?assertNotEqual(Killed, Restarted).

tree_that_died_starts_all_again(Cu) ->
    Ids = ids(?MANY),
    _ = ?M:start_all([{Id, options(Cu)} || Id <- Ids]),
    _ = harness:kill(whereis(hb_cron_sup)),
    harness:eventually(fun() ->
        _ = application:ensure_all_started(hb_process_monitor),
        whereis(hb_cron_monitors_sup) =/= undefined andalso all_run(Ids)
    end).

%% OTP's reports of so many monitors would take longer than everything else.
monitors_of_a_tree_that_died_are_not_reported(Cu) ->
    Monitors = [Monitor || {started, {Monitor, _}} <- ?M:start_all([{Id, options(Cu)} || Id <- ids(20)])],
    Refs = [monitor(process, Monitor) || Monitor <- Monitors],
    ok = logger:add_handler(?MODULE, ?MODULE, #{config => #{test => self(), monitors => Monitors}}),
    %% Not stopped: its supervisor ends them in the usual way then.
    _ = harness:kill(whereis(hb_cron_monitors_sup)),
    [receive {'DOWN', Ref, process, _, killed} -> ok end || Ref <- Refs],
    ok = logger:remove_handler(?MODULE),
    ?assertEqual({messages, []}, process_info(self(), messages)).

log(#{meta := #{pid := Pid}, msg := {report, #{label := Label}}}, #{config := #{test := Test, monitors := Monitors}}) ->
    _ = lists:member(Pid, Monitors) andalso (Test ! {reported, Pid, Label}),
    ok;
log(_Event, _Config) ->
    ok.

engine_that_died_gets_all_monitors_again(Cu) ->
    Ids = ids(?MANY),
    _ = ?M:start_all([{Id, options(Cu)} || Id <- Ids]),
    {ok, _, Ticker} = hb_cron_registry:engine(),
    killed = harness:kill(Ticker),
    harness:eventually(fun() ->
        case hb_cron_registry:engine() of
            {ok, _, Ticker} -> false;
            _ -> maps:get(monitors, hb_cron_engine:counters()) =:= ?MANY
        end
    end).

%% What is durable when the node dies is resumed, also of a list of which the rest has not been started.
node_killed_meanwhile_resumes_what_was_durable(Cu) ->
    Ids = ids(?MANY),
    Peer = harness:start_peer(["-pa" | code:get_path()]),
    Os = harness:call_peer(Peer, os, getpid, []),
    ok = harness:call_peer(Peer, hb_opts, set, [#{cron_checkpoint => harness:checkpoint(), cron_node => test_cu:url(Cu)}]),
    File = harness:checkpoint() ++ ".started",
    _ = harness:call_peer(Peer, erlang, spawn, [?MODULE, start_until_killed, [Ids, File]]),
    Started = fun() ->
        case file:consult(File) of {ok, Lists} -> lists:append(Lists); _ -> [] end
    end,
    harness:eventually(fun() -> length(Started()) >= 300 end),
    _ = os:cmd("kill -9 " ++ Os),
    harness:eventually(fun() -> os:cmd("kill -0 " ++ Os) =/= "" end),
    Durable = Started(),
    harness:host(#{cron_node => test_cu:url(Cu)}),
    Resumed = ?M:resume_all(),
    ?assertEqual([], Durable -- [Id || {Id, {_, _}} <- Resumed]),
    ?assert(all_run(Durable)),
    try peer:stop(Peer) catch _:_ -> ok end.

%% Notes which starts are durable, and goes on for ever.
start_until_killed(Ids, File) ->
    {ok, _} = application:ensure_all_started(hb_process_monitor),
    {ok, Engine, _} = hb_cron_registry:engine(),
    {ok, Journal} = file:open(File, [append, raw]),
    start_parts(Ids, Engine, Journal).

start_parts([], Engine, Journal) ->
    start_parts([harness:proc_id() || _ <- lists:seq(1, 1000)], Engine, Journal);
start_parts(Ids, Engine, Journal) ->
    {Some, Rest} = lists:split(min(100, length(Ids)), Ids),
    Outcomes = ?M:start_all([{Id, #{rate => 3600000, cursor => earliest}} || Id <- Some]),
    ok = hb_cron_checkpoint:flush(Engine, infinity),
    ok = file:write(Journal, io_lib:format("~0p.~n", [[Id || {Id, {started, _}} <- lists:zip(Some, Outcomes)]])),
    start_parts(Rest, Engine, Journal).
