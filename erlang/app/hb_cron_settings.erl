%%% @doc Shares settings among monitors: the options that do not belong to one process alone are kept once. An idle
%%% monitor takes a third less memory that way.
%%%
%%% A shared copy is never removed, since that would make every process of the node collect garbage. Therefore
%%% their number is bounded; a monitor beyond it has its own copy.
-module(hb_cron_settings).

-export([share/1, get/1, literal/1]).

-compile({no_auto_import, [get/1]}).

-export_type([settings/0, shared/0]).

-type settings() :: #{atom() => term()}.

-opaque shared() :: {shared, Hash :: non_neg_integer()} | {own, settings()}.
%% A reference to settings, which can be sent, stored and compared on one node. The hash is a small integer, which takes no
%% memory of its own: a monitor has the reference three times.

%% Enough for nodes whose monitors are configured by a rule. Monitors with individual settings have their own
%% copies. A kind of monitors has two: its settings, and what the checkpoint keeps of its options.
-define(MAX_SHARED, 512).
-define(COUNT, {?MODULE, count}).

%% @doc A reference to these settings.
-spec share(settings()) -> shared().
share(Settings) ->
    <<Hash:59, _/bits>> = erlang:md5(term_to_binary(Settings)),
    case persistent_term:get({?MODULE, Hash}, none) of
        Settings -> {shared, Hash};
        none -> keep(Hash, Settings);
        _Other -> {own, Settings}
    end.

keep(Hash, Settings) ->
    Count = count(),
    case counters:get(Count, 1) < ?MAX_SHARED of
        true ->
            ok = counters:add(Count, 1, 1),
            ok = persistent_term:put({?MODULE, Hash}, Settings),
            {shared, Hash};
        false ->
            {own, Settings}
    end.

%% Two first callers at once may count separately, which leaves room for a few more.
count() ->
    case persistent_term:get(?COUNT, none) of
        none ->
            Count = counters:new(1, []),
            ok = persistent_term:put(?COUNT, Count),
            Count;
        Count ->
            Count
    end.

%% @doc The settings of a reference. Shared ones take no memory of the caller's heap.
-spec get(shared()) -> settings().
get({shared, Hash}) -> persistent_term:get({?MODULE, Hash});
get({own, Settings}) -> Settings.

%% @doc The same settings, which take no memory of the caller's heap if they are shared.
-spec literal(settings()) -> settings().
literal(Settings) -> get(share(Settings)).
