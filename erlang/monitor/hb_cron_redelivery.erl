%%% @doc The monitor's part in pushing dead letters again: what is left of them, and which callers wait. It runs in
%%% the monitor, between two results. {@link hb_cron_dead_letters} reads a letter; one that is pushed is removed
%%% here, so that no other caller has it pushed again.
-module(hb_cron_redelivery).

-export([new/0, push/4, wait/3, push_pending/3, refuse_pending/1, pending/1]).

-export_type([redelivery/0, letter/0]).

-type letter() :: {ProcId :: binary(), Id :: pos_integer(), Result :: map()}.

-record(redelivery, {
    %% The rest of letters of which some was pushed.
    left = #{} :: #{Id :: pos_integer() => Left :: map()},
    %% Callers that wait for older monitors to end, the last one first.
    waiting = [] :: [{gen_server:from(), letter()}]
}).

-opaque redelivery() :: #redelivery{}.

%% @doc No letter was pushed, and no caller waits.
-spec new() -> redelivery().
new() -> #redelivery{}.

%% @doc Pushes a letter, and removes it after a success. If a part of it fails, what was pushed is not pushed
%% again.
-spec push(letter(), hb_cron_options:cursor(), hb_cron_push_loop:pushing(), redelivery()) ->
    {ok | {error, Reason :: term()}, redelivery()}.
push({ProcId, Id, Whole}, Cursor, With, #redelivery{left = Parts} = Redelivery) ->
    Result = maps:get(Id, Parts, Whole),
    case is_letter(ProcId, Id) andalso push_if_allowed(Result, Cursor, With) of
        held ->
            {{error, push_held}, Redelivery};
        false ->
            {{error, not_found}, Redelivery#redelivery{left = maps:remove(Id, Parts)}};
        ok ->
            ok = discard(ProcId, Id),
            {ok, Redelivery#redelivery{left = maps:remove(Id, Parts)}};
        {error, Reason, Result} ->
            {{error, Reason}, Redelivery};
        {error, Reason, Left} ->
            {{error, Reason}, Redelivery#redelivery{left = Parts#{Id => Left}}}
    end.

push_if_allowed(Result, Cursor, With) ->
    case hb_cron_lease:allows() of
        true -> hb_cron_push_loop:one(Result, Cursor, With);
        false -> held
    end.

%% Another caller may have had it pushed or removed since it was read. In a cluster the database has been asked, and the
%% caller removes it.
is_letter(ProcId, Id) ->
    case hb_cron_cluster:is_on() orelse hb_cron_registry:engine() of
        true -> true;
        {ok, Engine, _} -> hb_process_monitor_nif:has_letter(Engine, ProcId, Id);
        none -> true
    end.

%% The caller waits until that is durable. The monitor ignores its own answer.
discard(ProcId, Id) ->
    _ = case hb_cron_cluster:is_on() orelse hb_cron_registry:engine() of
        {ok, Engine, _} -> hb_process_monitor_nif:discard(Engine, ProcId, Id);
        _ -> ok
    end,
    ok.

%% @doc Pushes a letter later, and answers its caller then.
-spec wait(gen_server:from(), letter(), redelivery()) -> redelivery().
wait(From, Letter, #redelivery{waiting = Waiting} = Redelivery) ->
    Redelivery#redelivery{waiting = [{From, Letter} | Waiting]}.

%% @doc Pushes all letters that wait, in the order of arrival.
-spec push_pending(hb_cron_options:cursor(), hb_cron_push_loop:pushing(), redelivery()) -> redelivery().
push_pending(Cursor, With, #redelivery{waiting = Waiting} = Redelivery) ->
    lists:foldr(fun({From, Letter}, Before) ->
        {Answer, Next} = push(Letter, Cursor, With, Before),
        ok = gen_server:reply(From, Answer),
        Next
    end, Redelivery#redelivery{waiting = []}, Waiting).

%% @doc The monitor was stopped: answers the callers that wait.
-spec refuse_pending(redelivery()) -> redelivery().
refuse_pending(#redelivery{waiting = Waiting} = Redelivery) ->
    lists:foreach(fun({From, _}) -> ok = gen_server:reply(From, {error, not_monitored}) end, lists:reverse(Waiting)),
    Redelivery#redelivery{waiting = []}.

%% @doc The number of callers that wait.
-spec pending(redelivery()) -> non_neg_integer().
pending(#redelivery{waiting = Waiting}) -> length(Waiting).
