%%% @doc The checkpoint, for calls that have to be durable before they return. Each waits for the disk within
%%% bounds, and holds no scheduler while it does. What a monitor says of its own results goes to the library
%%% directly.
-module(hb_cron_checkpoint).

-export([letters/4, discard/3, forget/2, stopped/3, flush/2]).

%% How long a change may take to become durable before its caller gets an error, in ms. A letter that is read
%% waits for the commit under way likewise.
-define(LIMIT, 30000).

-define(NOT_DURABLE, <<"the checkpoint cannot be written at present">>).

%% @doc Dead letters of a process, as {@link hb_process_monitor_nif:letters/4} says.
-spec letters(hb_process_monitor_nif:engine(), ProcId :: binary(), After :: non_neg_integer(),
              {Letters :: pos_integer(), Bytes :: non_neg_integer()}) ->
    {ok, [hb_process_monitor_nif:letter()], More :: boolean(), All :: non_neg_integer()} | {error, Reason :: binary()}.
letters(Engine, ProcId, After, Most) ->
    case hb_cron_answer:of_library(fun() -> hb_process_monitor_nif:letters(Engine, ProcId, After, Most) end, ?LIMIT) of
        timeout -> {error, <<"the checkpoint cannot be read at present">>};
        Answer -> Answer
    end.

%% @doc Discards a dead letter.
-spec discard(hb_process_monitor_nif:engine(), ProcId :: binary(), Id :: pos_integer()) ->
    ok | {error, not_found | binary()}.
discard(Engine, ProcId, Id) ->
    durable(fun() ->
        case hb_process_monitor_nif:discard(Engine, ProcId, Id) of
            not_found -> {now, {error, not_found}};
            Number -> Number
        end
    end, ?LIMIT).

%% @doc Forgets a process whose registration has ended.
-spec forget(hb_process_monitor_nif:engine(), ProcId :: binary()) -> ok | {error, monitored | binary()}.
forget(Engine, ProcId) ->
    durable(fun() ->
        case hb_process_monitor_nif:forget(Engine, ProcId) of
            monitored -> {now, {error, monitored}};
            Number -> Number
        end
    end, ?LIMIT).

%% @doc A process is stopped: it is not to be resumed, unless it was registered since `Fence'. Does not wait.
-spec stopped(hb_process_monitor_nif:engine(), ProcId :: binary(), Fence :: hb_process_monitor_nif:epoch()) -> ok.
stopped(Engine, ProcId, Fence) -> hb_process_monitor_nif:stopped(Engine, ProcId, Fence).

%% @doc Waits until all that was said so far is durable, at most `Timeout' ms.
-spec flush(hb_process_monitor_nif:engine(), timeout()) -> ok | {error, Reason :: binary()}.
flush(Engine, Timeout) ->
    durable(fun() -> hb_process_monitor_nif:flush(Engine) end, Timeout).

durable(Ask, Timeout) ->
    case hb_cron_answer:of_library(Ask, Timeout) of
        timeout -> {error, ?NOT_DURABLE};
        Answer -> Answer
    end.
