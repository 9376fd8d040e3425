%%% A double of the host's push device. What it does with the results of a process is set per
%%% process; results of others are refused, so that no test pushes past another.
-module(dev_mu).
-export([push/2]).
-export([create/0, route/2]).

-define(ROUTES, dev_mu_routes).

push(#{message := Result} = Message, #{proc_id := ProcId} = State) when map_size(Message) =:= 1 ->
    [{_, Push}] = ets:lookup(?ROUTES, ProcId),
    Push(Result, State).

%% For tests: makes the table, owned by the caller.
create() -> ets:new(?ROUTES, [named_table, public, {read_concurrency, true}]).

%% For tests: what a push of this process's results does.
route(ProcId, Push) -> ets:insert(?ROUTES, {ProcId, Push}).
