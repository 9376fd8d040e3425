%%% Passwords in URLs: they are used, and never printed, whatever crashes.
-module(secret_tests).
-include_lib("eunit/include/eunit.hrl").

%% A handler of OTP's logger.
-export([log/2]).

-define(S, hb_cron_secret).
-define(PASSWORD, <<"open-sesame">>).

eunit_wrapper_(Tests) -> deadline:each(Tests).

all_test_() ->
    {foreach, fun setup/0, fun cleanup/1,
     [{with, [T]} || T <- [
        fun monitor_that_crashes_prints_no_password/1,
        fun supervised_monitor_that_crashes_prints_no_password/1,
        fun supervisor_that_cannot_start_it_prints_no_password/1,
        fun configured_process_that_is_refused_prints_no_password/1,
        fun bad_node_is_named_without_its_password/1,
        fun resumed_monitor_still_has_its_password/1,
        fun cluster_that_crashes_and_loses_its_database_prints_no_password/1,
        fun cluster_without_its_database_prints_no_password/1,
        fun cluster_url_that_is_refused_prints_no_password/1
     ]]}.

setup() ->
    Cu = harness:setup(),
    {ok, #{level := Level}} = logger:get_handler_config(default),
    ok = logger:set_handler_config(default, level, none),
    #{level := Primary} = logger:get_primary_config(),
    %% Progress reports print the arguments of children.
    ok = logger:set_primary_config(level, all),
    Seen = ets:new(?MODULE, [public, duplicate_bag]),
    ok = logger:add_handler(?MODULE, ?MODULE, #{config => Seen, level => all}),
    #{cu => Cu, seen => Seen, levels => {Level, Primary}}.

cleanup(#{cu := Cu, seen := Seen, levels := {Level, Primary}}) ->
    ok = logger:remove_handler(?MODULE),
    ok = logger:set_primary_config(level, Primary),
    ok = logger:set_handler_config(default, level, Level),
    true = ets:delete(Seen),
    harness:cleanup(Cu).

log(#{meta := Meta} = Event, #{config := Seen}) ->
    true = ets:insert(Seen, {maps:get(domain, Meta, []), Event}),
    ok.

with_password(Cu) ->
    <<"http://", Host/binary>> = test_cu:url(Cu),
    <<"http://user:", ?PASSWORD/binary, "@", Host/binary>>.

%% All printed forms of a term: as text, and as lists of characters.
printed(Term) -> iolist_to_binary(io_lib:format("~0p ~0w", [Term, Term])).

is_clean(What, Term) ->
    Printed = printed(Term),
    Codes = iolist_to_binary(lists:join(",", [integer_to_list(C) || <<C>> <= ?PASSWORD])),
    [?assertEqual({What, nomatch}, {What, binary:match(Printed, Secret)}) || Secret <- [?PASSWORD, Codes]].

%% All log records since the test began. At least one must match.
logged_is_clean(#{seen := Seen}, Fits) ->
    harness:eventually(fun() -> lists:any(Fits, [Event || {_, Event} <- ets:tab2list(Seen)]) end),
    [is_clean(logged, Event) || {_, Event} <- ets:tab2list(Seen)].

crash_of(Pid) ->
    fun(#{msg := {report, #{label := {proc_lib, crash}, report := [Info | _]}}}) -> proplists:get_value(pid, Info) =:= Pid;
       (_) -> false
    end.

authorized(Cu, Id) ->
    Expected = <<"Basic ", (base64:encode(<<"user:", ?PASSWORD/binary>>))/binary>>,
    [?assertMatch(#{headers := #{'Authorization' := Expected}}, Request) || Request <- test_cu:requests(Cu, Id)].

%% A fault below the push loop, whose stack trace has the arguments.
crash(Monitor) ->
    Ref = monitor(process, Monitor),
    try _ = sys:replace_state(Monitor, fun(State) -> list_to_tuple(with_part(tuple_to_list(State))) end), ok
    catch exit:_ -> ok
    end,
    Monitor ! push_next,
    receive {'DOWN', Ref, process, _, _} -> ok after deadline:ms() -> error(no_crash) end.

%% The part in hand, here none, is between `ticked' and `pushing'.
with_part([Ticked, none, Pushing | Rest]) when is_boolean(Ticked), is_boolean(Pushing) ->
    [Ticked, {1, no_list, true}, Pushing | Rest];
with_part([Field | Rest]) ->
    [Field | with_part(Rest)].

monitor_that_crashes_prints_no_password(#{cu := Cu} = World) ->
    Id = harness:proc_id(),
    {Monitor, Logger} = harness:start_and_push(Cu, Id, 2, #{cron_node => with_password(Cu), logger => hb_logger:start()}),
    authorized(Cu, Id),
    is_clean(status, sys:get_status(Monitor)),
    is_clean(state, sys:get_state(Monitor)),
    crash(Monitor),
    New = harness:await_monitor_after(Id, Monitor),
    [is_clean(Of, sys:get_status(Of)) || Of <- [New, hb_cron_restarter, hb_cron_engine,
                                                hb_cron_monitors_sup, hb_cron_sup]],
    [is_clean(Key, process_info(New, Key)) || Key <- [messages, dictionary, current_stacktrace]],
    is_clean(report, harness:report(Logger)),
    is_clean(doctor, hb_process_monitor:doctor(#{process => Id})),
    is_clean(info, hb_process_monitor:info(Id)),
    logged_is_clean(World, crash_of(Monitor)),
    %% The monitor continues, using the password.
    test_cu:forget_requests(Cu),
    test_cu:add(Cu, Id, 1),
    New ! tick,
    harness:await_results(3, 3),
    authorized(Cu, Id).

supervised_monitor_that_crashes_prints_no_password(#{cu := Cu} = World) ->
    Id = harness:proc_id(),
    harness:report_pushes(Id),
    test_cu:add(Cu, Id, 1),
    Spec = hb_process_monitor:child_spec({Id, #{rate => 3600000, cursor => earliest, cron_node => [with_password(Cu)]}}),
    is_clean(spec, Spec),
    test_supervisor:with([Spec], fun(Supervisor) ->
        {ok, {Monitor, _, _}} = hb_cron_registry:find(Id),
        Monitor ! tick,
        harness:await_results(1, 1),
        authorized(Cu, Id),
        crash(Monitor),
        _ = harness:await_monitor_after(Id, Monitor),
        is_clean(supervisor, sys:get_status(Supervisor)),
        is_clean(supervisor, sys:get_state(Supervisor)),
        logged_is_clean(World, fun(#{msg := {report, #{label := {supervisor, child_terminated}}}}) -> true; (_) -> false end),
        logged_is_clean(World, crash_of(Monitor))
    end).

supervisor_that_cannot_start_it_prints_no_password(World) ->
    Node = <<"ftp://user:", ?PASSWORD/binary, "@cu">>,
    Spec = hb_process_monitor:child_spec({harness:proc_id(), #{cron_node => Node}}),
    Trapping = process_flag(trap_exit, true),
    {error, Reason} = test_supervisor:start_link([Spec]),
    %% Since OTP 26 start_link/2 takes the message itself.
    receive {'EXIT', _, Reason} -> ok after 0 -> ok end,
    true = process_flag(trap_exit, Trapping),
    is_clean(reason, Reason),
    logged_is_clean(World, fun(#{msg := {report, #{label := {supervisor, start_error}}}}) -> true; (_) -> false end).

configured_process_that_is_refused_prints_no_password(#{cu := Cu} = World) ->
    Bad = <<"ftp://user:", ?PASSWORD/binary, "@cu">>,
    Configured = [{Bad, #{}}, {harness:proc_id(), #{cron_node => Bad}}, {harness:proc_id(), with_password(Cu)},
                  {harness:proc_id(), #{cron_node => with_password(Cu), rate => soon}}],
    harness:host(#{cron_node => test_cu:url(Cu), cron_processes => Configured}),
    {ok, _} = application:ensure_all_started(hb_process_monitor),
    [logged_is_clean(World, fun(#{msg := {report, #{what := Logged}}}) -> Logged =:= What; (_) -> false end)
     || What <- [bad_cron_process, not_started]],
    Findings = hb_process_monitor:doctor(#{probe => false}),
    is_clean(doctor, Findings),
    is_clean(doctor, hb_cron_doctor_report:text(Findings)),
    is_clean(restarter, sys:get_status(hb_cron_restarter)),
    is_clean(restarter, sys:get_state(hb_cron_restarter)).

bad_node_is_named_without_its_password(_) ->
    [begin
        Reason = try error({started, hb_process_monitor:start(harness:proc_id(), #{cron_node => Node})})
        catch error:{bad_option, cron_node, Value} -> Value
        end,
        is_clean(reason, Reason),
        ?assertNotEqual(nomatch, binary:match(printed(Reason), <<"cu">>))
    end || Text <- [<<"ftp://user:", ?PASSWORD/binary, "@cu">>, <<"user:", ?PASSWORD/binary, "@cu">>,
                    <<"http://user:", ?PASSWORD/binary, "@cu:99999">>, <<"http://user:", ?PASSWORD/binary, "%zz@cu">>],
           Node <- [Text, binary_to_list(Text), [Text], [<<"http://a">>, binary_to_list(Text)], {Text}, #{node => [Text | Text]}]].

resumed_monitor_still_has_its_password(#{cu := Cu} = World) ->
    Id = harness:proc_id(),
    {Old, _} = harness:start_and_push(Cu, Id, 2, #{cron_node => [with_password(Cu)]}),
    %% A pause rewrites the options in the checkpoint.
    ok = hb_process_monitor:pause(Old),
    ok = hb_process_monitor:resume(Old),
    ok = application:stop(hb_process_monitor),
    test_cu:forget_requests(Cu),
    %% The options are only in this file.
    [{Id, {New, _}}] = hb_process_monitor:resume_all(),
    test_cu:add(Cu, Id, 1),
    New ! tick,
    harness:await_results(3, 3),
    authorized(Cu, Id),
    logged_is_clean(World, fun(_) -> true end).

%% A cluster

everything_shown_is_clean(What) ->
    Findings = hb_process_monitor:doctor(#{probe => false}),
    is_clean({What, doctor}, Findings),
    is_clean({What, doctor}, hb_cron_doctor_report:text(Findings)),
    is_clean({What, cluster}, hb_process_monitor:cluster()),
    is_clean({What, table}, [hb_cron_cluster_report:line(hb_process_monitor:cluster()), hb_cron_table:listing(#{})]),
    is_clean({What, prometheus}, hb_process_monitor:prometheus()),
    is_clean({What, dashboard}, hb_cron_dashboard_api:answer(metrics, #{})),
    is_clean({What, node_options}, hb_cron_registry:node_options()),
    Ours = [Pid || Pid <- processes(), application:get_application(Pid) =:= {ok, hb_process_monitor}],
    ?assert(length(Ours) > 10),
    [is_clean({What, Pid, Key}, process_info(Pid, Key))
     || Pid <- Ours, Key <- [messages, dictionary, current_stacktrace, registered_name]],
    [is_clean({What, Pid, status}, sys:get_status(Pid)) || Pid <- Ours, is_of_otp(Pid)].

%% The application's master does not answer system messages.
is_of_otp(Pid) ->
    case proc_lib:translate_initial_call(Pid) of
        {Module, init, 1} when Module =/= application_master -> true;
        {supervisor, _, _} -> true;
        _ -> false
    end.

%% A fault in a process with the cluster's state.
crash_server(Name) ->
    Pid = whereis(Name),
    Ref = monitor(process, Pid),
    _ = sys:replace_state(Pid, fun(State) -> {broken, State} end),
    Pid ! {hb_cron_cluster, {stop, [{0, 0}]}},
    receive {'DOWN', Ref, process, _, _} -> Pid after deadline:ms() -> error({no_crash, Name}) end.

cluster_that_crashes_and_loses_its_database_prints_no_password(#{cu := Cu} = World) ->
    Server = postgres_server:start(),
    try
        Url = binary:replace(postgres_server:url(Server), <<"postgres@">>, <<"postgres:", ?PASSWORD/binary, "@">>),
        ?assertNotEqual(nomatch, binary:match(Url, ?PASSWORD)),
        harness:host(#{cron_cluster => Url, cron_cluster_ttl => 2000}),
        Id = harness:proc_id(),
        {_, _} = harness:start_and_push(Cu, Id, 1, #{rate => 100}),
        everything_shown_is_clean(well),
        Owner = crash_server(hb_cron_ownership),
        {ok, {Monitor, _, _}} = hb_cron_registry:find(Id),
        crash(Monitor),
        ok = postgres_server:kill(Server),
        harness:eventually(fun() -> maps:get(connected, hb_process_monitor:cluster()) =:= false end),
        everything_shown_is_clean(no_database),
        killed = harness:kill(whereis(hb_cron_engine)),
        harness:eventually(fun() -> is_map(hb_process_monitor:cluster()) end),
        everything_shown_is_clean(new_engine),
        logged_is_clean(World, crash_of(Owner)),
        logged_is_clean(World, crash_of(Monitor)),
        logged_is_clean(World, fun(#{msg := {report, #{what := record, target := Target}}}) -> is_of_cluster(Target); (_) -> false end),
        ok = application:stop(hb_process_monitor)
    after
        postgres_server:stop(Server)
    end,
    logged_is_clean(World, fun(_) -> true end).

is_of_cluster(Target) -> binary:match(Target, <<"cron_postgres">>) =/= nomatch.

%% Nothing listens there.
cluster_without_its_database_prints_no_password(World) ->
    harness:host(#{cron_cluster => <<"postgresql://user:", ?PASSWORD/binary, "@localhost:1,192.0.2.1:1/db?sslmode=disable">>,
                   cron_cluster_ttl => 2000}),
    ok = hb_cron_start:ensure_started(),
    {_, _} = hb_process_monitor:start(harness:proc_id(), #{cursor => earliest}),
    harness:eventually(fun() -> maps:get(error, hb_process_monitor:cluster()) =/= undefined end),
    everything_shown_is_clean(unreachable),
    #{advice := Advice} = hb_process_monitor:doctor(#{probe => false}),
    [?assertMatch({Part, [Level]}, {Part, [L || {L, What, _} <- Advice, binary:match(What, Part) =/= nomatch]})
     || {Level, Part} <- [{wrong, <<"database of the cluster does not answer">>}, {attention, <<"is not encrypted">>}]],
    logged_is_clean(World, fun(_) -> true end).

cluster_url_that_is_refused_prints_no_password(World) ->
    [begin
        harness:host(#{cron_cluster => Url}),
        Reason = try error({started, hb_process_monitor:start(harness:proc_id(), #{})})
        catch error:Error -> Error
        end,
        is_clean(reason, Reason),
        Findings = hb_process_monitor:doctor(#{probe => false}),
        is_clean(doctor, Findings),
        is_clean(doctor, hb_cron_doctor_report:text(Findings)),
        _ = application:stop(hb_process_monitor)
     end || Url <- [<<"mysql://user:", ?PASSWORD/binary, "@db/db">>, <<"postgresql://user:", ?PASSWORD/binary, "@db/db?sslmode=maybe">>,
                    <<"postgresql://user:", ?PASSWORD/binary, "@db:99999/db">>, <<"postgresql://user:", ?PASSWORD/binary, "?#@db/db">>]],
    logged_is_clean(World, fun(_) -> true end).

seal_is_revealed_on_this_node_alone_test_() ->
    [?_assertEqual({Value, true}, begin
        Sealed = ?S:seal(Value),
        is_clean(sealed, Sealed),
        {?S:reveal(Sealed), Sealed =:= ?S:seal(Value)}
     end) || Value <- [<<"http://u:open-sesame@h/p">>, [<<"http://u:open-sesame@h">>, <<"http://h">>], <<"open-sesame@">>,
                       <<"http://h">>, undefined, [], <<>>, "http://h", 7, [<<"http://a">> | <<"http://u:open-sesame@h">>]]].

seal_of_each_text_differs_test() ->
    ?assertNotEqual(?S:seal(<<"http://u:a@h">>), ?S:seal(<<"http://u:b@h">>)),
    ?assertEqual(<<"http://h:1">>, ?S:origin(?S:seal(<<"http://u:a@h:1/path">>))).

redacted_term_keeps_all_but_user_information_test_() ->
    [?_assertEqual(Expected, ?S:redact(Term)) || {Expected, Term} <- [
        {<<"http://***@h/p">>, <<"http://u:a@b@h/p">>},
        {<<"***@h">>, <<"u:a@h">>},
        {<<"http://h">>, <<"http://h">>},
        {<<"http://***@h">>, "http://u:a@h"},
        {{error, [<<"x://***@">>, #{k => <<"***@h">>}]}, {error, [<<"x://u@">>, #{k => <<"u@h">>}]}},
        {[a | <<"***@h">>], [a | <<"u@h">>]},
        {<<"http://h">>, ?S:seal(<<"http://u:a@h">>)},
        {soon, soon}]].

stack_without_arguments_test() ->
    ?assertEqual([{m, f, 2, []}, {m, g, 1, [{line, 3}]}], ?S:stack([{m, f, [a, b], []}, {m, g, 1, [{line, 3}]}])).
