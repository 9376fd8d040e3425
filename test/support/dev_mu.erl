%%% A double of the host's push device. Tests set the effect of pushes for each process. Results of other processes
%%% are refused, so that no test affects another.
-module(dev_mu).
-export([push/2]).
-export([create/0, route/2]).

-define(ROUTES, dev_mu_routes).

push(#{message := Result} = Message, #{proc_id := ProcId} = State) when map_size(Message) =:= 1 ->
    [{_, Push}] = ets:lookup(?ROUTES, ProcId),
    Push(Result, State).

%% For tests: makes the table, owned by the caller.
create() -> ets:new(?ROUTES, [named_table, public, {read_concurrency, true}]).

%% For tests: sets the effect of pushing results of this process.
route(ProcId, Push) -> ets:insert(?ROUTES, {ProcId, Push}).
