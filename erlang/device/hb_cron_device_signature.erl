%%% @doc The signer of a message, and what of it is signed. A host does not verify the messages that reach a device. The
%%% committer that a commitment names is an unproven claim, and the host's `verify' takes the key from the commitment.
%%% Therefore the signer is computed from the key here, and the host verifies a message that has nothing but what is
%%% signed. All input is remote.
-module(hb_cron_device_signature).

-import(hb_cron_host_calls, [call/3]).

-export([read/2, is_valid/1, texts/1]).

-export_type([signed/0]).

-type signed() :: #{signer := binary(), params := #{binary() => binary()}, message := map()}.
%% A message whose signature may be invalid: its signer, the values that are signed, and what is to be verified.

%% The most keys of a message, the most signatures, and the longest value, in bytes.
-define(KEYS, 200).
-define(COMMITMENTS, 8).
-define(VALUE, 8192).
%% The size of an RSA key, in bytes.
-define(SMALLEST_KEY, 256).
-define(LARGEST_KEY, 1024).
-define(CODEC, <<"httpsig@1.0">>).
-define(RSA, <<"rsa-pss-sha512">>).
%% Signed, but not values of the message: the host replaced the path by the key, the rest carries the values.
-define(CARRIERS, [<<"path">>, <<"method">>, <<"body">>, <<"content-digest">>, <<"ao-types">>]).

%% @doc The one signature of a message. `Path': what stood in the URL, which may be signed, too. Verifies nothing.
-spec read(Message :: term(), Path :: binary()) ->
    {ok, signed()} | {error, unsigned | too_large | several_signatures | unknown_signature | bad_value}.
read(#{<<"commitments">> := Commitments} = Message, Path) when is_map(Commitments) ->
    Signed = [{Id, Commitment} || {Id, #{<<"committer">> := _} = Commitment} <- maps:to_list(Commitments)],
    case Signed of
        _ when map_size(Message) > ?KEYS; map_size(Commitments) > ?COMMITMENTS -> {error, too_large};
        [] -> {error, unsigned};
        [{Id, Commitment}] ->
            %% Anything may be in it.
            try one(Id, Commitment, Message, Path)
            catch _:_ -> {error, unknown_signature}
            end;
        _ -> {error, several_signatures}
    end;
read(_Message, _Path) ->
    {error, unsigned}.

one(Id, Commitment, Message, Path) ->
    {Signer, Names, Proof} = parts(Commitment),
    true = lists:all(fun is_plain/1, Names),
    %% Only what is signed, so that no other key of the message or its commitment can take the place of a signed one.
    Signed = maps:with(Names, Message),
    ToVerify = case Signed of
        #{<<"path">> := _} -> Signed#{<<"path">> := Path};
        #{} -> Signed
    end,
    Values = maps:without(?CARRIERS, Signed),
    Params = texts(Values),
    case map_size(Params) =:= map_size(Values) of
        true -> {ok, #{signer => Signer, params => Params, message => ToVerify#{<<"commitments">> => #{Id => Proof}}}};
        false -> {error, bad_value}
    end.

%% @doc The values of a message that are texts, or that a host reads texts as. The type of a value may be unsigned, so
%% the same message must not be read in two ways.
-spec texts(map()) -> #{binary() => binary()}.
texts(Message) ->
    maps:from_list([{Key, Text} || {Key, Value} <- maps:to_list(Message), is_binary(Key), {ok, Text} <- [text(Value)]]).

text(Text) when is_binary(Text), byte_size(Text) =< ?VALUE -> {ok, Text};
text(Integer) when is_integer(Integer), Integer > -(1 bsl 64), Integer < 1 bsl 64 -> {ok, integer_to_binary(Integer)};
text(Boolean) when is_boolean(Boolean) -> {ok, atom_to_binary(Boolean)};
text(_Other) -> error.

%% The signer, the names of the signed keys, and the part of the commitment that verifying needs. The first form is
%% of summer 2025 and later, the second one of spring 2025.
parts(#{<<"commitment-device">> := ?CODEC, <<"type">> := ?RSA, <<"committer">> := Signer, <<"signature">> := _,
        <<"keyid">> := <<"publickey:", Key/binary>>, <<"committed">> := Committed} = Commitment) ->
    Signer = address(Key),
    Proof = [<<"commitment-device">>, <<"type">>, <<"committer">>, <<"signature">>, <<"keyid">>, <<"committed">>,
             <<"tag">>, <<"created">>, <<"expires">>, <<"nonce">>],
    {Signer, [bare(Name) || Name <- in_order(Committed)], maps:with(Proof, Commitment)};
parts(#{<<"commitment-device">> := ?CODEC, <<"alg">> := ?RSA, <<"committer">> := Signer, <<"signature">> := Signature,
        <<"signature-input">> := Input} = Commitment) ->
    %% One entry each: the host looks entries up by name, and takes the key from the one it finds.
    [{Name, {list, Items, Parameters}}] = dictionary(Input),
    [{Name, _}] = dictionary(Signature),
    {_, {string, Key}} = lists:keyfind(<<"keyid">>, 1, Parameters),
    {_, {string, ?RSA}} = lists:keyfind(<<"alg">>, 1, Parameters),
    Signer = address(Key),
    %% A parameter of an item would make another value of it.
    Names = [begin {item, {string, Item}, []} = Whole, bare(Item) end || Whole <- Items],
    Proof = [<<"commitment-device">>, <<"alg">>, <<"committer">>, <<"signature">>, <<"signature-input">>],
    {Signer, with_body(Names), maps:with(Proof, Commitment)}.

dictionary(Text) when is_binary(Text) -> call(hb_structured_fields, parse_dictionary, [Text]).

%% Hosts keep lists also as maps numbered from 1.
in_order(Names) when is_list(Names) -> Names;
in_order(#{} = Numbered) -> [maps:get(integer_to_binary(N), Numbered) || N <- lists:seq(1, map_size(Numbered))].

%% What a request derives from its head has an `@' in a signature.
bare(<<"@", Name/binary>>) -> Name;
bare(Name) when is_binary(Name) -> Name.

with_body(Names) ->
    case lists:member(<<"content-digest">>, Names) of
        true -> [<<"body">> | Names];
        false -> Names
    end.

%% As a host writes the name of a key. Others would be read in another way than they were signed.
is_plain(Name) -> re:run(Name, "^[a-z0-9_.-]+\\z", [{capture, none}]) =:= match.

%% The address of an RSA key.
address(Encoded) ->
    Key = decode(Encoded),
    true = byte_size(Key) >= ?SMALLEST_KEY andalso byte_size(Key) =< ?LARGEST_KEY,
    hb_cron_process_id:new(crypto:hash(sha256, Key)).

%% Base64 in either alphabet, with or without padding.
decode(Text) when byte_size(Text) =< 2 * ?LARGEST_KEY ->
    Bare = string:trim(Text, trailing, "="),
    Standard = << <<(case C of $- -> $+; $_ -> $/; _ -> C end)>> || <<C>> <= Bare >>,
    base64:decode(<<Standard/binary, (binary:copy(<<"=">>, (4 - byte_size(Bare) rem 4) rem 4))/binary>>).

%% @doc Whether its signature is valid. Takes a fraction of a millisecond.
-spec is_valid(signed()) -> boolean().
is_valid(#{message := Message, signer := Signer}) ->
    try call(hb_message, verify, [Message, [Signer]]) =:= true
    catch _:_ -> false
    end.
