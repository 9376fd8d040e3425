%%% @doc Sees pushes that do not return. No time-out ends a push, since nobody knows what it has done: it is
%%% told of, once. A monitor that begins to push lists itself, and is looked at once a second from then on
%%% for as long as it is found at a push; so those that wait, which are nearly all, cost nothing.
%%%
%%% It sees commits of the checkpoint that do not return as well. Each is logged while it hangs, as its time doubles.
-module(hb_cron_hung_pushes).
-behaviour(gen_server).

-export([create/0, start_link/0, push_begins/2]).
-export([init/1, handle_call/3, handle_cast/2, handle_info/2]).

%% How often those at a push are looked at, in ms.
-define(LOOK, 1000).
%% A commit that takes so long, in ms, hangs. The doctor's findings say so as well.
-define(COMMIT_HANGS, 5000).

%% {Monitor, Marks, LimitMs, Told}: who has pushed lately, how long a push of it may take, and when the push
%% began that was told of as stalled already, or `none'.
-define(TABLE, hb_cron_hung_pushes).

-type reported() :: non_neg_integer().
%% How long the commit that hangs had taken when it was last logged, in ms; 0 if none hangs.

%% @doc Makes the table; the caller owns it. It must outlive this process: those in it do not list
%% themselves again.
-spec create() -> ok.
create() ->
    ?TABLE = ets:new(?TABLE, [named_table, public, set, {write_concurrency, true}]),
    ok.

-spec start_link() -> gen_server:start_ret().
start_link() ->
    gen_server:start_link({local, ?MODULE}, ?MODULE, [], []).

%% @doc The calling monitor has noted in its marks that it is at a push.
-spec push_begins(hb_cron_status_words:marks(), hb_cron_options:monitor()) -> ok.
push_begins(Marks, Options) ->
    case hb_cron_status_words:is_listed(Marks) of
        true -> ok;
        false -> list(Marks, Options)
    end.

list(Marks, Options) ->
    #{cron_push_stall := Limit} = hb_cron_options:settings(Options),
    try ets:insert(?TABLE, {self(), Marks, Limit, none}) of
        true -> hb_cron_status_words:set_listed(Marks, true)
    catch
        %% The table goes with the supervision tree, and a monitor may outlive it by a push.
        error:badarg -> ok
    end.

%% @private
-spec init([]) -> {ok, reported()}.
init([]) ->
    self() ! look,
    {ok, 0}.

%% @private
-spec handle_call(term(), gen_server:from(), reported()) -> {reply, {error, unknown_call}, reported()}.
handle_call(_Call, _From, Reported) ->
    {reply, {error, unknown_call}, Reported}.

%% @private
-spec handle_cast(term(), reported()) -> {noreply, reported()}.
handle_cast(_Cast, Reported) ->
    {noreply, Reported}.

%% @private
-spec handle_info(term(), reported()) -> {noreply, reported()}.
handle_info(look, Reported) ->
    Now = erlang:monotonic_time(millisecond),
    {Stalled, Oldest} = lists:foldl(fun(Row, {Stalled, Oldest}) ->
        case look(Now, Row) of
            none -> {Stalled, Oldest};
            {pushing, Began} -> {Stalled, min(Began, Oldest)};
            {stalled, Began} -> {Stalled + 1, min(Began, Oldest)}
        end
    end, {0, Now}, ets:tab2list(?TABLE)),
    ok = hb_cron_push_meter:set_stalled(Stalled),
    ok = hb_cron_push_meter:set_oldest_push(Now - Oldest),
    ok = hb_cron_engine:read_mail(),
    _ = erlang:send_after(?LOOK, self(), look),
    {noreply, commit(Reported)};
handle_info(_Stray, Reported) ->
    {noreply, Reported}.

commit(Reported) ->
    case writing_for() of
        For when For >= ?COMMIT_HANGS, For >= 2 * Reported ->
            ok = hb_cron_host_logger:log(undefined, {error, checkpoint_stalled, {path(), {for_ms, For}}}),
            For;
        For when For < Reported ->
            ok = hb_cron_host_logger:log(undefined, {ok, checkpoint_stall_ended, {path(), {after_ms, Reported}}}),
            0;
        _ ->
            Reported
    end.

%% For how long the commit under way has been, in ms.
writing_for() ->
    case hb_cron_registry:engine() of
        {ok, Engine, _} -> maps:get(writing_for_ms, hb_process_monitor_nif:checkpoint_status(Engine));
        none -> 0
    end.

path() ->
    case hb_cron_registry:node_options() of
        #{cron_checkpoint := Path} when Path =/= false -> unicode:characters_to_binary(filename:absname(Path));
        %% The application has been restarted without one.
        #{} -> none
    end.

look(Now, {Monitor, Marks, Limit, Told}) ->
    case {hb_cron_status_words:at_push(Marks), is_process_alive(Monitor)} of
        {undefined, _} ->
            forget(Monitor, Marks, Limit);
        {_, false} ->
            %% What a killed monitor noted last stays so.
            true = ets:delete(?TABLE, Monitor),
            none;
        {Told, true} ->
            {stalled, Told};
        {Began, true} when Now - Began < Limit ->
            {pushing, Began};
        {Began, true} ->
            tell(Now - Began, Monitor),
            true = ets:update_element(?TABLE, Monitor, {4, Began}),
            {stalled, Began}
    end.

%% In this order: a monitor that takes itself for listed has noted its push before this looks again, and one
%% that does not lists itself after the row is gone.
forget(Monitor, Marks, Limit) ->
    true = ets:delete(?TABLE, Monitor),
    ok = hb_cron_status_words:set_listed(Marks, false),
    case hb_cron_status_words:at_push(Marks) of
        undefined ->
            none;
        Began ->
            true = ets:insert(?TABLE, {Monitor, Marks, Limit, none}),
            ok = hb_cron_status_words:set_listed(Marks, true),
            {pushing, Began}
    end.

tell(For, Monitor) ->
    case hb_cron_registry:who(Monitor) of
        {ok, ProcId, Logger, _} -> hb_cron_host_logger:log(Logger, {error, push_stalled, {ProcId, {for_ms, For}}});
        none -> ok
    end.
