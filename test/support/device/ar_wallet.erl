%%% Double of the host's wallets: RSA keys, and the host's address of a short one, which is the key itself.
-module(ar_wallet).
-export([to_address/1, sign/3, verify/4]).

to_address({{_, _, Key}, {_, Key}}) -> to_address(Key);
to_address(Key) when bit_size(Key) =:= 256 -> Key;
to_address(Key) -> crypto:hash(sha256, Key).

sign({{{rsa, Exponent}, Private, Key}, _}, Data, Digest) ->
    crypto:sign(rsa, Digest, Data, [binary:encode_unsigned(Exponent), Key, Private], padding()).

verify({{rsa, Exponent}, Key}, Data, Signature, Digest) ->
    crypto:verify(rsa, Digest, Data, Signature, [binary:encode_unsigned(Exponent), Key], padding()).

padding() -> [{rsa_padding, rsa_pkcs1_pss_padding}, {rsa_pss_saltlen, -1}].
