%%% Runs inside a measured OS process: takes one order from the driver, executes it, returns figures, and ends.
%%% Also has the measurements that all suites share.
-module(bench_run).

-export([main/1]).
%% Measurements by the operating system and the VM
-export([cpu_seconds/0, cpu_seconds/1, rss_mb/0, peak_mb/0, memory/0, now_us/0]).
%% Waiting
-export([until/1, sleep_until/1]).

%% `erl -run bench_run main Port': `Port' is where the driver listens.
main([Port]) ->
    _ = logger:set_primary_config(level, error),
    %% The booting process must not be the working one.
    _ = spawn(fun() -> obey(os_node:connect(list_to_integer(Port))) end),
    ok.

obey(Line) ->
    {Module, #{limit := Limit} = Run} = os_node:recv(Line),
    %% It ends by itself, even without its driver.
    _ = spawn(fun() -> _ = gen_tcp:recv(Line, 0), halt(1) end),
    {Pid, Ref} = spawn_monitor(fun() -> exit({figures, Module:measured(Run)}) end),
    receive
        {'DOWN', Ref, process, Pid, {figures, Figures}} ->
            ok = os_node:send(Line, {ok, Figures}),
            halt(0);
        {'DOWN', Ref, process, Pid, Reason} ->
            io:format(standard_error, "~p~n~p~n", [Run, Reason]),
            halt(1)
    after Limit ->
        io:format(standard_error, "~p~nnot done within ~b ms: ~p~n",
                  [Run, Limit, erlang:process_info(Pid, [current_stacktrace, messages])]),
        halt(1)
    end.

%% CPU time of this OS process.
cpu_seconds() -> cpu_seconds("self").

%% CPU time of an OS process.
cpu_seconds(Pid) ->
    {ok, Stat} = file:read_file(lists:concat(["/proc/", Pid, "/stat"])),
    %% The command's name, in parentheses, may contain any character.
    [_, Fields] = string:split(Stat, ") ", trailing),
    %% Fields 14 and 15 of proc(5), in ticks of 10 ms on every Linux.
    [User, System] = lists:sublist(string:lexemes(Fields, " "), 12, 2),
    (binary_to_integer(User) + binary_to_integer(System)) / 100.

rss_mb() -> maps:get(rss_kb, os_node:status(self)) / 1024.

peak_mb() -> maps:get(peak_kb, os_node:status(self)) / 1024.

%% Bytes that the VM has allocated, and bytes that the system has given to the process.
memory() -> #{vm => erlang:memory(total), rss => maps:get(rss_kb, os_node:status(self)) * 1024}.

%% The time since the VM's start, which is never negative.
now_us() ->
    erlang:convert_time_unit(erlang:monotonic_time() - erlang:system_info(start_time), native, microsecond).

%% Waits until Fun() is true. The run's limit is the deadline.
until(Fun) ->
    case Fun() of
        true -> ok;
        false ->
            receive after 2 -> ok end,
            until(Fun)
    end.

%% The length of a measurement, or the pace within it.
sleep_until(Us) ->
    case Us - now_us() of
        Left when Left > 0 -> receive after (Left + 999) div 1000 -> ok end;
        _ -> ok
    end.
