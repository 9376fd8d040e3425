%%% Double of an early host's messages: signing, whose codec fails on integers of more than 15 digits.
-module(hb_message).
-export([sign/2]).

sign(#{} = Message, {wallet, Key} = Wallet) ->
    host_double:call({hb_message, sign}, [Message, Wallet], fun() ->
        [] = [V || V <- maps:values(Message), is_integer(V), abs(V) > 999999999999999],
        Message#{<<"Signature">> => crypto:hash(sha256, term_to_binary({Key, Message}))}
    end).
