%%% Spawns and assignments of a result, on doubles of the hosts that can make them, and the typed outcome on those that
%%% cannot.
-module(host_spawn_tests).
-include_lib("eunit/include/eunit.hrl").

-define(SCHEDULE, {scheduler, schedule}).
-define(POST, {hb_http, post}).
-define(NODE, (later_host:address(<<"node">>))).

eunit_wrapper_(Tests) -> deadline:each(Tests).

later_test_() -> [era:suite(Era, tests()) || Era <- [era_b, era_c, era_d]].

tests() -> [
    {spawn_becomes_a_process_and_its_parent_is_told, fun spawned/1},
    {mainnet_spawn_is_signed_for_this_node, fun mainnet/1},
    {spawn_without_scheduler_gets_that_of_its_parent, fun parents_scheduler/1},
    {spawn_without_any_scheduler_is_a_dead_letter, fun no_scheduler/1},
    {parent_that_cannot_be_told_has_no_second_spawn, fun not_told/1},
    {spawn_is_not_created_again_after_a_failure, fun created_once/1},
    {assignment_is_posted_to_the_scheduler_of_each_process, fun assigned/1},
    {assignment_that_fails_is_retried_alone, fun assignment_fails/1},
    {assignment_without_a_location_is_logged_once, fun no_location/1},
    {bad_assignment_is_a_dead_letter, fun bad_assignment/1},
    {tag_assignments_assigns_the_message, fun tag_assignments/1},
    {text_in_the_tag_assignments_assigns_nothing, fun text_in_tag/1}].

early_test_() -> era:suite(era_a, [
    {spawn_and_assignment_are_logged_once, fun unsupported/1}]).

%% A spawn of a result, as JSON.
child(Tags) ->
    [<<"{\"Anchor\":\"0000\",\"Data\":\"1984\",\"Tags\":[">>,
     lists:join($,, [[<<"{\"name\":\"">>, Name, <<"\",\"value\":\"">>, Value, <<"\"}">>] || {Name, Value} <- Tags]),
     <<"]}">>].

spawns(Spawns) -> era:result([], Spawns).

assignments(Assignments) ->
    [<<"{\"Messages\":[],\"Spawns\":[],\"Assignments\":[">>, lists:join($,, Assignments), <<"]}">>].

assignment(Processes, Rest) ->
    [<<"{\"Processes\":[">>, lists:join($,, [[$", Id, $"] || Id <- Processes]), <<"],\"Message\":\"">>, message_id(), $", Rest, $}].

message_id() -> binary:copy(<<"m">>, 43).

parent(#{source := Source}, Fields) -> true = host_double:process(Source, local, Fields).

told(#{source := Source}) ->
    harness:eventually(fun() -> host_double:scheduled(Source) =/= [] end),
    [Message | _] = host_double:scheduled(Source),
    Message.

%% Spawns

-define(TAGS, [{"Name", "child"}, {"Module", "mod"}, {"Scheduler", ?NODE}, {"Authority", "auth"}, {"Type", "Forged"},
               {"Data-Protocol", "ao"}, {"Reference", "7"}, {"From-Module", "forged"}]).

spawned(#{source := Source} = World) ->
    parent(World, #{<<"module">> => <<"parents-module">>}),
    _ = era:start(World, [spawns([child(?TAGS)])]),
    Notice = told(World),
    #{<<"process">> := Child} = Notice,
    [Definition] = host_double:scheduled(Child),
    ?assertEqual(#{<<"name">> => <<"child">>, <<"module">> => <<"mod">>, <<"scheduler">> => ?NODE, <<"authority">> => <<"auth">>,
                   <<"reference">> => <<"7">>, <<"from-module">> => <<"parents-module">>, <<"variant">> => <<"ao.TN.1">>,
                   <<"data-protocol">> => <<"ao">>, <<"type">> => <<"Process">>, <<"from-process">> => Source,
                   <<"data">> => <<"1984">>}, later_host:message(Definition)),
    ?assertMatch([#{<<"commitment-device">> := <<"ans104@1.0">>}], maps:values(maps:get(<<"commitments">>, Definition))),
    ?assertEqual(#{<<"name">> => <<"child">>, <<"module">> => <<"mod">>, <<"scheduler">> => ?NODE, <<"authority">> => <<"auth">>,
                   <<"reference">> => <<"7">>, <<"variant">> => <<"ao.TN.1">>, <<"data-protocol">> => <<"ao">>,
                   <<"type">> => <<"Message">>, <<"action">> => <<"Spawned">>, <<"target">> => Source,
                   <<"process">> => Child}, later_host:message(Notice)),
    harness:eventually(fun() -> host_double:pushed(Source) =:= [1] end).

mainnet(World) ->
    parent(World, #{}),
    _ = era:start(World, [spawns([child([{"Variant", "ao.N.1"}, {"Scheduler", ?NODE}])])]),
    #{<<"process">> := Child, <<"variant">> := <<"ao.N.1">>} = told(World),
    [Definition] = host_double:scheduled(Child),
    ?assertMatch(#{<<"device">> := <<"process@1.0">>, <<"variant">> := <<"ao.N.1">>}, Definition),
    ?assertMatch([#{<<"commitment-device">> := <<"httpsig@1.0">>}], maps:values(maps:get(<<"commitments">>, Definition))).

parents_scheduler(World) ->
    parent(World, #{<<"scheduler">> => ?NODE}),
    _ = era:start(World, [spawns([child([{"Name", "child"}])])]),
    #{<<"process">> := Child} = told(World),
    [#{<<"scheduler">> := Scheduler}] = host_double:scheduled(Child),
    ?assertEqual(?NODE, Scheduler).

no_scheduler(World) ->
    parent(World, #{}),
    _ = era:start(World, [spawns([child([{"Name", "child"}])])]),
    ?assertEqual([no_scheduler], era:letter_errors(World, 1)).

%% The parent's process is not on the node: the spawn is made, and the notice is what is left.
not_told(#{source := Source} = World) ->
    _ = era:start(World, [spawns([child([{"Scheduler", ?NODE}])])]),
    ?assertEqual([{target_not_found, Source}], era:letter_errors(World, 1)),
    {ok, [#{id := Id}]} = hb_process_monitor:dead_letters(Source),
    Created = fun() -> length([Body || [_, #{<<"body">> := #{<<"type">> := <<"Process">>} = Body}, _] <- host_double:asked(?SCHEDULE)]) end,
    ?assertEqual(1, Created()),
    parent(World, #{}),
    ok = hb_process_monitor:redeliver(Source, Id),
    #{<<"action">> := <<"Spawned">>} = told(World),
    ?assertEqual(1, Created()).

created_once(#{source := Source} = World) ->
    parent(World, #{}),
    host_double:on(?SCHEDULE, fun
        ([_, #{<<"body">> := #{<<"action">> := <<"Spawned">>}}, _]) -> error(undef);
        (_) -> pass
    end),
    {_, Logger} = era:start(World, [spawns([child([{"Scheduler", ?NODE}])])]),
    harness:await_logged(Logger, fun({error, push_failed, {_, _, _, 4}}) -> true end),
    host_double:on(?SCHEDULE, pass),
    #{<<"process">> := Child} = told(World),
    ?assertEqual(1, length(host_double:scheduled(Child))),
    ?assertEqual(1, length(host_double:scheduled(Source))).

%% Assignments

elsewhere(Name) ->
    Scheduler = later_host:address(Name),
    host_double:locate(Scheduler, <<"http://", Name/binary, ".test">>),
    era:target(foreign, #{<<"scheduler">> => Scheduler}).

posts() -> [{Node, Path} || [Node, #{<<"path">> := Path, <<"method">> := <<"POST">>}, _] <- host_double:asked(?POST)].

assigned(World) ->
    [One, Other] = [elsewhere(<<"one">>), elsewhere(<<"other">>)],
    _ = era:start(World, [assignments([assignment([One, Other], <<",\"BaseLayer\":true,\"Exclude\":[\"Data\",\"a&b\"]">>),
                                       assignment([One], <<>>)])]),
    harness:eventually(fun() -> length(posts()) =:= 3 end),
    Query = fun(Id) -> <<"/?process-id=", Id/binary, "&assign=", (message_id())/binary>> end,
    ?assertEqual([{<<"http://one.test">>, <<(Query(One))/binary, "&base-layer&exclude=Data%2Ca%26b">>},
                  {<<"http://other.test">>, <<(Query(Other))/binary, "&base-layer&exclude=Data%2Ca%26b">>},
                  {<<"http://one.test">>, Query(One)}], posts()).

assignment_fails(World) ->
    [One, Other] = [elsewhere(<<"one">>), elsewhere(<<"other">>)],
    host_double:on(?POST, host_double:first(2, fun(_) -> {error, #{<<"status">> => 500}} end)),
    _ = era:start(World, [assignments([assignment([One, Other], <<>>)])], #{cron_push_attempts => infinity}),
    harness:eventually(fun() -> length(posts()) =:= 4 end),
    ?assertEqual([<<"http://one.test">>, <<"http://one.test">>, <<"http://one.test">>, <<"http://other.test">>],
                 [Node || {Node, _} <- posts()]).

no_location(World) ->
    [Here, After] = [era:target(local, #{<<"scheduler">> => ?NODE}), era:target(local)],
    {_, Logger} = era:start(World, [assignments([assignment([Here], <<>>)]), assignments([assignment([Here], <<>>)]),
                                    era:result([era:message(After, "after")])]),
    harness:eventually(fun() -> host_double:scheduled(After) =/= [] end),
    ?assertEqual([], era:letter_errors(World, 0)),
    ?assertMatch([{Here, {no_location, _}}],
                 [Details || {error, assignment_unsupported, {_, _, Details, 1}} <- hb_logger:report(Logger)]).

bad_assignment(World) ->
    After = era:target(local),
    _ = era:start(World, [assignments([<<"{}">>]), era:result([era:message(After, "after")])]),
    ?assertEqual([{bad_assignment, <<"Message">>}], era:letter_errors(World, 1)).

tag_assignments(World) ->
    [Target, One] = [era:target(local), elsewhere(<<"one">>)],
    _ = era:start(World, [era:result([era:message(Target, "1", [{"Assignments", [$[, $", One, $", $]]}])])]),
    harness:eventually(fun() -> length(posts()) =:= 1 end),
    [Message] = host_double:scheduled(Target),
    Id = later_host:id(Message, all, #{}),
    ?assertEqual([{<<"http://one.test">>, <<"/?process-id=", One/binary, "&assign=", Id/binary>>}], posts()),
    ?assertNot(is_map_key(<<"assignments">>, Message)).

text_in_tag(World) ->
    Target = era:target(local),
    _ = era:start(World, [era:result([era:message(Target, "1", [{"Assignments", "\"text\""}])])]),
    harness:eventually(fun() -> host_double:pushed(Target) =:= [1] end),
    ?assertEqual([], posts()).

unsupported(World) ->
    [Here, After] = [era:target(local), era:target(local)],
    Result = [<<"{\"Spawns\":[">>, child([{"Scheduler", ?NODE}]), <<"],\"Assignments\":[">>, assignment([Here], <<>>), <<"]}">>],
    {_, Logger} = era:start(World, [Result, Result, era:result([era:message(After, "after")])]),
    harness:eventually(fun() -> host_double:scheduled(After) =/= [] end),
    Types = [Type || {error, Type, {_, _, _, 1}} <- hb_logger:report(Logger),
                     lists:member(Type, [spawns_unsupported, assignment_unsupported])],
    ?assertEqual([assignment_unsupported, spawns_unsupported], lists:sort(Types)),
    ?assertEqual([], era:letter_errors(World, 0)).
