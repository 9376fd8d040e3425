%%% Log records as an operator reads them: reports in one line, columns on a console, and the states of the
%%% library's processes in OTP's tools.
-module(log_format_tests).
-include_lib("eunit/include/eunit.hrl").

-define(FORMAT, hb_process_monitor_log_format).

eunit_wrapper_(Tests) -> deadline:each(Tests).

id() -> binary:copy(<<"Z">>, 43).

event(Level, Report) ->
    #{level => Level, msg => {report, Report},
      meta => #{domain => [hb_process_monitor], time => 1760000000123456, pid => self(), gl => group_leader()}}.

text(Chardata) -> unicode:characters_to_binary(Chardata).

report_is_one_line_with_what_process_and_details_test() ->
    Report = #{what => connect, details => {id(), <<"refused">>, 4}},
    ?assertEqual(<<"connect ", (id())/binary, " refused 4">>, text(?FORMAT:report(Report, #{}))),
    ?assertEqual(<<"push_stalled ", (id())/binary, " for_ms=12">>,
                 text(?FORMAT:report(#{what => push_stalled, details => {id(), {for_ms, 12}}}, #{}))).

report_without_a_process_shows_all_of_its_details_test() ->
    ?assertEqual(<<"odd not_an_id {a,b,c}">>, text(?FORMAT:report(#{what => odd, details => {not_an_id, {a, b, c}}}, #{}))),
    ?assertEqual(<<"odd alone">>, text(?FORMAT:report(#{what => odd, details => alone}, #{}))).

report_of_hostile_text_stays_one_line_test() ->
    Details = {id(), <<"a\nb\r\e[31mc", 16#9b/utf8>>, binary:copy(<<"x">>, 1000), <<255, 254>>},
    Text = text(?FORMAT:report(#{what => status, details => Details}, #{})),
    ?assertEqual(nomatch, re:run(Text, "[\\x00-\\x1f\\x7f-\\x9f]", [unicode])),
    ?assert(byte_size(Text) < 400).

records_of_the_library_name_their_target_test() ->
    ?assertEqual(<<"library cron_io told">>, text(?FORMAT:report(#{what => record, target => <<"cron_io">>, text => <<"told">>}, #{}))).

columns_are_aligned_whatever_stands_in_them_test() ->
    Lines = [text(?FORMAT:format(Event, #{})) || Event <- [
        event(info, #{what => resumed, details => {id(), <<"cursor">>}}),
        event(warning, #{what => first_byte_timeout, details => {id(), <<"slow">>, 1}}),
        event(error, #{what => page_lost, details => {id(), <<"cursor">>}})]],
    [{At, 43}, {At, 43}, {At, 43}] = [binary:match(Line, id()) || Line <- Lines],
    [?assertMatch({match, _}, re:run(Line, "^[0-9:]{8}\\.123 (info|warn|error) +[a-z_]+ +Z{43} .*\n$")) || Line <- Lines].

events_of_others_are_formatted_as_otp_does_test() ->
    Event = #{level => notice, msg => {"~p", [other]}, meta => #{time => 1760000000123456, pid => self()}},
    ?assertEqual(text(logger_formatter:format(Event, #{single_line => true})),
                 text(?FORMAT:format(Event, #{single_line => true}))),
    ?assertEqual(ok, ?FORMAT:check_config(#{single_line => true})),
    ?assertMatch({error, _}, ?FORMAT:check_config(#{no_such_key => true})).

handler_takes_it_as_its_formatter_test() ->
    {ok, #{formatter := Before}} = logger:get_handler_config(default),
    ok = logger:update_handler_config(default, formatter, {?FORMAT, #{}}),
    ok = logger:update_handler_config(default, formatter, Before).

status_test_() ->
    {setup, fun harness:setup/0, fun harness:cleanup/1,
     {with, [fun status_of_each_process_is_short_and_holds_no_result/1, fun label_is_set_where_otp_has_labels/1]}}.

status_of_each_process_is_short_and_holds_no_result(Cu) ->
    Id = harness:proc_id(),
    Push = harness:hold_pushes(Id),
    test_cu:add(Cu, Id, 500),
    {Monitor, _} = harness:start(Cu, Id, #{cursor => earliest}),
    Monitor ! tick,
    Held = harness:await_push(Push, 1),
    %% Between the first two results, the state has the rest of the page.
    Self = self(),
    _ = spawn_link(fun() -> Self ! {status, sys:get_status(Monitor, infinity)} end),
    harness:eventually(fun() -> process_info(Monitor, message_queue_len) > {message_queue_len, 0} end),
    ok = harness:release_push(Held),
    Status = receive {status, Answer} -> Answer end,
    Texts = [text(io_lib:format("~0p", [S])) || S <- [Status | [sys:get_status(P) || P <- [hb_cron_engine, hb_cron_restarter]]]],
    [?assert(byte_size(Text) < 6000) || Text <- Texts],
    ?assertMatch({_, _}, binary:match(hd(Texts), <<"{from,2,results,">>)),
    ?assertEqual(nomatch, binary:match(hd(Texts), <<"Messages">>)),
    exit(Monitor, kill).

label_is_set_where_otp_has_labels(Cu) ->
    Id = harness:proc_id(),
    {Monitor, _} = harness:start(Cu, Id, #{}),
    case erlang:function_exported(proc_lib, get_label, 1) of
        true -> ?assertEqual({hb_process_monitor, Id}, apply(proc_lib, get_label, [Monitor]));
        false -> ?assertEqual(ok, hb_cron_sys_status:label(any))
    end.

reason_is_one_short_line_test() ->
    ?assert(byte_size(hb_cron_sys_status:reason(binary:copy(<<"x">>, 100000))) < 300),
    ?assertEqual(<<"{badmatch,1}">>, hb_cron_sys_status:reason({badmatch, 1})).

message_with_a_result_is_cut_short_test() ->
    Call = {'$gen_call', {self(), tag}, {redeliver, 7, #{<<"Messages">> => lists:seq(1, 100)}}},
    #{message := Short, log := [{in, Short}], reason := {badarg, [{m, f, 1, []}]}} =
        hb_cron_sys_status:short(#{message => Call, log => [{in, Call}], reason => {badarg, [{m, f, [Call], []}]}}),
    ?assertEqual({'$gen_call', {self(), tag}, {redeliver, 7, result}}, Short).
