%%% A separate node into which a C file of `test/support' is preloaded, and which reports the outcome of each case.
%%% A file, whose path is in an environment variable, controls the preloaded code.
-module(preloaded_node).

-export([run/4, main/3]).
%% In the node
-export([control/1, allow/1]).

%% Compiles `Source', and lets a node run `Module:main([Port])', which calls main/3. Returns the outcome of each
%% case: `ok', or the reason. `Variable' is the environment variable with the path of the control file.
-spec run(Module :: module(), Source :: string(), Variable :: string(), LimitMs :: pos_integer()) ->
    [{Case :: atom(), ok | term()}].
run(Module, Source, Variable, Limit) ->
    Dir = string:trim(os:cmd("mktemp -d")),
    {Library, Control} = {filename:join(Dir, "preload.so"), filename:join(Dir, "control")},
    Path = harness:checkout(filename:join("test/support", Source)),
    "" = os:cmd(lists:join(" ", ["cc -shared -fPIC -Wall -o", Library, Path, "-ldl"])),
    {Listen, Port} = os_node:listen(),
    Node = os_node:start(Module, [integer_to_list(Port)], [], [{"LD_PRELOAD", Library}, {Variable, Control}]),
    Said = os_node:recv(os_node:accept(Listen), Limit),
    ok = gen_tcp:close(Listen),
    0 = os_node:dead(Node),
    _ = file:del_dir_r(Dir),
    Said.

%% Called by the node's main/1. `Begin' returns two functions: one runs a case, the other ends everything.
main(Port, Cases, Begin) ->
    _ = spawn(fun() ->
        Line = os_node:connect(list_to_integer(Port)),
        {Run, End} = Begin(),
        ok = os_node:send(Line, [{Case, outcome(Case, Run)} || Case <- Cases]),
        _ = End(),
        halt(0)
    end),
    ok.

outcome(Case, Run) ->
    try Run(Case)
    catch Class:Reason:Stack -> {Class, Reason, Stack}
    end.

control(Variable) -> os:getenv(Variable).

allow(Variable) ->
    _ = file:delete(control(Variable)),
    ok.
