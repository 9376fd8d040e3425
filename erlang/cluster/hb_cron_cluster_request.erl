%%% @doc Requests to the database of a cluster. Each waits for the answer within a limit, in a process of its own, and
%%% holds no scheduler.
-module(hb_cron_cluster_request).

-export([call/1, call/2]).

-export_type([request/0, start/0, process_row/0]).

-type request() :: {start | add, [start()]}
                 | {stop | forget | tick, ProcId :: binary()}
                 | {ended, ProcId :: binary(), Generation :: integer()}
                 | {set_options, ProcId :: binary(), Generation :: integer(), Options :: binary()}
                 | {find, [ProcId :: binary()]}
                 | marks
                 | {tidy, Before :: non_neg_integer()}
                 | {letters, ProcId :: binary(), After :: non_neg_integer(), {Letters :: pos_integer(), Bytes :: pos_integer()}}
                 | {letter | redeliver | discard, ProcId :: binary(), Id :: pos_integer()}
                 | {wish, ProcId :: binary(), Id :: pos_integer(), Wish :: integer()}
                 | {settle, ProcId :: binary(), Id :: pos_integer(), Wish :: integer(), ok | {error, Reason :: binary()}}.
%% The answers:
%% `start', `add' `{ok, [Changed]}', in the order of the starts: whether the process was started or added
%% `stop', `tick', `ended', `settle', `tidy' `ok'
%% `forget', `set_options', `discard' `ok', or `{error, not_found}' if there was nothing to change
%% `find' `{ok, [process_row()]}'
%% `marks' `{ok, [{Shard, Mark}]}': the number of the last change in each shard in which something ever changed
%% `letters' `{ok, [Letter], More, All}'
%% `letter' `{ok, Letter, IsWished}' or `{error, not_found}'
%% `redeliver' `{ok, Wish}' or `{error, not_found}'
%% `wish' `{ok, open | gone | replaced | {refused, Reason}}'
%% All of them `{error, Reason}', a text, if the database does not answer: then it is unknown whether the request was
%% carried out.

-type start() :: {ProcId :: binary(), Options :: binary(), hb_cron_options:cursor()}.
%% A process to start.

-type process_row() :: #{
    process := binary(), watched := boolean(), ended := boolean(), options := binary(), generation := integer(),
    cursor := binary() | earliest | undefined, at := non_neg_integer(), mine := boolean(),
    owner := binary() | undefined
}.
%% A process in the database. `ended': the monitor of a stopped process has ended. `owner': the name of the host node that
%% owns it, `undefined' if there is none now.

%% How long a request may take, in ms. The library gives up earlier.
-define(LIMIT, 30000).

%% @equiv call(Request, 30000)
-spec call(request()) -> term().
call(Request) -> call(Request, ?LIMIT).

%% @doc Sends a request, and waits for the answer at most so many ms.
-spec call(request(), timeout()) -> term() | {error, Reason :: binary()}.
call(Request, Limit) ->
    case hb_cron_registry:engine() of
        {ok, Engine, _Ticker} ->
            Ask = fun() -> hb_process_monitor_nif:cluster_request(Engine, Request) end,
            case hb_cron_answer:of_library(Ask, Limit) of
                timeout -> {error, <<"the database of the cluster does not answer at present">>};
                Answer -> Answer
            end;
        none ->
            {error, <<"the engine is not running">>}
    end.
