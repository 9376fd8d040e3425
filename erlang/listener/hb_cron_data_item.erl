%%% @doc Reads and verifies signed ANS-104 data items, as the clients of AO send them. Everything in an item is remote input.
%%%
%%% Signatures of RSA (type 1) are verified by OTP. Those of Ethereum (type 3) need Keccak-256, which OTP does not have: they
%%% are verified where the host has `hb_keccak'. Other types are refused.
-module(hb_cron_data_item).

-include_lib("public_key/include/public_key.hrl").

-export([read/1, is_valid/1]).

-export_type([item/0]).

-type item() :: #{type := rsa | ethereum, id := binary(), address := binary(), target := binary() | none,
                  signature := binary(), owner := binary(), hashed := binary()}.
%% `id': SHA-256 of the signature. `address': that of the signer, 43 characters. `target': 43 characters. `hashed': the deep
%% hash, which is signed.

%% The sizes of signatures and keys.
-define(RSA_BYTES, 512).
-define(ETHEREUM_BYTES, 65).
-define(RSA_EXPONENT, 65537).
%% The most bytes of tags: the standard's limit.
-define(TAGS, 4096).
%% How a signature of RSA says how long its salt is.
-define(ANY_SALT, -2).

%% @doc Reads an item, and verifies nothing.
-spec read(binary()) -> {ok, item()} | {error, unknown_signature | malformed}.
read(<<1:16/little, Signature:?RSA_BYTES/binary, Owner:?RSA_BYTES/binary, Rest/binary>>) ->
    read(rsa, <<"1">>, Signature, Owner, Rest);
read(<<3:16/little, Signature:?ETHEREUM_BYTES/binary, Owner:?ETHEREUM_BYTES/binary, Rest/binary>>) ->
    read(ethereum, <<"3">>, Signature, Owner, Rest);
read(<<Type:16/little, _/binary>>) when Type =/= 1, Type =/= 3 ->
    {error, unknown_signature};
read(_) ->
    {error, malformed}.

read(Type, Number, Signature, Owner, Rest) ->
    try
        {Target, AfterTarget} = optional(Rest),
        {Anchor, AfterAnchor} = optional(AfterTarget),
        <<Count:64/little, Bytes:64/little, Tags:Bytes/binary, Data/binary>> = AfterAnchor,
        true = Bytes =< ?TAGS,
        %% The number is not signed.
        Count = count(Tags),
        Hashed = deep_hash([<<"dataitem">>, <<"1">>, Number, Owner, Target, Anchor, Tags, Data]),
        {ok, #{type => Type, id => crypto:hash(sha256, Signature), address => hb_cron_process_id:new(crypto:hash(sha256, Owner)),
               target => target(Target), signature => Signature, owner => Owner, hashed => Hashed}}
    catch
        error:_ -> {error, malformed}
    end.

%% A target or an anchor.
optional(<<0, Rest/binary>>) -> {<<>>, Rest};
optional(<<1, Value:32/binary, Rest/binary>>) -> {Value, Rest}.

%% The number of tags: an array of Avro, of blocks of pairs of texts.
count(<<>>) -> 0;
count(Tags) -> blocks(Tags, 0).

%% An empty block is the last one.
blocks(Tags, Counted) ->
    case long(Tags) of
        {0, <<>>} -> Counted;
        {Count, Block} when Count > 0 -> blocks(skip_pairs(Count, Block), Counted + Count);
        {Count, Sized} when Count < 0 ->
            {_Size, Block} = long(Sized),
            blocks(skip_pairs(-Count, Block), Counted - Count)
    end.

skip_pairs(0, Rest) -> Rest;
skip_pairs(Left, Block) -> skip_pairs(Left - 1, skip_text(skip_text(Block))).

skip_text(Tags) ->
    {Size, Rest} = long(Tags),
    <<_:Size/binary, After/binary>> = Rest,
    After.

%% A number of at most 35 bits, with the sign in its last bit.
long(Bytes) -> long(Bytes, 0, 0).

long(<<More:1, Bits:7, Rest/binary>>, Shift, Before) when Shift < 35 ->
    case Before bor (Bits bsl Shift) of
        Value when More =:= 1 -> long(Rest, Shift + 7, Value);
        Value when Value band 1 =:= 0 -> {Value bsr 1, Rest};
        Value -> {-(Value bsr 1) - 1, Rest}
    end.

target(<<>>) -> none;
target(Target) -> hb_cron_process_id:new(Target).

deep_hash(List) when is_list(List) ->
    Tag = [<<"list">>, integer_to_binary(length(List))],
    lists:foldl(fun(Part, Hash) -> sha384([Hash, deep_hash(Part)]) end, sha384(Tag), List);
deep_hash(Part) ->
    sha384([sha384([<<"blob">>, integer_to_binary(byte_size(Part))]), sha384(Part)]).

sha384(Data) -> crypto:hash(sha384, Data).

%% @doc Whether the signature of an item is valid. Takes a fraction of a millisecond.
-spec is_valid(item()) -> boolean() | {error, unknown_signature}.
is_valid(#{type := rsa, hashed := Hashed, signature := Signature, owner := Owner}) ->
    Key = #'RSAPublicKey'{modulus = binary:decode_unsigned(Owner), publicExponent = ?RSA_EXPONENT},
    try public_key:verify(Hashed, sha256, Signature, Key, [{rsa_padding, rsa_pkcs1_pss_padding}, {rsa_pss_saltlen, ?ANY_SALT}])
    catch error:_ -> false
    end;
is_valid(#{type := ethereum, hashed := Hashed, signature := <<R:256, S:256, _Recovery>>, owner := <<4, _/binary>> = Owner}) ->
    Prefix = [<<25, "Ethereum Signed Message:\n">>, integer_to_binary(byte_size(Hashed))],
    case keccak(iolist_to_binary([Prefix, Hashed])) of
        {ok, Digest} ->
            Signature = public_key:der_encode('ECDSA-Sig-Value', #'ECDSA-Sig-Value'{r = R, s = S}),
            try crypto:verify(ecdsa, sha256, {digest, Digest}, Signature, [Owner, secp256k1])
            catch error:_ -> false
            end;
        error ->
            {error, unknown_signature}
    end;
is_valid(#{type := ethereum}) ->
    false.

%% The host's Keccak-256.
keccak(Data) ->
    try hb_cron_host_calls:call(hb_keccak, keccak_256, [Data]) of
        <<_:256>> = Digest -> {ok, Digest};
        _ -> error
    catch
        _:_ -> error
    end.
