%%% @doc Encodes terms as JSON for the dashboard; OTP has an encoder since version 27. It accepts binaries that are
%%% not UTF-8, and decodes nothing.
-module(hb_cron_json).

-export([encode/1]).

%% @doc Encodes a term. `undefined' becomes null, other atoms and binaries become strings; keys are atoms or
%% binaries. Invalid UTF-8 becomes U+FFFD. Raises `badarg' for other terms.
-spec encode(term()) -> iodata().
encode(undefined) -> <<"null">>;
encode(null) -> <<"null">>;
encode(true) -> <<"true">>;
encode(false) -> <<"false">>;
encode(Atom) when is_atom(Atom) -> string(atom_to_binary(Atom));
encode(Integer) when is_integer(Integer) -> integer_to_binary(Integer);
encode(Float) when is_float(Float) -> float_to_binary(Float, [short]);
encode(Text) when is_binary(Text) -> string(Text);
encode(List) when is_list(List) -> [$[, lists:join($,, [encode(Item) || Item <- List]), $]];
encode(Map) when is_map(Map) ->
    [${, lists:join($,, [[key(Key), $:, encode(Value)] || {Key, Value} <- lists:sort(maps:to_list(Map))]), $}];
encode(Term) -> error(badarg, [Term]).

key(Key) when is_atom(Key) -> string(atom_to_binary(Key));
key(Key) when is_binary(Key) -> string(Key).

string(Text) -> [$", escape(Text, Text, 0, 0), $"].

%% Text without escapes is copied as a whole, not byte by byte.
escape(Text, All, Start, Length) ->
    case Text of
        <<Char, Rest/binary>> when Char >= 16#20, Char < 16#7F, Char =/= $", Char =/= $\\, Char =/= $<, Char =/= $> ->
            escape(Rest, All, Start, Length + 1);
        <<Char, Rest/binary>> when Char < 16#80 ->
            [binary:part(All, Start, Length), escaped(Char) | escape(Rest, All, Start + Length + 1, 0)];
        %% These end a line in JavaScript.
        <<Char/utf8, Rest/binary>> when Char =:= 16#2028; Char =:= 16#2029 ->
            [binary:part(All, Start, Length), escaped(Char) | escape(Rest, All, Start + Length + 3, 0)];
        <<Char/utf8, Rest/binary>> ->
            escape(Rest, All, Start, Length + byte_size(<<Char/utf8>>));
        <<_, Rest/binary>> ->
            [binary:part(All, Start, Length), escaped(16#FFFD) | escape(Rest, All, Start + Length + 1, 0)];
        <<>> ->
            [binary:part(All, Start, Length)]
    end.

escaped($") -> <<"\\\"">>;
escaped($\\) -> <<"\\\\">>;
escaped($\n) -> <<"\\n">>;
escaped($\r) -> <<"\\r">>;
escaped($\t) -> <<"\\t">>;
%% Also escapes `<' and `>', so that no text can end a script or begin a tag.
escaped(Char) -> io_lib:format("\\u~4.16.0b", [Char]).
