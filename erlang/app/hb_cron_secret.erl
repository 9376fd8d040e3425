%%% @doc Keeps passwords of URLs out of what is printed. OTP may print options, states and arguments of children at
%%% any time: URLs with user information are sealed there, and revealed only for the library. A seal can be opened
%%% on this node alone, while it runs: a checkpoint keeps the URL itself.
-module(hb_cron_secret).

-export([seal/1, reveal/1, seal_options/1, reveal_options/1, origin/1, redact/1, stack/1]).

-export_type([sealed/0]).

-type sealed() :: {sealed, Origin :: binary(), Box :: binary()}.
%% A text with user information. `Origin' may be shown. Equal texts have equal seals.

-define(KEY, {?MODULE, key}).
%% The bytes of the key.
-define(KEY_BYTES, 32).
%% Replaces user information.
-define(HIDDEN, <<"***">>).

%% @doc Seals those texts of a `cron_node' value that may hold a password.
-spec seal(term()) -> term().
seal(Text) when is_binary(Text) ->
    case binary:match(Text, <<"@">>) of
        nomatch -> Text;
        _ -> {sealed, hb_cron_router:origin(Text), box(Text)}
    end;
seal([_ | _] = Value) ->
    case io_lib:char_list(Value) of
        true -> case lists:member($@, Value) of true -> seal(unicode:characters_to_binary(Value)); false -> Value end;
        false -> map(fun seal/1, Value)
    end;
seal(Value) ->
    Value.

%% @doc The value before it was sealed.
-spec reveal(term()) -> term().
reveal({sealed, Origin, Box}) when is_binary(Origin), is_binary(Box) -> unbox(Box);
reveal([_ | _] = Value) -> map(fun reveal/1, Value);
reveal(Value) -> Value.

%% @doc Seals the options of a map.
-spec seal_options(Options) -> Options when Options :: map().
seal_options(#{cron_node := Nodes} = Options) -> Options#{cron_node := seal(Nodes)};
seal_options(Options) -> Options.

%% @doc The options before they were sealed.
-spec reveal_options(Options) -> Options when Options :: map().
reveal_options(#{cron_node := Nodes} = Options) -> Options#{cron_node := reveal(Nodes)};
reveal_options(Options) -> Options.

%% @doc The part of a base URL that may be shown, sealed or not.
-spec origin(binary() | sealed()) -> binary().
origin({sealed, Origin, _Box}) -> Origin;
origin(Url) -> hb_cron_router:origin(Url).

%% @doc A copy of a term without the user information of URLs, for errors and logs.
-spec redact(term()) -> term().
redact({sealed, Origin, Box}) when is_binary(Origin), is_binary(Box) -> Origin;
redact(Text) when is_binary(Text) ->
    case binary:matches(Text, <<"@">>) of
        [] -> Text;
        Found ->
            {At, 1} = lists:last(Found),
            <<Before:At/binary, After/binary>> = Text,
            <<(scheme(Before))/binary, ?HIDDEN/binary, After/binary>>
    end;
redact([_ | _] = Value) ->
    case io_lib:char_list(Value) of
        true -> case lists:member($@, Value) of true -> redact(unicode:characters_to_binary(Value)); false -> Value end;
        false -> map(fun redact/1, Value)
    end;
redact(Value) when is_tuple(Value) -> list_to_tuple([redact(Part) || Part <- tuple_to_list(Value)]);
redact(#{} = Value) -> maps:from_list([{redact(Key), redact(Part)} || {Key, Part} <- maps:to_list(Value)]);
redact(Value) -> Value.

scheme(Before) ->
    case binary:match(Before, <<"://">>) of
        {At, 3} -> binary:part(Before, 0, At + 3);
        nomatch -> <<>>
    end.

%% @doc A stack trace without arguments: the arguments of a failed call are part of it.
-spec stack(Stack) -> Stack when Stack :: list().
stack(Stack) ->
    [case Frame of
        {Module, Function, Args, Where} when is_list(Args) -> {Module, Function, length(Args), Where};
        {Fun, Args, Where} when is_list(Args) -> {Fun, length(Args), Where};
        _ -> Frame
     end || Frame <- Stack].

%% Improper lists, too.
map(Fun, [Head | Tail]) -> [Fun(Head) | map(Fun, Tail)];
map(_Fun, []) -> [];
map(Fun, Tail) -> Fun(Tail).

%% The text, masked by a stream that depends on the key and the text. The key is never printed.
box(Text) ->
    Key = key(),
    Seed = erlang:md5([Key, Text]),
    <<Seed/binary, (mixed(Text, Key, Seed))/binary>>.

unbox(<<Seed:16/binary, Mixed/binary>>) -> mixed(Mixed, key(), Seed).

mixed(Text, Key, Seed) ->
    Bytes = byte_size(Text),
    Stream = << <<(erlang:md5([Key, Seed, <<N:32>>]))/binary>> || N <- lists:seq(0, Bytes div 16) >>,
    Bits = 8 * Bytes,
    <<A:Bits>> = Text,
    <<B:Bits, _/binary>> = Stream,
    <<(A bxor B):Bits>>.

%% The key lives as long as the node: a seal may be in a supervisor of the host, which outlives this application.
key() ->
    case persistent_term:get(?KEY, none) of
        none -> global:trans({?MODULE, self()}, fun make_key/0, [node()]);
        Key -> Key
    end.

make_key() ->
    case persistent_term:get(?KEY, none) of
        none ->
            Key = random(),
            ok = persistent_term:put(?KEY, Key),
            Key;
        Key ->
            Key
    end.

%% The host's release may lack `crypto'.
random() ->
    try crypto:strong_rand_bytes(?KEY_BYTES)
    catch error:_ -> rand:bytes(?KEY_BYTES)
    end.
