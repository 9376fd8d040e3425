%%% @doc Pushes a result into the schedules of its messages' targets. Each push runs in a process of its own, since
%%% the host's calls may hang, leave messages behind, and link what they start to their caller. It has a time-out.
%%% {@link hb_cron_delivery} delivers each item.
%%%
%%% An item that cannot be delivered does not hold up the others: they are delivered, and it alone is left. Items are
%%% delivered in order, and none twice because another one failed.
-module(hb_cron_schedule).

-export([push/4]).

%% The outcome of an item: what is left of it, and whose fault that is.
-type state() :: done | {Left :: term(), none | {Reason :: term(), hb_cron_fault:fault()}}.

%% @doc Delivers the items of a result, within the time of `cron_push_timeout'.
-spec push(Adapter :: module(), Result :: map(), hb_cron_host:push_state(),
           hb_cron_options:monitor()) -> hb_cron_host:outcome().
push(Adapter, Result, State, Options) ->
    case hb_cron_message:items(Result) of
        {ok, []} ->
            ok;
        {ok, Items} ->
            #{cron_push_timeout := Limit} = hb_cron_options:settings(Options),
            Cursor = maps:get(<<"cursor">>, Result, undefined),
            {Ended, States} = deliver(fun() -> source(Adapter, State, Cursor) end, Items, Limit),
            outcome(Ended, Items, States, Result);
        {error, Reason} ->
            {error, Reason, Result, works}
    end.

-spec deliver(Source :: fun(() -> hb_cron_delivery:source()), [hb_cron_message:item()], Limit :: pos_integer()) ->
    {Ended :: normal | timeout | {fault, hb_cron_fault:fault(), term()} | term(), #{pos_integer() => state()}}.
deliver(Source, Items, Limit) ->
    Monitor = self(),
    Tag = make_ref(),
    Tell = fun(Number, ItemState) -> Monitor ! {Tag, Number, ItemState}, ok end,
    %% Linked, so that it does not outlive its monitor; it traps no exits.
    {Worker, Ref} = spawn_opt(fun() -> work(Source, Items, Tell) end, [link, monitor]),
    collect(Tag, Ref, Worker, hb_cron_deadline:new(Limit), #{}).

collect(Tag, Ref, Worker, Until, States) ->
    receive
        {Tag, Number, ItemState} ->
            collect(Tag, Ref, Worker, Until, States#{Number => ItemState});
        {'DOWN', Ref, process, _, Reason} ->
            true = unlink(Worker),
            receive {'EXIT', Worker, _} -> ok after 0 -> ok end,
            {Reason, States}
    after hb_cron_deadline:left(Until) ->
        true = unlink(Worker),
        true = exit(Worker, kill),
        {_, Last} = collect(Tag, Ref, Worker, infinity, States),
        {timeout, Last}
    end.

outcome(Ended, Items, States, Result) ->
    Ends = [{Kind, maps:get(Number, States, {What, none})} || {Number, {Kind, What}} <- numbered(Items)],
    case [{Kind, Left} || {Kind, {Left, _}} <- Ends] of
        [] ->
            ok;
        Left ->
            Faults = [Fault || {_, {_, {_, _} = Fault}} <- Ends],
            {error, reason(Ended, Faults), hb_cron_message:left(Left, Result), host(Ended, Faults, Ends)}
    end.

reason(normal, [{First, _} | _]) -> First;
reason({fault, _, Reason}, _Faults) -> Reason;
reason(Ended, _Faults) -> Ended.

%% The host is at fault if it is for any item: that item must not be given up with the others.
host({fault, host, _}, _Faults, _Ends) -> broken;
host(_Ended, Faults, Ends) ->
    case {lists:keymember(host, 2, Faults), lists:any(fun shows_that_it_works/1, Ends)} of
        {true, _} -> broken;
        {false, true} -> works;
        {false, false} -> unknown
    end.

%% It accepted an item, or failed for a specific one.
shows_that_it_works({_, done}) -> true;
shows_that_it_works({_, {_, {_, Fault}}}) when Fault =/= host -> true;
shows_that_it_works({_, {Left, _}}) -> hb_cron_delivery:has_slot(Left).

numbered(Items) -> lists:enumerate(Items).

%% In the push's process

work(SourceOf, Items, TellOf) ->
    Source = SourceOf(),
    {links, Before} = process_info(self(), links),
    lists:foreach(fun({Number, Item}) ->
        Tell = fun(State) ->
            ok = TellOf(Number, State),
            unlink_since(Before)
        end,
        Tell(hb_cron_delivery:run(Item, Source, fun(Left) -> Tell({Left, none}) end))
    end, numbered(Items)).

source(Adapter, State, Cursor) ->
    Context = try Adapter:context()
    catch Class:Reason:Stack ->
        %% Without the host's options and wallet nothing can be sent.
        {_, Short} = hb_cron_fault:raised(Class, Reason, Stack),
        exit({fault, host, Short})
    end,
    case hb_cron_delivery:new(Adapter, Context, State, Cursor) of
        {ok, Source} -> Source;
        {fault, SourceReason, Fault} -> exit({fault, Fault, SourceReason})
    end.

%% The host links a process's scheduler to the first process that calls it. The scheduler must not die with this
%% one if the rest takes too long.
unlink_since(Before) ->
    {links, Links} = process_info(self(), links),
    lists:foreach(fun unlink/1, [Linked || Linked <- Links -- Before, is_pid(Linked)]).
