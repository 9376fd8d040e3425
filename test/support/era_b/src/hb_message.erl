%%% Double of a later host's messages: a commitment needs the node's wallet.
-module(hb_message).
-export([commit/2]).
%% For dev_scheduler
-export([verify/1]).

commit(#{} = Message, Opts) ->
    host_double:call({hb_message, commit}, [Message, Opts], fun() ->
        #{priv_wallet := {wallet, _}} = Opts,
        Message#{<<"commitments">> => #{<<"id">> => hash(Message)}}
    end).

verify(#{<<"commitments">> := #{<<"id">> := Hash}} = Message) ->
    case hash(maps:remove(<<"commitments">>, Message)) of
        Hash -> true;
        _ -> false
    end;
verify(#{}) ->
    unsigned.

hash(Message) -> crypto:hash(sha256, term_to_binary(Message)).
