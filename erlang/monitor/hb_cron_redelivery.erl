%%% @doc A monitor's part in pushing dead letters once more: what is left of them, and which callers wait until
%%% they may be pushed. It runs in the monitor, between two results. Reading a letter is
%%% {@link hb_cron_dead_letters}' business; one that is pushed is discarded here, so that no other caller
%%% has it pushed again.
-module(hb_cron_redelivery).

-export([new/0, push/4, wait/3, push_waiting/3, refuse_waiting/1, waiting/1]).

-export_type([redelivery/0, letter/0]).

-type letter() :: {ProcId :: binary(), Id :: pos_integer(), Result :: map()}.

-record(redelivery, {
    %% What is left of letters of which some has been pushed.
    left = #{} :: #{Id :: pos_integer() => Left :: map()},
    %% Callers that want one pushed, and wait for the older monitors to end; the last first.
    waiting = [] :: [{gen_server:from(), letter()}]
}).

-opaque redelivery() :: #redelivery{}.

%% @doc None was pushed, and no caller waits.
-spec new() -> redelivery().
new() -> #redelivery{}.

%% @doc Pushes a letter, and discards it if that succeeds. What of it was pushed is not pushed again, should the
%% rest fail.
-spec push(letter(), hb_cron_options:cursor(), hb_cron_push_loop:pushing(), redelivery()) ->
    {ok | {error, Reason :: term()}, redelivery()}.
push({ProcId, Id, Whole}, Cursor, With, #redelivery{left = Parts} = Redelivery) ->
    Result = maps:get(Id, Parts, Whole),
    case is_letter(ProcId, Id) andalso hb_cron_push_loop:one(Result, Cursor, With) of
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

%% Another caller may have had it pushed, or discarded it, since it was read.
is_letter(ProcId, Id) ->
    case hb_cron_registry:engine() of
        {ok, Engine, _} -> hb_process_monitor_nif:has_letter(Engine, ProcId, Id);
        none -> true
    end.

%% The caller waits until that is durable. The monitor ignores its own answer.
discard(ProcId, Id) ->
    _ = case hb_cron_registry:engine() of
        {ok, Engine, _} -> hb_process_monitor_nif:discard(Engine, ProcId, Id);
        none -> ok
    end,
    ok.

%% @doc A letter is to be pushed later, and its caller answered then.
-spec wait(gen_server:from(), letter(), redelivery()) -> redelivery().
wait(From, Letter, #redelivery{waiting = Waiting} = Redelivery) ->
    Redelivery#redelivery{waiting = [{From, Letter} | Waiting]}.

%% @doc Pushes all that wait, in the order in which they came.
-spec push_waiting(hb_cron_options:cursor(), hb_cron_push_loop:pushing(), redelivery()) -> redelivery().
push_waiting(Cursor, With, #redelivery{waiting = Waiting} = Redelivery) ->
    lists:foldr(fun({From, Letter}, Before) ->
        {Answer, Next} = push(Letter, Cursor, With, Before),
        ok = gen_server:reply(From, Answer),
        Next
    end, Redelivery#redelivery{waiting = []}, Waiting).

%% @doc The monitor was stopped: the callers that wait are answered so.
-spec refuse_waiting(redelivery()) -> redelivery().
refuse_waiting(#redelivery{waiting = Waiting} = Redelivery) ->
    lists:foreach(fun({From, _}) -> ok = gen_server:reply(From, {error, not_monitored}) end, lists:reverse(Waiting)),
    Redelivery#redelivery{waiting = []}.

%% @doc How many wait.
-spec waiting(redelivery()) -> non_neg_integer().
waiting(#redelivery{waiting = Waiting}) -> length(Waiting).
