%%% Ticks and the node's other work do not disturb each other: starts, file operations of the host. Each test
%%% compares the polls of a monitor with the messages of a timer of the same rate, so that a slow machine slows
%%% both. `make bench SUITES=neighbours' measures figures.
-module(neighbours_tests).
-include_lib("eunit/include/eunit.hrl").
%% Run in a separate node
-export([one_dirty_scheduler/1]).

%% The time between two ticks, in ms.
-define(RATE, 50).
%% The least share of polls, compared with a timer of the same rate.
-define(SHARE, 0.5).

eunit_wrapper_(Tests) -> deadline:each(Tests).

neighbours_test_() ->
    harness:tests([
        fun starts_with_loggers_leave_ticks_alone/1,
        fun processes_that_sync_files_leave_ticks_alone/1,
        fun stopped_monitors_leave_no_logger_behind/1,
        fun engine_asked_in_a_slice_answers_soon/1
    ]).

%% Each start has a host's logger, with which the engine process registers.
starts_with_loggers_leave_ticks_alone(Cu) ->
    polls_beside(Cu, fun() ->
        Monitors = [element(1, harness:start(Cu, harness:proc_id(), #{cursor => earliest})) || _ <- lists:seq(1, 3000)],
        [ok = hb_process_monitor:stop(Monitor, deadline:ms()) || Monitor <- Monitors]
    end).

%% The engine's loop always gets a dirty IO scheduler, however many processes wait for one.
processes_that_sync_files_leave_ticks_alone(Cu) ->
    Dir = filename:dirname(harness:checkpoint()),
    polls_beside(Cu, fun() ->
        Writers = [spawn_monitor(fun() -> sync(filename:join(Dir, "synced" ++ integer_to_list(N)), 20) end)
                   || N <- lists:seq(1, 400)],
        [receive {'DOWN', Ref, process, _, Reason} -> normal = Reason end || {_, Ref} <- Writers]
    end).

sync(Path, Times) ->
    {ok, File} = file:open(Path, [write, raw, binary]),
    [begin ok = file:write(File, <<0:8000>>), ok = file:sync(File) end || _ <- lists:seq(1, Times)],
    file:close(File).

%% Runs Fun() repeatedly during at least 100 polls.
polls_beside(Cu, Fun) ->
    Id = harness:proc_id(),
    {_, _} = harness:start(Cu, Id, #{rate => ?RATE, cursor => earliest}),
    harness:eventually(fun() -> length(test_cu:requests(Cu, Id)) >= 2 end),
    Before = length(test_cu:requests(Cu, Id)),
    {ok, Timer} = timer:send_interval(?RATE, timer),
    Timed = beside(Fun, 0),
    {ok, cancel} = timer:cancel(Timer),
    Polls = length(test_cu:requests(Cu, Id)) - Before,
    ?assertMatch({_, _, true}, {Polls, Timed, Polls >= ?SHARE * Timed}).

beside(_, Timed) when Timed >= 100 -> Timed;
beside(Fun, Timed) -> _ = Fun(), beside(Fun, Timed + came()).

came() -> receive timer -> 1 + came() after 0 -> 0 end.

stopped_monitors_leave_no_logger_behind(Cu) ->
    Cycle = fun() ->
        {Monitor, Logger} = harness:start(Cu, harness:proc_id(), #{cursor => earliest}),
        Ref = monitor(process, Logger),
        ok = hb_process_monitor:stop(Monitor, deadline:ms()),
        receive {'DOWN', Ref, process, _, _} -> ok end
    end,
    [Cycle() || _ <- lists:seq(1, 300)],
    harness:eventually(fun() ->
        case proplists:get_value("State", status(hb_cron_engine)) of
            #{loggers := 0} -> true;
            Other -> Other
        end
    end).

status(Name) ->
    {status, _, _, [_, _, _, _, Misc]} = sys:get_status(Name, deadline:ms()),
    [Item || {data, Data} <- Misc, Item <- Data].

%% OTP's tools send system messages, which the loop does not see during a slice.
engine_asked_in_a_slice_answers_soon(Cu) ->
    Id = harness:proc_id(),
    {_, _} = harness:start(Cu, Id, #{rate => ?RATE, cursor => earliest}),
    harness:eventually(fun() -> length(test_cu:requests(Cu, Id)) >= 10 end),
    Before = length(test_cu:requests(Cu, Id)),
    [_ | _] = status(hb_cron_engine),
    %% Enough for one or two seconds of slices, but far more than one slice.
    ?assert(length(test_cu:requests(Cu, Id)) - Before < 10000 div ?RATE).

%% With +SDio 1 the host's file operations alternate with the engine's loop.
one_dirty_scheduler_is_reported_and_shared_test() ->
    Peer = harness:start_peer(["+SDio", "1", "-pa" | code:get_path()]),
    try ?assertEqual(ok, harness:call_peer(Peer, ?MODULE, one_dirty_scheduler, [?RATE]))
    after peer:stop(Peer)
    end.

%% @private
one_dirty_scheduler(Rate) ->
    Cu = harness:setup(),
    Self = self(),
    ok = logger:set_primary_config(level, warning),
    ok = logger:add_handler(heard, log_tests, #{config => #{test => Self}, level => all}),
    Id = harness:proc_id(),
    {_, _} = harness:start(Cu, Id, #{rate => Rate, cursor => earliest}),
    receive {otp_log, #{msg := {report, #{what := one_dirty_io_scheduler}}}} -> ok after deadline:ms() -> error(not_logged) end,
    harness:eventually(fun() -> length(test_cu:requests(Cu, Id)) >= 1 end),
    {Polls, Files} = files_beside(Cu, Id, length(test_cu:requests(Cu, Id)), 0),
    %% A file operation waits for a slice of 5 ms. With slices of half a second there would be ten polls for each
    %% operation.
    true = Files >= Polls,
    harness:cleanup(Cu),
    ok.

files_beside(Cu, Id, Before, Files) ->
    case length(test_cu:requests(Cu, Id)) - Before of
        Polls when Polls >= 20 -> {Polls, Files};
        _ ->
            {ok, _} = file:read_file_info("/"),
            files_beside(Cu, Id, Before, Files + 1)
    end.
