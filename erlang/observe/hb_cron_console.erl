%%% @doc Prints text on a console. A console whose encoding is not UTF-8, as in a container without `LANG', gets
%%% ASCII: other characters would come out as broken bytes or as escapes in the middle of a table.
-module(hb_cron_console).

-export([print/1, ascii/1]).

%% @doc Prints on the caller's group leader.
-spec print(unicode:chardata()) -> ok.
print(Text) ->
    case is_unicode(group_leader()) of
        true -> io:put_chars(Text);
        false -> io:put_chars(ascii(Text))
    end.

is_unicode(Device) ->
    case io:getopts(Device) of
        {error, _} -> false;
        Options -> lists:member(proplists:get_value(encoding, Options), [unicode, utf8])
    end.

%% @doc The text in ASCII: our own special characters get a plain equivalent, others an escape.
-spec ascii(unicode:chardata()) -> string().
ascii(Text) -> lists:flatmap(fun plain/1, unicode:characters_to_list(Text)).

plain(C) when C < 128 -> [C];
plain($…) -> "...";
plain($×) -> "x";
plain(C) -> lists:flatten(io_lib:format("\\x{~.16b}", [C])).
