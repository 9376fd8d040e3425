%%% @doc Reports pushes and commits that do not return. No time-out ends a push, because its effect is unknown; it
%%% is logged once. A monitor that begins to push enters itself, and is checked once a second while it is found in
%%% a push. Idle monitors, which are nearly all, cost nothing.
%%%
%%% A commit of the checkpoint that hangs is logged repeatedly, each time that its duration has doubled.
-module(hb_cron_hung_pushes).
-behaviour(gen_server).

-export([create/0, start_link/0, push_begins/2]).
-export([init/1, handle_call/3, handle_cast/2, handle_info/2]).

%% How often monitors in a push are checked, in ms.
-define(CHECK_MS, 1000).
%% A commit that takes longer, in ms, hangs. structure_tests compares the limit with the doctor's.
-define(COMMIT_HANGS, 5000).

%% {Monitor, StatusWords, LimitMs, Reported}: a monitor that pushed lately, how long its push may take, and the
%% beginning of the push that was reported, or `none'.
-define(TABLE, hb_cron_hung_pushes).

-type reported() :: non_neg_integer().
%% The duration of the hanging commit when it was last logged, in ms; 0 if none hangs.

%% @doc Creates the table; the caller owns it. It must outlive this process: its monitors do not enter themselves
%% again.
-spec create() -> ok.
create() ->
    ?TABLE = ets:new(?TABLE, [named_table, public, set, {write_concurrency, true}]),
    ok.

-spec start_link() -> gen_server:start_ret().
start_link() ->
    gen_server:start_link({local, ?MODULE}, ?MODULE, [], []).

%% @doc The calling monitor begins a push, which its status words say already.
-spec push_begins(hb_cron_status_words:words(), hb_cron_options:monitor()) -> ok.
push_begins(Words, Options) ->
    case hb_cron_status_words:is_listed(Words) of
        true -> ok;
        false -> enter(Words, Options)
    end.

enter(Words, Options) ->
    #{cron_push_stall := Limit} = hb_cron_options:settings(Options),
    try ets:insert(?TABLE, {self(), Words, Limit, none}) of
        true -> hb_cron_status_words:set_listed(Words, true)
    catch
        %% The table goes with the supervision tree, which a monitor may outlive by a push.
        error:badarg -> ok
    end.

%% @private
-spec init([]) -> {ok, reported()}.
init([]) ->
    self() ! check,
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
handle_info(check, Reported) ->
    Now = erlang:monotonic_time(millisecond),
    {Stalled, Oldest} = lists:foldl(fun(Row, {Stalled, Oldest}) ->
        case check(Now, Row) of
            none -> {Stalled, Oldest};
            {pushing, Began} -> {Stalled, min(Began, Oldest)};
            {stalled, Began} -> {Stalled + 1, min(Began, Oldest)}
        end
    end, {0, Now}, ets:tab2list(?TABLE)),
    ok = hb_cron_push_meter:set_stalled(Stalled),
    ok = hb_cron_push_meter:set_oldest_push(Now - Oldest),
    ok = hb_cron_engine:read_mail(),
    _ = erlang:send_after(?CHECK_MS, self(), check),
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

%% The duration of the commit under way, in ms.
writing_for() ->
    case hb_cron_registry:engine() of
        {ok, Engine, _} -> maps:get(writing_for_ms, hb_process_monitor_nif:checkpoint_status(Engine));
        none -> 0
    end.

path() ->
    case hb_cron_registry:node_options() of
        #{cron_checkpoint := Path} when Path =/= false -> unicode:characters_to_binary(filename:absname(Path));
        %% The application has been restarted without a checkpoint.
        #{} -> none
    end.

check(Now, {Monitor, Words, Limit, Reported}) ->
    case {hb_cron_status_words:at_push(Words), is_process_alive(Monitor)} of
        {undefined, _} ->
            forget(Monitor, Words, Limit);
        {_, false} ->
            %% The last words of a killed monitor stay.
            true = ets:delete(?TABLE, Monitor),
            none;
        {Reported, true} ->
            {stalled, Reported};
        {Began, true} when Now - Began < Limit ->
            {pushing, Began};
        {Began, true} ->
            report(Now - Began, Monitor),
            true = ets:update_element(?TABLE, Monitor, {4, Began}),
            {stalled, Began}
    end.

%% In this order: a monitor that is entered has published its push before this check, and one that is not enters
%% itself after the row is gone.
forget(Monitor, Words, Limit) ->
    true = ets:delete(?TABLE, Monitor),
    ok = hb_cron_status_words:set_listed(Words, false),
    case hb_cron_status_words:at_push(Words) of
        undefined ->
            none;
        Began ->
            true = ets:insert(?TABLE, {Monitor, Words, Limit, none}),
            ok = hb_cron_status_words:set_listed(Words, true),
            {pushing, Began}
    end.

report(For, Monitor) ->
    case hb_cron_registry:who(Monitor) of
        {ok, ProcId, Logger, _} -> hb_cron_host_logger:log(Logger, {error, push_stalled, {ProcId, {for_ms, For}}});
        none -> ok
    end.
