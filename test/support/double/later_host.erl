%%% What the doubles of later hosts (era_b: May 2025, era_c: November 2025, era_d: 2026) share: messages with
%%% commitments, wallets, the store, the scheduler and the process device. Each differs as its real host does. The
%%% functions have the era first; a double of a host's module passes its own.
-module(later_host).

%% hb_message
-export([commit/4, verify/3, signers/2, id/3, with_only_committed/2]).
%% hb_cache
-export([read/3]).
%% hb_ao
-export([resolve/4, get/4, set/3]).
%% hb_opts
-export([as/3]).
%% For tests
-export([address/1, message/1, computed/1]).

-define(LEGACY_CODEC, <<"ans104@1.0">>).

%% The address of a wallet of a double, by its name.
-spec address(Name :: binary()) -> binary().
address(Name) -> binary:part(base64url(crypto:hash(sha256, Name)), 0, 43).

%% A message without what the host added.
message(Message) -> maps:without([<<"commitments">>, <<"priv">>], Message).

%% What a process computed, in the order of its slots: the same signed message only once where the era removes
%% duplicates.
computed(Id) ->
    lists:foldl(fun(Message, Computed) ->
        case lists:member(Message, Computed) of
            true -> Computed;
            false -> Computed ++ [Message]
        end
    end, [], host_double:scheduled(Id)).

%% Messages

commit(Era, #{} = Message, Opts, Codec) ->
    host_double:call({hb_message, commit}, [Message, Opts, Codec], fun() ->
        {wallet, Name} = maps:get(wallet_key(Era), Opts),
        Content = message(Message),
        %% Faults of the host of May 2025.
        Era =/= era_b orelse not is_map_key(<<"data">>, Content) orelse map_get(<<"data">>, Content) =/= <<>>
            orelse error({badmatch, <<>>}),
        Era =/= era_b orelse not has_slash(Content) orelse error({badkey, <<"a">>}),
        Old = maps:get(<<"commitments">>, Message, #{}),
        Commitment = #{<<"committer">> => address(Name), <<"commitment-device">> => Codec,
                       <<"committed">> => lists:sort(maps:keys(Content)), <<"signature">> => hash({Name, Codec, Content})},
        Message#{<<"commitments">> => Old#{id_of(Commitment) => Commitment}}
    end).

wallet_key(era_d) -> <<"priv-wallet">>;
wallet_key(_Era) -> priv_wallet.

has_slash(Content) -> lists:any(fun(Key) -> binary:match(Key, <<"/">>) =/= nomatch end, maps:keys(Content)).

%% Without a commitment nothing is verified.
verify(Era, Message, _Opts) ->
    Content = message(Message),
    Commitments = maps:values(maps:get(<<"commitments">>, Message, #{})),
    not (has_slash(Content) orelse (Era =:= era_b andalso is_too_much(maps:get(<<"data">>, Content, <<>>))))
        andalso lists:all(fun(#{<<"committed">> := Keys, <<"commitment-device">> := Codec, <<"signature">> := Signature}) ->
            %% The double knows its wallets by name.
            lists:any(fun(Name) -> hash({Name, Codec, maps:with(Keys, Content)}) =:= Signature end, names())
        end, Commitments).

names() -> [<<"node">>, <<"key">>, <<"identity">>, <<"other">>].

%% Where the host of May 2025 makes a signature that it cannot verify.
is_too_much(Data) -> byte_size(Data) > 200000 orelse binary:match(Data, <<0>>) =/= nomatch.

signers(Message, _Opts) ->
    [Committer || #{<<"committer">> := Committer} <- maps:values(maps:get(<<"commitments">>, Message, #{}))].

id(Message, none, _Opts) -> id_of(message(Message));
id(#{<<"id">> := Id}, _Committers, _Opts) -> Id;
id(#{<<"commitments">> := Commitments}, _Committers, _Opts) -> hd(lists:sort(maps:keys(Commitments))).

with_only_committed(#{<<"commitments">> := Commitments} = Message, _Opts) ->
    Keys = lists:append([Committed || #{<<"committed">> := Committed} <- maps:values(Commitments)]),
    {ok, maps:with([<<"commitments">> | Keys], Message)};
with_only_committed(Message, _Opts) ->
    {ok, Message}.

id_of(Term) -> binary:part(base64url(hash(Term)), 0, 43).

hash(Term) -> crypto:hash(sha256, term_to_binary(Term, [deterministic])).

base64url(Bytes) ->
    << <<(case C of $+ -> $-; $/ -> $_; _ -> C end)>> || <<C>> <= base64:encode(Bytes) >>.

%% The store

read(Era, Id, Opts) when is_map(Opts) ->
    host_double:call({hb_cache, read}, [Id, Opts], fun() ->
        case host_double:kind(Id) of
            not_found when Era =:= era_d -> {error, not_found};
            not_found -> not_found;
            _ -> {ok, maps:merge(#{<<"id">> => Id, <<"type">> => <<"Process">>, <<"device">> => <<"process@1.0">>},
                                 host_double:fields(Id))}
        end
    end).

%% Identities of the node, by address.
as(Era, Address, Opts) ->
    Own = address(element(2, maps:get(wallet_key(Era), Opts))),
    case maps:get(identities, Opts, #{}) of
        #{Address := Identity} -> {ok, maps:merge(Opts, Identity)};
        #{} when Address =:= Own -> {ok, Opts};
        #{} -> {error, not_found}
    end.

%% Messages as devices see them

get(Key, Message, Default, _Opts) -> maps:get(Key, Message, Default).

set(Message, Fields, _Opts) ->
    Removed = [Key || {Key, unset} <- maps:to_list(Fields)],
    maps:merge(maps:without([<<"commitments">> | Removed], Message), maps:without(Removed, Fields)).

resolve(Era, {as, <<"process@1.0">>, #{} = Process} = Base, #{<<"path">> := <<"schedule">>} = Request, #{} = Opts) ->
    host_double:call({scheduler, schedule}, [Base, Request, Opts], fun() ->
        #{<<"method">> := <<"POST">>, <<"body">> := Message} = Request,
        host_double:take(30),
        schedule(Era, scheduled_for(Process, Message, Opts), Message, Opts)
    end);
resolve(_Era, {as, <<"process@1.0">>, #{<<"id">> := Id}} = Base, #{<<"path">> := <<"push">>, <<"slot">> := Slot} = Request, #{} = Opts) ->
    host_double:call({process, push}, [Base, Request, Opts], fun() ->
        host_double:take(65),
        push(host_double:kind(Id), Id, Slot)
    end);
resolve(_Era, #{<<"device">> := <<"scheduler@1.0">>} = Base, #{<<"path">> := <<"location">>, <<"address">> := Address} = Request, Opts) ->
    host_double:call({scheduler, location}, [Base, Request, Opts], fun() ->
        case host_double:location(Address) of
            none -> {ok, #{<<"status">> => 404, <<"body">> => <<"No location found for address: ", Address/binary>>}};
            Url -> {ok, #{<<"body">> => #{<<"url">> => Url}}}
        end
    end).

%% A new process is scheduled as itself.
scheduled_for(Process, #{<<"type">> := <<"Process">>} = Message, Opts) when Process =:= Message ->
    id(maps:remove(<<"id">>, Message), all, Opts);
scheduled_for(_Process, #{<<"target">> := Target}, _Opts) ->
    Target.

schedule(Era, Id, #{<<"type">> := <<"Process">>} = Message, Opts) ->
    case verify(Era, Message, Opts) andalso maps:get(<<"scheduler">>, Message, none) of
        false -> invalid();
        none -> {error, <<"No scheduler information provided.">>};
        Scheduler ->
            case as(Era, Scheduler, Opts) of
                {ok, _} ->
                    true = host_double:process(Id, local, message(Message)),
                    {ok, #{<<"slot">> => host_double:schedule(Id, Message), <<"process">> => Id}};
                {error, not_found} ->
                    {error, #{<<"status">> => 404, <<"body">> => <<"No scheduler found.">>}}
            end
    end;
schedule(Era, Id, Message, Opts) ->
    Verified = verify(Era, Message, Opts) andalso signers(Message, Opts) =/= [],
    IsLegacy = lists:any(fun(#{<<"commitment-device">> := Codec}) -> Codec =:= ?LEGACY_CODEC end,
                         maps:values(maps:get(<<"commitments">>, Message, #{}))),
    case host_double:kind(Id) of
        not_found -> throw({process_not_available, Id});
        _ when not Verified -> invalid();
        no_scheduler -> {error, <<"No scheduler information provided.">>};
        legacy when not IsLegacy ->
            {error, #{<<"status">> => 422, <<"body">> => <<"Message must be signed with ANS-104">>}};
        %% The answer of a gateway that does not know the process either.
        foreign ->
            host_double:take(200),
            error({badmatch, {error, not_found}});
        _ ->
            {ok, #{<<"slot">> => host_double:schedule(Id, Message), <<"process">> => Id}}
    end.

invalid() -> {error, #{<<"status">> => 400, <<"body">> => <<"Message is not valid.">>}}.

%% A target's own code that fails: a text, or for some targets an error, of each of its pushes.
push(lua_error, Id, Slot) ->
    true = host_double:push(Id, Slot),
    {ok, #{<<"data">> => <<"[string \"aos\"]:1: attempt to index a nil value">>}};
push(failing, _Id, _Slot) ->
    {error, #{<<"priv">> => #{}, <<"trace">> => binary:copy(<<"t">>, 100000)}};
push(_Kind, Id, Slot) ->
    true = host_double:push(Id, Slot),
    {ok, #{<<"slot">> => Slot}}.
