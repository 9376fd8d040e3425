%%% @doc Makes the definition of a process that a result spawns, and the message that tells its parent, with the fields
%%% that a Messenger Unit gives them. Plain functions.
-module(hb_cron_spawn).

-export([definition/4, notice/4]).

-define(MAINNET, <<"ao.N.1">>).
-define(LEGACY, <<"ao.TN.1">>).

%% @doc The definition of a spawned process, and its variant: a legacy one unless its first tag `Variant' says
%% otherwise. Its scheduler is its own, or else its parent's.
-spec definition(What :: term(), Parent :: binary(), hb_cron_delivery:origin(), hb_cron_message:key()) ->
    {ok, Variant :: binary(), hb_cron_message:message()}
    | {error, {bad_field | bad_tags, term()} | bad_item | no_scheduler}.
definition(#{} = What, Parent, #{module := Module, scheduler := ParentsScheduler}, Key) ->
    try
        Given = hb_cron_message:field(<<"Tags">>, What),
        Tags = hb_cron_message:tags(Given),
        Scheduler = first(<<"scheduler">>, Tags, ParentsScheduler),
        case Scheduler of
            undefined ->
                {error, no_scheduler};
            _ ->
                Variant = variant(Tags),
                FromModule = [{<<"from-module">>, Module} || Module =/= undefined, names(<<"from-module">>, Given)],
                Own = maps:from_list(FromModule ++ [
                    {<<"variant">>, Variant}, {<<"data-protocol">>, <<"ao">>}, {<<"type">>, <<"Process">>},
                    {<<"from-process">>, Parent}, {<<"scheduler">>, Scheduler}]),
                {ok, Variant, hb_cron_message:fields(maps:remove(<<"Anchor">>, What), Own, Tags, Key)}
        end
    catch
        throw:Reason -> {error, Reason}
    end;
definition(_What, _Parent, _Origin, _Key) ->
    {error, bad_item}.

%% @doc The message that tells the parent. It has the spawn's own tags, by which the parent knows which spawn it was.
%% Throws as {@link hb_cron_message:tags/1} does.
-spec notice(What :: map(), Parent :: binary(), Spawned :: binary(), hb_cron_message:key()) ->
    hb_cron_message:message().
notice(What, Parent, Spawned, Key) ->
    Tags = hb_cron_message:tags(hb_cron_message:field(<<"Tags">>, What)),
    Own = #{<<"target">> => Parent, <<"data-protocol">> => <<"ao">>, <<"type">> => <<"Message">>,
            <<"variant">> => variant(Tags), <<"action">> => <<"Spawned">>, <<"process">> => Spawned},
    hb_cron_message:fields(#{}, Own, Tags, Key).

variant(Tags) ->
    case first(<<"variant">>, Tags, undefined) of
        ?MAINNET -> ?MAINNET;
        _ -> ?LEGACY
    end.

first(Name, Tags, Default) ->
    case lists:keyfind(Name, 1, Tags) of
        {_, Value} -> Value;
        false -> Default
    end.

names(Name, Tags) ->
    lists:any(fun(#{<<"name">> := Given}) -> string:lowercase(Given) =:= Name end, Tags).
