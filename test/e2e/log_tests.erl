%%% Where records go: the host's logger, OTP's logger, and the way of Rust's records to them.
-module(log_tests).
-include_lib("eunit/include/eunit.hrl").

%% The callback of OTP's logger.
-export([log/2]).

eunit_wrapper_(Tests) -> deadline:each(Tests).

all_test_() ->
    {foreach, fun setup/0, fun cleanup/1,
     [{with, [T]} || T <- [
        fun report_holds_both_registrations_and_the_start/1,
        fun logger_given_to_many_monitors_has_the_engine_once/1,
        fun entries_are_tuples_of_three/1,
        fun errors_reach_the_otp_logger_as_reports_with_a_domain/1,
        fun rust_records_reach_the_otp_logger/1,
        fun mailboxes_stay_empty/1
     ]]}.

no_host_test_() ->
    {setup, fun setup/0, fun cleanup/1, fun(Cu) ->
        fun() -> host_without_a_logger_has_none(Cu) end
    end}.

setup() ->
    Cu = harness:setup(#{cron_log_level => debug}),
    #{level := Level} = logger:get_primary_config(),
    ok = logger:set_primary_config(level, debug),
    %% Only the test's own handler may receive debug records.
    ok = logger:set_handler_config(default, level, Level),
    {Cu, Level}.

%% A test runs in another process than its setup.
listen() ->
    ok = logger:add_handler(?MODULE, ?MODULE, #{config => #{test => self()}, level => all}).

cleanup({Cu, Level}) ->
    _ = logger:remove_handler(?MODULE),
    ok = logger:set_primary_config(level, Level),
    ok = logger:set_handler_config(default, level, all),
    harness:cleanup(Cu).

log(#{meta := #{domain := [hb_process_monitor | _]}} = Event, #{config := #{test := Test}}) ->
    Test ! {otp_log, Event};
log(_, _) ->
    ok.

report_holds_both_registrations_and_the_start({Cu, _}) ->
    Id = harness:proc_id(),
    {Monitor, Logger} = harness:start(Cu, Id, #{rate => 777777, cursor => <<"from here">>}),
    Ticker = whereis(hb_cron_engine),
    harness:await_logged(Logger, fun({ok, registered, Pid}) -> Pid =:= Ticker end),
    Report = harness:report(Logger),
    ?assert(lists:member({ok, registered, Monitor}, Report)),
    ?assert(lists:member({ok, started_monitor, {Id, 777777, <<"from here">>}}, Report)).

logger_given_to_many_monitors_has_the_engine_once({Cu, _}) ->
    Logger = hb_logger:start(),
    Monitors = [Monitor || _ <- lists:seq(1, 20), {Monitor, _} <- [harness:start(Cu, harness:proc_id(), #{logger => Logger})]],
    Ticker = whereis(hb_cron_engine),
    harness:await_logged(Logger, fun({ok, registered, Pid}) -> Pid =:= Ticker end),
    %% The engine process has served all earlier messages when it serves this one.
    _ = gen_server:call(Ticker, served, infinity),
    Registered = [Pid || {ok, registered, Pid} <- harness:report(Logger)],
    ?assertEqual(lists:sort([Ticker | Monitors]), lists:sort(Registered)).

entries_are_tuples_of_three({Cu, _}) ->
    Id = harness:proc_id(),
    harness:fail_pushes(Id, [fun() -> error(once) end]),
    test_cu:add(Cu, Id, 1),
    test_cu:script(Cu, fun(_) -> close end),
    {Monitor, Logger} = harness:start(Cu, Id, #{cursor => earliest}),
    Monitor ! tick,
    harness:await_logged(Logger, fun({error, connect, _}) -> true end),
    test_cu:script(Cu, fun(_) -> pass end),
    Monitor ! tick,
    harness:await_logged(Logger, fun({error, push_failed, _}) -> true end),
    Monitor ! tick,
    harness:await_results(1, 1),
    _ = harness:start(Cu, Id, #{}),
    [?assertMatch({Status, Type, _} when is_atom(Type) andalso (Status =:= ok orelse Status =:= error), Entry)
     || Entry <- harness:report(Logger)].

errors_reach_the_otp_logger_as_reports_with_a_domain({Cu, _}) ->
    ok = listen(),
    Id = harness:proc_id(),
    test_cu:script(Cu, fun(_) -> close end),
    {Monitor, _} = harness:start(Cu, Id, #{cursor => earliest}),
    Monitor ! tick,
    #{level := Level, meta := #{domain := Domain}} =
        await(fun(#{msg := {report, #{what := connect, details := {For, _, 1}}}}) -> For =:= Id end),
    ?assertEqual({warning, [hb_process_monitor]}, {Level, Domain}).

rust_records_reach_the_otp_logger({Cu, _}) ->
    ok = listen(),
    {_, _} = harness:start(Cu, harness:proc_id(), #{}),
    #{level := Level, meta := #{domain := Domain}} =
        await(fun(#{msg := {report, #{what := record, target := <<"hb_process_monitor_nif::nifs">>, text := Text}}}) ->
            binary:match(Text, <<"engine started">>) =/= nomatch
        end),
    ?assertEqual({debug, [hb_process_monitor, rust]}, {Level, Domain}).

mailboxes_stay_empty({Cu, _}) ->
    Id = harness:proc_id(),
    {Monitor, Logger} = harness:start(Cu, Id, #{}),
    Ticker = whereis(hb_cron_engine),
    harness:await_logged(Logger, fun({ok, registered, Pid}) -> Pid =:= Ticker end),
    Ticker ! stray,
    whereis(hb_cron_log) ! stray,
    [begin
        {error, unknown_call} = gen_server:call(Pid, served, infinity),
        harness:eventually(fun() -> process_info(Pid, message_queue_len) =:= {message_queue_len, 0} end)
    end || Pid <- [Monitor, Ticker, whereis(hb_cron_log)]].

%% Every other test has the doubles; here the host exports nothing.
host_without_a_logger_has_none({Cu, _}) ->
    Doubles = [hb_logger, hb_opts, dev_mu],
    Paths = code:get_path(),
    Away = [filename:dirname(code:which(Module)) || Module <- Doubles],
    lists:foreach(fun harness:unload/1, Doubles),
    true = code:set_path([Path || Path <- Paths, not lists:member(filename:absname(Path), [filename:absname(A) || A <- Away])]),
    %% The default checkpoint of a node without options.
    {ok, Cwd} = file:get_cwd(),
    ok = file:set_cwd(filename:dirname(harness:checkpoint())),
    try
        Id = harness_free_id(),
        Self = self(),
        {Monitor, undefined} = hb_process_monitor:start(Id, #{
            rate => 3600000, cursor => earliest, cron_node => test_cu:url(Cu),
            cron_push => fun(#{message := Result}, #{logger := undefined}) -> Self ! {pushed, Result}, ok end}),
        test_cu:add(Cu, Id, 1),
        Monitor ! tick,
        receive {pushed, #{<<"cursor">> := _}} -> ok end
    after
        ok = file:set_cwd(Cwd),
        true = code:set_path(Paths),
        [{module, _} = code:ensure_loaded(Module) || Module <- Doubles]
    end.

harness_free_id() -> list_to_binary(lists:duplicate(43, $Z)).

await(Fits) ->
    receive
        {otp_log, Event} ->
            try Fits(Event) of
                true -> Event;
                false -> await(Fits)
            catch error:function_clause -> await(Fits)
            end
    after deadline:ms() -> error(not_logged)
    end.
