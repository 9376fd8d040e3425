%%% @doc Decides whether a request over HTTP is allowed. Changes are for the operator of the node, and for the
%%% addresses of the option `cron_monitor_access', which may change only what they started. Reading is for the same
%%% signers, or for all with `cron_monitor_read'. The signed message itself names the action, the process and a time,
%%% so that it can be used for nothing else, and only once.
-module(hb_cron_device_access).

-import(hb_cron_host_calls, [call/3]).

-export([to_read/2, to_change/2, claim/1, role/1, operator/0, refuse/2]).

-export_type([request/0, role/0, refusal/0]).

-type role() :: anyone | operator | {address, binary()}.

-type request() :: #{role := role(), params := #{binary() => binary()}, id => binary(), time => integer()}.
%% `params': of a signed message only the values that are signed. `id': the same for all forms of the message.

-type refusal() :: {refused, Status :: 400..599, Text :: binary()}.
%% What this module throws, and those that answer a request.

%% How far the time of a message may be from the node's clock, in ms.
-define(WINDOW, 300000).
%% The device, as it stands in a URL.
-define(PATH, "/~process-monitor@1.0/").

%% @doc A request that reads. Throws a refusal.
-spec to_read(Key :: binary(), Message :: term()) -> request().
to_read(Key, Message) ->
    case hb_cron_registry:node_options() of
        #{cron_monitor_read := all} when is_map(Message) ->
            #{role => anyone, params => hb_cron_device_signature:texts(Message)};
        #{} ->
            signed(Key, Message)
    end.

%% @doc A request that changes something. It has no effect before {@link claim/1}. Throws a refusal.
-spec to_change(Key :: binary(), Message :: term()) -> request().
to_change(Key, Message) ->
    #{params := Params} = Request = signed(Key, Message),
    is_map_key(<<"process">>, Params) orelse refuse(401, [<<"The signature does not cover `process`.">>]),
    Request.

signed(Key, Message) ->
    case hb_cron_device_signature:read(Message, <<?PATH, Key/binary>>) of
        {ok, Signed} -> checked(Key, Signed);
        {error, unsigned} -> refuse(401, [<<"This takes a signed message.">>]);
        {error, too_large} -> refuse(413, [<<"The message has too many keys or signatures.">>]);
        {error, several_signatures} -> refuse(401, [<<"The message has more than one signature.">>]);
        {error, bad_value} -> refuse(400, [<<"A signed value is neither a short text nor a number.">>]);
        {error, unknown_signature} ->
            refuse(401, [<<"The signature cannot be read: it must be an httpsig@1.0 signature with an RSA key.">>])
    end.

%% What is cheap comes first.
checked(Key, #{signer := Signer, params := Params} = Signed) ->
    case Params of
        #{<<"action">> := Key} -> ok;
        #{<<"action">> := _} -> refuse(401, [<<"The signed `action` is not `">>, Key, <<"`.">>]);
        #{} -> refuse(401, [<<"The signature does not cover `action`.">>])
    end,
    Time = time(Params),
    Role = role(Signer),
    hb_cron_device_signature:is_valid(Signed) orelse refuse(401, [<<"The signature is invalid.">>]),
    Id = crypto:hash(sha256, term_to_binary({Signer, lists:sort(maps:to_list(Params))}, [{minor_version, 2}])),
    #{role => Role, params => Params, id => Id, time => Time}.

time(Params) ->
    Now = erlang:system_time(millisecond),
    case hb_cron_device_options:integer(maps:get(<<"time">>, Params, <<>>)) of
        {ok, Time} when abs(Time - Now) =< ?WINDOW -> Time;
        {ok, _} ->
            refuse(401, [<<"The signed `time` is too far from this node's clock, ">>, integer_to_binary(Now), <<".">>]);
        error ->
            refuse(401, [<<"The signature does not cover `time`, in ms since 1970.">>])
    end.

%% @doc What a signer may do: all as the operator, or what is for an address of `cron_monitor_access'. Throws a refusal.
-spec role(Signer :: binary()) -> operator | {address, binary()}.
role(Signer) ->
    Access = maps:get(cron_monitor_access, hb_cron_registry:node_options(), []),
    case Signer =:= operator() of
        true -> operator;
        false ->
            lists:member(Signer, addresses(Access)) orelse refuse(403, [<<"The signer has no access.">>]),
            {address, Signer}
    end.

addresses(One) when is_binary(One) -> [One];
addresses(All) -> All.

%% @doc The address of the node's operator: the host's option `operator', otherwise of the node's wallet.
-spec operator() -> binary() | none.
operator() ->
    case hb_cron_node_message:get() of
        none -> none;
        Options -> operator(first([operator, <<"operator">>], Options), Options)
    end.

operator(Unclaimed, Options) when Unclaimed =:= undefined; Unclaimed =:= unclaimed; Unclaimed =:= <<"unclaimed">> ->
    try address(call(ar_wallet, to_address, [first([priv_wallet, <<"priv-wallet">>, <<"priv_wallet">>], Options)]))
    catch _:_ -> none
    end;
operator(Address, _Options) ->
    try address(Address)
    catch _:_ -> none
    end.

address(Address) when is_binary(Address) -> hb_cron_process_id:new(Address).

first(Keys, Options) ->
    case [Value || Key <- Keys, {ok, Value} <- [maps:find(Key, Options)]] of
        [Value | _] -> Value;
        [] -> undefined
    end.

%% @doc A change is about to be made: uses its message up. Throws a refusal if it was used before.
-spec claim(request()) -> ok.
claim(#{id := Id, time := Time}) ->
    case hb_cron_device_replay:remember(hb_cron_device_replay, Id, Time, ?WINDOW) of
        ok -> ok;
        {error, seen} ->
            refuse(409, [<<"The message was used before: sign another one with a new `time` or `nonce`.">>]);
        {error, too_old} ->
            refuse(409, [<<"The message may have been used before this node started: sign another one.">>]);
        {error, too_many} -> refuse(429, [<<"Too many messages at present.">>]);
        {error, not_durable} -> refuse(503, [<<"The message cannot be noted as used, so nothing was done.">>])
    end.

%% @doc Throws a refusal.
-spec refuse(400..599, iodata()) -> no_return().
refuse(Status, Text) -> throw({refused, Status, iolist_to_binary(Text)}).
