%%% @doc What happened to each process lately, for the dashboard: its last pushes and its last failures. The memory is
%%% fixed, whatever the number of monitors, and no monitor holds any of it: processes share buckets of a few entries each,
%%% in which a new entry replaces the oldest one. A busy process replaces only entries of those that share its bucket.
%%%
%%% Failures are kept from the start of the application: those that are logged, since repeats are thinned out there.
%%% Pushes are kept once the dashboard was started. Until then they cost nothing.
-module(hb_cron_history).

%% Failures and other entries of the log
-export([create/0, note/3]).
%% Pushes
-export([keep_pushes/0, pushed/4]).
%% Inspection
-export([of_process/1]).

-export_type([event/0]).

-type event() :: #{at := integer(), what := pushed, count := pos_integer(), us := non_neg_integer(), lag := non_neg_integer() | undefined}
               | #{at := integer(), what := atom(), status := ok | error, details := [term()]}.
%% `at' in ms since the Unix epoch. `pushed': that many results one after the other, which took `us'; `lag': how long after
%% its own time the last of them was pushed, in ms. Otherwise an entry of the log, without its process.

%% {{Bucket, Nth}, ProcId, AtMs, Status, What, Details} and {Bucket, Count}.
-define(TABLE, ?MODULE).
%% At most 2,500 entries of some 400 bytes.
-define(NOTE_BUCKETS, 211).
-define(NOTES, 12).
%% Details that take more bytes are cut to a text of that many characters.
-define(LARGE, 512).
-define(TEXT, 400).
%% Entries that are no failures, and still say something. Not those of each start: they come by the thousands.
-define(TOLD, [recovered, paused, continued, moved_node, checkpoint_overruled]).

%% 2.2 MB. The number is a prime: fingerprints are divided by it.
-define(PUSH_BUCKETS, 8191).
-define(PUSHES, 8).
%% An entry: the fingerprint of the process, the time in ms, count and duration in us, the lag in ms plus one or 0.
-define(WORDS, 4).
-define(BUCKET_WORDS, (1 + ?PUSHES * ?WORDS)).
%% The duration has the lower bits.
-define(US_BITS, 40).
-define(MOST, 1048575).

%% @doc Creates the table; the caller owns it.
-spec create() -> ok.
create() ->
    ?TABLE = ets:new(?TABLE, [named_table, public, set, {write_concurrency, true}]),
    ok.

%% @doc Keeps an entry of the log, if it says something about a process.
-spec note(ok | error, What :: atom(), Details :: term()) -> ok.
note(Status, What, Details) when is_tuple(Details), tuple_size(Details) > 0 ->
    ProcId = element(1, Details),
    case (Status =:= error orelse lists:member(What, ?TOLD)) andalso is_process(ProcId) of
        true -> keep(ProcId, Status, What, short(tl(tuple_to_list(Details))));
        false -> ok
    end;
note(_Status, _What, _Details) ->
    ok.

is_process(ProcId) -> is_binary(ProcId) andalso hb_cron_process_id:is_valid(ProcId).

short(Details) ->
    case erlang:external_size(Details) > ?LARGE of
        true -> [hb_cron_excerpt:text(list_to_tuple(Details), ?TEXT)];
        false -> Details
    end.

keep(ProcId, Status, What, Details) ->
    Bucket = erlang:phash2(ProcId, ?NOTE_BUCKETS),
    try
        Count = ets:update_counter(?TABLE, Bucket, {2, 1}, {Bucket, 0}),
        true = ets:insert(?TABLE, {{Bucket, Count rem ?NOTES}, ProcId, erlang:system_time(millisecond), Status, What, Details}),
        ok
    catch
        %% The table goes with the supervision tree.
        error:badarg -> ok
    end.

%% @doc Pushes are kept from now on, as long as the node lives.
-spec keep_pushes() -> ok.
keep_pushes() ->
    case persistent_term:get(?MODULE, none) of
        none -> persistent_term:put(?MODULE, atomics:new(?PUSH_BUCKETS * ?BUCKET_WORDS, [{signed, true}]));
        _ -> ok
    end.

%% @doc So many results of a process were pushed one after the other. The last one has this cursor.
-spec pushed(ProcId :: binary(), Count :: pos_integer(), Us :: non_neg_integer(), hb_cron_options:cursor()) -> ok.
pushed(ProcId, Count, Us, Cursor) ->
    case persistent_term:get(?MODULE, none) of
        none -> ok;
        Ring -> pushed(Ring, ProcId, Count, Us, Cursor)
    end.

pushed(Ring, ProcId, Count, Us, Cursor) ->
    Print = fingerprint(ProcId),
    Base = base(Print),
    At = Base + 1 + (atomics:add_get(Ring, Base, 1) rem ?PUSHES) * ?WORDS,
    Now = erlang:system_time(millisecond),
    %% Without a fingerprint no process has the entry.
    ok = atomics:put(Ring, At, 0),
    ok = atomics:put(Ring, At + 1, Now),
    ok = atomics:put(Ring, At + 2, (min(Count, ?MOST) bsl ?US_BITS) bor min(Us, 1 bsl ?US_BITS - 1)),
    ok = atomics:put(Ring, At + 3, lag(Cursor, Now)),
    atomics:put(Ring, At, Print).

lag(Cursor, Now) when is_binary(Cursor) ->
    case hb_process_monitor_nif:cursor_time(Cursor) of
        undefined -> 0;
        Time -> 1 + max(0, Now - Time)
    end;
lag(_Cursor, _Now) ->
    0.

base(Print) -> 1 + (Print rem ?PUSH_BUCKETS) * ?BUCKET_WORDS.

%% Small integers only, so that nothing is allocated. Ids are hashes: two that are equal here do not occur by chance.
fingerprint(<<A:56, B:56, C:56, D:56, E:56, F:56, G>>) ->
    A bxor B bxor C bxor D bxor E bxor F bxor G.

%% @doc What is known of a process, the newest first.
-spec of_process(ProcId :: binary()) -> [event()].
of_process(ProcId) ->
    Events = notes(ProcId) ++ pushes(ProcId),
    lists:sort(fun(#{at := A}, #{at := B}) -> A >= B end, Events).

notes(ProcId) ->
    Bucket = erlang:phash2(ProcId, ?NOTE_BUCKETS),
    try
        [#{at => At, what => What, status => Status, details => Details}
         || Nth <- lists:seq(0, ?NOTES - 1), {_, Of, At, Status, What, Details} <- ets:lookup(?TABLE, {Bucket, Nth}), Of =:= ProcId]
    catch
        error:badarg -> []
    end.

pushes(ProcId) ->
    case persistent_term:get(?MODULE, none) of
        none ->
            [];
        Ring ->
            Print = fingerprint(ProcId),
            First = base(Print) + 1,
            [Event || Nth <- lists:seq(0, ?PUSHES - 1), Event <- push(Ring, Print, First + Nth * ?WORDS)]
    end.

%% Another process may write the entry meanwhile.
push(Ring, Print, At) ->
    case atomics:get(Ring, At) of
        Print ->
            [Time, Packed, Lag] = [atomics:get(Ring, At + Nth) || Nth <- [1, 2, 3]],
            case atomics:get(Ring, At) of
                Print -> [#{at => Time, what => pushed, count => Packed bsr ?US_BITS, us => Packed band (1 bsl ?US_BITS - 1),
                            lag => case Lag of 0 -> undefined; _ -> Lag - 1 end}];
                _ -> []
            end;
        _ ->
            []
    end.
