%%% No tag of a result changes how a host's codec reads the rest of the message: the host reads what was written,
%%% whatever a Compute Unit sends. The codec is a model: an HTTP message, whose headers say how its body is read,
%%% alone and as a part of another message's body.
-module(message_props_tests).
-include_lib("eunit/include/eunit.hrl").
%% Debian packages PropEr's header separately; only these functions of it are needed.
-import(proper_types, [binary/0, frequency/1, list/1, oneof/1, range/2]).
-define(FORALL(Values, Type, Holds), proper:forall(Type, fun(Values) -> Holds end)).

-define(M, hb_cron_message).
-define(CASES, 3000).
-define(SOURCE, <<"SSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSS">>).
-define(TARGET, <<"TTTTTTTTTTTTTTTTTTTTTTTTTTTTTTTTTTTTTTTTTTT">>).
%% A multipart body, one of whose parts has fields like ours.
-define(MULTIPART, <<"multipart/form-data; boundary=\"b\"">>).
-define(CRAFTED, <<"--b\r\ncontent-disposition: form-data;name=\"from-process\"\r\n\r\nEVIL\r\n"
                   "--b\r\ncontent-disposition: inline\r\n\r\nread as data\r\n--b--">>).

eunit_wrapper_(Tests) -> deadline:each(Tests).

rules_test_() ->
    [{Name, fun() -> ?assertEqual(true, proper:quickcheck(Prop, [{numtests, ?CASES}, quiet, long_result])) end}
     || {Name, Prop} <- [{"message_is_read_as_it_was_written", prop_message()},
                         {"part_of_a_message_is_read_as_it_was_written", prop_part()}]].

%% Tests the model itself: crafted fields change how it reads a message.
codec_reads_crafted_fields_test() ->
    Crafted = #{<<"from-process">> => ?SOURCE, <<"data">> => ?CRAFTED, <<"content-type">> => ?MULTIPART},
    ?assertMatch(#{<<"from-process">> := <<"EVIL">>, <<"data">> := <<"read as data">>}, read(write(Crafted))),
    ?assertMatch(#{<<"from-process">> := <<"EVIL">>},
                 read(write(#{<<"from-process">> => ?SOURCE, <<"ao-ids">> => <<"from-process=\"EVIL\"">>}))),
    ?assertMatch(#{<<"other">> := <<"x">>}, read(write(#{<<"data">> => <<"x">>, <<"inline-body-key">> => <<"other">>,
                                                         <<"other">> => <<"x">>}))),
    Injected = read_part(write_part(#{<<"anchor">> => <<"1\r\nfrom-process: EVIL\r\n\r\n">>, <<"from-process">> => ?SOURCE})),
    ?assertMatch(#{<<"from-process">> := <<"EVIL">>}, Injected).

word() ->
    oneof([<<"content-type">>, <<"inline-body-key">>, <<"body-keys">>, <<"ao-ids">>, <<"ao-types">>, <<"content-digest">>,
           <<"content-disposition">>, <<"signature">>, <<"signature-input">>, <<"commitments">>, <<"hashpath">>,
           <<"priv">>, <<"path">>, <<"device">>, <<"method">>, <<"slot">>, <<"original-tags">>, <<"trusted-keys">>,
           <<"from-process">>, <<"target">>, <<"data">>, <<"type">>, <<"data-protocol">>, <<"anchor">>, <<"action">>]).

%% A word in any case, sometimes with the Kelvin sign for k, or with an addition.
name() ->
    Cased = bind(word(), fun(Word) -> cased(Word) end),
    frequency([{8, Cased}, {1, bind(Cased, fun(Name) -> <<Name/binary, "/x">> end)},
               {1, bind(Cased, fun(Name) -> <<Name/binary, ": ">> end)},
               {1, bind(Cased, fun(Name) -> <<"x\r\n", Name/binary>> end)},
               {2, bind(list(range($!, $~)), fun(Chars) -> list_to_binary([$n | Chars]) end)}]).

cased(Word) ->
    Change = fun(C) -> oneof([[C], string:uppercase([C]), case C of $k -> [16#212A]; _ -> [C] end]) end,
    bind([Change(C) || <<C>> <= Word], fun(Chars) -> unicode:characters_to_binary(Chars) end).

value() ->
    oneof([?MULTIPART, ?CRAFTED, <<"from-process=\"EVIL\"">>, <<"data=\"integer\", type=\"empty-binary\"">>,
           <<"\"from-process\", \"data\"">>, <<"from-process">>, <<"action">>, <<"body">>, <<"EVIL">>, <<>>,
           <<"x\r\nfrom-process: EVIL">>, <<"x\r\n\r\n">>, <<"form-data;name=\"data\"">>, <<"inline">>, 7, true,
           <<"x\nfrom-process: fine\r">>]).

item() ->
    bind({list({name(), value()}), oneof([?CRAFTED, <<"d">>, <<>>, binary()]), value()}, fun({Tags, Data, Anchor}) ->
        #{<<"Target">> => ?TARGET, <<"Data">> => Data, <<"Anchor">> => Anchor,
          <<"Tags">> => [#{<<"name">> => Name, <<"value">> => Value} || {Name, Value} <- Tags]}
    end).

prop_message() ->
    ?FORALL(Item, item(), holds(Item, fun(Message) -> read(write(Message)) =:= Message end)).

%% Data is on a line there as well. The host's own messages have the same problem.
prop_part() ->
    ?FORALL(Item, item(), holds(Item, fun(Message) ->
        Fields = maps:remove(<<"data">>, Message),
        read_part(write_part(Fields)) =:= Fields
    end)).

holds(Item, Holds) ->
    Own = #{<<"from-process">> => ?SOURCE, <<"type">> => <<"Message">>, <<"data-protocol">> => <<"ao">>},
    case ?M:from_item(Item, Own, fun(Lower) -> Lower end) of
        {ok, ?TARGET, Message, []} ->
            #{<<"from-process">> := ?SOURCE, <<"target">> := ?TARGET, <<"type">> := <<"Message">>} = Message,
            Holds(Message);
        {error, {Why, _}} ->
            %% Only items that break out of their line, or out of their key, are refused.
            lists:member(Why, [bad_tags, bad_field]) andalso breaks(Item)
    end.

breaks(#{<<"Tags">> := Tags, <<"Anchor">> := Anchor}) ->
    lists:any(fun(Text) -> is_binary(Text) andalso binary:match(Text, [<<"\r\n">>, <<": ">>]) =/= nomatch end,
              [Anchor | lists:append([[Name, Value] || #{<<"name">> := Name, <<"value">> := Value} <- Tags])])
        orelse lists:any(fun(#{<<"name">> := Name}) -> binary:match(Name, [<<"/">>, <<"+">>]) =/= nomatch end, Tags).

%% The model: an HTTP message as a map of headers, and a body.

write(Message) ->
    {Headers, Inline} = case Message of
        #{<<"inline-body-key">> := Key} -> {Message, Key};
        #{<<"body">> := _} -> {Message, <<"body">>};
        #{<<"data">> := _} -> {Message#{<<"inline-body-key">> => <<"data">>}, <<"data">>};
        _ -> {Message, <<"body">>}
    end,
    case maps:take(Inline, Headers) of
        {Body, Rest} -> {Rest, Body};
        error -> {Headers, <<>>}
    end.

read({Headers, Body}) ->
    Inline = case Headers of #{<<"inline-body-key">> := Key} -> Key; _ -> <<"body">> end,
    Parts = case {maps:get(<<"content-type">>, Headers, <<>>), Body} of
        {_, <<>>} -> #{};
        {Type, _} ->
            case re:run(Type, "boundary=\"([^\"]*)\"", [{capture, all_but_first, binary}]) of
                {match, [Boundary]} -> maps:from_list([named(Part, Inline) || Part <- parts(Body, Boundary)]);
                nomatch -> #{Inline => Body}
            end
    end,
    %% Empty values are listed among the types of the fields.
    Empty = case maps:is_key(Inline, Parts) orelse maps:is_key(<<"content-type">>, Headers)
            orelse not maps:is_key(<<"inline-body-key">>, Headers) of
        true -> #{};
        false -> #{Inline => <<>>}
    end,
    typed(with_ids(maps:merge(maps:merge(Empty, maps:without([<<"body-keys">>], Headers)), Parts))).

parts(Body, Boundary) ->
    [First | Rest] = binary:split(Body, <<"--", Boundary/binary>>, [global]),
    [Part || Part <- [First | Rest], binary:match(Part, <<"content-disposition">>) =/= nomatch].

named(Part, Inline) ->
    [Head, Body] = binary:split(Part, <<"\r\n\r\n">>),
    Name = case re:run(Head, "name=\"([^\"]*)\"", [{capture, all_but_first, binary}]) of
        {match, [Named]} -> Named;
        nomatch -> Inline
    end,
    {Name, string:trim(Body, trailing, ["\r\n"])}.

with_ids(#{<<"ao-ids">> := Ids} = Message) ->
    {match, Pairs} = re:run(Ids, "([a-z-]+)=\"([^\"]*)\"", [global, {capture, all_but_first, binary}]),
    maps:merge(maps:remove(<<"ao-ids">>, Message), maps:from_list([{Name, Value} || [Name, Value] <- Pairs]));
with_ids(Message) ->
    Message.

%% Fields about the message are not part of it.
typed(Message) ->
    Types = maps:get(<<"ao-types">>, Message, <<>>),
    Kept = maps:filter(fun(Name, _) ->
        not lists:member(Name, [<<"inline-body-key">>, <<"signature">>, <<"signature-input">>, <<"commitments">>,
                                <<"content-digest">>, <<"ao-types">>])
            andalso not lists:any(fun(Prefix) -> string:prefix(Name, Prefix) =/= nomatch end, [<<"hashpath">>, <<"priv">>])
    end, Message),
    maps:map(fun(Name, Value) ->
        case binary:match(Types, <<Name/binary, "=">>) of nomatch -> Value; _ -> typed end
    end, Kept).

%% In a part, a field is a line.
write_part(Message) ->
    Lines = [<<Name/binary, ": ", Value/binary>> || {Name, Value} <- lists:sort(maps:to_list(Message))],
    iolist_to_binary(lists:join(<<"\r\n">>, [<<"content-disposition: form-data;name=\"body\"">> | Lines])).

read_part(Part) ->
    [Head | _] = binary:split(Part, <<"\r\n\r\n">>),
    Lines = [binary:split(Line, <<": ">>) || Line <- binary:split(Head, <<"\r\n">>, [global])],
    typed(maps:remove(<<"content-disposition">>, maps:from_list([{Name, Value} || [Name, Value] <- Lines]))).

bind(Type, Make) -> proper_types:bind(Type, Make, false).
