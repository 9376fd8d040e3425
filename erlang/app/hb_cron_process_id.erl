%%% @doc Process ids of AO: 43 characters of base64url, or the 32 bytes that they stand for.
-module(hb_cron_process_id).

-export([new/1, is_valid/1]).

%% @doc An AO process id in its 43 characters, from those or from the 32 bytes they stand for.
-spec new(term()) -> binary().
new(Raw) when is_binary(Raw), byte_size(Raw) =:= 32 ->
    Text = base64:encode(Raw),
    compact(<< <<(url_safe(C))>> || <<C>> <= binary:part(Text, 0, 43) >>);
new(Text) when is_binary(Text) ->
    case is_valid(Text) of
        true -> compact(Text);
        false -> error({bad_process_id, Text})
    end;
new(Chars) when is_list(Chars) ->
    try list_to_binary(Chars) of
        Text when byte_size(Text) =:= 43 -> new(Text);
        _ -> error({bad_process_id, Chars})
    catch
        error:badarg -> error({bad_process_id, Chars})
    end;
new(Other) ->
    error({bad_process_id, Other}).

%% A binary that was built byte by byte has room for 256, and a part of a request keeps all of it. The copy lies on the
%% heap: a quarter of a KB less for each monitor.
compact(Text) -> binary:copy(Text).

%% @doc Whether a text is a process id of 43 characters.
-spec is_valid(binary()) -> boolean().
is_valid(Text) ->
    byte_size(Text) =:= 43 andalso are_url_safe(Text).

are_url_safe(<<C, Rest/binary>>) -> is_url_safe(C) andalso are_url_safe(Rest);
are_url_safe(<<>>) -> true.

url_safe($+) -> $-;
url_safe($/) -> $_;
url_safe(C) -> C.

is_url_safe(C) ->
    (C >= $a andalso C =< $z) orelse (C >= $A andalso C =< $Z) orelse
        (C >= $0 andalso C =< $9) orelse C =:= $- orelse C =:= $_.
