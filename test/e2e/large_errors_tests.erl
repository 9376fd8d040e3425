%%% Errors of pushes that are large: logs and inspection show the beginning, the dead letter has all of it.
-module(large_errors_tests).
-include_lib("eunit/include/eunit.hrl").

%% How much of an error may be in an entry of a log, in bytes.
-define(LOGGED, 5000).

eunit_wrapper_(Tests) -> deadline:each(Tests).

all_test_() ->
    harness:tests([
        fun push_that_fails_with_a_large_error_is_logged_in_short/1,
        fun dead_letter_has_all_of_a_large_error/1
    ]).

errors() ->
    Body = binary:copy(<<"x">>, 100000),
    [fun() -> {error, Body} end, fun() -> {error, {status, 500, binary_to_list(Body)}} end, fun() -> error({badmatch, #{body => Body}}) end].

push_that_fails_with_a_large_error_is_logged_in_short(Cu) ->
    [begin
        Id = harness:proc_id(),
        harness:fail_pushes(Id, [Fail]),
        test_cu:add(Cu, Id, 1),
        {Monitor, Logger} = harness:start(Cu, Id, #{cursor => earliest}),
        Monitor ! tick,
        harness:await_logged(Logger, fun({error, push_failed, {For, _, _, 1}}) -> For =:= Id end),
        [?assertMatch({_, true}, {Entry, erlang:external_size(Entry) < ?LOGGED}) || Entry <- harness:report(Logger)],
        #{error := #{text := Text}} = hb_process_monitor:info(Id),
        ?assert(byte_size(Text) < 300)
     end || Fail <- errors()].

dead_letter_has_all_of_a_large_error(Cu) ->
    harness:host(#{cron_push_attempts => 1}),
    Id = harness:proc_id(),
    Body = binary:copy(<<"x">>, 100000),
    harness:fail_pushes(Id, [fun() -> {error, Body} end]),
    test_cu:add(Cu, Id, 2),
    {Monitor, Logger} = harness:start(Cu, Id, #{cursor => earliest}),
    Monitor ! tick,
    harness:await_results(2, 2),
    harness:await_logged(Logger, fun({error, dead_letter, _}) -> true end),
    [?assert(erlang:external_size(Entry) < ?LOGGED) || Entry <- harness:report(Logger)],
    ?assertMatch({ok, [#{error := Body}]}, hb_process_monitor:dead_letters(Id)).
