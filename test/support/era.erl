%%% Loads the doubles of a host into the node of the tests, and takes them away again. They have the
%%% names of other doubles here, so they are compiled when they are wanted. And what the tests of all
%%% hosts share: a Compute Unit, a process whose results are pushed into such a host, and targets there.
-module(era).

-export([load/1, unload/1]).
%% A test's world
-export([suite/2, target/1, start/2, start/3, letter_errors/2]).
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
    harness:unload(Module),
    {module, Module} = code:load_binary(Module, Name, Code),
    Module.

unload(Modules) ->
    lists:foreach(fun harness:unload/1, Modules),
    host_double:stop().

%% Tests by their names, each in a world of its own.
suite(Era, Tests) ->
    {foreach, fun() -> setup(Era) end, fun cleanup/1,
     [fun(World) -> {atom_to_list(Name), fun() -> Test(World) end} end || {Name, Test} <- Tests]}.

setup(Era) ->
    Cu = harness:setup(#{cron_push_attempts => 2, cron_push_backoff => {1, 20}}),
    Modules = load(Era),
    #{era => Era, cu => Cu, modules => Modules, source => harness:proc_id()}.

cleanup(#{cu := Cu, modules := Modules}) ->
    _ = application:stop(hb_process_monitor),
    unload(Modules),
    harness:cleanup(Cu).

%% A process of the host's.
target(Kind) ->
    Id = harness:proc_id(),
    true = host_double:process(Id, Kind),
    Id.

%% Starts a monitor for results with these nodes, and polls.
start(World, Nodes) -> start(World, Nodes, #{}).

start(#{cu := Cu, source := Source}, Nodes, Options) ->
    test_cu:add_nodes(Cu, Source, Nodes),
    {Monitor, Logger} = harness:start(Cu, Source, Options#{cursor => earliest}),
    Monitor ! tick,
    {Monitor, Logger}.

%% Waits for so many dead letters. Says their errors.
letter_errors(#{source := Source}, Count) ->
    Letters = fun() -> {ok, All} = hb_process_monitor:dead_letters(Source), All end,
    harness:eventually(fun() -> length(Letters()) =:= Count end),
    [Error || #{error := Error} <- Letters()].

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
