%%% @doc The options of a start over HTTP: some for all signers with access, more for the operator. None names code or a
%%% file, and only the operator may name a host that the node connects to. All input is text.
-module(hb_cron_device_options).

-export([from/2, integer/1]).

%% The lowest rate that an address other than the operator's may ask for, in ms.
-define(LOWEST_RATE, 1000).
%% The longest integer, in digits.
-define(DIGITS, 15).

%% Name, key of `start/2', which signers may set it, and form. In a name, `_' may be written for `-'.
-define(TABLE, [
    {<<"rate">>, rate, all, fun integer/1},
    {<<"cursor">>, cursor, all, fun cursor/1},
    {<<"paused">>, paused, all, fun boolean/1},
    {<<"cron-page-limit">>, cron_page_limit, all, fun integer/1},
    {<<"cron-push-attempts">>, cron_push_attempts, all, fun integer_or_infinity/1},
    {<<"cron-poll">>, cron_poll, all, fun poll/1},
    {<<"cron-poll-max-gap">>, cron_poll_max_gap, all, fun integer/1},
    {<<"cron-walk-after">>, cron_walk_after, all, fun integer/1},
    {<<"cron-stale-after">>, cron_stale_after, all, fun integer_or_infinity/1},
    {<<"cron-max-ahead">>, cron_max_ahead, all, fun integer_or_infinity/1},
    {<<"cron-node">>, cron_node, operator, fun urls/1},
    {<<"cron-push-timeout">>, cron_push_timeout, operator, fun integer/1},
    {<<"cron-push-stall">>, cron_push_stall, operator, fun integer/1},
    {<<"cron-connect-timeout">>, cron_connect_timeout, operator, fun integer/1},
    {<<"cron-first-byte-timeout">>, cron_first_byte_timeout, operator, fun integer/1},
    {<<"cron-timeout">>, cron_timeout, operator, fun integer/1},
    {<<"cron-max-page-bytes">>, cron_max_page_bytes, operator, fun integer/1}
]).

%% @doc The options in the values of a message. Whether a value is allowed is checked by the start.
-spec from(Params :: #{binary() => binary()}, For :: operator | other) ->
    {ok, hb_process_monitor:options()} | {error, {forbidden | unknown | bad_value, Name :: binary()}}.
from(Params, For) ->
    Named = [{binary:replace(Name, <<"_">>, <<"-">>, [global]), Text} || {Name, Text} <- maps:to_list(Params)],
    read([Pair || {Name, _} = Pair <- Named, is_option(Name)], For, #{}).

%% All that looks like an option must be one: a misspelt one would have no effect.
is_option(<<"cron-", _/binary>>) -> true;
is_option(<<"logger">>) -> true;
is_option(Name) -> lists:keymember(Name, 1, ?TABLE).

read([], _For, Options) ->
    {ok, Options};
read([{Name, Text} | Rest], For, Options) ->
    case lists:keyfind(Name, 1, ?TABLE) of
        false -> {error, {unknown, Name}};
        {_, _, operator, _} when For =/= operator -> {error, {forbidden, Name}};
        {_, Key, _, _} when is_map_key(Key, Options) -> {error, {bad_value, Name}};
        {_, Key, _, Form} ->
            case Form(Text) of
                {ok, Rate} when Key =:= rate, For =/= operator, Rate < ?LOWEST_RATE -> {error, {forbidden, Name}};
                {ok, Value} -> read(Rest, For, Options#{Key => Value});
                error -> {error, {bad_value, Name}}
            end
    end.

%% @doc A number in digits, without a sign.
-spec integer(binary()) -> {ok, non_neg_integer()} | error.
integer(Text) when byte_size(Text) >= 1, byte_size(Text) =< ?DIGITS ->
    case re:run(Text, "^[0-9]+\\z", [{capture, none}]) of
        match -> {ok, binary_to_integer(Text)};
        nomatch -> error
    end;
integer(_Text) ->
    error.

integer_or_infinity(<<"infinity">>) -> {ok, infinity};
integer_or_infinity(Text) -> integer(Text).

poll(<<"expected">>) -> {ok, expected};
poll(<<"rate">>) -> {ok, rate};
poll(_Text) -> error.

boolean(<<"true">>) -> {ok, true};
boolean(<<"false">>) -> {ok, false};
boolean(_Text) -> error.

cursor(<<"earliest">>) -> {ok, earliest};
cursor(<<>>) -> error;
cursor(Text) -> {ok, Text}.

%% One or more, with commas.
urls(Text) ->
    case re:run(Text, "^[ -~]+\\z", [{capture, none}]) of
        match -> {ok, [string:trim(Url) || Url <- binary:split(Text, <<",">>, [global])]};
        nomatch -> error
    end.
