%%% @doc A monitor's part in pushing dead letters once more: what of them is left, and who waits until they
%%% may be pushed. It runs in the monitor, between two results; which letters there are, and what becomes of
%%% one that is pushed, is {@link hb_process_monitor_letters}' business.
-module(hb_process_monitor_redelivery).

-export([new/0, push/4, wait/3, push_waiting/3, waiting/1]).

-export_type([redelivery/0]).

-record(redelivery, {
    %% What is left of those of which some has been pushed since.
    left = #{} :: #{Whole :: map() => Left :: map()},
    %% Those who want one pushed, and wait for the older monitors to be through with theirs; the last first.
    waiting = [] :: [{gen_server:from(), Whole :: map()}]
}).

-opaque redelivery() :: #redelivery{}.

%% @doc None was pushed, and nobody waits.
-spec new() -> redelivery().
new() -> #redelivery{}.

%% @doc Pushes one. What of it was pushed is not pushed again, should the rest fail.
-spec push(Whole :: map(), hb_process_monitor_opts:cursor(), hb_process_monitor_pushing:pushing(), redelivery()) ->
    {ok | {error, Reason :: term()}, redelivery()}.
push(Whole, Cursor, With, #redelivery{left = Parts} = Redelivery) ->
    Result = maps:get(Whole, Parts, Whole),
    case hb_process_monitor_pushing:one(Result, Cursor, With) of
        ok -> {ok, Redelivery#redelivery{left = maps:remove(Whole, Parts)}};
        {error, Reason, Result} -> {{error, Reason}, Redelivery};
        {error, Reason, Left} -> {{error, Reason}, Redelivery#redelivery{left = Parts#{Whole => Left}}}
    end.

%% @doc One is to be pushed later, and its caller answered then.
-spec wait(gen_server:from(), Whole :: map(), redelivery()) -> redelivery().
wait(From, Whole, #redelivery{waiting = Waiting} = Redelivery) ->
    Redelivery#redelivery{waiting = [{From, Whole} | Waiting]}.

%% @doc Pushes all that wait, in the order in which they came.
-spec push_waiting(hb_process_monitor_opts:cursor(), hb_process_monitor_pushing:pushing(), redelivery()) -> redelivery().
push_waiting(Cursor, With, #redelivery{waiting = Waiting} = Redelivery) ->
    lists:foldr(fun({From, Whole}, Before) ->
        {Answer, Next} = push(Whole, Cursor, With, Before),
        ok = gen_server:reply(From, Answer),
        Next
    end, Redelivery#redelivery{waiting = []}, Waiting).

%% @doc How many wait.
-spec waiting(redelivery()) -> non_neg_integer().
waiting(#redelivery{waiting = Waiting}) -> length(Waiting).
