%%% @doc The result whose push fails: what is left of it, since when it fails, and what {@link
%%% hb_cron_retry_policy} decides. Plain data: the monitor pushes, waits and gives up.
-module(hb_cron_retry).

-export([new/0, failed/6, succeeded/1, without_pushed/2]).
-export([failures/1, pause/1]).

-export_type([retrying/0, failure/0, decision/0]).

-record(retrying, {
    delivery :: hb_cron_retry_policy:delivery(),
    %% When it first failed, in ms of the monotonic clock.
    since = 0 :: integer(),
    %% The result as the CU gave it, once some of it was pushed, and what is left. It outlives its page: after the
    %% engine's death the same result comes again as a whole.
    remains = none :: none | {Whole :: map(), Left :: map()}
}).

-opaque retrying() :: none | #retrying{}.
%% `none': nothing has failed since the last success. An idle monitor keeps nothing for that.

-type settings() :: #{cron_push_attempts := pos_integer() | infinity,
                      cron_push_backoff := hb_cron_retry_policy:backoff(), atom() => term()}.

-type failure() :: {Left :: map(), hb_cron_host:host_state()}.
%% What is left of the result, and what the failure says of the host.

-type decision() :: {retry, retrying()} | {give_up, GivenUp :: retrying(), Refused :: retrying()}.
%% The state after it was given up, with another result next; or after there was no room for it, so that it is
%% retried.

%% @doc Nothing has failed.
-spec new() -> retrying().
new() -> none.

%% @doc A push of what is left failed. `WorksSince' returns whether another monitor has pushed with the same device
%% since a time. Returns how often it failed with this reason, and what to do.
-spec failed(Result :: map(), failure(), Now :: integer(), WorksSince :: fun((integer()) -> boolean()),
             settings(), retrying()) ->
    {Failures :: pos_integer(), decision()}.
failed(Result, Failure, Now, WorksSince, Settings, none) ->
    failed(Result, Failure, Now, WorksSince, Settings, #retrying{delivery = delivery(Settings)});
failed(Result, {Left, Host}, Now, WorksSince, _Settings, #retrying{delivery = Before} = Retrying) ->
    %% A result may differ from its rest only in keys that are not pushed. Unless the host is known to work,
    %% nothing was pushed.
    Delivery = case Host =:= unknown orelse Left =:= Result of
        true -> Before;
        %% Some of it was pushed: this is the first failure of the rest.
        false -> hb_cron_retry_policy:succeeded(Before)
    end,
    Remains = case Retrying#retrying.remains of
        {Whole, Result} -> {Whole, Left};
        _ when Left =/= Result -> {Result, Left};
        _ -> none
    end,
    Failures = hb_cron_retry_policy:failures(Delivery),
    Since = case Failures of
        0 -> Now;
        _ -> Retrying#retrying.since
    end,
    Next = Retrying#retrying{since = Since, remains = Remains},
    Evidence = case Host =:= unknown andalso WorksSince(Since) of
        true -> works;
        false -> Host
    end,
    Decision = case hb_cron_retry_policy:failed(Evidence, Delivery) of
        {retry, Failed} ->
            {retry, Next#retrying{delivery = Failed}};
        {give_up, GivenUp} ->
            {give_up, Next#retrying{delivery = GivenUp, remains = none},
             Next#retrying{delivery = hb_cron_retry_policy:refused(Delivery)}}
    end,
    {Failures + 1, Decision}.

%% A checkpoint in memory has no room for dead letters: each would be encoded only to be refused, so no result is given up.
delivery(#{cron_push_attempts := Attempts, cron_push_backoff := Backoff}) ->
    Max = case hb_cron_registry:node_option(cron_checkpoint, undefined) of
        false -> infinity;
        _ -> Attempts
    end,
    hb_cron_retry_policy:new(Max, Backoff).

%% @doc A push succeeded.
-spec succeeded(retrying()) -> retrying().
succeeded(_Retrying) -> none.

%% @doc What was pushed of the first of these before the engine died is not pushed again.
-spec without_pushed([map(), ...], retrying()) -> [map(), ...].
without_pushed([Whole | Rest], #retrying{remains = {Whole, Left}}) -> [Left | Rest];
without_pushed(Results, _Retrying) -> Results.

%% @doc How often the next result has failed.
-spec failures(retrying()) -> non_neg_integer().
failures(none) -> 0;
failures(#retrying{delivery = Delivery}) -> hb_cron_retry_policy:failures(Delivery).

%% @doc The pause before the next try, in ms, drawn anew each time.
-spec pause(retrying()) -> pos_integer().
pause(#retrying{delivery = Delivery}) ->
    rand:uniform(hb_cron_retry_policy:ceiling(hb_cron_retry_policy:failures(Delivery), Delivery)).
