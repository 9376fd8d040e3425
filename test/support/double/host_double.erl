%%% Shared state of the doubles of a HyperBEAM host: its processes, their schedules, recorded calls, and injected
%%% faults. The doubles have the exports, data shapes and faults of a real host's modules: an early host in era_a,
%%% later ones in era_b, era_c and era_d, which share later_host.
-module(host_double).

%% For tests
-export([start/0, stop/0, process/2, process/3, locate/2, on/2, first/2, scheduled/1, pushed/1, asked/1, died/0]).
%% For the doubles
-export([call/3, kind/1, fields/1, location/1, schedule/2, push/2, take/1]).

%% `legacy': its scheduler takes ANS-104 alone. `lua_error' and `failing': its own code fails.
-type kind() :: local | foreign | legacy | no_scheduler | lua_error | failing.

%% Creates a host without processes, which ends with the caller.
start() ->
    Caller = self(),
    Owner = spawn(fun() -> own(Caller) end),
    receive {Owner, ready} -> ok end.

own(Caller) ->
    Ref = monitor(process, Caller),
    true = register(?MODULE, self()),
    ?MODULE = ets:new(?MODULE, [named_table, public, ordered_set]),
    Caller ! {self(), ready},
    owner(Ref).

owner(Ref) ->
    receive
        {'DOWN', Ref, process, _, _} -> ok;
        {stop, From} -> From ! {self(), stopped};
        {watch, Pid} ->
            _ = monitor(process, Pid),
            owner(Ref);
        {'DOWN', _, process, Pid, Reason} ->
            true = ets:insert(?MODULE, {{died, Pid}, Reason}),
            owner(Ref)
    end.

stop() ->
    Owner = whereis(?MODULE),
    Ref = monitor(process, Owner),
    Owner ! {stop, self()},
    receive {'DOWN', Ref, process, _, _} -> ok end,
    receive {Owner, stopped} -> ok after 0 -> ok end.

%% Adds a process to the host.
-spec process(Id :: binary(), kind()) -> true.
process(Id, Kind) -> process(Id, Kind, #{}).

%% The same, with these fields in its message.
-spec process(Id :: binary(), kind(), Fields :: map()) -> true.
process(Id, Kind, Fields) -> ets:insert(?MODULE, [{{process, Id}, Kind}, {{fields, Id}, Fields}]).

%% The URL of the scheduler with this address.
locate(Address, Url) -> ets:insert(?MODULE, {{location, Address}, Url}).

%% `Does(Args)' replaces a call of the host, or returns `pass'. The atom `pass' ends the replacement.
on(Call, Does) -> ets:insert(?MODULE, {{on, Call}, Does}).

%% For on/2: replaces only the first calls.
first(Count, Does) ->
    Done = counters:new(1, []),
    fun(Args) ->
        counters:add(Done, 1, 1),
        case counters:get(Done, 1) =< Count of
            true -> Does(Args);
            false -> pass
        end
    end.

%% The schedule of a process, in the order of slots.
scheduled(Id) -> [Message || [Message] <- ets:match(?MODULE, {{slot, Id, '_'}, '$1'})].

%% The slots that were pushed from, in order.
pushed(Id) -> [Slot || [Slot] <- ets:match(?MODULE, {{pushed, Id, '_'}, '$1'})].

%% The arguments of each call of a function, oldest first.
asked(Call) -> [Args || [Args] <- ets:match(?MODULE, {{asked, Call, '_'}, '$1'})].

%% Schedulers that died, with their reasons.
died() -> [Reason || [Reason] <- ets:match(?MODULE, {{died, '_'}, '$1'})].

%% For the doubles

call(Call, Args, Normal) ->
    true = ets:insert(?MODULE, {{asked, Call, erlang:unique_integer([monotonic])}, Args}),
    case ets:lookup(?MODULE, {on, Call}) of
        [{_, Does}] when is_function(Does) ->
            case Does(Args) of
                pass -> Normal();
                Answer -> Answer
            end;
        _ ->
            Normal()
    end.

kind(Id) ->
    case ets:lookup(?MODULE, {process, Id}) of
        [{_, Kind}] -> Kind;
        [] -> not_found
    end.

fields(Id) ->
    case ets:lookup(?MODULE, {fields, Id}) of
        [{_, Fields}] -> Fields;
        [] -> #{}
    end.

location(Address) ->
    case ets:lookup(?MODULE, {location, Address}) of
        [{_, Url}] -> Url;
        [] -> none
    end.

%% As on a real host: a process's scheduler is linked to its first caller, answers when it is free, and leaves a
%% message in the caller's mailbox.
schedule(Id, Message) ->
    Scheduler = scheduler(Id),
    Ref = make_ref(),
    Scheduler ! {schedule, self(), Ref, Message},
    receive {Ref, Slot} -> self() ! {stray, Ref}, Slot end.

scheduler(Id) ->
    case ets:lookup(?MODULE, {scheduler, Id}) of
        [{_, Pid}] ->
            case is_process_alive(Pid) of
                true -> Pid;
                false -> start_scheduler(Id)
            end;
        [] ->
            start_scheduler(Id)
    end.

start_scheduler(Id) ->
    Pid = spawn_link(fun() -> scheduler_loop(Id) end),
    ?MODULE ! {watch, Pid},
    true = ets:insert(?MODULE, {{scheduler, Id}, Pid}),
    Pid.

scheduler_loop(Id) ->
    receive
        %% As a real one reacts to something that is not a message.
        {schedule, _From, _Ref, Message} when not is_map(Message) ->
            receive never -> ok end;
        {schedule, From, Ref, Message} ->
            Slot = length(scheduled(Id)) + 1,
            true = ets:insert(?MODULE, {{slot, Id, Slot}, Message}),
            From ! {Ref, Slot},
            scheduler_loop(Id)
    end.

push(Id, Slot) ->
    true = ets:insert(?MODULE, {{pushed, Id, erlang:unique_integer([monotonic])}, Slot}).

%% The time that a real host takes, in ms.
take(Ms) -> receive after Ms -> ok end.
