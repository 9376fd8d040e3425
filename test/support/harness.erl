%%% What the end-to-end tests share: a host of doubles around the real application, a CU of their
%%% own, process ids, and waiting on an event with a deadline.
-module(harness).

-export([setup/0, setup/1, cleanup/1, host/1, checkpoint/0]).
-export([proc_id/0, sink/1, start/3, back/2, pushed/3, pushed/4, kill/1, report/1]).
-export([still/3, resolved/2, results/2, no_result/0, number/1, polled/2, eventually/1, logged/2, failing/2]).
-export([gate/1, asked/2, not_asked/1, open/2, open/3]).
-export([router/1, no_router/0, module_of/2, unload/1, checkout/1]).
-export([peer/1, call/4]).
-export([held_pushes/1, held/2, nothing_held/1, let_go/1]).

%% How long an event may take, in ms. Only a failure takes this long.
-define(DEADLINE, deadline:ms()).

setup() -> setup(#{}).

setup(HostOptions) ->
    quiet(),
    host(HostOptions),
    dev_mu:create(),
    test_cu:start().

%% Configures the host. Every test has a checkpoint of its own; a push that failed is tried again
%% when the test says so, with a tick, and never given up, unless the test wants it otherwise.
host(Options) ->
    Dir = case persistent_term:get({?MODULE, dir}, none) of
        none -> string:trim(os:cmd("mktemp -d"));
        Known -> Known
    end,
    persistent_term:put({?MODULE, dir}, Dir),
    hb_opts:set(maps:merge(#{cron_checkpoint => checkpoint(), cron_push_attempts => infinity,
                            cron_push_backoff => {1 bsl 31, 1 bsl 31}}, Options)).

checkpoint() ->
    filename:join(persistent_term:get({?MODULE, dir}), "checkpoint.redb").

%% What the tests bring about on purpose is not shown; anything else is.
quiet() ->
    _ = logger:add_handler_filter(default, ?MODULE, {fun on_purpose/2, none}),
    ok.

on_purpose(#{msg := {report, #{label := {application_controller, exit}}}}, _) -> stop;
on_purpose(#{msg := {report, #{label := {supervisor, _}, report := Report}}}, _) ->
    case {proplists:get_value(supervisor, Report), proplists:get_value(reason, Report)} of
        {{local, hb_cron_sup}, killed} -> stop;
        {{local, hb_cron_monitors_sup}, killed} -> stop;
        {{local, hb_cron_sup}, {shutdown, {checkpoint_unavailable, _, _}}} -> stop;
        {{local, hb_cron_sup}, {shutdown, {bad_option, cron_cacertfile, _}}} -> stop;
        _ -> ignore
    end;
on_purpose(#{msg := {report, #{label := {gen_server, terminate}, name := hb_cron_monitors_sup}}}, _) -> stop;
on_purpose(#{msg := {report, #{label := {proc_lib, crash}, report := [Crashed | _]}}}, _) ->
    case proplists:get_value(initial_call, Crashed) of
        {application_master, _, _} -> stop;
        {supervisor, hb_cron_sup, _} -> stop;
        %% The operations page's, when its owner is killed.
        {supervisor, httpd_sup, _} -> stop;
        _ -> ignore
    end;
on_purpose(#{msg := {report, #{label := {gen_server, terminate}, state := State, reason := killed}}}, _)
        when element(2, element(2, State)) =:= httpd_sup -> stop;
on_purpose(#{meta := #{domain := [hb_process_monitor | _]}}, _) -> stop;
on_purpose(_, _) -> ignore.

cleanup(Cu) ->
    _ = application:stop(hb_process_monitor),
    hb_opts:reset(),
    ets:delete(dev_mu_routes),
    _ = os:cmd("rm -rf " ++ persistent_term:get({?MODULE, dir})),
    persistent_term:erase({?MODULE, dir}),
    test_cu:stop(Cu).

%% A process id that no other test has.
proc_id() ->
    Raw = crypto:strong_rand_bytes(32),
    hb_cron_process_id:new(Raw).

%% Sends each pushed result to the caller as {pushed, Number, Result, PushState}.
sink(ProcId) ->
    Self = self(),
    dev_mu:route(ProcId, fun(Result, PushState) ->
        Self ! {pushed, number(Result), Result, PushState},
        {ok, pushed}
    end).

%% Starts a monitor on a CU. A rate of an hour unless said otherwise: a test sends its own ticks.
start(Cu, ProcId, Options) ->
    hb_process_monitor:start(ProcId, maps:merge(#{rate => 3600000, cron_node => test_cu:url(Cu)}, Options)).

%% A monitor that has begun at the first result of its process, and pushed so many.
pushed(Cu, ProcId, Count) -> pushed(Cu, ProcId, Count, #{}).

pushed(Cu, ProcId, Count, Options) ->
    sink(ProcId),
    test_cu:add(Cu, ProcId, Count),
    {Monitor, Logger} = start(Cu, ProcId, Options#{cursor => earliest}),
    Monitor ! tick,
    results(1, Count),
    {Monitor, Logger}.

%% Kills a process. Says of what it has died.
kill(Pid) ->
    Ref = monitor(process, Pid),
    exit(Pid, kill),
    receive {'DOWN', Ref, process, _, Reason} -> Reason end.

report(Logger) -> hb_logger:report(Logger).

%% The number that the CU gave a result.
number(#{<<"cursor">> := Cursor}) -> test_cu:number(Cursor).

%% Waits for results with these numbers, in this order, and no others between.
results(First, Last) ->
    lists:foreach(fun(Expected) ->
        receive
            {pushed, Number, _, _} -> Expected = Number
        after ?DEADLINE -> error({no_result, Expected})
        end
    end, lists:seq(First, Last)).

%% No result is in the mailbox. Only says something after the poll that would have brought one.
no_result() ->
    receive {pushed, Number, _, _} -> error({unexpected_result, Number})
    after 0 -> ok
    end.

%% Waits until the engine has nothing under way any more and this process was asked for at least
%% once: a poll that was begun has ended.
polled(Cu, ProcId) ->
    eventually(fun() ->
        #{inflight := Inflight, queued := Queued} = hb_cron_engine:counters(),
        Inflight + Queued =:= 0 andalso
            lists:any(fun(#{kind := Kind}) -> Kind =:= cron end, test_cu:requests(Cu, ProcId))
    end).

%% Nothing is asked for this process any more. The clock is another monitor: while it polls, the
%% process's own monitor, had it a life left, would poll as well.
still(Cu, ProcId, Rate) ->
    Clock = proc_id(),
    {Monitor, _} = start(Cu, Clock, #{rate => Rate, cursor => earliest}),
    eventually(fun() -> maps:get(inflight, hb_cron_engine:counters()) =< 1 end),
    test_cu:forget_requests(Cu),
    eventually(fun() -> length(test_cu:requests(Cu, Clock)) >= 10 end),
    [] = test_cu:requests(Cu, ProcId),
    ok = hb_process_monitor:stop(Monitor, ?DEADLINE).

%% From now on each answer of the CU waits to be let through.
gate(Cu) ->
    Self = self(),
    Gate = make_ref(),
    test_cu:script(Cu, fun(#{kind := Kind}) ->
        Self ! {Gate, self(), Kind},
        wait(Self, fun() -> receive {Gate, Answer} -> Answer; {'DOWN', _, process, Self, _} -> close end end)
    end),
    Gate.

%% Whoever waits for a test must not outlive it.
wait(Test, Receive) ->
    Ref = monitor(process, Test),
    Answer = Receive(),
    demonitor(Ref, [flush]),
    Answer.

%% Waits for a request of this kind at the gate.
asked(Gate, Kind) ->
    receive {Gate, Connection, Kind} -> Connection
    after ?DEADLINE -> error({not_asked, Kind})
    end.

not_asked(Gate) ->
    receive {Gate, _, Kind} -> error({asked, Kind})
    after 0 -> ok
    end.

open(Gate, Connection) -> open(Gate, Connection, pass).

open(Gate, Connection, Answer) -> Connection ! {Gate, Answer}, ok.

%% From now on each push of this process waits to be let go.
held_pushes(ProcId) ->
    Self = self(),
    Push = make_ref(),
    dev_mu:route(ProcId, fun(Result, _) ->
        Self ! {Push, self(), number(Result)},
        wait(Self, fun() -> receive {Push, go_on} -> ok; {'DOWN', _, process, Self, _} -> ok end end)
    end),
    Push.

held(Push, Number) ->
    receive {Push, Monitor, Number} -> {Push, Monitor}
    after ?DEADLINE -> error({not_pushed, Number})
    end.

nothing_held(Push) ->
    receive {Push, _, Number} -> error({pushed, Number})
    after 0 -> ok
    end.

let_go({Push, Monitor}) -> Monitor ! {Push, go_on}, ok.

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

%% Waits until the logger's report holds an entry that fits.
logged(Logger, Fits) ->
    eventually(fun() -> lists:any(fun(Entry) -> fits(Fits, Entry) end, report(Logger)) end).

%% Waits until a monitor has looked up where it begins, and that is there.
resolved(Logger, Start) ->
    logged(Logger, fun({ok, resolved_cursor, {_, Cursor}}) -> Cursor =:= Start end).

fits(Fits, Entry) ->
    try Fits(Entry) =:= true
    catch error:function_clause -> false
    end.

%% A push that fails in each of these ways in turn for one result, then works.
failing(ProcId, Ways) ->
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

%% A router of the host that answers so.
router(Answer) ->
    module_of(hb_router, ["-export([find/2]).", "find(compute, _) -> " ++ Answer ++ "."]).

%% Compiles and loads a module of these forms, each a text.
module_of(Module, Texts) ->
    Forms = [begin
        {ok, Tokens, _} = erl_scan:string(Text),
        {ok, Form} = erl_parse:parse_form(Tokens),
        Form
    end || Text <- ["-module(" ++ atom_to_list(Module) ++ ")." | Texts]],
    {ok, Module, Binary} = compile:forms(Forms),
    {module, Module} = code:load_binary(Module, atom_to_list(Module), Binary).

no_router() ->
    unload(hb_router).

%% Takes a module away, whatever runs it.
unload(Module) ->
    _ = code:purge(Module),
    _ = code:delete(Module),
    _ = code:purge(Module),
    ok.

%% The monitor that its process has after this one, once it has.
back(Id, Old) ->
    eventually(fun() ->
        case hb_cron_registry:find(Id) of
            {ok, {Monitor, _, _}} -> Monitor =/= Old;
            none -> false
        end
    end),
    {ok, {Monitor, _, _}} = hb_cron_registry:find(Id),
    Monitor.

%% Another node, which talks over its standard input and output.
peer(Args) ->
    {ok, Peer, _} = peer:start(#{connection => standard_io, args => Args, wait_boot => ?DEADLINE}),
    Peer.

%% With a deadline: peer's own is 5 s.
call(Peer, Module, Function, Args) -> peer:call(Peer, Module, Function, Args, ?DEADLINE).

%% The path of a file of the checkout that these tests are of.
checkout(File) ->
    filename:join(checkout_dir(filename:absname(code:lib_dir(hb_process_monitor))), File).

checkout_dir("/") -> error(not_in_a_checkout);
checkout_dir(Dir) ->
    case filelib:is_regular(filename:join(Dir, "README.md")) of
        true -> Dir;
        false -> checkout_dir(filename:dirname(Dir))
    end.
