%%% @doc Where a server listens, as an option names it: a port of loopback, or `<<"ADDRESS:PORT">>'.
-module(hb_cron_endpoint).

-export([parse/1]).

-define(LOOPBACK, {127, 0, 0, 1}).

%% @doc The address and the port; 0 is any free one. An address of IPv6 is in brackets.
-spec parse(term()) -> {ok, {inet:ip_address(), inet:port_number()}} | error.
parse(Port) when is_integer(Port), Port >= 0, Port =< 65535 ->
    {ok, {?LOOPBACK, Port}};
parse(Text) when is_binary(Text) ->
    try
        [Address, Port] = string:split(binary_to_list(Text), ":", trailing),
        {ok, Ip} = inet:parse_strict_address(bare(Address)),
        {ok, {_, Number}} = parse(list_to_integer(Port)),
        {ok, {Ip, Number}}
    catch
        error:_ -> error
    end;
parse(_) ->
    error.

%% Without brackets only IPv4, since an address of IPv6 has colons.
bare("[" ++ Rest) -> "]" ++ Reversed = lists:reverse(Rest), lists:reverse(Reversed);
bare(Address) -> false = lists:member($:, Address), Address.
