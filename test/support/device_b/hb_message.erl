%%% Double of the messages of a host of spring 2025. As there, the committer that a commitment names is not compared
%%% with the key that verifies it, and the values of the commitment take the place of the message's.
-module(hb_message).
-export([verify/2, signers/1, commit/2]).
%% For tests and doubles
-export([received/1, from_headers/1, commitment/3, name/1]).

-define(DERIVED, [<<"path">>, <<"method">>]).

commit(Message, #{priv_wallet := Wallet}) ->
    Fields = maps:remove(<<"commitments">>, Message),
    {Id, Commitment} = commitment(Fields, lists:sort(maps:keys(signature_base:encoded(Fields))), Wallet),
    Before = maps:get(<<"commitments">>, Message, #{}),
    %% The host also adds one without a key.
    Hmac = #{<<"commitment-device">> => <<"httpsig@1.0">>, <<"alg">> => <<"hmac-sha256">>},
    Same = maps:with([<<"signature">>, <<"signature-input">>], Commitment),
    Message#{<<"commitments">> => Before#{Id => Commitment, device_host:id(Fields) => maps:merge(Same, Hmac)}}.

%% A commitment that signs these names of a message.
commitment(Fields, Names, {_, {_, Key}} = Wallet) ->
    Items = [specified(Name) || Name <- Names],
    List = lists:join(" ", [[$", Item, $"] || Item <- Items]),
    Parameters = iolist_to_binary(["(", List, ");alg=\"rsa-pss-sha512\";keyid=\"", device_host:base64url(Key), "\""]),
    Base = signature_base:of_names(Items, signature_base:encoded(Fields), Parameters),
    Signature = ar_wallet:sign(Wallet, Base, sha512),
    Name = name(ar_wallet:to_address(Wallet)),
    {device_host:id(Signature),
     #{<<"commitment-device">> => <<"httpsig@1.0">>, <<"alg">> => <<"rsa-pss-sha512">>,
       <<"committer">> => device_host:base64url(ar_wallet:to_address(Wallet)),
       <<"signature">> => iolist_to_binary([Name, "=:", base64:encode(Signature), ":"]),
       <<"signature-input">> => iolist_to_binary([Name, "=", Parameters])}}.

specified(Name) ->
    case lists:member(Name, ?DERIVED) of
        true -> <<"@", Name/binary>>;
        false -> Name
    end.

name(Address) ->
    <<_, Part:8/binary, _/binary>> = Address,
    iolist_to_binary(["http-sig-", [io_lib:format("~2.16.0b", [Byte]) || <<Byte>> <= Part]]).

signers(Message) ->
    [Committer || #{<<"committer">> := Committer} <- maps:values(maps:get(<<"commitments">>, Message, #{}))].

verify(#{<<"commitments">> := Commitments} = Message, Committers) ->
    true = [Committer || Committer <- Committers, not lists:member(Committer, signers(Message))] =:= [],
    lists:all(fun(Commitment) -> is_verified(maps:merge(Message, Commitment), Commitment) end,
              [Commitment || #{<<"committer">> := Committer} = Commitment <- maps:values(Commitments),
                             lists:member(Committer, Committers)]).

is_verified(Merged, #{<<"committer">> := Committer, <<"signature">> := Signature, <<"signature-input">> := Input}) ->
    Inputs = maps:from_list(hb_structured_fields:parse_dictionary(Input)),
    {list, _, Parameters} = maps:get(name(device_host:decoded(Committer)), Inputs),
    {_, {string, Encoded}} = lists:keyfind(<<"keyid">>, 1, Parameters),
    Key = device_host:decoded(Encoded),
    Name = name(ar_wallet:to_address(Key)),
    {list, Items, _} = maps:get(Name, Inputs),
    Entry = [Name, "=(\\([^)]*\\)(?:;[a-z]+=\"[^\"]*\")*)"],
    {match, [Text]} = re:run(Input, Entry, [{capture, all_but_first, binary}]),
    {item, {binary, Bytes}, _} = maps:get(Name, maps:from_list(hb_structured_fields:parse_dictionary(Signature))),
    Base = signature_base:of_names([Item || {item, {string, Item}, _} <- Items], signature_base:encoded(Merged), Text),
    ar_wallet:verify({{rsa, 65537}, Key}, Base, Bytes, sha512).

%% Without what is not signed.
received(#{<<"commitments">> := Commitments} = Message) ->
    Inputs = [hb_structured_fields:parse_dictionary(Input)
              || #{<<"committer">> := _, <<"signature-input">> := Input} <- maps:values(Commitments)],
    Names = [Name || Input <- Inputs, {_, {list, Items, _}} <- Input, {item, {string, Name}, _} <- Items],
    case Names of
        [] -> Message;
        _ -> maps:with([<<"commitments">>, <<"body">> | Names], Message)
    end;
received(Message) ->
    Message.

%% The message of a request with these headers. The committer comes from the key here.
from_headers(#{<<"signature">> := Signature, <<"signature-input">> := Input} = Headers) ->
    [{Name, {list, _, Parameters}}] = hb_structured_fields:parse_dictionary(Input),
    [{Name, {item, {binary, Bytes}, []}}] = hb_structured_fields:parse_dictionary(Signature),
    {_, {string, Key}} = lists:keyfind(<<"keyid">>, 1, Parameters),
    {_, {string, Alg}} = lists:keyfind(<<"alg">>, 1, Parameters),
    Commitment = #{<<"commitment-device">> => <<"httpsig@1.0">>, <<"alg">> => Alg,
                   <<"signature">> => Signature, <<"signature-input">> => Input,
                   <<"committer">> => device_host:base64url(ar_wallet:to_address(device_host:decoded(Key)))},
    Fields = maps:without([<<"signature">>, <<"signature-input">>], Headers),
    Fields#{<<"commitments">> => #{device_host:id(Bytes) => Commitment}}.
