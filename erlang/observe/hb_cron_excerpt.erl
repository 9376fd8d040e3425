%%% @doc Short forms of terms that may be large, such as the error of a push, for logs and inspection.
-module(hb_cron_excerpt).

-export([text/2, details/1]).

%% A term that takes fewer bytes is kept.
-define(KEPT, 4096).
%% The longest text of a larger one, in characters.
-define(TEXT, 1000).

%% @doc A term as text in one line, of about `Most' characters at most. Formats no more than that.
-spec text(term(), Most :: pos_integer()) -> binary().
text(Term, Most) ->
    case unicode:characters_to_binary(io_lib:format("~0tp", [Term], [{chars_limit, Most}])) of
        Text when is_binary(Text) -> at_most(Text, Most);
        %% Characters that are none.
        _ -> at_most(iolist_to_binary(io_lib:format("~0p", [Term], [{chars_limit, Most}])), Most)
    end.

%% The limit of a format is not exact.
at_most(Text, Most) ->
    case string:length(Text) > Most of
        true -> <<(string:slice(Text, 0, Most))/binary, "...">>;
        false -> Text
    end.

%% @doc The details of a log entry, with a text for each large part. Loggers may keep entries for ever.
-spec details(term()) -> term().
details(Details) when is_tuple(Details) ->
    case is_large(Details) of
        true -> list_to_tuple([part(Part) || Part <- tuple_to_list(Details)]);
        false -> Details
    end;
details(Details) ->
    part(Details).

part(Part) ->
    case is_large(Part) of
        true -> text(Part, ?TEXT);
        false -> Part
    end.

%% As it would be sent to a logger on another node: binaries and what they refer to count.
is_large(Term) -> erlang:external_size(Term) > ?KEPT.
