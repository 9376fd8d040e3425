%%% Libraries that a host may have and this project does without: doubles of them, loaded into the node of
%%% the tests when one is wanted. The code path has none, since most hosts of the tests have none.
-module(optional_library).

-export([load/1, unload/1]).

%% Compiles and loads it; its start/0 is the test's to call.
load(Module) ->
    {ok, Module, Code} = compile:file(filename:join(["test", "support", "optional", Module]), [binary, report]),
    harness:unload(Module),
    {module, Module} = code:load_binary(Module, atom_to_list(Module), Code),
    ok.

unload(Module) -> harness:unload(Module).
