%%% @doc Pushes on a HyperBEAM with `hb_ao', of spring 2025 and later: each message is signed and scheduled, then
%%% pushed from its slot. These are two calls, because the same message scheduled twice gets two slots, and a
%%% failure of the second call comes after the slot of the first one was taken.
-module(hb_cron_host_ao).
-behaviour(hb_cron_host).
-behaviour(hb_cron_schedule).

-import(hb_cron_host_calls, [call/3]).

-export([is_available/0, push/4]).
-export([context/0, key/1, read/2, sign/2, schedule/4, push_slot/4]).

%% @private
-spec is_available() -> boolean().
is_available() -> hb_cron_host_calls:is_exported(hb_ao, resolve, 3).

%% @private
-spec push(Result :: map(), hb_cron_host:push_state(), What :: term(),
           hb_cron_options:monitor()) -> hb_cron_host:outcome().
push(Result, State, _What, Options) ->
    hb_cron_schedule:push(?MODULE, Result, State, Options).

%% Without a listener, the wallet is all that is needed.
%% @private
-spec context() -> hb_cron_schedule:context().
context() ->
    case hb_cron_node_message:get() of
        none -> #{opts => #{priv_wallet => call(hb, wallet, [])}};
        Opts -> #{opts => Opts}
    end.

%% `data-protocol', as this host writes its keys.
%% @private
-spec key(Lower :: binary()) -> binary().
key(Lower) -> Lower.

%% @private
-spec read(Target :: binary(), hb_cron_schedule:context()) -> {ok, term()} | not_found.
read(Target, #{opts := Opts}) -> call(hb_cache, read, [Target, Opts]).

%% @private
-spec sign(Message :: map(), hb_cron_schedule:context()) -> term().
sign(Message, #{opts := Opts}) -> call(hb_message, commit, [Message, Opts]).

%% @private
-spec schedule(Target :: binary(), Process :: term(), Signed :: term(), hb_cron_schedule:context()) ->
    {ok, Slot :: term()} | {error, Reason :: term()}.
schedule(Target, _Process, Signed, #{opts := Opts}) ->
    try call(dev_scheduler, schedule, [#{}, #{<<"method">> => <<"POST">>, <<"body">> => Signed}, Opts]) of
        {ok, #{<<"slot">> := Slot}} -> {ok, Slot};
        {_, Answer} -> {error, {not_scheduled, Answer}};
        Answer -> {error, {not_scheduled, Answer}}
    catch
        throw:{process_not_available, _} -> {error, {target_not_found, Target}}
    end.

%% An error of the target's own code is `{ok, _}', too, with the text in its data: the message is delivered.
%% @private
-spec push_slot(Target :: binary(), Process :: term(), Slot :: term(), hb_cron_schedule:context()) ->
    ok | {error, Reason :: term()}.
push_slot(_Target, Process, Slot, #{opts := Opts}) ->
    Keyed = call(dev_process, ensure_process_key, [Process, Opts]),
    case call(hb_ao, resolve, [{as, <<"process@1.0">>, Keyed}, #{<<"path">> => <<"push">>, <<"slot">> => Slot}, Opts]) of
        {ok, _} -> ok;
        {_, Reason} -> {error, Reason};
        Answer -> {error, Answer}
    end.
