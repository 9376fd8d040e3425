%%% The examples compile without a warning and work as documented.
-module(examples_tests).
-include_lib("eunit/include/eunit.hrl").

eunit_wrapper_(Tests) -> deadline:each(Tests).

all_test_() ->
    harness:tests([
        fun own_push_prints_each_result_of_its_process_in_order/1,
        fun own_supervisor_restarts_killed_but_not_stopped_monitors/1,
        fun watch_reports_monitors_in_trouble/1
    ]).

own_push_prints_each_result_of_its_process_in_order(Cu) ->
    Example = load(own_push),
    Id = harness:proc_id(),
    test_cu:add(Cu, Id, 3),
    Console = console(self()),
    with_console(Console, fun() ->
        {Monitor, _} = Example:start(Id, test_cu:url(Cu)),
        true = group_leader(Console, Monitor),
        Monitor ! tick
    end),
    [?assertMatch(<<Id:43/binary, " ", _/binary>>, printed(Console)) || _ <- [1, 2, 3]].

own_supervisor_restarts_killed_but_not_stopped_monitors(Cu) ->
    Example = load(own_supervisor),
    {Killed, Stopped} = {harness:proc_id(), harness:proc_id()},
    Options = #{cron_node => test_cu:url(Cu), rate => 3600000, cursor => earliest},
    {ok, Supervisor} = Example:start_link([{Killed, Options}, {Stopped, Options}]),
    #{monitor := First} = hb_process_monitor:info(Killed),
    harness:kill(First),
    harness:eventually(fun() ->
        case hb_process_monitor:info(Killed) of
            #{monitor := Second} -> Second =/= First;
            undefined -> false
        end
    end),
    #{monitor := Other} = hb_process_monitor:info(Stopped),
    ok = hb_process_monitor:stop(Other, deadline:ms()),
    harness:eventually(fun() -> length([Pid || {_, Pid, _, _} <- supervisor:which_children(Supervisor), is_pid(Pid)]) =:= 1 end),
    unlink(Supervisor),
    ok = gen_server:stop(Supervisor).

watch_reports_monitors_in_trouble(Cu) ->
    Example = load(watch),
    {Well, Ill} = {harness:proc_id(), harness:proc_id()},
    test_cu:script(Cu, fun(#{process := Id}) when Id =:= Ill -> {raw, test_cu:reply(500, <<>>)}; (_) -> pass end),
    {_, _} = harness:start(Cu, Well, #{cursor => earliest}),
    {Monitor, _} = harness:start(Cu, Ill, #{cursor => earliest}),
    Monitor ! tick,
    harness:eventually(fun() -> [{P, W} || {P, W, _} <- Example:troubles()] =:= [{Ill, fetch}] end),
    ?assertEqual(none, Example:worst_lag()).

load(Name) ->
    File = harness:checkout(filename:join("examples", Name)),
    {ok, Name, Beam, []} = compile:file(File, [binary, return, warnings_as_errors]),
    {module, Name} = code:load_binary(Name, File, Beam),
    Name.

%% An IO device that forwards each line.
console(Reader) ->
    spawn_link(fun() -> console_loop(Reader) end).

console_loop(Reader) ->
    receive
        {io_request, From, As, {put_chars, _, Module, Function, Args}} ->
            Reader ! {printed, self(), unicode:characters_to_binary(apply(Module, Function, Args))},
            From ! {io_reply, As, ok},
            console_loop(Reader);
        {io_request, From, As, {put_chars, _, Chars}} ->
            Reader ! {printed, self(), unicode:characters_to_binary(Chars)},
            From ! {io_reply, As, ok},
            console_loop(Reader)
    end.

with_console(Console, Fun) ->
    Own = group_leader(),
    true = group_leader(Console, self()),
    try Fun()
    after group_leader(Own, self())
    end.

printed(Console) ->
    receive {printed, Console, Line} -> Line
    after deadline:ms() -> error(nothing_printed)
    end.
