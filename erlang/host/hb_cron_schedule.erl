%%% @doc Pushes a result into the schedules of its messages' targets, on a host that an adapter's callbacks call.
%%% Each push runs in a process of its own, since the host's calls may hang, leave messages behind, and link what
%%% they start to their caller. It has a time-out. Messages and spawns are sent in order, and none twice because
%%% another one failed.
%%%
%%% An item that cannot be sent does not hold up the others: they are sent, and it alone is left.
-module(hb_cron_schedule).

-export([push/4]).

-export_type([context/0]).

-type context() :: map().
%% What an adapter needs for its calls: the host's options or its wallet.

-callback context() -> context().
%% Made for each push, in the push's process, as all callbacks are.

-callback key(Lower :: binary()) -> binary().
%% A key the way the host writes it.

-callback read(Target :: binary(), context()) -> {ok, Process :: term()} | not_found.

-callback sign(Message :: hb_cron_message:message(), context()) -> Signed :: term().

-callback schedule(Target :: binary(), Process :: term(), Signed :: term(), context()) ->
    {ok, Slot :: term()} | {error, Reason :: term()}.
%% From here on the message is delivered.

-callback push_slot(Target :: binary(), Process :: term(), Slot :: term(), context()) -> ok | {error, Reason :: term()}.
%% A further call to the host for the slot. If it fails, only this call is retried.

%% Scheduled, and still to be pushed from its slot: what is left of such an item. A CU's result has no atoms as
%% keys, so none can be confused with it.
-define(SCHEDULED(Target, Slot), #{target := Target, slot := Slot}).

%% The outcome of an item: what is left of it, and why. The fault is the host's if the host may be unable to push
%% at all.
-type state() :: done | {Left :: term(), none | {Reason :: term(), host | item}}.

%% @doc Sends the items of a result, within the time of `cron_push_timeout'.
-spec push(Adapter :: module(), Result :: map(), hb_cron_host:push_state(),
           hb_cron_options:monitor()) -> hb_cron_host:outcome().
push(Adapter, Result, State, Options) ->
    #{cron_push_timeout := Limit} = hb_cron_options:settings(Options),
    case hb_cron_message:items(Result) of
        {ok, [], Assignments} ->
            log_assignments(Assignments, Result, State);
        {ok, Items, Assignments} ->
            ok = log_assignments(Assignments, Result, State),
            {Ended, States} = send(Adapter, Items, State, Limit),
            outcome(Ended, Items, States, Result);
        {error, Reason} ->
            {error, Reason, Result, works}
    end.

%% No host has a call for them.
log_assignments(0, _Result, _State) ->
    ok;
log_assignments(Count, #{<<"cursor">> := Cursor}, #{proc_id := ProcId, logger := Logger}) ->
    hb_cron_host_logger:log(Logger, {error, assignments_ignored, {ProcId, Cursor, Count}}).

-spec send(module(), [hb_cron_message:item()], hb_cron_host:push_state(), pos_integer()) ->
    {Ended :: normal | timeout | term(), #{Number :: pos_integer() => state()}}.
send(Adapter, Items, #{proc_id := Source}, Limit) ->
    Monitor = self(),
    Tag = make_ref(),
    Tell = fun(Number, ItemState) -> Monitor ! {Tag, Number, ItemState}, ok end,
    %% Linked, so that it does not outlive its monitor; it traps no exits.
    {Worker, Ref} = spawn_opt(fun() -> work(Adapter, Items, Source, Tell) end, [link, monitor]),
    collect(Tag, Ref, Worker, erlang:monotonic_time(millisecond) + Limit, #{}).

collect(Tag, Ref, Worker, Until, States) ->
    receive
        {Tag, Number, ItemState} ->
            collect(Tag, Ref, Worker, Until, States#{Number => ItemState});
        {'DOWN', Ref, process, _, Reason} ->
            true = unlink(Worker),
            receive {'EXIT', Worker, _} -> ok after 0 -> ok end,
            {Reason, States}
    after remaining(Until) ->
        true = unlink(Worker),
        true = exit(Worker, kill),
        {_, Last} = collect(Tag, Ref, Worker, infinity, States),
        {timeout, Last}
    end.

remaining(infinity) -> infinity;
remaining(Until) -> max(0, Until - erlang:monotonic_time(millisecond)).

outcome(Ended, Items, States, Result) ->
    Ends = [{Kind, maps:get(Number, States, {What, none})} || {Number, {Kind, What}} <- numbered(Items)],
    case [{Kind, Left} || {Kind, {Left, _}} <- Ends] of
        [] ->
            ok;
        Left ->
            Faults = [Reason || {_, {_, {Reason, _}}} <- Ends],
            Reason = case Faults of
                [First | _] when Ended =:= normal -> First;
                _ -> Ended
            end,
            Host = case lists:any(fun shows_that_it_works/1, Ends) of true -> works; false -> unknown end,
            {error, Reason, hb_cron_message:left(Left, Result), Host}
    end.

%% It accepted something, or refused a specific item.
shows_that_it_works({_, done}) -> true;
shows_that_it_works({_, {?SCHEDULED(_, _), _}}) -> true;
shows_that_it_works({_, {_, {_, item}}}) -> true;
shows_that_it_works(_) -> false.

numbered(Items) -> lists:zip(lists:seq(1, length(Items)), Items).

%% In the push's process

work(Adapter, Items, Source, TellOf) ->
    Context = try Adapter:context()
    catch Class:Reason -> exit({Class, Reason})
    end,
    {links, Before} = process_info(self(), links),
    lists:foreach(fun({Number, {_, What}}) ->
        Tell = fun(State) ->
            ok = TellOf(Number, State),
            unlink_since(Before)
        end,
        %% Pushing from a slot schedules too, and may have done so before it failed.
        Tell(item(Adapter, What, Source, Context, Tell))
    end, numbered(Items)).

%% The host links a process's scheduler to the first process that calls it. The scheduler must not die with this
%% one if the rest takes too long.
unlink_since(Before) ->
    {links, Links} = process_info(self(), links),
    lists:foreach(fun unlink/1, [Linked || Linked <- Links -- Before, is_pid(Linked)]).

item(Adapter, ?SCHEDULED(Target, _Slot) = What, _Source, Context, _Tell) ->
    case read(Adapter, Target, Context) of
        {ok, Process} -> push_slot(Adapter, What, Process, Context);
        {fault, Fault} -> {What, Fault}
    end;
item(Adapter, What, Source, Context, Tell) ->
    case hb_cron_message:from_item(What, Source, fun Adapter:key/1) of
        {ok, Target, Message} ->
            case read(Adapter, Target, Context) of
                {ok, Process} ->
                    schedule(Adapter, Target, Process, Message, Context, What, Tell);
                {fault, Fault} ->
                    {What, Fault}
            end;
        {error, Reason} ->
            {What, {Reason, item}}
    end.

read(Adapter, Target, Context) ->
    try Adapter:read(Target, Context) of
        {ok, Process} -> {ok, Process};
        not_found -> {fault, {{target_not_found, Target}, item}};
        Other -> {fault, {{not_read, Target, Other}, host}}
    catch
        Class:Reason -> {fault, {{Class, Reason}, host}}
    end.

schedule(Adapter, Target, Process, Message, Context, What, Tell) ->
    try Adapter:schedule(Target, Process, Adapter:sign(Message, Context), Context) of
        {ok, Slot} ->
            Left = #{target => Target, slot => Slot},
            ok = Tell({Left, none}),
            push_slot(Adapter, Left, Process, Context);
        {error, Reason} ->
            {What, {Reason, item}}
    catch
        Class:Reason -> {What, {{Class, Reason}, item}}
    end.

push_slot(Adapter, ?SCHEDULED(Target, Slot) = What, Process, Context) ->
    try Adapter:push_slot(Target, Process, Slot, Context) of
        ok -> done;
        {error, Reason} -> {What, {Reason, item}}
    catch
        Class:Reason -> {What, {{Class, Reason}, item}}
    end.
