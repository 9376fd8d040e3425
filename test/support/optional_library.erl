%%% Libraries that only some hosts have: loads their doubles into the tests' node. They are not on the code path,
%%% because most hosts of the tests have none.
-module(optional_library).

-export([load/1, unload/1]).
%% For the doubles: a table that lives as long as the real library's application
-export([start_table/2, stop_table/1]).

%% Compiles and loads the double. The test calls its start/0.
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
