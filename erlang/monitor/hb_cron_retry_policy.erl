%%% @doc Decides what to do about a push that fails: retry, when, or give up. Plain data and plain functions: the
%%% monitor carries out the decision.
%%%
%%% A result that fails while others can be pushed is poison, and is given up after a number of tries. If the next
%%% one fails too, the device is broken: no result is given up until a push succeeds, of this monitor or another
%%% one with the same device. A failure that shows that the host is broken is no try.
-module(hb_cron_retry_policy).

-export([new/2, succeeded/1, failed/2, refused/1, failures/1, ceiling/2]).
%% Shared by everything that is retried
-export([longest_pause/2, is_reported/1]).

-export_type([delivery/0, backoff/0]).

-type backoff() :: {FirstMs :: pos_integer(), LongestMs :: pos_integer()}.

-record(delivery, {
    max :: pos_integer() | infinity,
    backoff :: backoff(),
    %% Failed pushes of the next result, and those of them that the host's state does not explain.
    failures = 0 :: non_neg_integer(),
    tries = 0 :: non_neg_integer(),
    %% The previous result was given up, and nothing was pushed since.
    suspect = false :: boolean()
}).

-opaque delivery() :: #delivery{}.

%% @doc Nothing has failed yet. A result is given up after `Max' tries.
-spec new(Max :: pos_integer() | infinity, backoff()) -> delivery().
new(Max, Backoff) ->
    #delivery{max = Max, backoff = Backoff}.

%% @doc A push succeeded.
-spec succeeded(delivery()) -> delivery().
succeeded(#delivery{failures = 0, suspect = false} = Delivery) -> Delivery;
succeeded(Delivery) -> Delivery#delivery{failures = 0, tries = 0, suspect = false}.

%% @doc A push failed. `works': the host, or another monitor that has pushed with the same device since this result
%% began to fail, shows that pushing works.
-spec failed(hb_cron_host:host_state(), delivery()) -> {retry | give_up, delivery()}.
failed(broken, #delivery{failures = Failures} = Delivery) ->
    {retry, Delivery#delivery{failures = Failures + 1}};
failed(Host, #delivery{failures = Failures, tries = Before, max = Max, suspect = Suspect} = Delivery) ->
    Tries = Before + 1,
    case is_integer(Max) andalso Tries >= Max andalso (Host =:= works orelse not Suspect) of
        true -> {give_up, Delivery#delivery{failures = 0, tries = 0, suspect = true}};
        false -> {retry, Delivery#delivery{failures = Failures + 1, tries = Tries}}
    end.

%% @doc There is no room for the dead letter: the result is retried.
-spec refused(delivery()) -> delivery().
refused(#delivery{max = Max, failures = Failures} = Delivery) ->
    Delivery#delivery{failures = max(Max, Failures + 1), tries = Max}.

%% @doc Failed pushes of the next result.
-spec failures(delivery()) -> non_neg_integer().
failures(#delivery{failures = Failures}) -> Failures.

%% @doc The longest pause before try `Failures + 1', in ms: it doubles with each failure. The pause is drawn evenly
%% from below it, so that many monitors do not retry together.
-spec ceiling(Failures :: pos_integer(), delivery()) -> pos_integer().
ceiling(Failures, #delivery{backoff = Backoff}) -> longest_pause(Failures, Backoff).

%% @doc The longest pause after so many failures, in ms: it doubles with each.
-spec longest_pause(Failures :: pos_integer(), backoff()) -> pos_integer().
longest_pause(Failures, {First, Longest}) ->
    %% 2^32 ms is longer than any pause.
    min(Longest, First bsl min(Failures - 1, 32)).

%% @doc Whether a failure is logged, by its number: at 1, 2, 4, 8, ..., as the engine does with fetches.
-spec is_reported(Failures :: pos_integer()) -> boolean().
is_reported(Failures) -> Failures band (Failures - 1) =:= 0.
