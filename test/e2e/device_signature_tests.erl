%%% Messages that the device `process-monitor@1.0' must refuse: unsigned, forged, for another key, late, used before,
%%% oversized. Hosts verify some of the forged ones, which is shown where it is so.
-module(device_signature_tests).
-include_lib("eunit/include/eunit.hrl").

-import(device_host, [call/2, call/3, message/2, message/3, sign/2, address/1, wallet/1]).
-import(device_suite, [status/1]).

-define(START, <<"start">>).

eunit_wrapper_(Tests) -> deadline:each(Tests).

all_test_() ->
    device_suite:each([
        {message_without_a_signature_is_refused, fun unsigned/1},
        {message_of_a_stranger_is_refused, fun stranger/1},
        {message_that_was_changed_is_refused, fun changed/1},
        {committer_that_is_not_the_signer_is_refused, fun committer/1},
        {signature_with_the_key_that_all_know_is_refused, fun known_key/1},
        {value_in_the_commitment_does_not_stand_for_the_messages, fun value_in_commitment/1},
        {key_that_is_an_address_is_refused, fun short_key/1},
        {two_signatures_are_refused, fun two_signatures/1},
        {message_for_another_key_is_refused, fun other_key/1},
        {message_that_does_not_sign_what_it_must_is_refused, fun not_covered/1},
        {value_of_the_url_does_not_replace_a_signed_one, fun url/1},
        {message_that_signs_its_path_is_good_for_that_path, fun path/1},
        {message_out_of_the_window_is_refused, fun window/1},
        {message_that_was_used_is_refused, fun used/1},
        {message_that_was_used_is_refused_in_another_form, fun used_in_another_form/1},
        {message_that_was_used_is_refused_after_a_restart, fun used_before_restart/1},
        {message_that_cannot_be_remembered_has_no_effect, fun not_durable/1},
        {reading_may_be_repeated, fun read_twice/1},
        {request_that_the_example_signs_is_accepted, fun example/1},
        {parameter_of_a_signed_item_is_refused, fun parameter/1},
        {hostile_requests_get_a_status_and_a_text, fun hostile/1}
    ]).

refused(Expected, Answer, Id) ->
    ?assertEqual(Expected, status(Answer)),
    ?assertEqual(undefined, hb_process_monitor:info(Id)).

%% Asserts that the host verifies a message.
verified(Message, Signer) -> ?assert(hb_message:verify(Message, [address(Signer)])).

unsigned(_) ->
    Id = harness:proc_id(),
    refused(401, call(?START, message(?START, Id)), Id),
    refused(401, call(?START, (message(?START, Id))#{<<"commitments">> => #{}}), Id).

stranger(_) ->
    Id = harness:proc_id(),
    refused(403, call(?START, sign(message(?START, Id), stranger)), Id).

changed(_) ->
    [Id, Other] = [harness:proc_id(), harness:proc_id()],
    Signed = sign(message(?START, Other), operator),
    refused(401, call(?START, Signed#{<<"process">> => Id}), Id),
    refused(401, call(?START, Signed#{<<"time">> => erlang:system_time(millisecond) + 1}), Other),
    ?assertEqual(200, status(call(?START, Signed))).

committer(#{host := Host}) ->
    Id = harness:proc_id(),
    #{<<"commitments">> := Commitments} = Signed = sign(message(?START, Id), stranger),
    Forged = Signed#{<<"commitments">> := maps:map(fun(_, Commitment) -> claimed(Host, Commitment) end, Commitments)},
    verified(Forged, operator),
    refused(401, call(?START, Forged), Id).

claimed(device_c, #{<<"committer">> := _} = Commitment) ->
    Commitment#{<<"committer">> := address(operator)};
claimed(device_b, #{<<"committer">> := Signer, <<"signature-input">> := Input} = Commitment) ->
    %% An entry with the operator's name leads to the stranger's key, whose name leads to the stranger's entry. The
    %% first one has the operator's key.
    Claimed = binary:replace(Input, name(Signer), name(address(operator))),
    Decoy = binary:replace(binary:replace(Input, name(Signer), <<"first">>), key(stranger), key(operator)),
    All = <<Decoy/binary, ", ", Claimed/binary, ", ", Input/binary>>,
    Commitment#{<<"committer">> := address(operator), <<"signature-input">> := All};
claimed(_, Commitment) ->
    Commitment.

key(Name) ->
    {_, {_, Key}} = wallet(Name),
    device_host:base64url(Key).

name(Address) -> hb_message:name(device_host:decoded(Address)).

known_key(#{host := device_b}) -> ok;
known_key(#{host := device_c}) ->
    Id = harness:proc_id(),
    Message = message(?START, Id),
    {Mac, Hmac} = hb_message:hmac(Message, [<<"ao-types">> | maps:keys(Message)]),
    Forged = Message#{<<"commitments">> => #{Mac => Hmac#{<<"committer">> => address(operator)}}},
    verified(Forged, operator),
    refused(401, call(?START, Forged), Id).

value_in_commitment(#{host := Host}) ->
    [Id, Other] = [harness:proc_id(), harness:proc_id()],
    #{<<"commitments">> := Commitments} = Signed = sign(message(?START, Other), operator),
    Shadowing = maps:map(fun(_, Commitment) -> Commitment#{<<"process">> => Other} end, Commitments),
    Forged = Signed#{<<"process">> := Id, <<"commitments">> := Shadowing},
    _ = Host =:= device_b andalso verified(Forged, operator),
    refused(401, call(?START, Forged), Id).

short_key(#{host := Host}) ->
    Id = harness:proc_id(),
    Raw = device_host:decoded(address(operator)),
    #{<<"commitments">> := Commitments} = Signed = sign(message(?START, Id), operator),
    Short = fun(#{<<"keyid">> := <<"publickey:", _/binary>>} = Commitment) when Host =:= device_c ->
                    Commitment#{<<"keyid">> := <<"publickey:", (base64:encode(Raw))/binary>>};
               (#{<<"committer">> := _, <<"signature-input">> := Input} = Commitment) ->
                    Replaced = binary:replace(Input, key(operator), device_host:base64url(Raw)),
                    Commitment#{<<"signature-input">> := Replaced};
               (Commitment) ->
                    Commitment
            end,
    Shortened = maps:map(fun(_, One) -> Short(One) end, Commitments),
    refused(401, call(?START, Signed#{<<"commitments">> := Shortened}), Id).

two_signatures(_) ->
    Id = harness:proc_id(),
    refused(401, call(?START, sign(sign(message(?START, Id), friend), operator)), Id).

other_key(_) ->
    Id = harness:proc_id(),
    Stop = sign(message(<<"stop">>, Id), operator),
    refused(401, call(?START, Stop), Id),
    {_, _} = hb_process_monitor:start(Id, 3600000),
    Pause = sign(message(<<"pause">>, Id), operator),
    [?assertEqual(401, status(call(Key, Pause))) || Key <- [<<"stop">>, <<"resume">>, <<"info">>, <<"list">>]],
    ?assertMatch(#{state := State} when State =/= paused, hb_process_monitor:info(Id)).

not_covered(_) ->
    Id = harness:proc_id(),
    [begin
        Message = message(?START, Id),
        Signed = sign(maps:remove(Key, Message), operator),
        %% From the URL, it is not signed.
        refused(401, call(?START, Signed, maps:with([Key], Message)), Id),
        refused(401, call(?START, Signed), Id)
     end || Key <- [<<"action">>, <<"process">>, <<"time">>]].

url(_) ->
    [Id, Other] = [harness:proc_id(), harness:proc_id()],
    Signed = sign(message(?START, Other), operator),
    refused(401, call(?START, Signed, #{<<"process">> => Id}), Id),
    %% An option of the URL is not signed, so it has no effect.
    ?assertEqual(200, status(call(?START, Signed, #{<<"rate">> => 5, <<"cron-push">> => <<"x">>}))),
    ?assertMatch(#{rate := 10000}, hb_process_monitor:info(Other)).

path(_) ->
    Id = harness:proc_id(),
    Path = <<"/~process-monitor@1.0/start">>,
    Start = fun(More) -> call(?START, sign(message(?START, Id, More), operator)) end,
    refused(401, Start(#{<<"path">> => <<"/~process-monitor@1.0/stop">>}), Id),
    ?assertEqual(200, status(Start(#{<<"path">> => Path, <<"method">> => <<"POST">>}))).

window(_) ->
    Id = harness:proc_id(),
    Now = erlang:system_time(millisecond),
    [refused(401, call(?START, sign(message(?START, Id, #{<<"time">> => Time}), operator)), Id)
     || Time <- [Now - 310000, Now + 360000, 0, -1, Now div 1000, <<"now">>, <<>>, 1 bsl 63, true]],
    %% The first one that is used makes the file; before, messages from before the start are refused.
    refused(409, call(?START, sign(message(?START, Id, #{<<"time">> => Now - 240000}), operator)), Id),
    [?assertEqual(200, status(call(?START, sign(message(?START, Id, #{<<"time">> => Time}), operator))))
     || Time <- [Now + 240000, integer_to_binary(Now + 1)]].

used(_) ->
    Id = harness:proc_id(),
    Start = sign(message(?START, Id), operator),
    ?assertEqual(200, status(call(?START, Start))),
    ?assertEqual(200, status(call(<<"stop">>, sign(message(<<"stop">>, Id), operator)))),
    refused(409, call(?START, Start), Id).

used_in_another_form(#{host := Host}) ->
    Id = harness:proc_id(),
    Time = erlang:system_time(millisecond),
    Message = message(?START, Id, #{<<"time">> => integer_to_binary(Time)}),
    #{<<"commitments">> := Commitments} = Signed = sign(Message, operator),
    ?assertEqual(200, status(call(?START, Signed))),
    ?assertEqual(200, status(call(<<"stop">>, sign(message(<<"stop">>, Id), operator)))),
    %% The type of a value, other keys, and the parts of the commitment that are not signed.
    Typed = Signed#{<<"time">> := Time},
    verified(Typed, operator),
    refused(409, call(?START, Typed), Id),
    refused(409, call(?START, Signed, #{<<"x">> => <<"y">>}), Id),
    [Proof] = [One || #{<<"committer">> := _} = One <- maps:values(Commitments)],
    [refused(409, call(?START, Signed#{<<"commitments">> := Other}), Id)
     || Other <- [#{<<"x">> => Proof#{<<"x">> => <<"y">>}}, #{<<"other-id">> => Proof}]],
    %% The same signed again: the signature differs.
    {_, Again} = hb_message:commitment(Message, names(Host, Message), wallet(operator)),
    refused(409, call(?START, Message#{<<"commitments">> => #{<<"again">> => Again}}), Id).

names(_Host, Message) -> lists:sort(maps:keys(Message)).

used_before_restart(World) ->
    %% Without a file, times are refused that a message may have had which was used before the restart.
    [begin
        device_suite:run(World, Options, fun() -> ok end),
        Id = harness:proc_id(),
        Use = fun(Ahead) ->
            Start = sign(message(?START, Id, #{<<"time">> => erlang:system_time(millisecond) + Ahead}), operator),
            {status(call(?START, Start)), Start}
        end,
        Used = [begin
            {Status, Start} = Use(Ahead),
            ?assertEqual({Ahead, 200}, {Ahead, Status}),
            Start
        end || Ahead <- Times],
        ?assertEqual(409, element(1, Use(TooFar))),
        device_suite:run(World, Options, fun() ->
            [refused(409, call(?START, Start), Id) || Start <- Used]
        end)
     end || {Options, Times, TooFar} <- [{#{}, [2000, 200000], -200000}, {#{cron_checkpoint => false}, [1000], 2000}]],
    %% With a file, a message from before the restart that was not used is accepted.
    device_suite:run(World, #{}, fun() ->
        Id = harness:proc_id(),
        Before = #{<<"time">> => erlang:system_time(millisecond) - 200000},
        ?assertEqual(200, status(call(?START, sign(message(?START, Id, Before), operator))))
    end).

not_durable(World) ->
    Id = harness:proc_id(),
    Path = harness:checkpoint() ++ ".device.new",
    device_suite:run(World, #{}, fun() ->
        ok = file:make_dir(Path),
        Start = sign(message(?START, Id), operator),
        refused(503, call(?START, Start), Id),
        ok = file:del_dir(Path),
        ?assertEqual(200, status(call(?START, Start)))
    end).

read_twice(_) ->
    List = sign(#{<<"action">> => <<"list">>, <<"time">> => erlang:system_time(millisecond)}, operator),
    [?assertEqual(200, status(call(<<"list">>, List))) || _ <- [1, 2]].

example(#{host := Host}) ->
    File = harness:checkout("examples/signed_request.erl"),
    {ok, Example, Beam, []} = compile:file(File, [binary, return, warnings_as_errors]),
    {module, Example} = code:load_binary(Example, File, Beam),
    Id = harness:proc_id(),
    {{_, Private, Key}, _} = wallet(operator),
    Form = case Host of device_b -> earlier; device_c -> later end,
    Headers = Example:headers({Key, Private}, Form, ?START, #{<<"process">> => Id, <<"rate">> => <<"5000">>}),
    ?assertEqual(200, status(call(?START, hb_message:from_headers(maps:from_list(Headers))))),
    ?assertMatch(#{rate := 5000}, hb_process_monitor:info(Id)),
    harness:unload(Example).

%% Of `"process";key="a"' a host signs the member of a dictionary.
parameter(#{host := device_c}) -> ok;
parameter(#{host := device_b}) ->
    Id = harness:proc_id(),
    #{<<"commitments">> := Commitments} = Signed = sign(message(?START, Id), operator),
    Other = Signed#{<<"commitments">> := maps:map(fun
        (_, #{<<"committer">> := _, <<"signature-input">> := Input} = Commitment) ->
            Commitment#{<<"signature-input">> := binary:replace(Input, <<"\"process\"">>, <<"\"process\";key=\"a\"">>)};
        (_, Commitment) ->
            Commitment
    end, Commitments)},
    {401, Text} = call(?START, Other),
    ?assertMatch({_, _}, binary:match(Text, <<"cannot be read">>)),
    ?assertEqual(undefined, hb_process_monitor:info(Id)).

hostile(_) ->
    Id = harness:proc_id(),
    Deep = lists:foldl(fun(_, Inner) -> #{<<"a">> => Inner} end, #{}, lists:seq(1, 1000)),
    Long = binary:copy(<<"a">>, 1000000),
    Values = [Deep, Long, [], [1 | 2], {a, b}, self(), make_ref(), 1.5, -1, 1 bsl 100000, <<255, 0>>, an_atom,
              fun() -> ok end, <<1:3>>],
    hostile_keys(Id, Values, Deep),
    %% The first pass has loaded what makes atoms of its own.
    Atoms = erlang:system_info(atom_count),
    hostile_keys(Id, Values, Deep),
    ?assertEqual(Atoms, erlang:system_info(atom_count)).

hostile_keys(Id, Values, Deep) ->
    Keys = hb_cron_device:keys(),
    [begin
        {_, #{<<"status">> := Status, <<"body">> := Text}} = hb_cron_device:answer(Key, Request),
        ?assert(is_binary(Text) andalso lists:member(Status, [200, 400, 401, 403, 409, 413]), {Key, Status, Text})
     end || Key <- Keys,
            Request <- [none, [], #{}, Deep, #{<<"commitments">> => Deep},
                        #{<<"commitments">> => #{<<"x">> => #{<<"committer">> => Id}}},
                        maps:from_list([{<<N:32>>, N} || N <- lists:seq(1, 1000)])]
                       ++ [#{<<"process">> => Value} || Value <- Values]
                       ++ [#{<<"commitments">> => Value} || Value <- Values]
                       ++ [#{<<"commitments">> => #{<<"x">> => Value}} || Value <- Values]
                       ++ [#{<<"commitments">> => #{<<"x">> => #{<<"committer">> => Value}}} || Value <- Values]],
    %% Signed by the operator, so that all of it is read.
    [begin
        Base = maps:merge(message(Key, Id), #{Name => Value}),
        Status = status(call(Key, sign(Base, operator))),
        ?assert(lists:member(Status, [200, 400, 401, 409]), {Key, Name, Value, Status})
     end || Key <- Keys, Key =/= ?START,
            Name <- [<<"process">>, <<"letter">>, <<"after">>, <<"limit">>, <<"state">>, <<"x">>],
            Value <- [Deep, [], -1, 1 bsl 1000, <<255, 0>>, an_atom, binary:copy(<<"9">>, 5000)]],
    Many = maps:from_list([{<<"k", N:32>>, 1} || N <- lists:seq(1, 300)]),
    ?assertMatch({error, #{<<"status">> := 413}},
                 hb_cron_device:answer(?START, maps:merge(sign(message(?START, Id), operator), Many))).
