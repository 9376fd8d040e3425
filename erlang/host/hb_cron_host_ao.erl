%%% @doc Pushes on a HyperBEAM with `hb_ao', of spring 2025 and later: each message is signed and scheduled, then
%%% pushed from its slot. These are two calls, because the same message scheduled twice gets two slots, and a
%%% failure of the second call comes after the slot of the first one was taken.
%%%
%%% Devices are called by their names, through `hb_ao', since a host of 2026 has them under other module names.
%%% {@link hb_cron_host_identity} has the fields and the signers of the host's own push.
-module(hb_cron_host_ao).
-behaviour(hb_cron_host).
-behaviour(hb_cron_delivery).

-import(hb_cron_host_calls, [call/3]).

-export([is_available/0, push/4]).
-export([context/0, key/1, origin/2, read/2, codec/2, sign/4, can_sign/1, schedule/4, push_slot/4, create/3,
         schedule_process/2, id/2, assign/4]).

-define(DEFAULT_CODEC, <<"httpsig@1.0">>).
%% What legacy schedulers read.
-define(LEGACY_CODEC, <<"ans104@1.0">>).
-define(MAINNET, <<"ao.N.1">>).
-define(LEGACY, <<"ao.TN.1">>).
-define(PROCESS_DEVICE, <<"process@1.0">>).

%% @private
-spec is_available() -> boolean().
is_available() -> hb_cron_host_calls:is_exported(hb_ao, resolve, 3).

%% @private
-spec push(Result :: map(), hb_cron_host:push_state(), What :: term(),
           hb_cron_options:monitor()) -> hb_cron_host:outcome().
push(Result, State, _What, Options) ->
    hb_cron_schedule:push(?MODULE, Result, State, Options).

%% Without a listener, the wallet is all that is needed, under its name of 2025 or of 2026.
%% @private
-spec context() -> hb_cron_delivery:context().
context() ->
    case hb_cron_node_message:get() of
        none ->
            Wallet = call(hb, wallet, []),
            #{opts => #{priv_wallet => Wallet, <<"priv-wallet">> => Wallet}};
        Opts ->
            #{opts => Opts}
    end.

%% `data-protocol', as this host writes its keys.
%% @private
-spec key(Lower :: binary()) -> binary().
key(Lower) -> Lower.

%% @private
-spec origin(Process :: term(), hb_cron_delivery:context()) -> hb_cron_delivery:origin().
origin(Process, #{opts := Opts}) ->
    #{fields := Fields} = Origin = hb_cron_host_identity:origin(Process, Opts),
    Origin#{fields := Fields#{<<"variant">> => ?MAINNET}}.

%% @private
-spec read(Id :: binary(), hb_cron_delivery:context()) -> {ok, term()} | not_found.
read(Id, #{opts := Opts}) ->
    case call(hb_cache, read, [Id, Opts]) of
        {ok, Process} -> {ok, Process};
        not_found -> not_found;
        {error, not_found} -> not_found;
        Other -> error({not_read, Other})
    end.

%% @private
-spec codec(Process :: term(), hb_cron_delivery:context()) -> Codec :: term().
codec(#{<<"variant">> := ?LEGACY}, _Context) -> ?LEGACY_CODEC;
codec(_Process, #{opts := Opts}) -> default_codec(Opts).

%% A host of 2026 has an option for it.
default_codec(Opts) ->
    case hb_cron_host_calls:is_exported(hb_opts, get, 3) of
        true -> call(hb_opts, get, [scheduler_default_commitment_spec, ?DEFAULT_CODEC, Opts]);
        false -> ?DEFAULT_CODEC
    end.

%% @private
-spec sign(hb_cron_message:message(), Process :: term(), Codec :: term(), hb_cron_delivery:context()) ->
    {ok, Signed :: term()} | {error, Reason :: term()}.
sign(Message, Process, Codec, #{opts := Opts}) ->
    verified(hb_cron_host_identity:sign(for_codec(Codec, Message), Process, Codec, Opts), Opts).

verified({ok, Signed}, Opts) ->
    case hb_cron_host_identity:is_verified(Signed, Opts) of
        true -> {ok, Signed};
        false -> {error, cannot_be_verified}
    end;
verified({error, Reason}, _Opts) ->
    {error, Reason}.

%% As a Messenger Unit does: bundlers refuse an item without data.
for_codec(?LEGACY_CODEC, Message) when not is_map_key(<<"data">>, Message) -> Message#{<<"data">> => <<" ">>};
for_codec(_Codec, Message) -> Message.

%% @private
-spec can_sign(hb_cron_delivery:context()) -> boolean().
can_sign(#{opts := Opts}) ->
    try call(hb_message, commit, [#{<<"type">> => <<"Message">>}, Opts, default_codec(Opts)]) of
        Signed -> is_map(Signed)
    catch
        _:_ -> false
    end.

%% @private
-spec schedule(Target :: binary(), Process :: term(), Signed :: term(), hb_cron_delivery:context()) ->
    {ok, Slot :: term()} | {sign_with, Codec :: term()} | {error, Reason :: term(), hb_cron_fault:fault()}.
schedule(_Target, Process, Signed, Context) ->
    case scheduled(Process, Signed, Context) of
        {ok, #{<<"slot">> := Slot}} -> {ok, Slot};
        {error, #{<<"status">> := 422}} -> {sign_with, ?LEGACY_CODEC};
        Answer -> not_scheduled(Answer)
    end.

scheduled(Process, Signed, #{opts := Opts}) ->
    Request = #{<<"path">> => <<"schedule">>, <<"method">> => <<"POST">>, <<"body">> => Signed},
    call(hb_ao, resolve, [{as, ?PROCESS_DEVICE, Process}, Request, Opts]).

not_scheduled(Answer) ->
    {Fault, Reason} = hb_cron_fault:returned(Answer),
    {error, {not_scheduled, Reason}, Fault}.

%% A target's own code that fails is `{ok, _}', with the text in its data, or `{error, _}'.
%% @private
-spec push_slot(Target :: binary(), Process :: term(), Slot :: term(), hb_cron_delivery:context()) ->
    ok | {error, Reason :: term(), hb_cron_fault:fault()}.
push_slot(_Target, Process, Slot, #{opts := Opts}) ->
    Request = #{<<"path">> => <<"push">>, <<"slot">> => Slot},
    case call(hb_ao, resolve, [{as, ?PROCESS_DEVICE, Process}, Request, with_writes(Opts)]) of
        {ok, _} ->
            ok;
        Answer ->
            {Fault, Reason} = hb_cron_fault:returned(Answer),
            {error, Reason, Fault}
    end.

%% The push ends once the target's state is written, unless the node's options say otherwise. By default the host writes
%% it in the background, while the next message is scheduled. Its LMDB store of 2025 then sometimes does not find what it
%% has just been given, and its scheduler drops the message without an answer.
with_writes(Opts) -> maps:merge(#{process_async_cache => false}, Opts).

%% @private
-spec create(hb_cron_message:message(), Variant :: term(), hb_cron_delivery:context()) ->
    {ok, Signed :: term()} | {error, Reason :: term()}.
create(Definition, ?LEGACY, #{opts := Opts}) ->
    signed_by_node(for_codec(?LEGACY_CODEC, Definition), ?LEGACY_CODEC, Opts);
create(Definition, ?MAINNET, #{opts := Opts}) ->
    signed_by_node(Definition#{<<"device">> => ?PROCESS_DEVICE}, default_codec(Opts), Opts).

signed_by_node(Message, Codec, Opts) ->
    verified({ok, call(hb_message, commit, [Message, Opts, Codec])}, Opts).

%% @private
-spec schedule_process(Signed :: term(), hb_cron_delivery:context()) ->
    {ok, ProcId :: binary()} | {error, Reason :: term(), hb_cron_fault:fault()}.
schedule_process(Signed, Context) ->
    ProcId = id(Signed, Context),
    case scheduled(Signed, Signed, Context) of
        {ok, #{<<"slot">> := _}} -> {ok, ProcId};
        Answer -> not_scheduled(Answer)
    end.

%% @private
-spec id(Signed :: term(), hb_cron_delivery:context()) -> binary().
id(Signed, #{opts := Opts}) -> call(hb_message, id, [Signed, all, Opts]).

%% A host has no call by which it assigns a message that is scheduled elsewhere. Another scheduler has, if its
%% address has a location.
%% @private
-spec assign(Process :: term(), ProcId :: binary(), hb_cron_delivery:assignment(), hb_cron_delivery:context()) ->
    ok | {unsupported, Reason :: term()} | {error, Reason :: term(), hb_cron_fault:fault()}.
assign(Process, ProcId, Assignment, #{opts := Opts}) ->
    case hb_cron_host_identity:scheduler(Process, Opts) of
        undefined -> {unsupported, no_scheduler};
        Scheduler ->
            case location(Scheduler, Opts) of
                {ok, Url} -> post(Url, hb_cron_assignment:path(ProcId, Assignment), Opts);
                not_found -> {unsupported, {no_location, Scheduler}}
            end
    end.

location(Scheduler, Opts) ->
    Request = #{<<"path">> => <<"location">>, <<"method">> => <<"GET">>, <<"address">> => Scheduler},
    case call(hb_ao, resolve, [#{<<"device">> => <<"scheduler@1.0">>}, Request, Opts]) of
        {ok, #{<<"body">> := #{<<"url">> := Url}}} when is_binary(Url) -> {ok, Url};
        _ -> not_found
    end.

post(Url, Path, Opts) ->
    Request = #{<<"path">> => Path, <<"method">> => <<"POST">>, <<"body">> => <<>>},
    case call(hb_http, post, [Url, Request, Opts#{http_client => httpc}]) of
        {ok, _} ->
            ok;
        Answer ->
            {Fault, Reason} = hb_cron_fault:returned(Answer),
            {error, {not_assigned, Reason}, Fault}
    end.
