%%% @doc Keeps one copy of what is the same for many monitors: their settings, which are the options that
%%% say nothing of one process alone. A monitor that waits takes a third less memory so.
%%%
%%% A copy is never taken back, since that would have every process of the node collect its garbage. So
%%% there is room for a bounded number of them; a monitor beyond it carries its own.
-module(hb_cron_settings).

-export([share/1, get/1]).

-export_type([settings/0, shared/0]).

-type settings() :: #{atom() => term()}.

-opaque shared() :: {shared, Hash :: binary()} | {own, settings()}.
%% What stands for settings. It may be sent, stored and compared, on one node.

%% Nodes whose monitors are set up one by one have more kinds than this, those set up by a rule fewer.
-define(MAX_SHARED, 256).
-define(COUNT, {?MODULE, count}).

%% @doc What stands for these settings from now on.
-spec share(settings()) -> shared().
share(Settings) ->
    Hash = erlang:md5(term_to_binary(Settings)),
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

%% Two that come first at once may count in two places: then there is room for a few more.
count() ->
    case persistent_term:get(?COUNT, none) of
        none ->
            Count = counters:new(1, []),
            ok = persistent_term:put(?COUNT, Count),
            Count;
        Count ->
            Count
    end.

%% @doc The settings that something stands for: where they are shared, not a word of the caller's heap.
-spec get(shared()) -> settings().
get({shared, Hash}) -> persistent_term:get({?MODULE, Hash});
get({own, Settings}) -> Settings.
