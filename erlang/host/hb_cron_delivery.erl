%%% @doc Delivers one item of a result to a host: a message is signed, scheduled, and pushed from its slot; a spawn is
%%% scheduled as a process, and a message informs its parent; an assignment is made at the schedulers of its
%%% processes. This module is also the behaviour of the adapters that call a host for it. {@link hb_cron_schedule} runs
%%% it in a process of its own.
%%%
%%% What is left of an item is a list of steps. Each step that is done is replaced by the steps that follow from it,
%%% and reported to the caller, so that a retry does not repeat a step: a signed message is sent again unchanged, and
%%% one that has a slot is not scheduled again.
-module(hb_cron_delivery).

-export([new/4, run/3, has_slot/1]).

-export_type([source/0, context/0, left/0, step/0, outcome/0, origin/0, assignment/0]).

-type context() :: map().
%% What an adapter needs for its calls: the host's options or its wallet.

-type origin() :: #{fields := hb_cron_message:message(), module := binary() | undefined,
                    scheduler := binary() | undefined, wallets := [binary()]}.
%% What the host knows of the process whose results are pushed: fields of each of its messages, by lower-case name;
%% its tags `Module' and `Scheduler'; and addresses of wallets that its messages may name as targets.

-type assignment() :: #{message := binary(), base_layer := boolean(), exclude := [binary()]}.
%% A message that is assigned to a process by its id.

-type step() :: {message, What :: term()}
              | {send, Target :: binary(), Signed :: term(), Codec :: term(), Assigned :: [binary()]}
              | {push, Target :: binary(), Slot :: term()}
              | {spawn, What :: term()}
              | {create, Signed :: term(), What :: map()}
              | {notify, Spawned :: binary(), What :: map()}
              | {assignment, What :: term()}
              | {assign, ProcId :: binary(), assignment()}.

-type left() :: #{steps := [step(), ...], 'of' := term()}.
%% What is left of an item that was begun. A CU's result has no atoms as keys, so none can be confused with it.

-type outcome() :: done | {What :: term(), {Reason :: term(), hb_cron_fault:fault()}}.
%% What is left of the item, and the first step's fault.

-record(source, {
    id :: binary(),
    cursor :: binary() | undefined,
    logger :: hb_cron_host_logger:logger(),
    adapter :: module(),
    context :: context(),
    origin :: origin()
}).

-opaque source() :: #source{}.
%% The process whose result is pushed, as the host knows it.

-callback context() -> context().
%% Made for each push, in the push's process, as all callbacks are. May raise.

-callback key(Lower :: binary()) -> binary() | unwritable.
%% A key the way the host writes it.

-callback origin(Process :: term(), context()) -> origin().

-callback read(Id :: binary(), context()) -> {ok, Process :: term()} | not_found.
%% Raises if the store cannot be read.

-callback codec(Process :: term(), context()) -> Codec :: term().
%% How messages to a process are signed at first.

-callback sign(hb_cron_message:message(), Process :: term(), Codec :: term(), context()) ->
    {ok, Signed :: term()} | {error, Reason :: term()}.
%% Signs as the process requires, and verifies what was signed.

-callback can_sign(context()) -> boolean().
%% Whether a message without tags can be signed: if it cannot, the host is at fault.

-callback schedule(Target :: binary(), Process :: term(), Signed :: term(), context()) ->
    {ok, Slot :: term()} | {sign_with, Codec :: term()} | {error, Reason :: term(), hb_cron_fault:fault()}.
%% From `ok' on the message is delivered.

-callback push_slot(Target :: binary(), Process :: term(), Slot :: term(), context()) ->
    ok | {error, Reason :: term(), hb_cron_fault:fault()}.
%% Has the slot computed, and what follows from it sent.

-callback create(Definition :: hb_cron_message:message(), Codec :: term(), context()) ->
    {ok, Signed :: term()} | {error, Reason :: term()} | unsupported.
%% Signs the definition of a process.

-callback schedule_process(Signed :: term(), context()) ->
    {ok, ProcId :: binary()} | {error, Reason :: term(), hb_cron_fault:fault()}.

-callback id(Signed :: term(), context()) -> binary() | unsupported.
%% The id of a signed message; `unsupported' if the host assigns nothing.

-callback assign(Process :: term(), ProcId :: binary(), assignment(), context()) ->
    ok | {unsupported, Reason :: term()} | {error, Reason :: term(), hb_cron_fault:fault()}.

-optional_callbacks([schedule_process/2]).
%% For hosts that spawn.

%% How long a process that the node does not know is not looked for again, in ms: a host may ask gateways.
-define(UNKNOWN_FOR, 600000).

%% @doc The process whose result is pushed.
-spec new(Adapter :: module(), context(), hb_cron_host:push_state(), Cursor :: binary() | undefined) ->
    {ok, source()} | {fault, Reason :: term(), hb_cron_fault:fault()}.
new(Adapter, Context, #{proc_id := Id, logger := Logger}, Cursor) ->
    Source = #source{id = Id, cursor = Cursor, logger = Logger, adapter = Adapter, context = Context,
                     origin = #{fields => #{}, module => undefined, scheduler => undefined, wallets => []}},
    case hb_cron_push_notes:recalls(Id, source_not_found) orelse read(Id, Source) of
        {ok, Process} ->
            with_origin(Process, Source);
        true ->
            {ok, Source};
        not_found ->
            ok = hb_cron_push_notes:remember(Id, source_not_found, ?UNKNOWN_FOR),
            ok = note_once(unknown_source, Id, Source),
            {ok, Source};
        {fault, Reason} ->
            {fault, Reason, host}
    end.

with_origin(Process, #source{adapter = Adapter, context = Context} = Source) ->
    try {ok, Source#source{origin = Adapter:origin(Process, Context)}}
    catch
        Class:Reason:Stack ->
            {Fault, Short} = hb_cron_fault:raised(Class, Reason, Stack),
            {fault, Short, Fault}
    end.

%% @doc Whether nothing of an item can be lost any more: its message has a slot.
-spec has_slot(What :: term()) -> boolean().
has_slot(#{steps := Steps, 'of' := _}) -> lists:all(fun(Step) -> element(1, Step) =:= push end, Steps);
has_slot(_What) -> false.

%% @doc Delivers an item, or what is left of it. `Tell' is called with what is left after each step.
-spec run(hb_cron_message:item(), source(), Tell :: fun((left()) -> ok)) -> outcome().
run({_Kind, #{steps := Steps, 'of' := Of}}, Source, Tell) -> steps(Steps, Of, Source, Tell);
run({<<"Messages">>, What}, Source, Tell) -> begin_item({message, What}, What, Source, Tell);
run({<<"Spawns">>, What}, Source, Tell) -> begin_item({spawn, What}, What, Source, Tell);
run({<<"Assignments">>, What}, Source, Tell) -> begin_item({assignment, What}, What, Source, Tell).

%% An item of which no step was done stays as the CU gave it.
begin_item(First, What, Source, Tell) ->
    case step(First, Source) of
        {next, []} -> done;
        {next, Steps} -> told(Steps, What, Source, Tell);
        {fault, Reason, Fault} -> {What, {Reason, Fault}}
    end.

told(Steps, Of, Source, Tell) ->
    ok = Tell(#{steps => Steps, 'of' => Of}),
    steps(Steps, Of, Source, Tell).

steps([Step | Rest], Of, Source, Tell) ->
    case step(Step, Source) of
        {next, []} when Rest =:= [] -> done;
        {next, Steps} -> told(Steps ++ Rest, Of, Source, Tell);
        {fault, Reason, Fault} -> {#{steps => [Step | Rest], 'of' => Of}, {Reason, Fault}}
    end.

%% The steps that follow, or the fault. Each call of the host may raise.
step(Step, Source) ->
    try hb_cron_lease:allows() andalso do(Step, Source) of
        false -> {fault, push_held, host};
        Next -> Next
    catch
        Class:Reason:Stack ->
            {Fault, Short} = hb_cron_fault:raised(Class, Reason, Stack),
            {fault, Short, Fault}
    end.

%% Messages

do({message, What}, #source{adapter = Adapter, origin = #{fields := Fields}, id = Id} = Source) ->
    case hb_cron_message:from_item(What, own_fields(Id, Fields), fun Adapter:key/1) of
        {ok, Target, Message, Assigned} ->
            case read(Target, Source) of
                {ok, Process} -> signed(Target, Process, Message, Assigned, Source);
                not_found -> not_there(Target, Source);
                {fault, Reason} -> {fault, Reason, host}
            end;
        {error, Reason} ->
            {fault, Reason, item}
    end;
do({send, Target, Signed, Codec, Assigned}, #source{adapter = Adapter, context = Context} = Source) ->
    with_process(Target, Source, fun(Process) ->
        %% Before the message is scheduled: an exception afterwards would have it scheduled again.
        Assign = assignments(Assigned, Signed, Source),
        case Adapter:schedule(Target, Process, Signed, Context) of
            {ok, Slot} -> {next, [{push, Target, Slot} | Assign]};
            {sign_with, Codec} -> {fault, {not_scheduled, {refused, Codec}}, item};
            {sign_with, Other} -> signed(Target, Process, Signed, Other, Assigned, Source);
            {error, Reason, Fault} -> {fault, Reason, Fault}
        end
    end);
do({push, Target, Slot}, #source{adapter = Adapter, context = Context} = Source) ->
    with_process(Target, Source, fun(Process) ->
        case Adapter:push_slot(Target, Process, Slot, Context) of
            ok -> {next, []};
            {error, Reason, host} -> {fault, Reason, host};
            {error, Reason, _} -> ok = note(target_failed, {Target, Slot, Reason}, Source), {next, []}
        end
    end);

%% Spawns

do({spawn, What}, #source{adapter = Adapter, context = Context, id = Id, origin = Origin} = Source) ->
    case hb_cron_spawn:definition(What, Id, Origin, fun Adapter:key/1) of
        {ok, Variant, Definition} ->
            case sign(fun() -> Adapter:create(Definition, Variant, Context) end, Source) of
                {ok, Signed} -> {next, [{create, Signed, What}]};
                unsupported -> ok = note_once(spawns_unsupported, Adapter, Source), {next, []};
                {fault, _, _} = Fault -> Fault
            end;
        {error, Reason} ->
            {fault, Reason, item}
    end;
do({create, Signed, What}, #source{adapter = Adapter, context = Context}) ->
    case Adapter:schedule_process(Signed, Context) of
        {ok, ProcId} -> {next, [{notify, ProcId, What}]};
        {error, Reason, Fault} -> {fault, Reason, Fault}
    end;
do({notify, ProcId, What}, #source{adapter = Adapter, id = Parent} = Source) ->
    with_process(Parent, Source, fun(Process) ->
        Notice = hb_cron_spawn:notice(What, Parent, ProcId, fun Adapter:key/1),
        signed(Parent, Process, Notice, [], Source)
    end);

%% Assignments

do({assignment, What}, _Source) ->
    case hb_cron_assignment:new(What) of
        {ok, Processes, Assignment} -> {next, [{assign, ProcId, Assignment} || ProcId <- Processes]};
        {error, Reason} -> {fault, Reason, item}
    end;
do({assign, ProcId, Assignment}, #source{adapter = Adapter, context = Context} = Source) ->
    with_process(ProcId, Source, fun(Process) ->
        case Adapter:assign(Process, ProcId, Assignment, Context) of
            ok -> {next, []};
            {unsupported, Reason} -> ok = note_once(assignment_unsupported, {ProcId, Reason}, Source), {next, []};
            {error, Reason, Fault} -> {fault, Reason, Fault}
        end
    end).

own_fields(Id, Fields) ->
    Fields#{<<"type">> => <<"Message">>, <<"data-protocol">> => <<"ao">>, <<"from-process">> => Id}.

%% A message that was signed is kept: the same one is sent at each retry, so that a host that recognizes it gives it
%% one slot.
signed(Target, Process, Message, Assigned, #source{adapter = Adapter, context = Context} = Source) ->
    case is_process(Process) of
        true ->
            signed(Target, Process, Message, Adapter:codec(Process, Context), Assigned, Source);
        false ->
            ok = note_once(target_is_no_process, Target, Source),
            {next, []}
    end.

signed(Target, Process, Message, Codec, Assigned, #source{adapter = Adapter, context = Context} = Source) ->
    case sign(fun() -> Adapter:sign(Message, Process, Codec, Context) end, Source) of
        {ok, Signed} -> {next, [{send, Target, Signed, Codec, Assigned}]};
        {fault, _, _} = Fault -> Fault
    end.

assignments([], _Signed, _Source) ->
    [];
assignments(Assigned, Signed, #source{adapter = Adapter, context = Context} = Source) ->
    case Adapter:id(Signed, Context) of
        unsupported ->
            ok = note_once(assignment_unsupported, {hd(Assigned), no_call}, Source),
            [];
        Id ->
            [{assign, ProcId, #{message => Id, base_layer => false, exclude => []}} || ProcId <- Assigned]
    end.

%% Signing depends on the message and on the wallet: a message without tags tells them apart.
sign(Sign, #source{adapter = Adapter, context = Context}) ->
    try Sign() of
        {error, Reason} -> {fault, Reason, item};
        Other -> Other
    catch
        Class:Reason:Stack ->
            case hb_cron_fault:raised(Class, Reason, Stack) of
                {host, Short} -> {fault, Short, host};
                {_, Short} ->
                    case Adapter:can_sign(Context) of
                        true -> {fault, {not_signed, Short}, item};
                        false -> {fault, Short, host}
                    end
            end
    end.

with_process(Id, Source, Then) ->
    case read(Id, Source) of
        {ok, Process} -> Then(Process);
        not_found -> {fault, {target_not_found, Id}, item};
        {fault, Reason} -> {fault, Reason, host}
    end.

read(Id, #source{adapter = Adapter, context = Context}) ->
    try Adapter:read(Id, Context)
    catch
        Class:Reason:Stack ->
            {_, Short} = hb_cron_fault:raised(Class, Reason, Stack),
            {fault, Short}
    end.

%% A node cannot tell a wallet from a process that it does not have, except for the wallets that it knows.
not_there(Target, #source{origin = #{wallets := Wallets}} = Source) ->
    case lists:member(Target, Wallets) of
        true -> ok = note_once(target_is_wallet, Target, Source), {next, []};
        false -> {fault, {target_not_found, Target}, item}
    end.

is_process(#{<<"type">> := Type}) when is_binary(Type) -> Type =:= <<"Process">>;
is_process(#{<<"Type">> := Type}) when is_binary(Type) -> Type =:= <<"Process">>;
is_process(_Process) -> true.

%% What is reported once for each process, and counted.
note_once(What, Details, #source{id = Id} = Source) ->
    case hb_cron_push_notes:count(Id, What) of
        1 -> log(What, {Details, 1}, Source);
        _ -> ok
    end.

%% What is reported ever less often.
note(What, Details, #source{id = Id} = Source) ->
    Count = hb_cron_push_notes:count(Id, What),
    case hb_cron_retry_policy:is_reported(Count) of
        true -> log(What, {Details, Count}, Source);
        false -> ok
    end.

log(What, {Details, Count}, #source{id = Id, cursor = Cursor, logger = Logger}) ->
    hb_cron_host_logger:log(Logger, {error, What, {Id, Cursor, Details, Count}}).
