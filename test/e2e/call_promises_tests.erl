%%% The promises of each public call in each state of the process: tests the table of cells/0, which is also the
%%% table in docs/calls.md, and all pairs of concurrent calls, whose effect must be that of some order.
%%% stress_tests makes random calls in great number.
-module(call_promises_tests).
-include_lib("eunit/include/eunit.hrl").

-define(M, hb_process_monitor).

eunit_wrapper_(Tests) -> deadline:each(Tests).

%% The table

cells_test_() ->
    {setup, fun harness:setup/0, fun harness:cleanup/1, fun(Cu) ->
        [{lists:concat([Call, " while ", State]), fun() -> cell_holds(Call, State, Expected, Cu) end}
         || {Call, Cells} <- cells(), {State, Expected} <- lists:zip(states(), Cells)]
    end}.

states() -> [not_monitored, monitored, stopping, crashed].

%% The answer and the effect of each call in each of the states.
cells() ->
    [{start,        [{started, goes_on}, {same, pushes}, {started, goes_on}, {started, goes_on}]},
     {start_link,   [{started, goes_on}, {already_started, pushes}, {started, goes_on}, {started, goes_on}]},
     {stop,         [{stop, stays_stopped}, {stop, stays_stopped}, {stop, stays_stopped}, {stop, stays_stopped}]},
     {stop_and_wait, [{ok, stays_stopped}, {ok, stays_stopped}, {ok, stays_stopped}, {ok, stays_stopped}]},
     {stop_process, [{not_monitored, stays_stopped}, {ok, stays_stopped}, {ok, stays_stopped}, {ok, stays_stopped}]},
     {pause,        [{not_monitored, stays_stopped}, {ok, paused}, {not_monitored, stays_stopped}, {ok, paused}]},
     {resume,       [{not_monitored, stays_stopped}, {ok, pushes}, {not_monitored, stays_stopped}, {ok, goes_on}]},
     {forget,       [{ok, forgotten}, {monitored, pushes}, {monitored, stays_stopped}, {monitored, goes_on}]},
     {dead_letters, [{letter, stays_stopped}, {letter, pushes}, {letter, stays_stopped}, {letter, goes_on}]},
     {redeliver,    [{not_monitored, stays_stopped}, {ok, no_letter}, {not_monitored, stays_stopped}, {not_monitored, goes_on}]},
     {discard,      [{ok, no_letter}, {ok, no_letter}, {ok, no_letter}, {ok, no_letter}]},
     {resume_all,   [{not_resumed, stays_stopped}, {same, pushes}, {not_resumed, stays_stopped}, {started, goes_on}]},
     {info,         [{undefined, stays_stopped}, {info, pushes}, {info, stays_stopped}, {undefined, goes_on}]}].

%% docs/calls.md has the same rows.
documented_table_is_the_tested_one_test() ->
    {ok, Docs} = file:read_file(harness:checkout("docs/calls.md")),
    Lines = string:split(Docs, "\n", all),
    [?assert(lists:member(Row, Lines), Row) || Row <- rows()].

rows() ->
    [iolist_to_binary(["| ", name(Call), " |", [[" ", answer(Answer), "; ", effect(Then), " |"] || {Answer, Then} <- Cells]])
     || {Call, Cells} <- cells()].

name(start) -> "`start(ProcID, ...)`";
name(start_link) -> "`start_link(ProcID, ...)`";
name(stop) -> "`stop(Monitor)`";
name(stop_and_wait) -> "`stop(Monitor, Timeout)`";
name(stop_process) -> "`stop(ProcID, Timeout)`";
name(pause) -> "`pause(ProcID)`";
name(resume) -> "`resume(ProcID)`";
name(forget) -> "`forget(ProcID)`";
name(dead_letters) -> "`dead_letters(ProcID)`";
name(redeliver) -> "`redeliver(ProcID, Id)`";
name(discard) -> "`discard(ProcID, Id)`";
name(resume_all) -> "`resume_all()`";
name(info) -> "`info(ProcID)`".

answer(started) -> "a new monitor";
answer(same) -> "the same monitor";
answer(already_started) -> "`{error, {already_started, Pid}}`";
answer(letter) -> "the dead letters";
answer(not_resumed) -> "not part of it";
answer(info) -> "a map";
answer(stop) -> "`stop`";
answer(ok) -> "`ok`";
answer(undefined) -> "`undefined`";
answer(Reason) -> io_lib:format("`{error, ~s}`", [Reason]).

effect(goes_on) -> "it continues after the last ack";
effect(pushes) -> "it keeps running";
effect(stays_stopped) -> "it is stopped";
effect(paused) -> "it is paused";
effect(forgotten) -> "cursor and dead letters are removed";
effect(no_letter) -> "the dead letter is removed".

cell_holds(Call, State, {Answer, Then}, Cu) ->
    Id = harness:proc_id(),
    {Monitor, Letter, Release} = in(State, Cu, Id),
    Got = call(Call, Cu, Id, Monitor, Letter, Release),
    ?assertEqual(Answer, Got),
    ok = Release(),
    ok = then(Then, Cu, Id, Monitor),
    gone(Id).

%% Puts a process into a state, with three results pushed and one given up. `Release' ends the hold-up, if there is
%% one.
in(State, Cu, Id) ->
    Options = #{cron_push_attempts => 1},
    Self = self(),
    %% The push of the second result fails once; all others succeed.
    Failed = counters:new(1, []),
    dev_mu:route(Id, fun(Result, PushState) ->
        case harness:number(Result) =:= 2 andalso counters:get(Failed, 1) =:= 0 of
            true -> counters:add(Failed, 1, 1), {error, not_now};
            false -> Self ! {pushed, harness:number(Result), Result, PushState}, ok
        end
    end),
    test_cu:add(Cu, Id, 3),
    {Monitor, _} = harness:start(Cu, Id, Options#{cursor => earliest}),
    Monitor ! tick,
    harness:await_results(1, 1),
    harness:await_results(3, 3),
    {ok, [#{id := Letter}]} = ?M:dead_letters(Id),
    {Monitor, Letter, in(State, Cu, Id, Monitor)}.

in(not_monitored, _Cu, _Id, Monitor) ->
    ok = ?M:stop(Monitor, deadline:ms()),
    fun() -> ok end;
in(monitored, _Cu, _Id, _Monitor) ->
    fun() -> ok end;
in(stopping, Cu, Id, Monitor) ->
    %% In a push that is held.
    Held = harness:hold_pushes(Id),
    test_cu:add(Cu, Id, 1),
    Monitor ! tick,
    Push = harness:await_push(Held, 4),
    stop = ?M:stop(Monitor),
    %% A helper process may release the push too, and may be the last to do so.
    Self = self(),
    fun() ->
        Ref = monitor(process, Monitor),
        harness:release_push(Push),
        receive {'DOWN', Ref, process, _, _} -> ok end,
        harness:report_pushes(Id, Self),
        ok
    end;
in(crashed, _Cu, Id, Monitor) ->
    Ref = monitor(process, Monitor),
    exit(Monitor, kill),
    receive {'DOWN', Ref, process, _, _} -> ok end,
    harness:eventually(fun() -> hb_cron_restarts:is_planned(Id) orelse hb_cron_registry:find(Id) =/= none end),
    case hb_cron_restarts:drop(Id) of
        %% The restart is due in an hour, so that the call comes first.
        [Start] ->
            _ = hb_cron_restarts:plan(Id, Start, 3600000),
            fun() ->
                %% Release the restart.
                _ = [hb_cron_restarts:not_started(Id, Owed, held_up, 1) || Owed <- hb_cron_restarts:drop(Id)],
                ok
            end;
        [] ->
            {ok, {Next, _, _}} = hb_cron_registry:find(Id),
            in(crashed, none, Id, Next)
    end.

call(start, Cu, Id, Monitor, _, _) ->
    {Started, _} = harness:start(Cu, Id, #{}),
    started(Started, Monitor);
call(start_link, Cu, Id, Monitor, _, _) ->
    case ?M:start_link(Id, #{rate => 3600000, cron_node => test_cu:url(Cu)}) of
        %% The monitor outlives this test's process.
        {ok, Started} -> true = unlink(Started), started(Started, Monitor);
        {error, {already_started, Monitor}} -> already_started
    end;
call(stop, _, _, Monitor, _, _) -> ?M:stop(Monitor);
call(stop_and_wait, _, _, Monitor, _, Release) ->
    %% The call waits for the push under way.
    _ = spawn_link(fun() -> receive after 10 -> Release() end end),
    ?M:stop(Monitor, deadline:ms());
call(stop_process, _, Id, _, _, Release) ->
    _ = spawn_link(fun() -> receive after 10 -> Release() end end),
    plain(?M:stop(Id, deadline:ms()));
call(pause, _, Id, _, _, _) -> plain(?M:pause(Id));
call(resume, _, Id, _, _, _) -> plain(?M:resume(Id));
call(forget, _, Id, _, _, _) -> plain(?M:forget(Id));
call(dead_letters, _, Id, _, Letter, _) -> {ok, [#{id := Letter}]} = ?M:dead_letters(Id), letter;
call(redeliver, _, Id, _, Letter, _) -> plain(?M:redeliver(Id, Letter));
call(discard, _, Id, _, Letter, _) -> plain(?M:discard(Id, Letter));
call(resume_all, _, Id, Monitor, _, _) ->
    case [Started || {For, {Started, _}} <- ?M:resume_all(), For =:= Id] of
        [Started] -> started(Started, Monitor);
        [] -> not_resumed
    end;
call(info, _, Id, _, _, _) ->
    case ?M:info(Id) of
        undefined -> undefined;
        #{process := Id} -> info
    end.

started(Monitor, Monitor) -> same;
started(_, _) -> started.

plain(ok) -> ok;
plain({error, Reason}) -> Reason.

then(stays_stopped, Cu, Id, Monitor) ->
    harness:eventually(fun() -> not is_process_alive(Monitor) end),
    ?assertEqual(none, hb_cron_registry:find(Id)),
    ?assertNot(hb_cron_restarts:is_planned(Id)),
    %% After another start it continues: nothing was lost meanwhile.
    {_, _} = harness:start(Cu, Id, #{}),
    then(goes_on, Cu, Id, Monitor);
then(pushes, Cu, Id, Monitor) ->
    ?assertMatch({ok, {Monitor, _, _}}, hb_cron_registry:find(Id)),
    then(goes_on, Cu, Id, none);
then(goes_on, Cu, Id, Old) ->
    New = harness:await_monitor_after(Id, Old),
    [First | _] = All = [test_cu:count(Cu, Id) + N || N <- [1, 2]],
    test_cu:add(Cu, Id, 2),
    New ! tick,
    harness:await_results(First, lists:last(All));
then(paused, Cu, Id, _) ->
    harness:eventually(fun() -> case ?M:info(Id) of #{state := paused} -> true; _ -> false end end),
    ok = ?M:resume(Id),
    then(goes_on, Cu, Id, none);
then(no_letter, _Cu, Id, _) ->
    ?assertEqual({ok, []}, ?M:dead_letters(Id)),
    receive {pushed, 2, _, _} -> ok after 0 -> ok end;
then(forgotten, Cu, Id, _) ->
    ?assertEqual({ok, []}, ?M:dead_letters(Id)),
    {_, Logger} = harness:start(Cu, Id, #{}),
    harness:await_start_cursor(Logger, test_cu:cursor(test_cu:count(Cu, Id))).

gone(Id) ->
    _ = [?M:stop(Monitor, deadline:ms()) || #{monitor := Monitor} <- [?M:info(Id)]],
    _ = hb_cron_restarts:drop(Id),
    ok.

%% Pairs of concurrent calls

pairs_test_() ->
    {setup, fun harness:setup/0, fun harness:cleanup/1, fun(Cu) ->
        [{lists:concat([A, " and ", B]), fun() -> [at_once(A, B, Cu) || _ <- lists:seq(1, 10)] end}
         || A <- concurrent(), B <- concurrent(), A =< B]
    end}.

concurrent() -> [crash, forget, pause, resume, start, stop].

%% No acked result is lost, and no two pushes of a result run at once. Whatever the outcomes, the process continues
%% after its last ack, unless a caller's forget succeeded.
at_once(A, B, Cu) ->
    Id = harness:proc_id(),
    harness:report_pushes(Id),
    test_cu:add(Cu, Id, 3),
    {Monitor, _} = harness:start(Cu, Id, #{cursor => earliest}),
    Monitor ! tick,
    harness:await_results(1, 3),
    %% In half of the cases the process is not monitored before the calls.
    _ = rand:uniform(2) =:= 1 andalso (ok = ?M:stop(Monitor, deadline:ms())),
    Self = self(),
    Callers = [spawn_monitor(fun() ->
        receive go -> Self ! {self(), outcome(Call, Cu, Id, Monitor)} end
    end) || Call <- [A, B]],
    [Caller ! go || {Caller, _} <- Callers],
    Outcomes = [receive {Caller, Outcome} -> Outcome; {'DOWN', Ref, process, _, Reason} when Reason =/= normal -> error(Reason) end
                || {Caller, Ref} <- Callers],
    %% Every previous monitor ends, and another one continues.
    _ = ?M:stop(Monitor, deadline:ms()),
    gone(Id),
    {Last, Logger} = harness:start(Cu, Id, #{}),
    ok = ?M:resume(Last),
    Forgotten = lists:member({forget, ok}, lists:zip([A, B], Outcomes)),
    harness:eventually(fun() -> lists:member(maps:get(state, ?M:info(Id)), [idle, polling, pushing]) end),
    test_cu:add(Cu, Id, 2),
    Last ! tick,
    case Forgotten of
        false -> harness:await_results(4, 5);
        %% It begins after the latest result, which it resolves before or after these are added.
        true -> _ = Logger, receive {pushed, 4, _, _} -> harness:await_results(5, 5) after 50 -> ok end
    end,
    harness:no_result(),
    ok = ?M:stop(Last, deadline:ms()).

outcome(start, Cu, Id, _) -> {_, _} = harness:start(Cu, Id, #{}), started;
outcome(stop, _, _, Monitor) -> ?M:stop(Monitor, deadline:ms());
outcome(pause, _, Id, _) -> ?M:pause(Id);
outcome(resume, _, Id, _) -> ?M:resume(Id);
outcome(forget, _, Id, _) -> ?M:forget(Id);
outcome(crash, _, _, Monitor) -> exit(Monitor, kill), crashed.

%% A concurrent forget never drops acks of a running monitor.
forget_and_start_at_once_drop_no_ack_test_() ->
    {setup, fun harness:setup/0, fun harness:cleanup/1, fun(Cu) ->
        [{"a pair", fun() -> [forgotten_or_started(Cu) || _ <- lists:seq(1, 100)] end}]
    end}.

forgotten_or_started(Cu) ->
    Id = harness:proc_id(),
    {First, _} = harness:start_and_push(Cu, Id, 3),
    ok = ?M:stop(First, deadline:ms()),
    Self = self(),
    Forget = spawn_monitor(fun() -> Self ! {forgot, ?M:forget(Id)} end),
    {Monitor, _} = harness:start(Cu, Id, #{}),
    receive {forgot, Answer} -> ?assert(lists:member(Answer, [ok, {error, monitored}])) end,
    receive {'DOWN', Ref, process, _, _} when Ref =:= element(2, Forget) -> ok end,
    harness:eventually(fun() -> maps:get(state, ?M:info(Id)) =:= idle end),
    test_cu:add(Cu, Id, 2),
    Monitor ! tick,
    harness:await_results(4, 5),
    ok = ?M:stop(Monitor, deadline:ms()),
    test_cu:add(Cu, Id, 2),
    {Next, _} = harness:start(Cu, Id, #{}),
    Next ! tick,
    harness:await_results(6, 7),
    ok = ?M:stop(Next, deadline:ms()).
