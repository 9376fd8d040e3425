%%% What the doubles of both hosts sign: the fields of a message as HTTP headers, and the parameters of the signature.
-module(signature_base).
-export([encoded/1, of_names/3]).

%% As headers: typed values become texts, and their types a header of their own.
encoded(Message) ->
    Fields = maps:without([<<"commitments">>, <<"signature">>, <<"signature-input">>, <<"priv">>], Message),
    Types = [[Key, "=\"", Type, "\""] || {Key, Value} <- lists:sort(maps:to_list(Fields)),
                                         {Type, _} <- [typed(Value)], Type =/= none],
    Texts = maps:map(fun(_, Value) -> {_, Text} = typed(Value), Text end, Fields),
    Headers = case Types of
        [] -> Texts;
        _ -> Texts#{<<"ao-types">> => iolist_to_binary(lists:join(", ", Types))}
    end,
    case Headers of
        #{<<"body">> := Body} ->
            Digest = base64:encode(crypto:hash(sha256, Body)),
            (maps:remove(<<"body">>, Headers))#{<<"content-digest">> => Digest};
        #{} -> Headers
    end.

typed(Value) when is_binary(Value) -> {none, Value};
typed(Value) when is_integer(Value) -> {"integer", integer_to_binary(Value)};
typed(Value) when is_atom(Value) -> {"atom", atom_to_binary(Value)};
typed(Value) -> {"map", base64:encode(term_to_binary(Value))}.

of_names(Names, Headers, Parameters) ->
    Lines = [[$", Name, "\": ", maps:get(bare(Name), Headers), $\n] || Name <- Names],
    iolist_to_binary([Lines, "\"@signature-params\": ", Parameters]).

bare(<<"@", Name/binary>>) -> Name;
bare(Name) -> Name.
