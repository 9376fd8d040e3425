%%% @doc How monitors fare, for an operator: one of them, or page by page. Nothing here asks a monitor,
%%% which may be at a push: it is read from the tables, from what each notes of itself, and from the
%%% engine, many at a time. How it looks on a console is {@link hb_cron_table}'s business.
-module(hb_cron_info).

-export([info/1, list/1, all/0, count/0, states/0]).
%% Pausing
-export([pause/1, resume/1]).

-export_type([info/0, summary/0, state/0, trouble/0, list_options/0, id/0]).

-type id() :: pid() | hb_process_monitor:process_id().

-type state() :: starting | resolving | idle | polling | pushing | backing_off
               | pausing | paused | stopping | unknown.
%% `starting': not registered with the engine, which is being started again, or another monitor of the
%% process still finishes a push. `resolving': it looks up where to begin, or makes that durable.
%% `waiting': for its next tick. `polling': it asks the CU, or waits for its turn to. `pushing': there are
%% results that are not acked. `backing_off': a fetch or a push failed, and is tried again later.
%% `pausing': it was told to pause, and is at a push still. `unknown': the engine did not answer.

-type trouble() :: #{what := fetch | push, class := atom(), text := binary(), failures := pos_integer(),
                     ago := non_neg_integer()}.
%% The last failure of what has not succeeded since; `ago' in ms. The log has those that are over.

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
    dead_letters := non_neg_integer()
}.
%% `cursor_age': how long ago the last result acked was made, by its own time, in ms, as all here; `lag':
%% how long after that it was pushed. Both only where cursors are AO's. `last_result': when a result was
%% last pushed, in ms since the Unix epoch. `at_push': for how long it has been at the push that it is at.

-type info() :: #{
    %% As in a summary.
    process := binary(), monitor := pid(), state := state(), cursor_age := non_neg_integer() | undefined,
    lag := non_neg_integer() | undefined, last_result := integer() | undefined,
    unacked := non_neg_integer(), at_push := non_neg_integer() | undefined,
    error := trouble() | undefined, next_tick := non_neg_integer() | undefined,
    dead_letters := non_neg_integer(),
    %% And these.
    logger := hb_cron_host_logger:logger(),
    rate := pos_integer(),
    cursor := binary() | earliest | undefined,
    cursor_time := non_neg_integer() | undefined,
    buffered_bytes := non_neg_integer(),
    stalled := boolean(),
    next_try := non_neg_integer() | undefined,
    node := binary() | undefined,
    nodes := [#{node := binary(), breaker := hb_process_monitor_nif:breaker()}],
    push := term(),
    supervised := boolean()
}.
%% All that is known of a monitor. `cursor': after the last result acked, or where it begins. `stalled': it
%% has been at one push for longer than `cron_push_stall'. `node': the CU that is asked next, without user
%% information; `nodes': all of them, with the breakers of their hosts.

-type list_options() :: #{start_after => hb_process_monitor:process_id() | <<>>, limit => 1..1000,
                          state => state() | [state()], prefix => binary(), look_at => pos_integer() | infinity}.
%% `start_after': the process behind which the page begins, in the order of their ids; `limit': how many at
%% most, 100 if it is not given; `state': only those; `prefix': only those whose ids begin with it. `look_at':
%% how many are looked at for a page at most, so that a state that is rare does not make it take long. A page
%% that ends for that may hold few or none, and still says where to go on.

-define(LIMIT, 100).
%% How many the engine is asked about at a time: a millisecond of its loop.
-define(BATCH, 500).

%% What the engine says of one that is not registered.
-define(UNREGISTERED, {0, none, unknown, none, 0, 0, {0, none}, {none, none}, {0, []}, 0}).

%% @doc Every state, the worst last.
-spec states() -> [state(), ...].
states() ->
    [idle, polling, pushing, resolving, starting, pausing, paused, stopping, backing_off, unknown].

%% @doc All about the monitor of a process; `undefined' if there is none.
-spec info(id()) -> info() | undefined.
info(Monitor) when is_pid(Monitor) ->
    case hb_cron_registry:marks(Monitor) of
        {ok, ProcId, Marks} ->
            case is_process_alive(Monitor) of
                true -> full(ProcId, Monitor, Marks);
                false -> undefined
            end;
        none ->
            undefined
    end;
info(ProcID) ->
    case monitor_of(ProcID) of
        {ok, Monitor} -> info(Monitor);
        none -> undefined
    end.

%% The one that stands for the process, else one that still finishes a push.
monitor_of(ProcID) ->
    ProcId = hb_cron_process_id:new(ProcID),
    case hb_cron_registry:page_of(ProcId) of
        [{_, Monitor}] -> {ok, Monitor};
        [] ->
            case hb_cron_registry:stopping(ProcId) of
                [Monitor | _] -> {ok, Monitor};
                [] -> none
            end
    end.

full(ProcId, Monitor, Marks) ->
    {Logger, Options} = case hb_cron_registry:find(ProcId) of
        {ok, {Monitor, Known, Given}} -> {Known, Given};
        _ -> {undefined, #{}}
    end,
    [{_, _, _, Snapshot} = Row] = with_snapshots([{ProcId, Monitor, Marks}]),
    {_, _, Cursor, CursorTime, _, Buffered, _, {_, NextTry}, {Asked, Nodes}, _} = Snapshot,
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
        next_try => case PushTry of undefined -> or_undefined(NextTry); _ -> PushTry end,
        node => case length(Nodes) > Asked of true -> element(1, lists:nth(Asked + 1, Nodes)); false -> undefined end,
        nodes => [#{node => Node, breaker => Breaker} || {Node, Breaker} <- Nodes],
        push => case Options of #{cron_push := _} -> hb_cron_host:device_name(Options); #{} -> undefined end,
        supervised => maps:get(supervised, Options, false)
    }.

stall(#{settings := _} = Options) -> maps:get(cron_push_stall, hb_cron_options:settings(Options));
stall(#{}) -> infinity.

%% @doc A page of monitors, and the process to begin the next one after; `done' if there is no more.
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

%% What lies behind all ids that come before those with a prefix: ids are of ASCII.
before(<<>>) -> <<>>;
before(Prefix) ->
    {Init, <<Last>>} = split_binary(Prefix, byte_size(Prefix) - 1),
    case Last of
        0 -> Init;
        _ -> <<Init/binary, (Last - 1), 255>>
    end.

list(After, Limit, Look, {Wanted, Prefix} = Filter, Found) ->
    Left = Limit - length(Found),
    %% Of those in a state that is asked for there may be few: then more are looked through at a time.
    Batch = min(Look, case Wanted of any -> min(Left, ?BATCH); _ -> ?BATCH end),
    Looked = hb_cron_registry:page(After, Batch),
    Page = lists:takewhile(fun({ProcId, _}) -> begins_with(ProcId, Prefix) end, Looked),
    Rows = summaries(Page, Wanted),
    case length(Rows) of
        Enough when Enough > Left; Enough =:= Left, Left > 0 ->
            Taken = lists:sublist(Rows, Left),
            {Found ++ Taken, next(maps:get(process, lists:last(Taken)), Prefix)};
        _ when length(Page) < Batch ->
            {Found ++ Rows, done};
        _ when Batch =:= Look ->
            {Found ++ Rows, next(element(1, lists:last(Page)), Prefix)};
        _ ->
            Further = case Look of infinity -> infinity; _ -> Look - Batch end,
            list(element(1, lists:last(Page)), Limit, Further, Filter, Found ++ Rows)
    end.

begins_with(_ProcId, <<>>) -> true;
begins_with(ProcId, Prefix) -> binary:longest_common_prefix([ProcId, Prefix]) =:= byte_size(Prefix).

next(ProcId, Prefix) ->
    case hb_cron_registry:page(ProcId, 1) of
        [{Next, _}] -> case begins_with(Next, Prefix) of true -> ProcId; false -> done end;
        [] -> done
    end.

%% @doc All monitors, in the order of their processes.
-spec all() -> [summary()].
all() -> all(<<>>).

all(After) ->
    case hb_cron_registry:page(After, ?BATCH) of
        [] -> [];
        Page -> summaries(Page, any) ++ all(element(1, lists:last(Page)))
    end.

%% @doc How many there are, about.
-spec count() -> non_neg_integer().
count() -> hb_cron_registry:size().

%% Those that are in one of these states.
summaries(Page, Wanted) ->
    Rows = [{ProcId, Monitor, Marks} || {ProcId, Monitor} <- Page,
                                        {ok, _, Marks} <- [hb_cron_registry:marks(Monitor)],
                                        is_process_alive(Monitor)],
    %% A page is of those that stand for their processes, and so are not leaving.
    All = with_snapshots(Rows),
    Clocks = clocks(),
    [Summary || Row <- All, #{state := State} = Summary <- [summary(false, Clocks, Row)],
                Wanted =:= any orelse lists:member(State, Wanted)].

%% One question to the engine for all.
with_snapshots(Rows) ->
    Epochs = [Epoch || {_, _, Marks} <- Rows, Epoch <- [hb_cron_status_words:epoch(Marks)], Epoch =/= none],
    {Known, None} = case hb_cron_inspection:snapshots(Epochs) of
        timeout -> {#{}, setelement(2, ?UNREGISTERED, unknown)};
        Snapshots -> {Snapshots, ?UNREGISTERED}
    end,
    [{ProcId, Monitor, Marks, maps:get(hb_cron_status_words:epoch(Marks), Known, None)}
     || {ProcId, Monitor, Marks} <- Rows].

%% The monotonic clock, and how much the system's is ahead of it, in ms: the same for all of a page.
clocks() -> {now_ms(), erlang:time_offset(millisecond)}.

summary(IsLeaving, {Now, Offset}, {ProcId, Monitor, Marks, Snapshot}) ->
    {_, Doing, _, CursorTime, Unacked, _, Fetch, {NextTick, _}, _, Letters} = Snapshot,
    LastPush = case hb_cron_status_words:last_push(Marks) of
        undefined -> undefined;
        At -> At + Offset
    end,
    AtPush = since(hb_cron_status_words:at_push(Marks), Now),
    Push = hb_cron_registry:trouble(Monitor),
    #{process => ProcId,
      monitor => Monitor,
      state => state(IsLeaving, hb_cron_status_words:pause(Marks), Push, AtPush, Doing),
      cursor_age => age(CursorTime, Now + Offset),
      lag => age(CursorTime, LastPush),
      last_result => LastPush,
      unacked => Unacked,
      at_push => AtPush,
      error => trouble(Push, Fetch, Now),
      next_tick => or_undefined(NextTick),
      dead_letters => Letters}.

%% By whoever knows best: the operator, the monitor, the engine.
state(true, _Pause, _Push, _AtPush, _Doing) -> stopping;
state(_, yes, _Push, _AtPush, _Doing) -> paused;
state(_, wanted, _Push, _AtPush, _Doing) -> pausing;
state(_, no, _Push, AtPush, _Doing) when AtPush =/= undefined -> pushing;
state(_, no, Push, _AtPush, _Doing) when Push =/= none -> backing_off;
state(_, no, none, undefined, none) -> starting;
%% It has just been resumed, and the engine is about to hear of it.
state(_, no, none, undefined, paused) -> starting;
state(_, no, none, undefined, Doing) -> Doing.

is_leaving(ProcId, Monitor) ->
    case hb_cron_registry:page_of(ProcId) of
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

%% @doc Has a monitor pause.
-spec pause(id()) -> ok | {error, not_monitored}.
pause(Id) ->
    told(Id, true, fun(Monitor, Marks) ->
        ok = hb_cron_status_words:ask_to_pause(Marks),
        hb_cron_monitor:pause(Monitor)
    end).

%% @doc Has a monitor that has paused go on.
-spec resume(id()) -> ok | {error, not_monitored}.
resume(Id) ->
    told(Id, false, fun(Monitor, _Marks) -> hb_cron_monitor:resume(Monitor) end).

told(Id, Paused, Tell) ->
    case marks_of(Id) of
        {ok, Monitor, Marks} -> Tell(Monitor, Marks);
        none -> crashed(Id, Paused, Tell)
    end.

%% One that is stopping is not the process's monitor any more.
marks_of(Monitor) when is_pid(Monitor) ->
    case hb_cron_registry:marks(Monitor) of
        {ok, ProcId, Marks} ->
            case is_leaving(ProcId, Monitor) of
                false -> {ok, Monitor, Marks};
                true -> none
            end;
        none -> none
    end;
marks_of(ProcID) ->
    case hb_cron_registry:page_of(hb_cron_process_id:new(ProcID)) of
        [{_, Monitor}] -> marks_of(Monitor);
        [] -> none
    end.

%% A monitor that crashed: what waits to be started in its place, or runs by now, is to pause.
crashed(Monitor, Paused, Tell) when is_pid(Monitor) ->
    case hb_cron_restarts:crashed(Monitor) of
        {ok, ProcId} -> told(ProcId, Paused, Tell);
        none -> {error, not_monitored}
    end;
crashed(ProcID, Paused, Tell) ->
    ProcId = hb_cron_process_id:new(ProcID),
    Change = fun({monitor, Options}) -> {monitor, hb_cron_options:set_paused(Paused, Options)}; (Start) -> Start end,
    case hb_cron_restarts:set_options(ProcId, Change) of
        {ok, {monitor, #{kept := Kept}}} ->
            ok = case hb_cron_registry:engine() of
                {ok, Engine, _} -> hb_process_monitor_nif:keep_options(Engine, ProcId, hb_cron_options:pack(Kept));
                none -> ok
            end;
        {ok, _} ->
            {error, not_monitored};
        none ->
            %% It may have been started since.
            case marks_of(ProcId) of
                {ok, Started, Marks} -> Tell(Started, Marks);
                none -> {error, not_monitored}
            end
    end.
