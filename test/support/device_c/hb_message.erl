%%% Double of the messages of a host of autumn 2025. As there, the committer that a commitment names is not compared
%%% with the key that verifies it, and a commitment with the well-known key of all hosts verifies for any committer.
-module(hb_message).
-export([verify/2, verify/3, signers/2, commit/2]).
%% For tests and doubles
-export([received/1, from_headers/1, commitment/3, hmac/2]).

-define(DERIVED, [<<"path">>, <<"method">>]).

commit(Message, #{priv_wallet := Wallet}) ->
    Fields = maps:remove(<<"commitments">>, Message),
    Names = [case Name of <<"content-digest">> -> <<"body">>; _ -> Name end
             || Name <- lists:sort(maps:keys(signature_base:encoded(Fields)))],
    {Id, Commitment} = commitment(Fields, Names, Wallet),
    {HmacId, Hmac} = hmac(Fields, Names),
    Before = maps:get(<<"commitments">>, Message, #{}),
    Message#{<<"commitments">> => Before#{Id => Commitment, HmacId => Hmac}}.

%% A commitment that signs these names of a message.
commitment(Fields, Names, {_, {_, Key}} = Wallet) ->
    Unsigned = #{<<"commitment-device">> => <<"httpsig@1.0">>, <<"type">> => <<"rsa-pss-sha512">>,
                 <<"keyid">> => <<"publickey:", (base64:encode(Key))/binary>>,
                 <<"committer">> => device_host:base64url(ar_wallet:to_address(Wallet)), <<"committed">> => Names},
    Signature = ar_wallet:sign(Wallet, base(Fields, Unsigned), sha512),
    {device_host:id(Signature), Unsigned#{<<"signature">> => device_host:base64url(Signature)}}.

%% A commitment that needs no secret.
hmac(Fields, Names) ->
    Unsigned = #{<<"commitment-device">> => <<"httpsig@1.0">>, <<"type">> => <<"hmac-sha256">>,
                 <<"keyid">> => <<"constant:ao">>, <<"committed">> => Names},
    Mac = device_host:base64url(crypto:mac(hmac, sha256, <<"constant:ao">>, base(Fields, Unsigned))),
    {Mac, Unsigned#{<<"signature">> => Mac}}.

%% What the message lacks is not signed, nor are types that the commitment does not name.
base(Message, #{<<"committed">> := Committed} = Commitment) ->
    Headers = maps:with([<<"content-digest">> | Committed], signature_base:encoded(maps:with(Committed, Message))),
    Names = [case lists:member(Name, ?DERIVED) of true -> <<"@", Name/binary>>; false -> Name end
             || Name <- lists:sort(maps:keys(Headers))],
    Signed = maps:with([<<"keyid">>, <<"tag">>, <<"nonce">>], Commitment),
    Parameters = [[";", Key, "=\"", Value, "\""]
                  || {Key, Value} <- lists:sort(maps:to_list(Signed#{<<"alg">> => maps:get(<<"type">>, Commitment)}))],
    Items = ["(", lists:join(" ", [[$", Name, $"] || Name <- Names]), ")"],
    signature_base:of_names(Names, Headers, [Items | Parameters]).

signers(Message, _Opts) ->
    [Committer || #{<<"committer">> := Committer} <- maps:values(maps:get(<<"commitments">>, Message, #{}))].

verify(Message, Committers) -> verify(Message, Committers, #{}).

verify(#{<<"commitments">> := Commitments} = Message, Committers, Opts) ->
    true = [Committer || Committer <- Committers, not lists:member(Committer, signers(Message, Opts))] =:= [],
    lists:all(fun(Commitment) -> is_verified(Message, Commitment) end,
              [Commitment || #{<<"committer">> := Committer} = Commitment <- maps:values(Commitments),
                             lists:member(Committer, Committers)]).

is_verified(Message, #{<<"type">> := <<"rsa-pss-sha512">>, <<"keyid">> := <<"publickey:", Key/binary>>,
                       <<"signature">> := Signature} = Commitment) ->
    Public = {{rsa, 65537}, base64:decode(Key)},
    ar_wallet:verify(Public, base(Message, Commitment), device_host:decoded(Signature), sha512);
is_verified(Message, #{<<"type">> := <<"hmac-sha256">>, <<"keyid">> := Key,
                       <<"signature">> := Signature} = Commitment) ->
    Signature =:= device_host:base64url(crypto:mac(hmac, sha256, Key, base(Message, Commitment))).

%% Without what is not signed: what every commitment names.
received(#{<<"commitments">> := Commitments} = Message) when map_size(Commitments) > 0 ->
    [First | Others] = [Committed || #{<<"committed">> := Committed} <- maps:values(Commitments)],
    InAll = fun(Name) -> lists:all(fun(Committed) -> lists:member(Name, Committed) end, Others) end,
    Names = lists:filter(InAll, First),
    maps:with([<<"commitments">> | Names], Message);
received(Message) ->
    Message.

%% The message of a request with these headers. The committer comes from the key here.
from_headers(#{<<"signature">> := <<"comm-", Signature/binary>>,
               <<"signature-input">> := <<"comm-", Input/binary>>} = Headers) ->
    [{Name, {list, Items, Parameters}}] = hb_structured_fields:parse_dictionary(Input),
    [{Name, {item, {binary, Bytes}, []}}] = hb_structured_fields:parse_dictionary(Signature),
    {_, {string, <<"publickey:", Key/binary>> = KeyId}} = lists:keyfind(<<"keyid">>, 1, Parameters),
    {_, {string, Alg}} = lists:keyfind(<<"alg">>, 1, Parameters),
    Commitment = #{<<"commitment-device">> => <<"httpsig@1.0">>, <<"type">> => Alg, <<"keyid">> => KeyId,
                   <<"signature">> => device_host:base64url(Bytes),
                   <<"committed">> => [Item || {item, {string, Item}, []} <- Items],
                   <<"committer">> => device_host:base64url(ar_wallet:to_address(base64:decode(Key)))},
    Fields = maps:without([<<"signature">>, <<"signature-input">>], Headers),
    Fields#{<<"commitments">> => #{device_host:id(Bytes) => Commitment}}.
