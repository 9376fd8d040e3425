%%% @doc Pushes on a HyperBEAM with `hb_converge', of early 2025: each message is signed and scheduled. That host
%%% has no working push, so what happens next is up to the target; nor has it calls for spawns and assignments.
-module(hb_cron_host_converge).
-behaviour(hb_cron_host).
-behaviour(hb_cron_delivery).

-import(hb_cron_host_calls, [call/3]).

-export([is_available/0, push/4]).
-export([context/0, key/1, origin/2, read/2, codec/2, sign/4, can_sign/1, schedule/4, push_slot/4, create/3, id/2,
         assign/4]).

%% @private
-spec is_available() -> boolean().
is_available() -> hb_cron_host_calls:is_exported(hb_converge, resolve, 3).

%% @private
-spec push(Result :: map(), hb_cron_host:push_state(), What :: term(),
           hb_cron_options:monitor()) -> hb_cron_host:outcome().
push(Result, State, _What, Options) ->
    hb_cron_schedule:push(?MODULE, Result, State, Options).

%% The wallet's file is created at its first use, which takes seconds.
%% @private
-spec context() -> hb_cron_delivery:context().
context() -> #{wallet => call(hb, wallet, [])}.

%% `Data-Protocol', as this host writes its keys. A slot with another letter in a key cannot be read there.
%% @private
-spec key(Lower :: binary()) -> binary() | unwritable.
key(Lower) ->
    case lists:all(fun(Byte) -> Byte < 128 end, binary_to_list(Lower)) of
        true -> iolist_to_binary(lists:join($-, [title(Word) || Word <- binary:split(Lower, <<"-">>, [global])]));
        false -> unwritable
    end.

title(<<First, Rest/binary>>) when First >= $a, First =< $z -> <<(First - 32), Rest/binary>>;
title(Word) -> Word.

%% @private
-spec origin(Process :: term(), hb_cron_delivery:context()) -> hb_cron_delivery:origin().
origin(Process, _Context) ->
    Text = fun(Key) -> case Process of #{Key := Value} when is_binary(Value) -> [Value]; _ -> [] end end,
    Module = Text(<<"Module">>),
    #{fields => maps:from_list([{<<"from-module">>, M} || M <- Module]), module => hd(Module ++ [undefined]),
      scheduler => undefined, wallets => Text(<<"Scheduler">>) ++ Text(<<"Authority">>)}.

%% @private
-spec read(Id :: binary(), hb_cron_delivery:context()) -> {ok, term()} | not_found.
read(Id, _Context) ->
    case call(hb_cache, read, [Id, #{}]) of
        {ok, Process} -> {ok, Process};
        not_found -> not_found;
        Other -> error({not_read, Other})
    end.

%% @private
-spec codec(Process :: term(), hb_cron_delivery:context()) -> Codec :: term().
codec(_Process, _Context) -> default.

%% This host accepts messages that it cannot verify, and cannot read them afterwards.
%% @private
-spec sign(hb_cron_message:message(), Process :: term(), Codec :: term(), hb_cron_delivery:context()) ->
    {ok, Signed :: term()} | {error, Reason :: term()}.
sign(Message, _Process, _Codec, #{wallet := Wallet}) ->
    Signed = call(hb_message, sign, [Message, Wallet]),
    case call(hb_message, verify, [Signed]) of
        true -> {ok, Signed};
        _ -> {error, cannot_be_verified}
    end.

%% @private
-spec can_sign(hb_cron_delivery:context()) -> boolean().
can_sign(#{wallet := Wallet}) ->
    try call(hb_message, sign, [#{<<"Type">> => <<"Message">>}, Wallet]) of
        Signed -> is_map(Signed)
    catch
        _:_ -> false
    end.

%% `ok' proves nothing: a scheduler elsewhere is `{ok, #{<<"Status">> => <<"Failed">>}}'. What is scheduled must be
%% a map, or the caller hangs, and the process's scheduler with it.
%% @private
-spec schedule(Target :: binary(), Process :: term(), Signed :: term(), hb_cron_delivery:context()) ->
    {ok, Slot :: term()} | {error, Reason :: term(), hb_cron_fault:fault()}.
schedule(_Target, Process, Signed, _Context) when is_map(Signed) ->
    Request = #{path => <<"Schedule">>, <<"Method">> => <<"POST">>, <<"Message">> => Signed},
    case call(hb_converge, resolve, [#{device => <<"Scheduler/1.0">>, process => Process}, Request, #{}]) of
        {ok, #{<<"Slot">> := Slot}} ->
            {ok, Slot};
        Answer ->
            {Fault, Reason} = hb_cron_fault:returned(Answer),
            {error, {not_scheduled, Reason}, Fault}
    end.

%% @private
-spec push_slot(Target :: binary(), Process :: term(), Slot :: term(), hb_cron_delivery:context()) -> ok.
push_slot(_Target, _Process, _Slot, _Context) -> ok.

%% @private
-spec create(hb_cron_message:message(), Variant :: term(), hb_cron_delivery:context()) -> unsupported.
create(_Definition, _Variant, _Context) -> unsupported.

%% @private
-spec id(Signed :: term(), hb_cron_delivery:context()) -> unsupported.
id(_Signed, _Context) -> unsupported.

%% @private
-spec assign(Process :: term(), ProcId :: binary(), hb_cron_delivery:assignment(), hb_cron_delivery:context()) ->
    {unsupported, no_call}.
assign(_Process, _ProcId, _Assignment, _Context) -> {unsupported, no_call}.
