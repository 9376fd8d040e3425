%%% Libraries that a host may have and this project does without: doubles of them, loaded into the node of
%%% the tests when one is wanted. The code path has none, since most hosts of the tests have none.
-module(optional_library).

-export([load/1, unload/1]).
%% For the doubles: a table that comes and goes as the real library's application
-export([start_table/2, stop_table/1]).

%% Compiles and loads it; its start/0 is the test's to call.
load(Module) ->
    {ok, Module, Code} = compile:file(filename:join(["test", "support", "optional", Module]), [binary, report]),
    harness:unload(Module),
    {module, Module} = code:load_binary(Module, atom_to_list(Module), Code),
    ok.

unload(Module) -> harness:unload(Module).

start_table(Table, Kind) ->
    Self = self(),
    Owner = spawn(fun() ->
        Table = ets:new(Table, [named_table, public, Kind]),
        Self ! started,
        receive stop -> ok end
    end),
    receive started -> Owner end.

stop_table(Table) ->
    Owner = ets:info(Table, owner),
    Ref = monitor(process, Owner),
    Owner ! stop,
    receive {'DOWN', Ref, process, _, _} -> ok end.
