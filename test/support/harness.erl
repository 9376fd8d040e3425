%%% Shared helpers of the end-to-end tests: a host of doubles around the real application, a scripted CU, process ids,
%%% and waiting for events with a deadline.
-module(harness).

%% Fixtures
-export([tests/1, tests_with_crashes/1, setup/0, setup/1, cleanup/1, host/1, checkpoint/0]).
%% Monitors
-export([proc_id/0, start/3, start_and_push/3, start_and_push/4, await_monitor_after/2, await_state/2, kill/1]).
%% Results and pushes
-export([report_pushes/1, report_pushes/2, fail_pushes/2, number/1, await_results/2, no_result/0]).
-export([hold_pushes/1, await_push/2, no_push_held/1, release_push/1]).
%% Requests to the CU
-export([await_polled/2, not_polled/3, hold_requests/1, await_request/2, no_request_held/1]).
-export([release_request/2, release_request/3]).
%% The log and other events
-export([report/1, await_logged/2, await_start_cursor/2, eventually/1]).
%% Modules, nodes and files
-export([load_router/1, unload_router/0, compile_module/2, unload/1, start_peer/1, call_peer/4, checkout/1]).

%% How long an event may take, in ms. Only a failure takes this long.
-define(DEADLINE, deadline:ms()).

%% Runs each test with a CU, and hides the crash reports that the harness expects.
tests(Tests) ->
    {foreach, fun setup/0, fun cleanup/1, [{with, [Test]} || Test <- Tests]}.

%% The same for tests that crash processes on purpose: hides all reports.
tests_with_crashes(Tests) ->
    {foreach, fun setup_without_reports/0, fun cleanup_with_reports/1, [{with, [Test]} || Test <- Tests]}.

setup_without_reports() ->
    ok = logger:set_handler_config(default, level, none),
    setup().

cleanup_with_reports(Cu) ->
    cleanup(Cu),
    ok = logger:set_handler_config(default, level, all).

setup() -> setup(#{}).

setup(HostOptions) ->
    hide_expected_reports(),
    host(HostOptions),
    dev_mu:create(),
    test_cu:start().

%% Sets the host's options. By default each test has its own checkpoint, and a failed push is tried again only at a
%% tick of the test and never given up.
host(Options) ->
    Dir = case persistent_term:get({?MODULE, dir}, none) of
        none -> string:trim(os:cmd("mktemp -d"));
        Known -> Known
    end,
    persistent_term:put({?MODULE, dir}, Dir),
    hb_opts:set(maps:merge(#{cron_checkpoint => checkpoint(), cron_push_attempts => infinity,
                            cron_push_backoff => {1 bsl 31, 1 bsl 31}}, Options)),
    hb_cron_configuration:expire().

checkpoint() ->
    filename:join(persistent_term:get({?MODULE, dir}), "checkpoint.redb").

%% Hides reports of crashes that tests cause on purpose, and the library's own reports.
hide_expected_reports() ->
    _ = logger:add_handler_filter(default, ?MODULE, {fun hide_expected/2, none}),
    ok.

hide_expected(#{msg := {report, #{label := {application_controller, exit}}}}, _) -> stop;
hide_expected(#{msg := {report, #{label := {supervisor, _}, report := Report}}}, _) ->
    case {proplists:get_value(supervisor, Report), proplists:get_value(reason, Report)} of
        {{local, hb_cron_sup}, killed} -> stop;
        {{local, hb_cron_monitors_sup}, killed} -> stop;
        {{local, hb_cron_sup}, {shutdown, {checkpoint_unavailable, _, _}}} -> stop;
        {{local, hb_cron_sup}, {shutdown, {bad_option, cron_cacertfile, _}}} -> stop;
        _ -> ignore
    end;
hide_expected(#{msg := {report, #{label := {gen_server, terminate}, name := hb_cron_monitors_sup}}}, _) -> stop;
hide_expected(#{msg := {report, #{label := {proc_lib, crash}, report := [Crashed | _]}}}, _) ->
    case proplists:get_value(initial_call, Crashed) of
        {application_master, _, _} -> stop;
        {supervisor, hb_cron_sup, _} -> stop;
        %% The dashboard's, when its owner is killed.
        {supervisor, httpd_sup, _} -> stop;
        _ -> ignore
    end;
hide_expected(#{msg := {report, #{label := {gen_server, terminate}, state := State, reason := killed}}}, _)
        when element(2, element(2, State)) =:= httpd_sup -> stop;
hide_expected(#{meta := #{domain := [hb_process_monitor | _]}}, _) -> stop;
hide_expected(_, _) -> ignore.

cleanup(Cu) ->
    _ = application:stop(hb_process_monitor),
    hb_opts:reset(),
    ets:delete(dev_mu_routes),
    _ = file:del_dir_r(persistent_term:get({?MODULE, dir})),
    persistent_term:erase({?MODULE, dir}),
    test_cu:stop(Cu).

%% A random process id.
proc_id() ->
    Raw = crypto:strong_rand_bytes(32),
    hb_cron_process_id:new(Raw).

%% From now on each push of this process succeeds, and is sent to the caller as {pushed, Number, Result, PushState}.
report_pushes(ProcId) -> report_pushes(ProcId, self()).

%% The same, sent to this process.
report_pushes(ProcId, Test) ->
    dev_mu:route(ProcId, fun(Result, PushState) ->
        Test ! {pushed, number(Result), Result, PushState},
        {ok, pushed}
    end).

%% Starts a monitor on a CU. The default rate is an hour, because tests send their own ticks.
start(Cu, ProcId, Options) ->
    hb_process_monitor:start(ProcId, maps:merge(#{rate => 3600000, cron_node => test_cu:url(Cu)}, Options)).

%% Adds results to a process, and starts a monitor that pushes them from the first one on.
start_and_push(Cu, ProcId, Count) -> start_and_push(Cu, ProcId, Count, #{}).

start_and_push(Cu, ProcId, Count, Options) ->
    report_pushes(ProcId),
    test_cu:add(Cu, ProcId, Count),
    {Monitor, Logger} = start(Cu, ProcId, Options#{cursor => earliest}),
    Monitor ! tick,
    await_results(1, Count),
    {Monitor, Logger}.

%% Kills a process, waits for its end, and returns the reason.
kill(Pid) ->
    Ref = monitor(process, Pid),
    exit(Pid, kill),
    receive {'DOWN', Ref, process, _, Reason} -> Reason end.

report(Logger) -> hb_logger:report(Logger).

%% The number of a result of the test CU.
number(#{<<"cursor">> := Cursor}) -> test_cu:number(Cursor).

%% Waits for results with exactly these numbers, in this order.
await_results(First, Last) ->
    lists:foreach(fun(Expected) ->
        receive
            {pushed, Number, _, _} -> Expected = Number
        after ?DEADLINE -> error({no_result, Expected})
        end
    end, lists:seq(First, Last)).

%% Asserts that no result is in the mailbox. Meaningful only after the poll that would have brought one.
no_result() ->
    receive {pushed, Number, _, _} -> error({unexpected_result, Number})
    after 0 -> ok
    end.

%% Waits until the CU was asked for this process and the engine has no fetch under way or queued, so that a poll that
%% began has ended.
await_polled(Cu, ProcId) ->
    eventually(fun() ->
        #{inflight := Inflight, queued := Queued} = hb_cron_engine:counters(),
        Inflight + Queued =:= 0 andalso
            lists:any(fun(#{kind := Kind}) -> Kind =:= cron end, test_cu:requests(Cu, ProcId))
    end).

%% Asserts that this process is no longer polled. Another monitor serves as the clock: in the time of its ten polls at
%% this rate, a remaining monitor of the process would poll, too.
not_polled(Cu, ProcId, Rate) ->
    Clock = proc_id(),
    {Monitor, _} = start(Cu, Clock, #{rate => Rate, cursor => earliest}),
    eventually(fun() -> maps:get(inflight, hb_cron_engine:counters()) =< 1 end),
    test_cu:forget_requests(Cu),
    eventually(fun() -> length(test_cu:requests(Cu, Clock)) >= 10 end),
    [] = test_cu:requests(Cu, ProcId),
    ok = hb_process_monitor:stop(Monitor, ?DEADLINE).

%% From now on each request to the CU is reported to the caller, and waits for release_request/2,3.
hold_requests(Cu) ->
    Self = self(),
    Gate = make_ref(),
    test_cu:script(Cu, fun(#{kind := Kind}) ->
        Self ! {Gate, self(), Kind},
        wait(Self, fun() -> receive {Gate, Answer} -> Answer; {'DOWN', _, process, Self, _} -> close end end)
    end),
    Gate.

%% Ends the wait when the test ends.
wait(Test, Receive) ->
    Ref = monitor(process, Test),
    Answer = Receive(),
    demonitor(Ref, [flush]),
    Answer.

%% Waits for a held request of this kind. Returns its connection.
await_request(Gate, Kind) ->
    receive {Gate, Connection, Kind} -> Connection
    after ?DEADLINE -> error({not_asked, Kind})
    end.

no_request_held(Gate) ->
    receive {Gate, _, Kind} -> error({asked, Kind})
    after 0 -> ok
    end.

release_request(Gate, Connection) -> release_request(Gate, Connection, pass).

release_request(Gate, Connection, Answer) -> Connection ! {Gate, Answer}, ok.

%% From now on each push of this process is reported to the caller, and waits for release_push/1.
hold_pushes(ProcId) ->
    Self = self(),
    Push = make_ref(),
    dev_mu:route(ProcId, fun(Result, _) ->
        Self ! {Push, self(), number(Result)},
        wait(Self, fun() -> receive {Push, go_on} -> ok; {'DOWN', _, process, Self, _} -> ok end end)
    end),
    Push.

%% Waits for the held push of this result. Returns the argument of release_push/1.
await_push(Push, Number) ->
    receive {Push, Monitor, Number} -> {Push, Monitor}
    after ?DEADLINE -> error({not_pushed, Number})
    end.

no_push_held(Push) ->
    receive {Push, _, Number} -> error({pushed, Number})
    after 0 -> ok
    end.

release_push({Push, Monitor}) -> Monitor ! {Push, go_on}, ok.

%% Waits until a monitor is in this state.
await_state(ProcId, State) ->
    eventually(fun() ->
        case hb_process_monitor:info(ProcId) of
            #{state := State} -> true;
            Other -> Other
        end
    end).

%% Waits until Fun() is true.
eventually(Fun) -> eventually(Fun, erlang:monotonic_time(millisecond) + ?DEADLINE).

eventually(Fun, Until) ->
    case Fun() of
        true -> ok;
        Other ->
            erlang:monotonic_time(millisecond) < Until orelse error({never_true, Other}),
            receive after 5 -> ok end,
            eventually(Fun, Until)
    end.

%% Waits until the logger has an entry for which `Fits' returns true. `Fits' may have clauses for some entries only.
await_logged(Logger, Fits) ->
    eventually(fun() -> lists:any(fun(Entry) -> fits(Fits, Entry) end, report(Logger)) end).

%% Waits until a monitor has resolved its start cursor, and asserts its value.
await_start_cursor(Logger, Start) ->
    await_logged(Logger, fun({ok, resolved_cursor, {_, Cursor}}) -> Cursor =:= Start end).

fits(Fits, Entry) ->
    try Fits(Entry) =:= true
    catch error:function_clause -> false
    end.

%% From now on pushes of this process fail, once in each of these ways, and then succeed.
fail_pushes(ProcId, Ways) ->
    Left = counters:new(1, []),
    Self = self(),
    dev_mu:route(ProcId, fun(Result, PushState) ->
        counters:add(Left, 1, 1),
        case counters:get(Left, 1) of
            N when N =< length(Ways) ->
                Self ! {push_failed, number(Result)},
                (lists:nth(N, Ways))();
            _ ->
                Self ! {pushed, number(Result), Result, PushState},
                ok
        end
    end).

%% Loads a router of the host with this answer, an expression.
load_router(Answer) ->
    compile_module(hb_router, ["-export([find/2]).", "find(compute, _) -> " ++ Answer ++ "."]).

%% Compiles and loads a module with these forms, each a text.
compile_module(Module, Texts) ->
    Forms = [begin
        {ok, Tokens, _} = erl_scan:string(Text),
        {ok, Form} = erl_parse:parse_form(Tokens),
        Form
    end || Text <- ["-module(" ++ atom_to_list(Module) ++ ")." | Texts]],
    {ok, Module, Binary} = compile:forms(Forms),
    {module, Module} = code:load_binary(Module, atom_to_list(Module), Binary).

unload_router() ->
    unload(hb_router).

%% Unloads a module, even while processes run it.
unload(Module) ->
    _ = code:purge(Module),
    _ = code:delete(Module),
    _ = code:purge(Module),
    ok.

%% Waits until the process has another monitor than this one, and returns it.
await_monitor_after(Id, Old) ->
    eventually(fun() ->
        case hb_cron_registry:find(Id) of
            {ok, {Monitor, _, _}} -> Monitor =/= Old;
            none -> false
        end
    end),
    {ok, {Monitor, _, _}} = hb_cron_registry:find(Id),
    Monitor.

%% Starts another node, controlled over its standard input and output.
start_peer(Args) ->
    {ok, Peer, _} = peer:start(#{connection => standard_io, args => Args, wait_boot => ?DEADLINE}),
    Peer.

%% With the tests' deadline: peer's default is 5 s.
call_peer(Peer, Module, Function, Args) -> peer:call(Peer, Module, Function, Args, ?DEADLINE).

%% The path of a file in the tested checkout.
checkout(File) ->
    filename:join(checkout_dir(filename:absname(code:lib_dir(hb_process_monitor))), File).

checkout_dir("/") -> error(not_in_a_checkout);
checkout_dir(Dir) ->
    case filelib:is_regular(filename:join(Dir, "README.md")) of
        true -> Dir;
        false -> checkout_dir(filename:dirname(Dir))
    end.
