%%% @doc Moves processes, with their cursors and dead letters, between a cluster and a checkpoint file. The library does
%%% it in a thread of its own.
-module(hb_cron_transfer).

-export([export/1, import/2]).

-export_type([moved/0]).

-type moved() :: #{processes := non_neg_integer(), dead_letters := non_neg_integer(), left := non_neg_integer()}.
%% What was moved. `left': processes of the file that the database had already.

%% @doc Writes all processes of the cluster to a new checkpoint file, which a single node can use.
-spec export(Path :: file:name_all()) -> {ok, moved()} | {error, not_in_a_cluster | binary()}.
export(Path) ->
    transfer(fun(Engine) -> hb_process_monitor_nif:cluster_export(Engine, name(Path)) end).

%% @doc Adds the processes of a checkpoint file to the cluster. `Replaces': also those that it has.
-spec import(Path :: file:name_all(), Replaces :: boolean()) -> {ok, moved()} | {error, not_in_a_cluster | binary()}.
import(Path, Replaces) ->
    transfer(fun(Engine) -> hb_process_monitor_nif:cluster_import(Engine, name(Path), Replaces) end).

name(Path) -> unicode:characters_to_binary(filename:absname(Path)).

transfer(Begin) ->
    case {hb_cron_cluster:is_on(), hb_cron_registry:engine()} of
        {true, {ok, Engine, _}} ->
            case hb_cron_answer:of_library(fun() -> Begin(Engine) end, infinity) of
                {ok, Processes, Letters, Left} ->
                    {ok, #{processes => Processes, dead_letters => Letters, left => Left}};
                {error, Reason} ->
                    {error, Reason};
                timeout ->
                    {error, <<"the library has not answered">>}
            end;
        _ ->
            {error, not_in_a_cluster}
    end.
