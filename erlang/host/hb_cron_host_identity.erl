%%% @doc What a HyperBEAM's own push says of a message's origin, and with which wallets it signs: receivers that check a
%%% message accept ours for these. The host's push of spring 2025 adds nothing to the message and signs with the node's
%%% wallet; later ones can act as several identities, and tell the receiver of the source's process.
-module(hb_cron_host_identity).

-export([is_known/0, origin/2, scheduler/2, sign/4, is_verified/2, signers/2]).

-import(hb_cron_host_calls, [call/3, is_exported/3]).

%% @doc Whether the host can act as several identities.
-spec is_known() -> boolean().
is_known() -> is_exported(hb_opts, as, 2).

%% @doc The origin of the messages of a process: the host's own fields, the process's module and scheduler, and the
%% wallets that the node knows from it.
-spec origin(Process :: term(), Options :: map()) -> hb_cron_delivery:origin().
origin(Process, Options) ->
    Of = fun(Key) -> value(Key, Process, Options) end,
    {Module, Scheduler, Authority} = {Of(<<"module">>), Of(<<"scheduler">>), Of(<<"authority">>)},
    Fields = [{<<"from-module">>, text(Module)} | case is_known() of
        true ->
            {ok, Committed} = call(hb_message, with_only_committed, [Process, Options]),
            %% The scheduler and the authority of a process may differ from those of one with the same base.
            Base = call(hb_ao, set, [Committed, #{<<"authority">> => unset, <<"scheduler">> => unset},
                                     Options#{hashpath => ignore}]),
            [{<<"from-uncommitted">>, call(hb_message, id, [Committed, none, Options])},
             {<<"from-base">>, call(hb_message, id, [Base, none, Options])},
             {<<"from-scheduler">>, Scheduler}, {<<"from-authority">>, Authority}];
        false ->
            []
    end],
    #{fields => maps:from_list([{Key, Value} || {Key, Value} <- Fields, Value =/= undefined]),
      module => text(Module), scheduler => first(Scheduler),
      wallets => lists:usort(addresses(Scheduler) ++ addresses(Authority) ++ signers(Process, Options))}.

text(Value) when is_binary(Value) -> Value;
text(_Value) -> undefined.

first(Value) ->
    case addresses(Value) of
        [First | _] -> First;
        [] -> undefined
    end.

%% @doc The address of a process's scheduler, the first of several.
-spec scheduler(Process :: term(), Options :: map()) -> binary() | undefined.
scheduler(Process, Options) -> first(value(<<"scheduler">>, Process, Options)).

%% @doc Signs a message for a process: with each of the node's identities that the process accepts, otherwise with the
%% node's wallet.
-spec sign(hb_cron_message:message(), Process :: term(), Codec :: term(), Options :: map()) ->
    {ok, Signed :: term()} | {error, no_accepted_identity}.
sign(Message, Process, Codec, Options) ->
    Unsigned = maps:without([<<"commitments">>, <<"priv">>], Message),
    Identities = case is_known() of
        true -> [As || Committer <- committers(Process, Options),
                       {ok, As} <- [call(hb_opts, as, [Committer, Options])]];
        false -> [Options]
    end,
    case {Identities, Identities =:= [] andalso call(hb_opts, get, [push_always_sign, true, Options])} of
        {[], true} -> {ok, call(hb_message, commit, [Unsigned, Options, Codec])};
        {[], _} -> {error, no_accepted_identity};
        {[_ | _], _} -> {ok, lists:foldl(fun(As, Signed) -> call(hb_message, commit, [Signed, As, Codec]) end,
                                         Unsigned, Identities)}
    end.

%% The host reads them in this order: a policy of the process, its authorities, none.
committers(Process, Options) ->
    case policy(value(<<"policy">>, Process, Options), Options) of
        undefined -> addresses(value(<<"authority">>, Process, Options));
        Accepted -> addresses(Accepted)
    end.

policy(undefined, _Options) ->
    undefined;
policy(Policy, Options) ->
    case call(hb_ao, resolve, [Policy, Options]) of
        {ok, Resolved} -> value(<<"accept-committers">>, Resolved, Options);
        {error, _} -> undefined
    end.

%% A list, also as a text with commas and perhaps quotation marks.
addresses(undefined) -> [];
addresses(List) when is_list(List) -> [Address || Address <- List, is_binary(Address)];
addresses(Text) when is_binary(Text) ->
    Parts = binary:split(Text, <<",">>, [global]),
    [Address || Part <- Parts, Address <- [string:trim(Part, both, "\" ")], Address =/= <<>>];
addresses(_Other) -> [].

value(Key, Message, Options) ->
    call(hb_ao, get, [Key, Message, undefined, Options]).

%% @doc Whether all signatures of a message are valid. What a host cannot verify cannot be read from its schedule.
-spec is_verified(Signed :: term(), Options :: map()) -> boolean().
is_verified(Signed, Options) ->
    case is_exported(hb_message, verify, 3) of
        true -> call(hb_message, verify, [Signed, signers, Options]) =:= true;
        false -> call(hb_message, verify, [Signed, signers]) =:= true
    end andalso signers(Signed, Options) =/= [].

%% @doc The addresses of the wallets that signed a message.
-spec signers(Message :: term(), Options :: map()) -> [binary()].
signers(Message, Options) ->
    case is_exported(hb_message, signers, 2) of
        true -> call(hb_message, signers, [Message, Options]);
        false -> call(hb_message, signers, [Message])
    end.
