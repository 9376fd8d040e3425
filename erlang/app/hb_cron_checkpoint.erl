%%% @doc Calls of the checkpoint that must be durable before they return. Each waits for the disk within bounds and
%%% holds no scheduler. Acks of a monitor go to the library directly.
-module(hb_cron_checkpoint).

-export([letters/4, discard/3, forget/2, flush/2]).

%% How long a change may take to become durable before its caller gets an error, in ms. Reading a letter waits for
%% the commit under way likewise.
-define(LIMIT, 30000).

-define(NOT_DURABLE, <<"the checkpoint cannot be written at present">>).

%% @doc Dead letters of a process: see {@link hb_process_monitor_nif:letters/4}.
-spec letters(hb_process_monitor_nif:engine(), ProcId :: binary(), After :: non_neg_integer(),
              {Letters :: pos_integer(), Bytes :: non_neg_integer()}) ->
    {ok, [hb_process_monitor_nif:letter()], More :: boolean(), All :: non_neg_integer()} | {error, Reason :: binary()}.
letters(Engine, ProcId, After, Most) ->
    case hb_cron_cluster:is_on() of
        true -> hb_cron_cluster_request:call({letters, ProcId, After, Most});
        false -> letters_here(Engine, ProcId, After, Most)
    end.

letters_here(Engine, ProcId, After, Most) ->
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

%% @doc Forgets a process that has no live registration.
-spec forget(hb_process_monitor_nif:engine(), ProcId :: binary()) -> ok | {error, monitored | binary()}.
forget(Engine, ProcId) ->
    durable(fun() ->
        case hb_process_monitor_nif:forget(Engine, ProcId) of
            monitored -> {now, {error, monitored}};
            Number -> Number
        end
    end, ?LIMIT).

%% @doc Waits until every earlier change is durable, at most `Timeout' ms.
-spec flush(hb_process_monitor_nif:engine(), timeout()) -> ok | {error, Reason :: binary()}.
flush(Engine, Timeout) ->
    durable(fun() -> hb_process_monitor_nif:flush(Engine) end, Timeout).

durable(Ask, Timeout) ->
    case hb_cron_answer:of_library(Ask, Timeout) of
        timeout -> {error, ?NOT_DURABLE};
        Answer -> Answer
    end.
