%%% @doc Pushes the results of a part of a page, one after the other, and acks each. It runs in the monitor, and
%%% returns if the part is done, a push failed, or the mailbox holds a message. The monitor decides what to do
%%% then.
-module(hb_cron_push_loop).

-export([new/6, next/1, run/4, one/3, give_up/7, works_since/2]).

-export_type([pushing/0, part/0, stop/0]).

%% The most bytes that are copied on a normal scheduler: a few tens of microseconds.
-define(LARGE, 65536).

-record(pushing, {
    proc_id :: binary(),
    logger :: hb_cron_host_logger:logger(),
    device :: hb_cron_host:device(),
    options :: hb_cron_options:monitor(),
    %% Where this process publishes that it is in a push.
    words :: hb_cron_status_words:words(),
    %% Where all monitors with the same device note that it works.
    works :: atomics:atomics_ref(),
    %% The receiver of events, determined once for each part.
    events = none :: module() | none
}).

-opaque pushing() :: #pushing{}.
%% What is the same for each push.

-type part() :: hb_process_monitor_nif:part().
%% Results to push.

-type stop() :: done
              | {more, part()}
              | {held, part()}
              | lost
              | {failed, Reason :: term(), Left :: map(), hb_cron_host:host_state(), part()}.
%% Why the loop stopped. `held': in a cluster, this host node must not push at present. `lost': another host node owns
%% the process now, or it was started anew or forgotten. `Left' is what is left of the result that failed, the first of
%% the rest.

%% @doc The state before the first push.
-spec new(ProcId :: binary(), hb_cron_host_logger:logger(), hb_cron_host:device(),
          hb_cron_options:monitor(), hb_cron_status_words:words(), Works :: atomics:atomics_ref()) -> pushing().
new(ProcId, Logger, Device, Options, Words, Works) ->
    #pushing{proc_id = ProcId, logger = Logger, device = Device, options = Options,
             words = Words, works = Works}.

%% @doc The next part, after the last one is pushed. `none': a message says when there is one. `too_large': the VM
%% would kill this process for taking it. `lost': nothing more comes of this registration.
-spec next(hb_process_monitor_nif:handle()) -> part() | none | {too_large, Bytes :: pos_integer()} | lost.
next(Handle) ->
    {Limit, WithBinaries} = heap_limit(),
    case hb_process_monitor_nif:next_part(Handle, Limit, WithBinaries) of
        large -> hb_process_monitor_nif:large_part(Handle, Limit, WithBinaries);
        Part -> Part
    end.

%% The size at which the VM kills this process, in bytes, 0 if it does not; and whether binaries count, which is
%% possible since OTP 28.
heap_limit() ->
    case process_info(self(), max_heap_size) of
        {max_heap_size, #{size := Words, kill := true} = Limit} ->
            {Words * erlang:system_info(wordsize), maps:get(include_shared_binaries, Limit, false)};
        _ ->
            {0, false}
    end.

%% @doc Pushes until the loop stops. Returns how many results were pushed and acked, and the cursor of the last
%% one.
-spec run(hb_process_monitor_nif:handle(), part(), hb_cron_options:cursor(), pushing()) ->
    {Pushed :: non_neg_integer(), hb_cron_options:cursor(), stop()}.
run(Handle, Part, Cursor, Pushing) ->
    case hb_process_monitor_nif:may_push(Handle) of
        ok -> run_allowed(Handle, Part, Cursor, Pushing);
        held -> {0, Cursor, {held, Part}};
        lost -> {0, Cursor, lost}
    end.

run_allowed(Handle, {First, Results, EndsPage}, Cursor, #pushing{words = Words} = Pushing) ->
    Now = now_us(),
    ok = begins(Now, Pushing),
    {Seq, LastCursor, Tally, Stop} = loop(Handle, First, Results, EndsPage, Cursor, Now,
                                          hb_cron_push_meter:tally(), with_events(Pushing)),
    ok = hb_cron_status_words:push_ends(Words),
    ok = pushed(Seq - First, Now, LastCursor, Pushing),
    ok = hb_cron_push_meter:settle(Tally),
    {Seq - First, LastCursor, Stop}.

pushed(0, _Began, _Cursor, _Pushing) ->
    ok;
pushed(Count, Began, Cursor, #pushing{words = Words, proc_id = ProcId}) ->
    Now = now_us(),
    ok = hb_cron_status_words:pushed(Words, ms(Now)),
    hb_cron_history:pushed(ProcId, Count, Now - Began, Cursor).

%% The end of one push is the beginning of the next. The loop makes no garbage beyond that of the push: a copy of
%% the monitor's state for each result cost a tenth of the loop.
loop(Handle, Seq, [Result | Rest] = Results, EndsPage, Cursor, Now, Tally, Pushing) ->
    #pushing{words = Words, works = Works} = Pushing,
    NowMs = ms(Now),
    ok = hb_cron_status_words:push_begins(Words, NowMs),
    case push(Result, Cursor, Pushing) of
        ok ->
            #{<<"cursor">> := Acked} = Result,
            MayPush = hb_process_monitor_nif:ack(Handle, Seq, Acked, EndsPage andalso Rest =:= []),
            Then = now_us(),
            ThenMs = ms(Then),
            ThenMs =:= NowMs orelse hb_cron_status_words:pushed(Words, ThenMs),
            ok = device_works(Works, ThenMs),
            Counted = hb_cron_push_meter:pushed(Then - Now, Tally),
            next(MayPush, Handle, Seq + 1, Rest, EndsPage, Acked, Then, Counted, Pushing);
        {error, Reason, Left, Host} ->
            {Seq, Cursor, Tally, {failed, Reason, Left, Host, {Seq, Results, EndsPage}}}
    end.

%% Checking the mailbox takes a fraction of what a message to oneself would.
next(_MayPush, _Handle, Seq, [], _EndsPage, Cursor, _Now, Tally, _Pushing) ->
    {Seq, Cursor, Tally, done};
next(held, _Handle, Seq, Results, EndsPage, Cursor, _Now, Tally, _Pushing) ->
    {Seq, Cursor, Tally, {held, {Seq, Results, EndsPage}}};
next(lost, _Handle, Seq, _Results, _EndsPage, Cursor, _Now, Tally, _Pushing) ->
    {Seq, Cursor, Tally, lost};
next(ok, Handle, Seq, Results, EndsPage, Cursor, Now, Tally, Pushing) ->
    case process_info(self(), message_queue_len) of
        {message_queue_len, 0} -> loop(Handle, Seq, Results, EndsPage, Cursor, Now, Tally, Pushing);
        _ -> {Seq, Cursor, Tally, {more, {Seq, Results, EndsPage}}}
    end.

%% @doc Pushes one result outside of a page, and acks nothing.
-spec one(Result :: map(), hb_cron_options:cursor(), pushing()) ->
    ok | {error, Reason :: term(), Left :: map()}.
one(Result, Cursor, #pushing{words = Words, proc_id = ProcId} = Pushing) ->
    Now = now_us(),
    ok = begins(Now, Pushing),
    Outcome = push(Result, Cursor, with_events(Pushing)),
    ok = hb_cron_status_words:push_ends(Words),
    case Outcome of
        ok ->
            Took = now_us() - Now,
            ok = hb_cron_history:pushed(ProcId, 1, Took, maps:get(<<"cursor">>, Result, undefined)),
            hb_cron_push_meter:settle(hb_cron_push_meter:pushed(Took, hb_cron_push_meter:tally()));
        {error, Reason, Left, _Host} -> {error, Reason, Left}
    end.

%% @doc Gives up a result: it becomes a dead letter. `full': there is no room for it.
-spec give_up(hb_process_monitor_nif:handle(), Seq :: pos_integer(), Cursor :: binary(), EndsPage :: boolean(),
              Attempts :: pos_integer(), Result :: map(), Reason :: term()) -> ok | full.
give_up(Handle, Seq, Cursor, EndsPage, Attempts, Result, Reason) ->
    [Packed, Error] = [term_to_binary(Result), term_to_binary(Reason)],
    case byte_size(Packed) + byte_size(Error) > ?LARGE of
        true -> hb_process_monitor_nif:give_up_large(Handle, Seq, Cursor, EndsPage, Attempts, Packed, Error);
        false -> hb_process_monitor_nif:give_up(Handle, Seq, Cursor, EndsPage, Attempts, Packed, Error)
    end.

begins(Now, #pushing{words = Words, options = Options}) ->
    ok = hb_cron_status_words:push_begins(Words, ms(Now)),
    hb_cron_hung_pushes:push_begins(Words, Options).

%% @doc Whether a monitor has pushed with the same device since a time, in ms of the monotonic clock. A push in
%% that same millisecond may have been this monitor's own.
-spec works_since(Since :: integer(), pushing()) -> boolean().
works_since(Since, #pushing{works = Works}) -> atomics:get(Works, 1) > Since.

push(Result, Cursor, #pushing{events = none} = Pushing) ->
    push_with_device(Result, Cursor, Pushing);
push(Result, Cursor, #pushing{proc_id = ProcId, events = Taker} = Pushing) ->
    Started = hb_cron_events:push_starts(Taker, ProcId, Result),
    Outcome = push_with_device(Result, Cursor, Pushing),
    ok = hb_cron_events:push_ends(Taker, Outcome, erlang:monotonic_time(), Started),
    Outcome.

push_with_device(Result, Cursor, #pushing{proc_id = ProcId, logger = Logger, device = Device, options = Options}) ->
    State = #{proc_id => ProcId, cursor => Cursor, logger => Logger},
    case hb_cron_host:push(Device, Result, State, Options) of
        ok ->
            ok;
        Failed ->
            ok = hb_cron_push_meter:push_failed(),
            Failed
    end.

with_events(Pushing) ->
    case hb_cron_events:receiver() of
        none -> Pushing;
        Taker -> Pushing#pushing{events = Taker}
    end.

%% All monitors with the same device read it, and usually it says so already.
device_works(Works, Now) ->
    case atomics:get(Works, 1) of
        Now -> ok;
        _ -> atomics:put(Works, 1, Now)
    end.

now_us() -> erlang:monotonic_time(microsecond).

%% Rounds as `erlang:monotonic_time(millisecond)' does, which is negative for most of a node's life.
ms(Us) when Us >= 0 -> Us div 1000;
ms(Us) -> (Us - 999) div 1000.
