%%% Double of the host's parser of structured fields: dictionaries of inner lists, and of bytes.
-module(hb_structured_fields).
-export([parse_dictionary/1]).

parse_dictionary(Text) ->
    case string:trim(Text, leading) of
        <<>> -> [];
        <<",", Rest/binary>> -> parse_dictionary(Rest);
        Entry ->
            [Name, Rest] = binary:split(Entry, <<"=">>),
            {Value, Further} = value(Rest),
            [{Name, Value} | parse_dictionary(Further)]
    end.

value(<<":", Rest/binary>>) ->
    [Base64, Further] = binary:split(Rest, <<":">>),
    {Parameters, End} = parameters(Further, []),
    {{item, {binary, base64:decode(Base64)}, Parameters}, End};
value(<<"(", Rest/binary>>) ->
    {Items, Further} = items(Rest, []),
    {Parameters, End} = parameters(Further, []),
    {{list, Items, Parameters}, End}.

items(<<" ", Rest/binary>>, Items) -> items(Rest, Items);
items(<<")", Rest/binary>>, Items) -> {lists:reverse(Items), Rest};
items(<<"\"", Rest/binary>>, Items) ->
    [Text, Further] = binary:split(Rest, <<"\"">>),
    {Parameters, End} = parameters(Further, []),
    items(End, [{item, {string, Text}, Parameters} | Items]).

parameters(<<";", Rest/binary>>, Parameters) ->
    case re:run(Rest, "^([a-z]+)=\"([^\"]*)\"(.*)$", [dotall, {capture, all_but_first, binary}]) of
        {match, [Name, Text, Further]} -> parameters(Further, [{Name, {string, Text}} | Parameters]);
        nomatch ->
            {match, [Name, Further]} = re:run(Rest, "^([a-z]+)(.*)$", [dotall, {capture, all_but_first, binary}]),
            parameters(Further, [{Name, true} | Parameters])
    end;
parameters(Rest, Parameters) -> {lists:reverse(Parameters), Rest}.
