%%% Double of an early host's messages: signing, whose codec fails on integers of more than 15 digits, and which makes
%%% of more than 128 tags a signature that the host cannot verify.
-module(hb_message).
-export([sign/2, verify/1]).

sign(#{} = Message, {wallet, Key} = Wallet) ->
    host_double:call({hb_message, sign}, [Message, Wallet], fun() ->
        [] = [V || V <- maps:values(Message), is_integer(V), abs(V) > 999999999999999],
        Message#{<<"Signature">> => crypto:hash(sha256, term_to_binary({Key, Message}))}
    end).

verify(#{<<"Signature">> := Signature} = Message) ->
    Content = maps:remove(<<"Signature">>, Message),
    map_size(Content) =< 128 andalso Signature =:= crypto:hash(sha256, term_to_binary({<<"key">>, Content})).
