%%% The program without HyperBEAM against a Compute Unit double: what `make run' does without arguments. The double has a
%%% process with some results, and a new one every second. Positions are kept in a temporary directory.
-module(run_double).
-export([main/0, main/1, serve/0]).

-define(PROCESS, "ExampleProcess-ExampleProcess-ExampleProces").
-define(BACKLOG, 40).
-define(EVERY, 1000).

main() -> main([]).

%% `erl -run run_double main [RATE=MS] [PUSH=URL]'.
main(Arguments) ->
    Url = start(),
    Dir = string:trim(os:cmd("mktemp -d")),
    io:format(standard_error, "A Compute Unit double has a process with ~b results, and a new one every second. With your own:~n"
              "    make run PROCESS=ID CU=URL~n", [?BACKLOG]),
    hb_cron_standalone:main(["PROCESS=" ++ ?PROCESS, "CU=" ++ Url, "FROM=earliest",
                             "CHECKPOINT=" ++ filename:join(Dir, "cron-checkpoint.redb") | Arguments]).

%% `erl -run run_double serve': the double alone. Prints the process and its own URL.
serve() ->
    Url = start(),
    io:format("~s ~s~n", [?PROCESS, Url]).

%% Starts the double, and returns its URL.
start() ->
    Self = self(),
    %% The last result of the backlog is of now.
    ok = persistent_term:put({test_cu, base}, erlang:system_time(millisecond) - ?BACKLOG * ?EVERY),
    %% The double ends with the process that starts it.
    _ = spawn(fun() ->
        Cu = test_cu:start(),
        _ = test_cu:add(Cu, list_to_binary(?PROCESS), ?BACKLOG),
        Self ! {url, test_cu:url(Cu)},
        produce(Cu, list_to_binary(?PROCESS))
    end),
    receive {url, Url} -> binary_to_list(Url) end.

produce(Cu, ProcId) ->
    receive after ?EVERY -> ok end,
    _ = test_cu:add(Cu, ProcId, 1),
    produce(Cu, ProcId).
