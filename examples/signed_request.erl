%%% Signs a request for the device process-monitor@1.0, and prints its HTTP headers. Needs nothing but Erlang.
%%%
%%%     escript examples/signed_request.erl KEYFILE earlier|later ACTION [NAME=VALUE ...] >headers
%%%     curl -X POST -H @headers http://localhost:8734/~process-monitor@1.0/ACTION
%%%
%%% KEYFILE is an Arweave wallet (JWK), such as the node's hyperbeam-key.json. `later': for HyperBEAM of summer 2025 and
%%% later; `earlier': for that of spring 2025. The signature covers the action, the time, a nonce, and the given values.
-module(signed_request).

-export([main/1, headers/4]).

main([KeyFile, Host, Action | Values]) ->
    {ok, Jwk} = file:read_file(KeyFile),
    Pairs = [binary:split(unicode:characters_to_binary(Value), <<"=">>) || Value <- Values],
    Given = maps:from_list([{Name, Value} || [Name, Value] <- Pairs]),
    Headers = headers(key(Jwk), list_to_existing_atom(Host), list_to_binary(Action), Given),
    io:put_chars([[Name, ": ", Value, $\n] || {Name, Value} <- Headers]);
main(_) ->
    io:put_chars(standard_error, "usage: escript signed_request.erl KEYFILE earlier|later ACTION [NAME=VALUE ...]\n"),
    halt(2).

%% The headers of a request with these values.
-spec headers(Key :: {N :: binary(), D :: binary()}, earlier | later, Action :: binary(), #{binary() => binary()}) ->
    [{binary(), binary()}].
headers({N, _} = Key, Host, Action, Given) ->
    Values = maps:merge(#{<<"action">> => Action, <<"time">> => integer_to_binary(erlang:system_time(millisecond)),
                          <<"nonce">> => integer_to_binary(rand:uniform(1 bsl 60))}, Given),
    Names = lists:sort(maps:keys(Values)),
    Items = lists:join($\s, [[$", Name, $"] || Name <- Names]),
    Parameters = iolist_to_binary(["(", Items, ");alg=\"rsa-pss-sha512\";keyid=\"", key_id(Host, N), $"]),
    Lines = [[$", Name, "\": ", maps:get(Name, Values), $\n] || Name <- Names],
    Signature = sign(Key, iolist_to_binary([Lines, "\"@signature-params\": ", Parameters])),
    Label = label(Host, N),
    lists:sort(maps:to_list(Values)) ++
        [{<<"signature-input">>, <<Label/binary, "=", Parameters/binary>>},
         {<<"signature">>, <<Label/binary, "=:", (base64:encode(Signature))/binary, ":">>}].

key_id(earlier, N) -> base64url(N);
key_id(later, N) -> ["publickey:", base64:encode(N)].

%% The first host finds a signature by the signer's address, the second one accepts any name with this prefix.
label(earlier, N) ->
    <<_, Part:8/binary, _/binary>> = crypto:hash(sha256, N),
    iolist_to_binary(["http-sig-", [io_lib:format("~2.16.0b", [Byte]) || <<Byte>> <= Part]]);
label(later, _N) -> <<"comm-request">>.

sign({N, D}, Base) ->
    crypto:sign(rsa, sha512, Base, [<<1, 0, 1>>, N, D], [{rsa_padding, rsa_pkcs1_pss_padding}, {rsa_pss_saltlen, 64}]).

%% The modulus and the private exponent.
key(Jwk) -> {field("n", Jwk), field("d", Jwk)}.

field(Name, Jwk) ->
    {match, [Text]} = re:run(Jwk, ["\"", Name, "\"\\s*:\\s*\"([^\"]+)\""], [{capture, all_but_first, binary}]),
    Standard = << <<(case C of $- -> $+; $_ -> $/; _ -> C end)>> || <<C>> <= Text >>,
    base64:decode(<<Standard/binary, (binary:copy(<<"=">>, (4 - byte_size(Text) rem 4) rem 4))/binary>>).

base64url(Bytes) ->
    << <<(case C of $+ -> $-; $/ -> $_; _ -> C end)>> || <<C>> <= string:trim(base64:encode(Bytes), trailing, "=") >>.
