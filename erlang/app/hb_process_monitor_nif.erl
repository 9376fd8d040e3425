%%% @doc The Rust library: its stubs, and how it is found and loaded. Nothing else belongs here: a library cannot
%%% be exchanged in a running node, so this module must never need to be.
-module(hb_process_monitor_nif).

%% Loading
-export([loaded/0, file/0]).
%% The engine, for its process
-export([new/1, run/2, interrupt/1, mail/1, stop/1, counters/1, next_epoch/0]).
%% A registration, for its monitor
-export([register/2, poll/1, next_part/3, large_part/3, ack/4, give_up/7, give_up_large/7, move_to/2, set_crons/2, remove/2]).
%% The checkpoint
-export([letters/4, has_letter/3, discard/3, forget/2, stopped/3, keep_options/3,
         keep_live_options/4, flush/1, watched/1, checkpoint_status/1, close_checkpoints/1, drop_memory/0]).
%% The cluster
-export([may_push/1, lease_allows/1, cluster_attach/1, cluster_stopped/3, cluster_leave/1, cluster_request/2, cluster_shard/1,
         cluster_export/2, cluster_import/3, cluster_status/1]).
%% Inspection
-export([snapshots/2, census/1, probe/4, library_version/0]).
%% Metrics and events of all engines
-export([metrics/0, events_to_self/1]).
%% Others
-export([check_node/1, cursor_time/1, log_to_self/1]).

-export_type([engine/0, handle/0, epoch/0, part/0, engine_options/0, monitor_options/0, letter/0, origin/0,
              snapshot/0, breaker/0, asks/0, cron/0]).

-on_load(on_load/0).
-nifs([new/1, run/2, interrupt/1, mail/1, stop/1, counters/1, next_epoch/0,
       register/2, poll/1, next_part/3, large_part/3, ack/4, give_up/7, give_up_large/7, move_to/2, set_crons/2, remove/2,
       letters/4, has_letter/3, discard/3, forget/2, stopped/3, keep_options/3,
       keep_live_options/4, flush/1, watched/1, checkpoint_status/1, close_checkpoints/1, drop_memory/0,
       may_push/1, lease_allows/1, cluster_attach/1, cluster_stopped/3, cluster_leave/1, cluster_request/2, cluster_shard/1,
       cluster_export/2, cluster_import/3, cluster_status/1, snapshots/2, census/1, probe/4, library_version/0,
       metrics/0, events_to_self/1, check_node/1, cursor_time/1, log_to_self/1]).

-define(LIBRARY, "hb_process_monitor_nif").
-define(CHECK_MODULE, hb_cron_library).
-define(REASON, {?MODULE, not_loaded}).
-define(FILE_LOADED, {?MODULE, file}).

-opaque engine() :: reference().
%% All monitors of a node. It ends with the process that created it.

-opaque handle() :: reference().
%% One registration. It ends with the process that registered.

-type epoch() :: pos_integer().
%% The number of a registration. It is never used twice in a node's life.

-type part() :: {Seq :: pos_integer(), [map(), ...], EndsPage :: boolean()}.
%% Some results of a page, the number of the first one, and whether the page ends with the last one.

-type engine_options() :: #{
    max_inflight := pos_integer(),
    max_buffered := pos_integer(),
    checkpoint := false | binary(),
    checkpoint_interval := pos_integer(),
    dead_letters_max := non_neg_integer(),
    dead_letters_max_bytes := non_neg_integer(),
    expire_after := non_neg_integer(),
    cacertfile := false | binary(),
    cluster := false | #{url := binary(), name := binary(), ttl := pos_integer()}
}.
%% `checkpoint': the path of its file; `false' keeps it in memory. `expire_after' in ms; 0: a stopped process is
%% never forgotten.

-type origin() :: new | resumed | {overruled | stale, Stored :: binary() | earliest}.
%% The source of a starting point: the caller; the checkpoint; the caller, against the stored cursor; none yet,
%% since the stored cursor is too old.

-type letter() :: {Id :: pos_integer(), At :: non_neg_integer(), Attempts :: pos_integer(),
                   Cursor :: binary(), Result :: binary(), Error :: binary()}.
%% A dead letter; `At' in ms since the Unix epoch, result and error in the external term format.

-type monitor_options() :: #{
    process := binary(),
    rate := pos_integer(),
    cursor := binary() | undefined | earliest,
    nodes := [binary(), ...],
    page_limit := pos_integer(),
    connect_timeout := pos_integer(),
    first_byte_timeout := pos_integer(),
    timeout := pos_integer(),
    max_page_bytes := pos_integer(),
    walk_after := pos_integer(),
    poll := expected | rate,
    poll_max_gap := pos_integer(),
    stale_after := non_neg_integer(),
    max_ahead := non_neg_integer(),
    go_on := boolean(),
    paused := boolean(),
    kept := binary()
}.
%% `go_on': continue from the checkpoint if it knows the process, whatever `cursor' is. `max_ahead': how far ahead
%% of the clock a result may be dated, in ms; 0: any time.

-type breaker() :: closed | half_open | {open, ForMs :: non_neg_integer()}.
%% The state of a CU host's breaker.

-type snapshot() :: {
    epoch(),
    Doing :: idle | resolving | polling | pushing | backing_off | paused,
    Cursor :: binary() | earliest | undefined | unknown,
    CursorTime :: non_neg_integer() | none,
    Unacked :: non_neg_integer(),
    BufferedBytes :: non_neg_integer(),
    {Failures :: non_neg_integer(), none | {Class :: atom(), Text :: binary(), AgoMs :: non_neg_integer()}},
    {NextTickMs :: non_neg_integer() | none, NextTryMs :: non_neg_integer() | none},
    {Asked :: non_neg_integer(), [{Origin :: binary(), breaker()}]},
    DeadLetters :: non_neg_integer(),
    {NextResultMs :: non_neg_integer() | none, Requests :: non_neg_integer(), Results :: non_neg_integer()},
    {asks(), LongestMs :: non_neg_integer() | none, [cron()] | none}
}.
%% The engine's view of a registration. `CursorTime' is in ms since the Unix epoch, if the cursor is AO's. `Requests'
%% and `Results' since it began. `LongestMs': the longest time without a request.

-type asks() :: {every_tick, rate | no_result | untimed | unseen | delay}
              | {expecting, EverySeconds :: pos_integer(), ResultSeconds :: non_neg_integer()} | rarely.
%% When the CU is asked, and why. `every_tick', because: the option says so; there was no result since the registration;
%% a cron runs in blocks, or its cursors do not say when it runs; a cron did not run since the registration; the CU's
%% delay is not known yet. `expecting': from when the next result is expected, which has this time, in s since the Unix
%% epoch, of a cron with this interval. `rarely': by the tags of the process, none of its crons ever runs.

-type cron() :: pos_integer() | blocks | never.
%% A cron of a process, by its tag: its interval in s; it runs in blocks; a CU cannot read the tag.

%% A failing on_load stops a node that boots in embedded mode, so a missing library is reported by the first call
%% instead. But if a loaded module is loaded again, `ok' would turn it into stubs under running monitors; there the
%% error keeps the old code.
on_load() ->
    case load(candidates(), []) of
        ok ->
            _ = persistent_term:erase(?REASON),
            ok;
        {error, {Reload, _}} = Error when Reload =:= reload; Reload =:= upgrade ->
            Error;
        {error, Tried} ->
            persistent_term:put(?REASON, Tried)
    end.

load([], Tried) ->
    {error, lists:reverse(Tried)};
load([Path | Paths], Tried) ->
    case load_whole(Path) of
        ok -> persistent_term:put(?FILE_LOADED, Path ++ ".so");
        {error, {Reload, _}} = Error when Reload =:= reload; Reload =:= upgrade -> Error;
        {error, {_, Text}} -> load(Paths, [{Path ++ ".so", lists:flatten(Text)} | Tried])
    end.

%% Not checked while a library runs: no file is mapped then, and a damaged file must not turn the running module
%% into stubs.
load_whole(Path) ->
    case is_running() orelse check(Path ++ ".so") of
        true -> {error, {upgrade, "a running library is not exchanged"}};
        ok -> erlang:load_nif(Path, 0);
        {error, Text} -> {error, {damaged, Text}}
    end.

%% In embedded mode a call does not load a module.
check(File) ->
    case erlang:module_loaded(?CHECK_MODULE) orelse code:load_file(?CHECK_MODULE) of
        {error, Reason} -> {error, lists:flatten(io_lib:format("~s cannot be loaded: ~0p", [?CHECK_MODULE, Reason]))};
        _ -> ?CHECK_MODULE:check(File)
    end.

is_running() ->
    erlang:module_loaded(?MODULE) andalso file() =/= undefined andalso loaded() =:= ok.

%% Without `.so', as load_nif wants it.
candidates() ->
    FromEnv = case application:get_env(hb_process_monitor, nif_path) of
        {ok, Path} -> [filename:rootname(Path, ".so")];
        undefined -> []
    end,
    FromApp = case code:priv_dir(hb_process_monitor) of
        {error, bad_name} -> [];
        Priv -> in_priv(Priv)
    end,
    FromBeam = case code:where_is_file(?MODULE_STRING ++ ".beam") of
        non_existing -> [];
        Beam ->
            Lib = filename:dirname(filename:dirname(filename:absname(Beam))),
            in_priv(filename:join(Lib, "priv"))
    end,
    lists:foldl(fun(C, Seen) -> Seen ++ [C || not lists:member(C, Seen)] end, [],
                FromEnv ++ FromApp ++ FromBeam).

%% The file itself, as our own build and an operator place it, and as rebar3's cargo plugin does.
in_priv(Priv) ->
    [filename:join(Priv, ?LIBRARY), filename:join([Priv, "crates", ?LIBRARY, ?LIBRARY])].

%% @doc Whether the library is loaded; if not, each path that was tried and the system's error.
-spec loaded() -> ok | {error, [{Path :: string(), Reason :: string()}]}.
loaded() ->
    case persistent_term:get(?REASON, ok) of
        ok -> ok;
        Tried -> {error, Tried}
    end.

%% @doc The file that was loaded.
-spec file() -> string() | undefined.
file() -> persistent_term:get(?FILE_LOADED, undefined).

%% @doc Creates an engine that the calling process owns, and opens its checkpoint. A damaged checkpoint is moved
%% aside; one that another node has open is an error, as is a file without certificates.
-spec new(engine_options()) ->
    {ok, engine()}
    | {error, {checkpoint_unavailable, Path :: binary(), Reason :: binary()}
            | {bad_option, cron_cacertfile, {Path :: binary(), Reason :: binary()}}}.
new(_Options) -> erlang:nif_error(not_loaded()).

%% @doc Runs the engine for at most `SliceMs' milliseconds, on a dirty scheduler. `stopped': the engine has ended;
%% `busy': another process runs it.
-spec run(engine(), SliceMs :: non_neg_integer()) -> ok | stopped | busy.
run(_Engine, _SliceMs) -> erlang:nif_error(not_loaded()).

%% @doc Makes {@link run/2} return soon.
-spec interrupt(engine()) -> ok.
interrupt(_Engine) -> erlang:nif_error(not_loaded()).

%% @doc Tells {@link run/2} that its process has messages: it returns within half a second.
-spec mail(engine()) -> ok.
mail(_Engine) -> erlang:nif_error(not_loaded()).

%% @doc Ends the engine: nothing is fetched any more.
-spec stop(engine()) -> ok.
stop(_Engine) -> erlang:nif_error(not_loaded()).

%% @doc What the engine has done and holds: `monitors', `inflight', `queued' and `threads' now;
%% `ticks', `missed_ticks', `quiet_ticks', `fetches' and `failures' since its start.
-spec counters(engine()) -> #{atom() => non_neg_integer()}.
counters(_Engine) -> erlang:nif_error(not_loaded()).

%% @doc A number that no registration has yet: all later ones have it or a higher one.
-spec next_epoch() -> epoch().
next_epoch() -> erlang:nif_error(not_loaded()).

%% @doc Registers the calling process. From now on it gets `tick', and
%% `{hb_cron, Epoch, What}' where `What' is `page': {@link next_part/3} has one; `{resolved, Cursor}',
%% `{failed, Class, Text, Repeats}', `{passed, FromMs, ToMs}', or `{recovered, Failures}'.
-spec register(engine(), monitor_options()) ->
    {ok, handle(), epoch(), {origin(), Start :: binary() | earliest | undefined}}
    | {error, stopped | lost | {bad_node, Node :: binary()}}.
register(_Engine, _Options) -> erlang:nif_error(not_loaded()).

%% @doc Requests a poll. While one is under way, another follows it. `stopped': the engine has ended.
-spec poll(handle()) -> ok | stopped.
poll(_Handle) -> erlang:nif_error(not_loaded()).

%% @doc The next part of what was fetched, after the last part is done. One part at a time is on the heap. `none':
%% a message says when there is one. `large': call {@link large_part/3}. `too_large': with it the heap, and
%% binaries outside of it if they count, would exceed `HeapLimit' bytes, at which the VM kills the process (0: no
%% limit); the part stays. `lost': it cannot be decoded, and nothing more comes until the process registers again.
-spec next_part(handle(), HeapLimit :: non_neg_integer(), WithBinaries :: boolean()) ->
    part() | none | large | {too_large, Bytes :: pos_integer()} | lost.
next_part(_Handle, _HeapLimit, _WithBinaries) -> erlang:nif_error(not_loaded()).

%% @doc As {@link next_part/3}, on a dirty scheduler.
-spec large_part(handle(), HeapLimit :: non_neg_integer(), WithBinaries :: boolean()) ->
    part() | none | {too_large, Bytes :: pos_integer()} | lost.
large_part(_Handle, _HeapLimit, _WithBinaries) -> erlang:nif_error(not_loaded()).

%% @doc Acks all results up to number `Seq', which has this cursor. `EndsPage': it is the last one of its page.
%% Durable at the checkpoint's next commit. Returns whether the next push may begin: see {@link may_push/1}.
-spec ack(handle(), Seq :: pos_integer(), Cursor :: binary(), EndsPage :: boolean()) -> ok | held | lost.
ack(_Handle, _Seq, _Cursor, _EndsPage) -> erlang:nif_error(not_loaded()).

%% @doc Whether a push may begin. In a cluster, `held': not at present, since acks cannot be saved or this host node may
%% be taken for dead; `lost': never again, since another host node owns the process, or it was started anew or
%% forgotten.
-spec may_push(handle()) -> ok | held | lost.
may_push(_Handle) -> erlang:nif_error(not_loaded()).

%% @doc Whether pushes may begin on this host node.
-spec lease_allows(engine()) -> boolean().
lease_allows(_Engine) -> erlang:nif_error(not_loaded()).

%% @doc Gives up the result with number `Seq': it becomes a dead letter in the same commit that acks it. `full':
%% there is no room, and nothing was done.
-spec give_up(handle(), Seq :: pos_integer(), Cursor :: binary(), EndsPage :: boolean(),
              Attempts :: pos_integer(), Result :: binary(), Error :: binary()) -> ok | full.
give_up(_Handle, _Seq, _Cursor, _EndsPage, _Attempts, _Result, _Error) ->
    erlang:nif_error(not_loaded()).

%% @doc As {@link give_up/7}, on a dirty scheduler: for a result whose copy takes long.
-spec give_up_large(handle(), Seq :: pos_integer(), Cursor :: binary(), EndsPage :: boolean(),
                    Attempts :: pos_integer(), Result :: binary(), Error :: binary()) -> ok | full.
give_up_large(_Handle, _Seq, _Cursor, _EndsPage, _Attempts, _Result, _Error) ->
    erlang:nif_error(not_loaded()).

%% @doc The monitor uses these nodes from now on, in turn.
-spec move_to(handle(), Nodes :: [binary(), ...]) -> ok | {error, {bad_node, binary()}}.
move_to(_Handle, _Nodes) -> erlang:nif_error(not_loaded()).

%% @doc Tells the engine the crons of the monitor's process: the values of all its tags `Cron-Interval', 64 at most.
-spec set_crons(handle(), Tags :: [binary()]) -> ok.
set_crons(_Handle, _Tags) -> erlang:nif_error(not_loaded()).

%% @doc Ends the registration. `Watched': whether the process is to be resumed when the node starts next. `wait':
%% `{hb_cron, Epoch, durable}' comes once every ack is durable; no other message follows.
-spec remove(handle(), Watched :: boolean()) -> durable | wait.
remove(_Handle, _Watched) -> erlang:nif_error(not_loaded()).

%% @doc Asks for dead letters of a process, the oldest first: those with numbers after one, at most so many, and no
%% more after so many bytes. The answer is the message `{hb_cron_answer, Number, {ok, [letter()], More, All} |
%% {error, Reason}}'. `More': whether there are more; `All': the number of all.
-spec letters(engine(), ProcId :: binary(), After :: non_neg_integer(),
              {Letters :: pos_integer(), Bytes :: non_neg_integer()}) -> Number :: pos_integer().
letters(_Engine, _ProcId, _After, _Most) -> erlang:nif_error(not_loaded()).

%% @doc Whether a process has a dead letter with this number.
-spec has_letter(engine(), ProcId :: binary(), Id :: non_neg_integer()) -> boolean().
has_letter(_Engine, _ProcId, _Id) -> erlang:nif_error(not_loaded()).

%% @doc Discards a dead letter. The calling process is sent `{hb_cron_answer, Number, ok | {error, Reason}}' once
%% that is durable.
-spec discard(engine(), ProcId :: binary(), Id :: non_neg_integer()) -> not_found | Number :: pos_integer().
discard(_Engine, _ProcId, _Id) -> erlang:nif_error(not_loaded()).

%% @doc Forgets a process and its dead letters, unless a registration of it has not ended. The calling process is
%% sent `{hb_cron_answer, Number, ok | {error, Reason}}' once that is durable.
-spec forget(engine(), ProcId :: binary()) -> monitored | Number :: pos_integer().
forget(_Engine, _ProcId) -> erlang:nif_error(not_loaded()).

%% @doc A process was stopped: it is not to be resumed, however its registration ends, unless the number of the
%% registration is `Fence' or higher.
-spec stopped(engine(), ProcId :: binary(), Fence :: epoch()) -> ok.
stopped(_Engine, _ProcId, _Fence) -> erlang:nif_error(not_loaded()).

%% @doc A process without a registration is to be resumed with these options.
-spec keep_options(engine(), ProcId :: binary(), Kept :: binary()) -> ok.
keep_options(_Engine, _ProcId, _Kept) -> erlang:nif_error(not_loaded()).

%% @doc The process of the registration with this number is to be resumed with these options. False: the
%% registration has ended, or there is a later one.
-spec keep_live_options(engine(), ProcId :: binary(), epoch(), Kept :: binary()) -> boolean().
keep_live_options(_Engine, _ProcId, _Epoch, _Kept) -> erlang:nif_error(not_loaded()).

%% @doc The calling process is sent `{hb_cron_answer, Number, ok | {error, Reason}}' once every earlier change is
%% durable.
-spec flush(engine()) -> Number :: pos_integer().
flush(_Engine) -> erlang:nif_error(not_loaded()).

%% @doc The processes that are to be resumed, and their kept options.
-spec watched(engine()) -> [{ProcId :: binary(), Kept :: binary()}].
watched(_Engine) -> erlang:nif_error(not_loaded()).

%% @doc The state of the checkpoint: `commits', `last_commit_us', `writing_for_ms' of the commit under way,
%% `dead_letters', `dead_letter_bytes', `failing' (1 while it cannot be written), and `replaced', the number of
%% times its file was found deleted or replaced and was written again.
-spec checkpoint_status(engine()) -> #{atom() => non_neg_integer()}.
checkpoint_status(_Engine) -> erlang:nif_error(not_loaded()).

%% @doc Makes all checkpoints of this node durable and closes their files. Returns those that are not durable
%% within `LimitMs', and why.
-spec close_checkpoints(LimitMs :: pos_integer()) -> [{Path :: binary(), Reason :: binary()}].
close_checkpoints(_LimitMs) -> erlang:nif_error(not_loaded()).

%% @doc Drops the contents of a checkpoint in memory.
-spec drop_memory() -> ok.
drop_memory() -> erlang:nif_error(not_loaded()).

%% @doc The calling process follows what this host node owns from now on. It gets `{hb_cron_cluster, Event}', see {@link
%% hb_cron_ownership}, and all owned shards first.
-spec cluster_attach(engine()) -> ok.
cluster_attach(_Engine) -> erlang:nif_error(not_loaded()).

%% @doc All monitors of a shard that is to be handed over have ended, and their acks are durable.
-spec cluster_stopped(engine(), Shard :: non_neg_integer(), Epoch :: integer()) -> ok.
cluster_stopped(_Engine, _Shard, _Epoch) -> erlang:nif_error(not_loaded()).

%% @doc Hands all shards over and leaves the cluster.
-spec cluster_leave(engine()) -> ok.
cluster_leave(_Engine) -> erlang:nif_error(not_loaded()).

%% @doc Sends a request to the database. Returns the number of the answer.
-spec cluster_request(engine(), hb_cron_cluster_request:request()) -> pos_integer().
cluster_request(_Engine, _Request) -> erlang:nif_error(not_loaded()).

%% @doc The shard of a process. Many starts are best recorded in the order of their shards.
-spec cluster_shard(ProcId :: binary()) -> non_neg_integer().
cluster_shard(_ProcId) -> erlang:nif_error(not_loaded()).

%% @doc Writes all processes of the cluster to a new checkpoint file. Returns the number of the answer, which is
%% `{ok, Processes, DeadLetters, Left}' or an error.
-spec cluster_export(engine(), Path :: binary()) -> pos_integer().
cluster_export(_Engine, _Path) -> erlang:nif_error(not_loaded()).

%% @doc Adds the processes of a checkpoint file to the cluster. `Replaces': also those that it has. Returns the number of
%% the answer, as {@link cluster_export/2}.
-spec cluster_import(engine(), Path :: binary(), Replaces :: boolean()) -> pos_integer().
cluster_import(_Engine, _Path, _Replaces) -> erlang:nif_error(not_loaded()).

%% @doc What this host node sees of the cluster.
-spec cluster_status(engine()) -> hb_cron_cluster:status().
cluster_status(_Engine) -> erlang:nif_error(not_loaded()).

%% @doc Asks for the state of these registrations, at most 1000. The loop answers with the message
%% `{hb_cron_answer, Number, [snapshot()]}'. Registrations that have ended are left out, and all of an engine that
%% has stopped.
-spec snapshots(engine(), [epoch()]) -> Number :: pos_integer().
snapshots(_Engine, _Epochs) -> erlang:nif_error(not_loaded()).

%% @doc Asks for the number of registrations in each state. The answer is the message `{hb_cron_answer, Number,
%% [{Doing, Count}]}'; `failing' counts those of all whose last fetch failed.
-spec census(engine()) -> Number :: pos_integer().
census(_Engine) -> erlang:nif_error(not_loaded()).

%% @doc Asks each of these nodes for a process's latest result, once, within limits in ms and bytes. For
%% each the calling process gets `{hb_cron_probe, Origin, Us, {ok, Cursor} | {error, Class, Text}}'.
-spec probe(engine(), ProcId :: binary(), Nodes :: [binary()],
            {ConnectMs :: pos_integer(), FirstByteMs :: pos_integer(), Ms :: pos_integer(), MaxBytes :: pos_integer()}) -> ok.
probe(_Engine, _ProcId, _Nodes, _Limits) -> erlang:nif_error(not_loaded()).

%% @doc The version of the running library.
-spec library_version() -> binary().
library_version() -> erlang:nif_error(not_loaded()).

%% @doc What the library has counted since it was loaded, over all engines: counters, histograms of durations, and
%% failed fetches by class.
-spec metrics() -> #{atom() => non_neg_integer() | hb_cron_push_meter:histogram()
                             | [{Class :: atom(), Count :: non_neg_integer()}]}.
metrics() -> erlang:nif_error(not_loaded()).

%% @doc `next': the calling process is sent `{hb_cron_events, Events}' with the waiting events or the next one, and
%% must ask again for more. `none': no more events are made.
-spec events_to_self(next | none) -> ok.
events_to_self(_Which) -> erlang:nif_error(not_loaded()).

%% @doc Whether a text is the base URL of a Compute Unit; if not, why.
-spec check_node(binary()) -> ok | {error, Reason :: binary()}.
check_node(_Node) -> erlang:nif_error(not_loaded()).

%% @doc The time of the result with this cursor, in ms since 1970; `undefined' if it is not a cursor of AO.
-spec cursor_time(binary()) -> non_neg_integer() | undefined.
cursor_time(_Cursor) -> erlang:nif_error(not_loaded()).

%% @doc Sends the library's log records up to `Level' to the calling process, each as `{hb_cron_log, Level, Target,
%% Text, DroppedBefore}'.
-spec log_to_self(Level :: none | error | warning | info | debug | trace) -> ok.
log_to_self(_Level) -> erlang:nif_error(not_loaded()).

not_loaded() ->
    {nif_not_loaded, persistent_term:get(?REASON, [])}.
