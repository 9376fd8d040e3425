%%% The monitor against a model, with the real application and a real CU. After any commands in any order, each
%%% result was pushed in order or is a dead letter, none was pushed twice except the one that a kill interrupted,
%%% and all of them arrive once the faults are over. The schedulers decide the timing. The crash test kills nodes.
-module(monitor_props_tests).
-include_lib("eunit/include/eunit.hrl").
%% Debian packages PropEr's header separately; only these functions of it are needed.
-import(proper_types, [frequency/1, list/1, oneof/1, range/2]).
-define(FORALL(Values, Type, Holds), proper:forall(Type, fun(Values) -> Holds end)).

-define(M, hb_process_monitor).
-define(CASES, 100).
%% Faults are planned for results up to this number.
-define(PLANNED, 30).
%% The supervisor allows ten deaths of a child in ten seconds. The test stays below that.
-define(TICKERS, 9).
-define(DEADLINE, deadline:ms()).

eunit_wrapper_(Tests) -> deadline:each(Tests).

monitor_test_() ->
    {setup, fun setup/0, fun cleanup/1, fun({Cu, _}) ->
        {timeout, 300, fun() ->
            %% Kills of the engine process since the application was started.
            put(engines, 0),
            ?assertEqual(true, proper:quickcheck(prop_delivers(Cu), [
                {numtests, ?CASES}, {start_size, 20}, {max_size, 120}, {max_shrinks, 100}, quiet, long_result]))
        end}
    end}.

setup() ->
    Cu = harness:setup(),
    %% These kills are on purpose.
    #{level := Level} = logger:get_primary_config(),
    ok = logger:set_primary_config(level, critical),
    {Cu, Level}.

cleanup({Cu, Level}) ->
    harness:cleanup(Cu),
    ok = logger:set_primary_config(level, Level).

prop_delivers(Cu) ->
    ?FORALL({Options, Commands}, {options(), commands()},
        begin
            %% Not all releases of OTP support PropEr's own output for exceptions.
            Wrong = try run(Cu, Options, Commands)
                    catch Class:Reason:Stack -> [{Class, Reason, Stack}]
                    end,
            proper:whenfail(fun() -> io:format(user, "violated: ~p~n", [Wrong]) end, fun() -> Wrong =:= [] end)
        end).

%% Whether pushes are slow, so that commands find the monitor in a push; and options.
options() ->
    Drawn = {proper_types:boolean(), oneof([1, 2, 5, 1000]), oneof([2, 3, infinity])},
    proper_types:bind(Drawn, fun({Slow, PageLimit, Attempts}) ->
        {Slow, #{cron_page_limit => PageLimit, cron_push_attempts => Attempts, cron_push_backoff => {1, 3}}}
    end, false).

commands() ->
    list(frequency([
        {16, {add, range(1, 8)}},
        {12, tick},
        {12, settle},
        {12, {moment, range(0, 6)}},
        {12, {fail, range(1, ?PLANNED), oneof([once, poison, until_healed]), oneof([error, throw, exit])}},
        {2, heal},
        {4, {device, down}},
        {4, {device, works}},
        {4, stop_and_start},
        {4, stop_without_waiting_and_start},
        {4, kill_monitor},
        {3, kill_engine},
        {1, restart_application},
        {4, {cu, oneof([close, status, garbage])}},
        {4, {cu, works}},
        {5, redeliver},
        {3, discard}
    ])).

%% One case: a new process, and a book of events of its results.

run(Cu, {Slow, Options}, Commands) ->
    Id = harness:proc_id(),
    Book = ets:new(book, [public, ordered_set]),
    dev_mu:route(Id, fun(Result, _) ->
        Pushed = push(Book, harness:number(Result)),
        Slow andalso receive after 2 -> ok end,
        Pushed
    end),
    Case = #{cu => Cu, id => Id, book => Book, options => Options},
    start(Options#{cursor => earliest}, Case),
    Last = lists:foldl(fun command/2, Case, Commands),
    Finished = finish(Last),
    test_cu:script(Cu, fun(_) -> pass end),
    Wrong = Finished ++ judge(Last),
    {ok, {Monitor, _, _}} = hb_cron_registry:find(Id),
    ok = ?M:stop(Monitor, ?DEADLINE),
    ets:delete(Book),
    Wrong.

start(Options, #{cu := Cu, id := Id, book := Book}) ->
    note(Book, started),
    {Monitor, _} = harness:start(Cu, Id, Options),
    Monitor ! tick.

%% {N, What}: an event. {fault, Number | device}: how a push of this result, or every push, fails. redelivered: the
%% dead letter that is being pushed again.
note(Book, What) -> ets:insert(Book, {erlang:unique_integer([monotonic]), What}).

push(Book, Number) ->
    Kind = case ets:lookup(Book, redelivered) of
        [{_, Number}] -> again;
        _ -> first
    end,
    case ets:lookup(Book, {fault, device}) ++ ets:lookup(Book, {fault, Number}) of
        [{Key, How, Way} | _] ->
            How =:= once andalso ets:delete(Book, Key),
            note(Book, {failed, Kind, Number}),
            fail(Way);
        [] ->
            note(Book, {pushed, Kind, Number}),
            ok
    end.

fail(error) -> {error, on_purpose};
fail(throw) -> throw(on_purpose);
fail(exit) -> exit(on_purpose).

command({add, Count}, #{cu := Cu, id := Id} = Case) ->
    test_cu:add(Cu, Id, Count),
    Case;
command(tick, Case) ->
    monitor_of(Case) ! tick,
    Case;
command(settle, Case) ->
    settle(Case, 0, 200),
    Case;
%% A random pause: some of the pending work is done, and some is not.
command({moment, Ms}, Case) ->
    receive after Ms -> Case end;
command({fail, Number, How, Way}, #{book := Book} = Case) ->
    ets:insert(Book, {{fault, Number}, How, Way}),
    Case;
command({device, down}, #{book := Book} = Case) ->
    ets:insert(Book, {{fault, device}, until_healed, error}),
    Case;
command({device, works}, #{book := Book} = Case) ->
    ets:delete(Book, {fault, device}),
    Case;
command(heal, #{book := Book} = Case) ->
    ets:match_delete(Book, {{fault, '_'}, until_healed, '_'}),
    Case;
command(stop_and_start, #{options := Options} = Case) ->
    ok = ?M:stop(monitor_of(Case), ?DEADLINE),
    start(Options, Case),
    Case;
command(stop_without_waiting_and_start, #{options := Options} = Case) ->
    stop = ?M:stop(monitor_of(Case)),
    start(Options, Case),
    Case;
command(kill_monitor, #{book := Book, options := Options} = Case) ->
    _ = harness:kill(monitor_of(Case)),
    note(Book, killed),
    start(Options, Case),
    Case;
command(kill_engine, Case) ->
    case {whereis(hb_cron_engine), get(engines)} of
        {_, ?TICKERS} -> command(restart_application, Case);
        {undefined, _} -> Case;
        {Ticker, Killed} ->
            exit(Ticker, kill),
            put(engines, Killed + 1),
            Case
    end;
command(restart_application, #{options := Options} = Case) ->
    ok = application:stop(hb_process_monitor),
    put(engines, 0),
    start(Options, Case),
    Case;
command({cu, How}, #{cu := Cu} = Case) ->
    Answer = case How of
        works -> pass;
        close -> close;
        status -> {raw, test_cu:reply(503, <<"not now">>)};
        garbage -> {raw, test_cu:reply(200, <<"{\"edges\":[{]">>)}
    end,
    test_cu:script(Cu, fun(_) -> Answer end),
    Case;
command(redeliver, #{id := Id, book := Book} = Case) ->
    case letters(Case) of
        [{Letter, Number} | _] ->
            ets:insert(Book, {redelivered, Number}),
            note(Book, {letter, Letter, Number}),
            case ?M:redeliver(Id, Letter) of
                ok -> ok;
                {error, {push_failed, _}} -> ok
            end,
            ets:delete(Book, redelivered);
        [] ->
            ok
    end,
    Case;
command(discard, #{id := Id, book := Book} = Case) ->
    case letters(Case) of
        [{Letter, Number} | _] ->
            note(Book, {letter, Letter, Number}),
            ok = ?M:discard(Id, Letter);
        [] ->
            ok
    end,
    Case.

monitor_of(#{id := Id}) ->
    {ok, {Monitor, _, _}} = hb_cron_registry:find(Id),
    Monitor.

letters(#{id := Id}) ->
    {ok, Letters} = ?M:dead_letters(Id),
    [{Letter, harness:number(Result)} || #{id := Letter, result := Result} <- Letters].

%% Waits while events happen: yields to the monitor and the machine until no more events are noted. The judgement
%% does not depend on it.
settle(_Case, _Before, 0) ->
    ok;
settle(#{book := Book} = Case, Before, Turns) ->
    try _ = sys:get_state(monitor_of(Case)), ok catch _:_ -> ok end,
    receive after 1 -> ok end,
    case ets:info(Book, size) of
        Before -> ok;
        Size -> settle(Case, Size, Turns - 1)
    end.

%% Without faults, every result must soon be pushed or be a dead letter.
finish(#{cu := Cu, id := Id, book := Book} = Case) ->
    test_cu:script(Cu, fun(_) -> pass end),
    ets:match_delete(Book, {{fault, '_'}, '_', '_'}),
    Count = test_cu:count(Cu, Id),
    try
        harness:eventually(fun() -> monitor_of(Case) ! tick, missing(Count, Case) =:= [] end),
        []
    catch
        error:{never_true, _} -> [{missing, missing(Count, Case)}]
    end.

missing(Count, #{book := Book} = Case) ->
    lists:seq(1, Count) -- lists:usort([N || {pushed, first, N} <- happened(Book)] ++ [N || {_, N} <- dead(Case)]).

happened(Book) -> [What || {N, What} <- ets:tab2list(Book), is_integer(N)].

%% All present and former dead letters: {Letter, Number}.
dead(#{book := Book} = Case) ->
    lists:usort([Letter || {letter, Id, N} <- happened(Book), Letter <- [{Id, N}]] ++ letters(Case)).

%% The violations in a book.
judge(#{book := Book, options := #{cron_push_attempts := Attempts}} = Case) ->
    Happened = happened(Book),
    Dead = [N || {_, N} <- dead(Case)],
    order(Happened, 0, false, Dead) ++ lists:append([given_up(N, Attempts, Happened) || N <- Dead])
        ++ [{more_than_one_letter, N} || N <- Dead -- lists:usort(Dead)]
        ++ [{pushed_and_given_up, N} || N <- Dead, not never_acked(N, Happened)]
        ++ [{again_twice, N} || N <- Dead, length([again || {pushed, again, M} <- Happened, M =:= N]) > 1]
        ++ in_a_row(Dead, Happened).

%% Each result follows the previous one or dead letters. The last one may be repeated once after a kill, if the
%% kill came between its push and its ack.
order([{pushed, first, N} | Rest], Last, _Killed, Dead) when N > Last ->
    [{skipped, Between} || Between <- lists:seq(Last + 1, N - 1), not lists:member(Between, Dead)]
        ++ order(Rest, N, false, Dead);
order([{pushed, first, N} | Rest], N, true, Dead) ->
    order(Rest, N, false, Dead);
order([{pushed, first, N} | Rest], Last, _Killed, Dead) ->
    [{again_or_out_of_order, N, {last, Last}}] ++ order(Rest, Last, false, Dead);
order([killed | Rest], Last, _Killed, Dead) ->
    order(Rest, Last, true, Dead);
order([_ | Rest], Last, Killed, Dead) ->
    order(Rest, Last, Killed, Dead);
order([], _Last, _Killed, _Dead) ->
    [].

%% A dead letter failed at least this often, and was pushed only by redeliver.
given_up(N, infinity, _Happened) ->
    [{given_up_without_a_bound, N}];
given_up(N, Attempts, Happened) ->
    [{given_up_too_soon, N} || length([tried || {failed, first, M} <- Happened, M =:= N]) < Attempts].

%% A result that was given up may have been pushed before only if a kill prevented its ack and it failed
%% afterwards.
never_acked(N, Happened) ->
    case lists:dropwhile(fun(What) -> What =/= {pushed, first, N} end, Happened) of
        [] -> true;
        [_ | After] ->
            {Before, Then} = lists:splitwith(fun(What) -> What =/= {failed, first, N} end, After),
            lists:member(killed, Before) andalso Then =/= [] andalso never_acked(N, Then)
    end.

%% Of two consecutive results the second one is not given up, unless the monitor was started in between: no push
%% has shown that the device works.
in_a_row(Dead, Happened) ->
    Numbered = lists:zip(lists:seq(1, length(Happened)), Happened),
    Ended = fun(N) -> lists:max([At || {At, {failed, first, M}} <- Numbered, M =:= N]) end,
    [{given_up_in_a_row, N} || N <- Dead, lists:member(N + 1, Dead),
                               [] =:= [At || {At, started} <- Numbered, At > Ended(N), At < Ended(N + 1)]].
