%%% Loads the doubles of a host into the tests' node, and unloads them. Their names equal those of other doubles,
%%% so they are compiled on demand. Also has the fixtures that tests of all hosts share: a CU, a process whose
%%% results are pushed into the host, and target processes.
-module(era).

-export([load/1, unload/1]).
%% The fixture of a test
-export([suite/2, target/1, target/2, start/2, start/3, letter_errors/2]).
-export([message/2, message/3, result/1, result/2]).

%% Only in a release of the doubles.
-define(NOT_HERE, [hb_app, hb_sup, hb_process_monitor]).

%% Returns the modules, for unload/1.
-spec load(era_a | era_b | era_c | era_d) -> [module()].
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

%% Tests by name, each with its own fixture.
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

%% A target process of the host.
target(Kind) -> target(Kind, #{}).

%% The same, with these fields in its message.
target(Kind, Fields) ->
    Id = harness:proc_id(),
    true = host_double:process(Id, Kind, Fields),
    Id.

%% Starts a monitor for results with these contents, and polls.
start(World, Nodes) -> start(World, Nodes, #{}).

start(#{cu := Cu, source := Source}, Nodes, Options) ->
    test_cu:add_nodes(Cu, Source, Nodes),
    {Monitor, Logger} = harness:start(Cu, Source, Options#{cursor => earliest}),
    Monitor ! tick,
    {Monitor, Logger}.

%% Waits for this many dead letters, and returns their errors.
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

%% A result with these messages and spawns, as JSON.
result(Messages) -> result(Messages, []).

result(Messages, Spawns) ->
    [<<"{\"Messages\":[">>, lists:join($,, Messages), <<"],\"Spawns\":[">>, lists:join($,, Spawns),
     <<"],\"Assignments\":[],\"Output\":{\"data\":\"\"}}">>].
