%%% @doc Pushes on a HyperBEAM with `hb_converge', of early 2025: each message is signed and scheduled. That host
%%% has no working push, so what happens next is up to the target.
-module(hb_cron_host_converge).
-behaviour(hb_cron_host).
-behaviour(hb_cron_schedule).

-import(hb_cron_host_calls, [call/3]).

-export([is_available/0, push/4]).
-export([context/0, key/1, read/2, sign/2, schedule/4, push_slot/4]).

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
-spec context() -> hb_cron_schedule:context().
context() -> #{wallet => call(hb, wallet, [])}.

%% `Data-Protocol', as this host writes its keys.
%% @private
-spec key(Lower :: binary()) -> binary().
key(Lower) ->
    iolist_to_binary(lists:join($-, [title(Word) || Word <- binary:split(Lower, <<"-">>, [global])])).

title(<<First, Rest/binary>>) when First >= $a, First =< $z -> <<(First - 32), Rest/binary>>;
title(Word) -> Word.

%% @private
-spec read(Target :: binary(), hb_cron_schedule:context()) -> {ok, term()} | not_found.
read(Target, _Context) -> call(hb_cache, read, [Target, #{}]).

%% @private
-spec sign(Message :: map(), hb_cron_schedule:context()) -> term().
sign(Message, #{wallet := Wallet}) -> call(hb_message, sign, [Message, Wallet]).

%% `ok' proves nothing: a scheduler elsewhere is `{ok, #{<<"Status">> => <<"Failed">>}}'. What is scheduled must be
%% a map, or the caller hangs, and the process's scheduler with it.
%% @private
-spec schedule(Target :: binary(), Process :: term(), Signed :: term(), hb_cron_schedule:context()) ->
    {ok, Slot :: term()} | {error, Reason :: term()}.
schedule(_Target, Process, Signed, _Context) when is_map(Signed) ->
    Request = #{path => <<"Schedule">>, <<"Method">> => <<"POST">>, <<"Message">> => Signed},
    case call(hb_converge, resolve, [#{device => <<"Scheduler/1.0">>, process => Process}, Request, #{}]) of
        {ok, #{<<"Slot">> := Slot}} -> {ok, Slot};
        {_, Answer} -> {error, {not_scheduled, Answer}};
        Answer -> {error, {not_scheduled, Answer}}
    end.

%% @private
-spec push_slot(Target :: binary(), Process :: term(), Slot :: term(), hb_cron_schedule:context()) -> ok.
push_slot(_Target, _Process, _Slot, _Context) -> ok.
