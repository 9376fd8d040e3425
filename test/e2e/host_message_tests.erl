%%% The message that a target gets is the one that the host's own push would send: its fields, its signers and its
%%% codec, in each era; and which messages are refused because a host could not read them.
-module(host_message_tests).
-include_lib("eunit/include/eunit.hrl").

-define(SCHEDULE, {scheduler, schedule}).
-define(COMMIT, {hb_message, commit}).
-define(NODE, (later_host:address(<<"node">>))).

eunit_wrapper_(Tests) -> deadline:each(Tests).

later_test_() -> [suite(Era, tests()) || Era <- [era_b, era_c, era_d]].

identities_test_() -> [suite(Era, identity_tests()) || Era <- [era_c, era_d]].

early_test_() -> suite(era_a, [
    {too_many_tags_are_never_scheduled, fun too_many_tags/1},
    {letter_outside_ascii_in_a_name_is_refused, fun not_ascii/1},
    {module_of_the_source_is_added, fun module_in_era_a/1}]).

may_test_() -> suite(era_b, [
    {data_that_the_host_cannot_verify_is_refused, fun large_data/1},
    {origin_is_the_process_and_its_module_alone, fun fields_in_may/1}]).

dashed_test_() -> suite(era_d, [
    {device_modules_are_not_called, fun no_device_modules/1},
    {option_of_the_host_names_the_codec, fun codec_option/1}]).

suite(Era, Tests) -> era:suite(Era, Tests).

tests() -> [
    {legacy_scheduler_gets_ans104_after_a_422, fun legacy/1},
    {legacy_variant_is_signed_with_ans104_at_once, fun legacy_variant/1},
    {retried_message_is_sent_as_it_was_signed, fun signed_once/1},
    {empty_data_leaves_the_key_out, fun empty_data/1},
    {unreadable_names_are_refused, fun unreadable_names/1},
    {origin_cannot_be_forged, fun forged_origin/1},
    {unknown_source_is_logged_once, fun unknown_source/1}].

identity_tests() -> [
    {origin_is_told_in_all_fields_of_the_host, fun all_fields/1},
    {source_without_authority_has_no_such_field, fun no_authority/1},
    {authority_of_the_target_signs, fun authority_signs/1},
    {policy_of_the_target_precedes_its_authority, fun policy_signs/1},
    {target_without_known_identity_is_signed_by_the_node, fun node_signs/1},
    {node_that_must_not_sign_is_the_items_error, fun must_not_sign/1}].

send(World, Message) ->
    {_, Logger} = era:start(World, [era:result([Message])]),
    Logger.

received(Target) ->
    harness:eventually(fun() -> host_double:scheduled(Target) =/= [] end),
    [Message] = host_double:scheduled(Target),
    Message.

%% A message is refused with this error, and the one behind it arrives.
refused(World, Make) ->
    [Target, After] = [era:target(local), era:target(local)],
    _ = era:start(World, [era:result([Make(Target), era:message(After, "after")])]),
    _ = received(After),
    [Error] = era:letter_errors(World, 1),
    ?assertEqual([], host_double:scheduled(Target)),
    Error.

codec(#{<<"commitments">> := Commitments}) ->
    lists:usort([Codec || #{<<"commitment-device">> := Codec} <- maps:values(Commitments)]).

signers(Message) -> lists:sort(later_host:signers(Message, #{})).

%% Signing

legacy(World) ->
    Target = era:target(legacy),
    _ = send(World, era:message(Target, "1")),
    ?assertEqual([<<"ans104@1.0">>], codec(received(Target))),
    ?assertEqual(2, length(host_double:asked(?SCHEDULE))),
    ?assertEqual([], era:letter_errors(World, 0)).

legacy_variant(World) ->
    Target = era:target(legacy, #{<<"variant">> => <<"ao.TN.1">>}),
    _ = send(World, era:message(Target, "")),
    Message = received(Target),
    ?assertEqual([<<"ans104@1.0">>], codec(Message)),
    %% As a Messenger Unit does.
    ?assertEqual(<<" ">>, maps:get(<<"data">>, Message)),
    ?assertEqual(1, length(host_double:asked(?SCHEDULE))).

signed_once(World) ->
    Target = era:target(local),
    host_double:on(?SCHEDULE, host_double:first(3, fun(_) -> error(undef) end)),
    _ = send(World, era:message(Target, "1")),
    _ = received(Target),
    ?assertEqual(1, length(host_double:asked(?COMMIT))),
    Bodies = [Body || [_, #{<<"body">> := Body}, _] <- host_double:asked(?SCHEDULE)],
    ?assertMatch({4, [_]}, {length(Bodies), lists:usort(Bodies)}).

codec_option(#{cu := _} = World) ->
    hb_opts:set(maps:put(scheduler_default_commitment_spec, <<"other@1.0">>, persistent_term:get(hb_opts))),
    Target = era:target(local),
    _ = send(World, era:message(Target, "1")),
    ?assertEqual([<<"other@1.0">>], codec(received(Target))).

%% Content

empty_data(World) ->
    Target = era:target(local),
    _ = send(World, era:message(Target, "")),
    ?assertNot(is_map_key(<<"data">>, received(Target))).

unreadable_names(World) ->
    [Target, After] = [era:target(local), era:target(local)],
    Names = ["foo+link", "Foo+LINK", "a/b", "tab\\t", "del\\u007f"],
    _ = era:start(World, [era:result([era:message(Target, "d", [{Name, "\"v\""}]), era:message(After, "after")]) || Name <- Names]),
    harness:eventually(fun() -> length(host_double:scheduled(After)) =:= length(Names) end),
    ?assertEqual([], host_double:scheduled(Target)),
    [?assertMatch({bad_tags, _}, Error) || Error <- era:letter_errors(World, length(Names))].

large_data(World) ->
    Large = binary:copy(<<"x">>, 200001),
    ?assertEqual(cannot_be_verified, refused(World, fun(Target) -> era:message(Target, Large) end)).

too_many_tags(World) ->
    Tags = [{"t" ++ integer_to_list(N), "\"v\""} || N <- lists:seq(1, 300)],
    ?assertEqual(cannot_be_verified, refused(World, fun(Target) -> era:message(Target, "d", Tags) end)).

not_ascii(World) ->
    ?assertMatch({bad_tags, _}, refused(World, fun(Target) -> era:message(Target, "d", [{"\\u00e9", "\"v\""}]) end)).

%% Origin

-define(ORIGIN, [<<"from-process">>, <<"from-module">>, <<"from-base">>, <<"from-uncommitted">>, <<"from-scheduler">>,
                 <<"from-authority">>]).

all_fields(#{source := Source} = World) ->
    Fields = #{<<"scheduler">> => <<"s">>, <<"authority">> => <<"a">>, <<"module">> => <<"m">>},
    true = host_double:process(Source, local, Fields),
    {ok, Process} = hb_cache:read(Source, #{}),
    Target = era:target(local),
    _ = send(World, era:message(Target, "1")),
    Message = received(Target),
    ?assertEqual(#{<<"from-process">> => Source, <<"from-scheduler">> => <<"s">>, <<"from-authority">> => <<"a">>,
                   <<"from-module">> => <<"m">>, <<"from-uncommitted">> => later_host:id(Process, none, #{}),
                   <<"from-base">> => later_host:id(maps:without([<<"scheduler">>, <<"authority">>], Process), none, #{})},
                 maps:with(?ORIGIN, Message)),
    ?assertMatch(#{<<"variant">> := <<"ao.N.1">>, <<"data-protocol">> := <<"ao">>, <<"type">> := <<"Message">>,
                   <<"target">> := Target, <<"anchor">> := <<"0000">>}, Message),
    ?assertEqual([?NODE], signers(Message)).

fields_in_may(#{source := Source} = World) ->
    true = host_double:process(Source, local, #{<<"scheduler">> => <<"s">>, <<"module">> => <<"m">>}),
    Target = era:target(local, #{<<"authority">> => <<"a">>}),
    _ = send(World, era:message(Target, "1")),
    Message = received(Target),
    ?assertEqual(#{<<"from-process">> => Source, <<"from-module">> => <<"m">>}, maps:with(?ORIGIN, Message)),
    ?assertMatch(#{<<"variant">> := <<"ao.N.1">>}, Message),
    ?assertEqual([?NODE], signers(Message)).

module_in_era_a(#{source := Source} = World) ->
    host_double:on({hb_cache, read}, fun
        ([Id, _]) when Id =:= Source -> {ok, #{<<"Id">> => Source, <<"Type">> => <<"Process">>, <<"Module">> => <<"m">>}};
        (_) -> pass
    end),
    Target = era:target(local),
    _ = send(World, era:message(Target, "1")),
    ?assertMatch(#{<<"From-Module">> := <<"m">>, <<"From-Process">> := Source}, received(Target)).

no_authority(#{source := Source} = World) ->
    true = host_double:process(Source, local),
    Target = era:target(local),
    _ = send(World, era:message(Target, "1")),
    ?assertEqual([<<"from-base">>, <<"from-process">>, <<"from-uncommitted">>],
                 lists:sort(maps:keys(maps:with(?ORIGIN, received(Target))))).

forged_origin(#{source := Source} = World) ->
    Target = era:target(local),
    _ = send(World, era:message(Target, "1", [{Name, "\"evil\""} || Name <- ?ORIGIN ++ ["From-Authority", "FROM-BASE"]])),
    ?assertEqual(#{<<"from-process">> => Source}, maps:with(?ORIGIN, received(Target))).

unknown_source(#{source := Source} = World) ->
    Target = era:target(local),
    {_, Logger} = era:start(World, [era:result([era:message(Target, "1")]), era:result([era:message(Target, "2")])]),
    harness:eventually(fun() -> length(host_double:scheduled(Target)) =:= 2 end),
    ?assertMatch([_], [Id || {error, unknown_source, {Id, _, _, 1}} <- hb_logger:report(Logger), Id =:= Source]),
    ?assertEqual(1, length([Id || [Id, _] <- host_double:asked({hb_cache, read}), Id =:= Source])).

%% Signers

%% The node message of the double, with these options.
with_options(Options) ->
    host_double:on({cowboy, get_env}, fun([http_listener, node_msg, _]) ->
        maps:merge(#{priv_wallet => {wallet, <<"node">>}, <<"priv-wallet">> => {wallet, <<"node">>}}, Options)
    end).

identity() ->
    Wallet = {wallet, <<"identity">>},
    {later_host:address(<<"identity">>), #{priv_wallet => Wallet, <<"priv-wallet">> => Wallet}}.

authority_signs(World) ->
    {Address, Identity} = identity(),
    with_options(#{identities => #{Address => Identity}}),
    Target = era:target(local, #{<<"authority">> => <<"elsewhere, ", Address/binary, ",", (?NODE)/binary>>}),
    _ = send(World, era:message(Target, "1")),
    ?assertEqual(lists:sort([Address, ?NODE]), signers(received(Target))).

policy_signs(World) ->
    {Address, Identity} = identity(),
    with_options(#{identities => #{Address => Identity}}),
    Target = era:target(local, #{<<"authority">> => ?NODE, <<"policy">> => #{<<"accept-committers">> => [Address]}}),
    _ = send(World, era:message(Target, "1")),
    ?assertEqual([Address], signers(received(Target))).

node_signs(World) ->
    Target = era:target(local, #{<<"authority">> => <<"elsewhere">>}),
    _ = send(World, era:message(Target, "1")),
    ?assertEqual([?NODE], signers(received(Target))).

must_not_sign(World) ->
    with_options(#{push_always_sign => false}),
    host_double:on(?COMMIT, fun([#{<<"target">> := _} | _]) -> error(signed); (_) -> pass end),
    Target = era:target(local),
    _ = send(World, era:message(Target, "1")),
    ?assertEqual([no_accepted_identity], era:letter_errors(World, 1)),
    ?assertEqual([], host_double:scheduled(Target)).

%% A host of 2026 has its devices under other module names.
no_device_modules(World) ->
    ok = trace_undefined(),
    Target = era:target(local),
    _ = send(World, era:message(Target, "1")),
    _ = received(Target),
    _ = erlang:trace(all, false, [call]),
    ?assertEqual([], [Module || {trace, _, call, {error_handler, undefined_function, [Module | _]}} <- flush(),
                                string:prefix(atom_to_list(Module), "dev_") =/= nomatch]).

trace_undefined() ->
    {module, error_handler} = code:ensure_loaded(error_handler),
    _ = erlang:trace(all, true, [call]),
    1 = erlang:trace_pattern({error_handler, undefined_function, 3}, true, [local]),
    ok.

flush() -> receive Message -> [Message | flush()] after 0 -> [] end.
