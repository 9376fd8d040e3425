%%% @doc The states of monitors: of one, or in listings. No monitor is asked, since it may be in a push: states
%%% come from the tables, from the status words, and from the engine, for many monitors at a time. {@link
%%% hb_cron_table} prints them.
-module(hb_cron_info).

-export([info/1, list/1, of_processes/1, all/0, count/0, states/0]).

-export_type([info/0, summary/0, state/0, trouble/0, asks/0, list_options/0, id/0]).

-type id() :: pid() | hb_process_monitor:process_id().

-type state() :: starting | resolving | idle | polling | pushing | backing_off
               | pausing | paused | stopping | unknown.
%% `starting': not registered with the engine yet, or another monitor of the process still finishes a push.
%% `resolving': it looks up where to begin, or makes that durable. `idle': it waits for its next tick. `polling':
%% it fetches, or waits for a place to fetch. `pushing': there are results that are not acked. `backing_off': a
%% fetch or a push failed, and is retried later. `pausing': a pause was requested, and it is still in a push.
%% `unknown': the engine did not answer.

-type trouble() :: #{what := fetch | push, class := atom(), text := binary(), failures := pos_integer(),
                     ago := non_neg_integer()}.
%% The last failure that was not followed by a success; `ago' in ms. The log has earlier ones.

-type asks() :: #{how := every_tick, why := rate | no_result | untimed | unseen | delay}
              | #{how := expected, every := pos_integer(), result_time := non_neg_integer()}
              | #{how := rarely}.
%% `every_tick', because: the option `cron_poll' says so; there was no result since the monitor registered with the
%% engine; a cron runs in blocks, or its cursors do not say when it runs; a cron did not run since the registration; the
%% CU's delay is not known yet. `expected': from when the next result is expected, that of a cron with this interval in s,
%% which has this time, in ms since the Unix epoch. `rarely': by the tags of the process, none of its crons ever runs.

-type summary() :: #{
    process := binary(),
    monitor := pid(),
    state := state(),
    cursor_age := non_neg_integer() | undefined,
    lag := non_neg_integer() | undefined,
    last_result := integer() | undefined,
    unacked := non_neg_integer(),
    at_push := non_neg_integer() | undefined,
    error := trouble() | undefined,
    next_tick := non_neg_integer() | undefined,
    next_result := non_neg_integer() | undefined,
    dead_letters := non_neg_integer()
}.
%% `cursor_age': how long ago the last acked result was made, by its own time, in ms like all times here; `lag':
%% how long after that it was pushed. Both only if cursors are AO's. `last_result': when a result was last pushed,
%% in ms since the Unix epoch. `at_push': how long its current push has taken. `next_result': how long until the next
%% result is expected, if there is a telling.

-type info() :: #{
    %% As in a summary.
    process := binary(), monitor := pid(), state := state(), cursor_age := non_neg_integer() | undefined,
    lag := non_neg_integer() | undefined, last_result := integer() | undefined,
    unacked := non_neg_integer(), at_push := non_neg_integer() | undefined,
    error := trouble() | undefined, next_tick := non_neg_integer() | undefined,
    next_result := non_neg_integer() | undefined, dead_letters := non_neg_integer(),
    %% And these.
    logger := hb_cron_host_logger:logger(),
    rate := pos_integer(),
    cursor := binary() | earliest | undefined,
    cursor_time := non_neg_integer() | undefined,
    buffered_bytes := non_neg_integer(),
    stalled := boolean(),
    next_try := non_neg_integer() | undefined,
    requests_per_result := float() | undefined,
    asks := asks() | undefined,
    longest_gap := non_neg_integer() | undefined,
    crons := [hb_process_monitor_nif:cron()] | undefined,
    node := binary() | undefined,
    nodes := [#{node := binary(), breaker := hb_process_monitor_nif:breaker()}],
    push := term(),
    supervised := boolean()
}.
%% Everything about a monitor. `cursor': of the last ack, or the starting point. `stalled': its current push takes
%% longer than `cron_push_stall'. `requests_per_result' since the monitor registered with the
%% engine; `asks': when it asks, and why; `longest_gap': the longest time without a request, unless it asks at every
%% tick in any case; `crons': by the process's tags, if the host could read them. `node': the CU that is asked next, without user information; `nodes': all of
%% them, with the breakers of their hosts.

-type list_options() :: #{start_after => hb_process_monitor:process_id() | <<>>, limit => 1..1000,
                          state => state() | [state()], prefix => binary(), look_at => pos_integer() | infinity}.
%% `start_after': the process after which the listing begins, in the order of ids; `limit': its length, 100 by
%% default; `state': only monitors in these states; `prefix': only ids that begin with it. `look_at': how many
%% monitors are examined at most, so that a rare state does not make the call take long. A listing that ends for
%% that reason may hold few rows or none, and still names the next process.

-define(LIMIT, 100).
%% How many monitors the engine is asked about at a time: a millisecond of its loop.
-define(BATCH, 500).

%% What the engine returns for a monitor that is not registered.
-define(UNREGISTERED, {0, none, unknown, none, 0, 0, {0, none}, {none, none}, {0, []}, 0, {none, 0, 0}, {none, none, none}}).

%% @doc Every state, the worst last.
-spec states() -> [state(), ...].
states() ->
    [idle, polling, pushing, resolving, starting, pausing, paused, stopping, backing_off, unknown].

%% @doc Everything about the monitor of a process; `undefined' if there is none. In a cluster the database is asked for
%% the owner of a process without a monitor on this host node. If it does not answer, the result is `undefined', too.
-spec info(id()) -> info() | {elsewhere, Name :: binary()} | undefined.
info(Pid) when is_pid(Pid) ->
    case hb_cron_registry:words(Pid) of
        {ok, _, _} -> here(Pid);
        none ->
            case hb_cron_stand_ins:process_of(Pid) of
                {ok, ProcId} -> info(ProcId);
                none -> undefined
            end
    end;
info(ProcID) ->
    case monitor_of(ProcID) of
        {ok, Monitor} -> here(Monitor);
        none -> elsewhere(hb_cron_process_id:new(ProcID))
    end.

elsewhere(ProcId) ->
    case hb_cron_cluster:is_on() andalso hb_cron_cluster:where(ProcId) of
        {ok, Name} -> {elsewhere, Name};
        _ -> undefined
    end.

here(Monitor) ->
    case hb_cron_registry:words(Monitor) of
        {ok, ProcId, Words} ->
            case is_process_alive(Monitor) of
                true -> full(ProcId, Monitor, Words);
                false -> undefined
            end;
        none ->
            undefined
    end.

%% The process's current monitor, otherwise one that still finishes a push.
monitor_of(ProcID) ->
    ProcId = hb_cron_process_id:new(ProcID),
    case hb_cron_registry:listing_of(ProcId) of
        [{_, Monitor}] -> {ok, Monitor};
        [] ->
            case hb_cron_registry:stopping(ProcId) of
                [Monitor | _] -> {ok, Monitor};
                [] -> none
            end
    end.

full(ProcId, Monitor, Words) ->
    {Logger, Options} = case hb_cron_registry:find(ProcId) of
        {ok, {Monitor, Known, Given}} -> {Known, Given};
        _ -> {undefined, #{}}
    end,
    [{_, _, _, Snapshot} = Row] = with_snapshots([{ProcId, Monitor, Words}]),
    {_, _, Cursor, CursorTime, _, Buffered, _, {_, NextTry}, {Asked, Nodes}, _, {_, Requests, Results},
     {Asks, Longest, Crons}} = Snapshot,
    #{at_push := AtPush} = Summary = summary(is_leaving(ProcId, Monitor), clocks(), Row),
    PushTry = case hb_cron_registry:trouble(Monitor) of
        {_, _, _, _, At} -> max(0, At - now_ms());
        none -> undefined
    end,
    Summary#{
        logger => Logger,
        rate => maps:get(rate, Options, undefined),
        cursor => case Cursor of unknown -> maps:get(cursor, Options, undefined); _ -> Cursor end,
        cursor_time => or_undefined(CursorTime),
        buffered_bytes => Buffered,
        stalled => is_integer(AtPush) andalso AtPush >= stall(Options),
        asks => asks(Asks),
        longest_gap => or_undefined(Longest),
        crons => or_undefined(Crons),
        requests_per_result => case Results of 0 -> undefined; _ -> Requests / Results end,
        next_try => case PushTry of undefined -> or_undefined(NextTry); _ -> PushTry end,
        node => case length(Nodes) > Asked of true -> element(1, lists:nth(Asked + 1, Nodes)); false -> undefined end,
        nodes => [#{node => Node, breaker => Breaker} || {Node, Breaker} <- Nodes],
        push => case Options of #{cron_push := _} -> hb_cron_host:device_name(Options); #{} -> undefined end,
        supervised => maps:get(supervised, Options, false)
    }.

asks({every_tick, Why}) -> #{how => every_tick, why => Why};
asks({expecting, Every, Second}) -> #{how => expected, every => Every, result_time => Second * 1000};
asks(rarely) -> #{how => rarely};
asks(none) -> undefined.

stall(#{settings := _} = Options) -> maps:get(cron_push_stall, hb_cron_options:settings(Options));
stall(#{}) -> infinity.

%% @doc One listing of monitors, and the process after which the next one begins; `done' if there is no more.
-spec list(list_options()) -> {[summary()], Next :: binary() | done}.
list(Options) ->
    lists:foreach(fun check/1, maps:to_list(Options)),
    After = case Options of
        #{start_after := <<>>} -> <<>>;
        #{start_after := ProcID} -> hb_cron_process_id:new(ProcID);
        #{} -> <<>>
    end,
    Wanted = case Options of
        #{state := States} when is_list(States) -> States;
        #{state := State} -> [State];
        #{} -> any
    end,
    Prefix = maps:get(prefix, Options, <<>>),
    Begin = max(After, before(Prefix)),
    list(Begin, maps:get(limit, Options, ?LIMIT), maps:get(look_at, Options, infinity), {Wanted, Prefix}, []).

check({start_after, _}) -> ok;
check({limit, Limit}) when is_integer(Limit), Limit >= 1, Limit =< 1000 -> ok;
check({prefix, Prefix}) when is_binary(Prefix) -> ok;
check({look_at, infinity}) -> ok;
check({look_at, Most}) when is_integer(Most), Most >= 1 -> ok;
check({state, State} = Option) ->
    [] =:= lists:flatten([State]) -- states() orelse error({bad_option, state, element(2, Option)}),
    ok;
check({Key, Value}) -> error({bad_option, Key, Value}).

%% Comes after all ids with a prefix: ids are ASCII.
before(<<>>) -> <<>>;
before(Prefix) ->
    {Init, <<Last>>} = split_binary(Prefix, byte_size(Prefix) - 1),
    case Last of
        0 -> Init;
        _ -> <<Init/binary, (Last - 1), 255>>
    end.

list(After, Limit, Look, {Wanted, Prefix} = Filter, Found) ->
    Left = Limit - length(Found),
    %% Few may be in the requested states: then more are examined at a time.
    Batch = min(Look, case Wanted of any -> min(Left, ?BATCH); _ -> ?BATCH end),
    Looked = hb_cron_registry:listing(After, Batch),
    Listing = lists:takewhile(fun({ProcId, _}) -> begins_with(ProcId, Prefix) end, Looked),
    Rows = summaries(Listing, Wanted),
    case length(Rows) of
        Enough when Enough > Left; Enough =:= Left, Left > 0 ->
            Taken = lists:sublist(Rows, Left),
            {Found ++ Taken, next(maps:get(process, lists:last(Taken)), Prefix)};
        _ when length(Listing) < Batch ->
            {Found ++ Rows, done};
        _ when Batch =:= Look ->
            {Found ++ Rows, next(element(1, lists:last(Listing)), Prefix)};
        _ ->
            Further = case Look of infinity -> infinity; _ -> Look - Batch end,
            list(element(1, lists:last(Listing)), Limit, Further, Filter, Found ++ Rows)
    end.

begins_with(_ProcId, <<>>) -> true;
begins_with(ProcId, Prefix) -> binary:longest_common_prefix([ProcId, Prefix]) =:= byte_size(Prefix).

next(ProcId, Prefix) ->
    case hb_cron_registry:listing(ProcId, 1) of
        [{Next, _}] -> case begins_with(Next, Prefix) of true -> ProcId; false -> done end;
        [] -> done
    end.

%% @doc The monitors of these processes, at most 500, in this order. Processes without a monitor are left out.
-spec of_processes([ProcId :: binary()]) -> [summary()].
of_processes(ProcIds) when length(ProcIds) =< ?BATCH ->
    summaries([Row || ProcId <- ProcIds, Row <- hb_cron_registry:listing_of(ProcId)], any).

%% @doc All monitors, in the order of their processes.
-spec all() -> [summary()].
all() -> all(<<>>).

all(After) ->
    case hb_cron_registry:listing(After, ?BATCH) of
        [] -> [];
        Listing -> summaries(Listing, any) ++ all(element(1, lists:last(Listing)))
    end.

%% @doc Approximately how many there are.
-spec count() -> non_neg_integer().
count() -> hb_cron_registry:size().

%% The rows in one of these states.
summaries(Listing, Wanted) ->
    Rows = [{ProcId, Monitor, Words} || {ProcId, Monitor} <- Listing,
                                        {ok, _, Words} <- [hb_cron_registry:words(Monitor)],
                                        is_process_alive(Monitor)],
    %% Rows of a listing are current monitors, which are not stopping.
    All = with_snapshots(Rows),
    Clocks = clocks(),
    [Summary || Row <- All, #{state := State} = Summary <- [summary(false, Clocks, Row)],
                Wanted =:= any orelse lists:member(State, Wanted)].

%% One question to the engine for all.
with_snapshots(Rows) ->
    Epochs = [Epoch || {_, _, Words} <- Rows, Epoch <- [hb_cron_status_words:epoch(Words)], Epoch =/= none],
    {Known, None} = case hb_cron_inspection:snapshots(Epochs) of
        timeout -> {#{}, setelement(2, ?UNREGISTERED, unknown)};
        Snapshots -> {Snapshots, ?UNREGISTERED}
    end,
    [{ProcId, Monitor, Words, maps:get(hb_cron_status_words:epoch(Words), Known, None)}
     || {ProcId, Monitor, Words} <- Rows].

%% The monotonic clock, and the offset of the system's clock, in ms: the same for a whole listing.
clocks() -> {now_ms(), erlang:time_offset(millisecond)}.

summary(IsLeaving, {Now, Offset}, {ProcId, Monitor, Words, Snapshot}) ->
    {_, Doing, _, CursorTime, Unacked, _, Fetch, {NextTick, _}, _, Letters, {NextResult, _, _}, _} = Snapshot,
    LastPush = case hb_cron_status_words:last_push(Words) of
        undefined -> undefined;
        At -> At + Offset
    end,
    AtPush = since(hb_cron_status_words:at_push(Words), Now),
    Push = hb_cron_registry:trouble(Monitor),
    #{process => ProcId,
      monitor => Monitor,
      state => state(IsLeaving, hb_cron_status_words:pause(Words), Push, AtPush, Doing),
      cursor_age => age(CursorTime, Now + Offset),
      lag => age(CursorTime, LastPush),
      last_result => LastPush,
      unacked => Unacked,
      at_push => AtPush,
      error => trouble(Push, Fetch, Now),
      next_tick => or_undefined(NextTick),
      next_result => or_undefined(NextResult),
      dead_letters => Letters}.

%% The most certain source first: a request to pause, the monitor, the engine.
state(true, _Pause, _Push, _AtPush, _Doing) -> stopping;
state(_, yes, _Push, _AtPush, _Doing) -> paused;
state(_, wanted, _Push, _AtPush, _Doing) -> pausing;
state(_, no, _Push, AtPush, _Doing) when AtPush =/= undefined -> pushing;
state(_, no, Push, _AtPush, _Doing) when Push =/= none -> backing_off;
state(_, no, none, undefined, none) -> starting;
%% It has just been resumed, which the engine does not know yet.
state(_, no, none, undefined, paused) -> starting;
state(_, no, none, undefined, Doing) -> Doing.

is_leaving(ProcId, Monitor) ->
    case hb_cron_registry:listing_of(ProcId) of
        [{_, Monitor}] -> false;
        _ -> true
    end.

trouble({Class, Text, Failures, At, _}, _Fetch, Now) ->
    #{what => push, class => Class, text => Text, failures => Failures, ago => max(0, Now - At)};
trouble(none, {Failures, {Class, Text, Ago}}, _Now) ->
    #{what => fetch, class => Class, text => Text, failures => Failures, ago => Ago};
trouble(none, _, _Now) ->
    undefined.

age(Then, Now) when is_integer(Then), is_integer(Now) -> max(0, Now - Then);
age(_, _) -> undefined.

since(undefined, _Now) -> undefined;
since(Began, Now) -> max(0, Now - Began).

or_undefined(none) -> undefined;
or_undefined(Value) -> Value.

now_ms() -> erlang:monotonic_time(millisecond).
