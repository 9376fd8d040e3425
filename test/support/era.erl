%%% Loads the doubles of a host into the node of the tests, and takes them away again. They have the
%%% names of other doubles here, so they are compiled when they are wanted.
-module(era).

-export([load/1, unload/1]).
-export([message/2, message/3, result/1, result/2]).

%% What belongs to a release of the doubles alone.
-define(NOT_HERE, [hb_app, hb_sup, hb_process_monitor]).

%% Says which modules those are: for unload/1.
-spec load(era_a | era_b) -> [module()].
load(Era) ->
    ok = host_double:start(),
    Files = filelib:wildcard(filename:join(["test", "support", Era, "src", "*.erl"])),
    [_ | _] = Names = [filename:rootname(File) || File <- Files,
                       not lists:member(list_to_atom(filename:basename(File, ".erl")), ?NOT_HERE)],
    [load_file(Name) || Name <- Names].

load_file(Name) ->
    {ok, Module, Code} = compile:file(Name, [binary, report]),
    drop(Module),
    {module, Module} = code:load_binary(Module, Name, Code),
    Module.

unload(Modules) ->
    lists:foreach(fun drop/1, Modules),
    host_double:stop().

drop(Module) ->
    _ = code:purge(Module),
    _ = code:delete(Module),
    _ = code:purge(Module),
    ok.

%% A message of a result, as JSON.
message(Target, Data) -> message(Target, Data, []).

message(Target, Data, Tags) ->
    [<<"{\"Target\":\"">>, Target, <<"\",\"Anchor\":\"0000\",\"Data\":\"">>, Data, <<"\",\"Tags\":[">>,
     lists:join($,, [[<<"{\"name\":\"">>, Name, <<"\",\"value\":">>, Value, <<"}">>] || {Name, Value} <- Tags]),
     <<"]}">>].

%% A result's node with these messages and spawns, as JSON.
result(Messages) -> result(Messages, []).

result(Messages, Spawns) ->
    [<<"{\"Messages\":[">>, lists:join($,, Messages), <<"],\"Spawns\":[">>, lists:join($,, Spawns),
     <<"],\"Assignments\":[],\"Output\":{\"data\":\"\"}}">>].
