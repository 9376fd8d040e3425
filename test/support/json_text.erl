%%% Decodes JSON for tests: maps with binary keys, null as `null'. OTP has a decoder since version 27; the
%%% project's own decoder is in Rust.
-module(json_text).
-export([decode/1]).

decode(Text) ->
    {Value, Rest} = value(skip(Text)),
    <<>> = skip(Rest),
    Value.

value(<<"{", Rest/binary>>) -> object(skip(Rest), #{});
value(<<"[", Rest/binary>>) -> list(skip(Rest), []);
value(<<"\"", Rest/binary>>) -> string(Rest, <<>>);
value(<<"true", Rest/binary>>) -> {true, Rest};
value(<<"false", Rest/binary>>) -> {false, Rest};
value(<<"null", Rest/binary>>) -> {null, Rest};
value(Text) ->
    {match, [{0, Length}]} = re:run(Text, "^-?[0-9]+(\\.[0-9]+)?([eE][-+]?[0-9]+)?", [{capture, first}]),
    <<Number:Length/binary, Rest/binary>> = Text,
    {number(Number), Rest}.

number(Text) ->
    try binary_to_integer(Text)
    catch error:badarg -> element(1, string:to_float(Text))
    end.

object(<<"}", Rest/binary>>, Map) ->
    {Map, Rest};
object(<<"\"", Text/binary>>, Map) ->
    {Key, AfterKey} = string(Text, <<>>),
    <<":", AfterColon/binary>> = skip(AfterKey),
    {Value, AfterValue} = value(skip(AfterColon)),
    case skip(AfterValue) of
        <<",", Rest/binary>> -> object(skip(Rest), Map#{Key => Value});
        <<"}", Rest/binary>> -> {Map#{Key => Value}, Rest}
    end.

list(<<"]", Rest/binary>>, []) ->
    {[], Rest};
list(Text, Before) ->
    {Value, AfterValue} = value(Text),
    case skip(AfterValue) of
        <<",", Rest/binary>> -> list(skip(Rest), [Value | Before]);
        <<"]", Rest/binary>> -> {lists:reverse([Value | Before]), Rest}
    end.

string(<<"\"", Rest/binary>>, Text) -> {Text, Rest};
string(<<"\\u", Hex:4/binary, Rest/binary>>, Text) ->
    string(Rest, <<Text/binary, (binary_to_integer(Hex, 16))/utf8>>);
string(<<"\\", Char, Rest/binary>>, Text) -> string(Rest, <<Text/binary, (escaped(Char))>>);
string(<<Char, Rest/binary>>, Text) -> string(Rest, <<Text/binary, Char>>).

escaped($n) -> $\n;
escaped($t) -> $\t;
escaped($r) -> $\r;
escaped($b) -> $\b;
escaped($f) -> $\f;
escaped(Char) -> Char.

skip(<<Char, Rest/binary>>) when Char =:= $\s; Char =:= $\n; Char =:= $\t; Char =:= $\r -> skip(Rest);
skip(Text) -> Text.
