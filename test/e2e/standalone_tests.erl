%%% The program without HyperBEAM, run as users do: `scripts/run.sh' in an OS process, against a Compute Unit double.
-module(standalone_tests).
-include_lib("eunit/include/eunit.hrl").

eunit_wrapper_(Tests) -> deadline:each(Tests).

all_test_() ->
    {foreach, fun setup/0, fun cleanup/1, [{with, [Test]} || Test <- [
        fun results_are_lines_in_order_and_the_next_run_continues/1,
        fun program_that_is_killed_continues_after_its_acks/1,
        fun posted_results_are_retried_until_the_receiver_accepts/1,
        fun standard_output_that_is_closed_ends_the_program/1,
        fun second_program_on_one_checkpoint_says_why_it_ends/1,
        fun bad_arguments_are_a_sentence_and_status_2/1
    ]]}.

setup() ->
    Dir = string:trim(os:cmd("mktemp -d")),
    #{dir => Dir, cu => test_cu:start(), id => harness:proc_id()}.

cleanup(#{dir := Dir, cu := Cu}) ->
    test_cu:stop(Cu),
    _ = file:del_dir_r(Dir),
    ok.

results_are_lines_in_order_and_the_next_run_continues(#{cu := Cu, id := Id} = World) ->
    25 = test_cu:add(Cu, Id, 25),
    First = start(World, ["FROM=earliest", "RATE=100"]),
    Lines = lines(First, 25),
    ?assertEqual([test_cu:cursor(N) || N <- lists:seq(1, 25)], [Cursor || #{<<"cursor">> := Cursor} <- Lines]),
    ?assertMatch([#{<<"process">> := Id, <<"time">> := Time, <<"result">> := #{<<"Output">> := _, <<"Messages">> := [_]}} | _]
                 when is_integer(Time), Lines),
    ?assertEqual({0, <<>>}, ended(terminate(First))),
    27 = test_cu:add(Cu, Id, 2),
    Second = start(World, ["FROM=earliest", "RATE=100"]),
    ?assertEqual([test_cu:cursor(N) || N <- [26, 27]], [Cursor || #{<<"cursor">> := Cursor} <- lines(Second, 2)]),
    ?assertEqual({0, <<>>}, ended(terminate(Second))).

%% Nothing is skipped. What was not durable is repeated.
program_that_is_killed_continues_after_its_acks(#{cu := Cu, id := Id} = World) ->
    10 = test_cu:add(Cu, Id, 10),
    First = start(World, ["FROM=earliest", "RATE=100"]),
    _ = lines(First, 10),
    {os_pid, Script} = erlang:port_info(First, os_pid),
    _ = os:cmd(lists:concat(["pkill -9 -P ", Script])),
    {Status, _} = ended(First),
    ?assert(Status > 128),
    12 = test_cu:add(Cu, Id, 2),
    Second = start(World, ["FROM=earliest", "RATE=100"]),
    Numbers = until(12, Second),
    ?assertEqual(lists:seq(hd(Numbers), 12), Numbers),
    ?assertEqual({0, <<>>}, ended(terminate(Second))).

until(Last, Port) ->
    [#{<<"cursor">> := Cursor}] = lines(Port, 1),
    case [N || N <- lists:seq(1, Last), test_cu:cursor(N) =:= Cursor] of
        [Last] -> [Last];
        [N] -> [N | until(Last, Port)]
    end.

posted_results_are_retried_until_the_receiver_accepts(#{cu := Cu, id := Id} = World) ->
    2 = test_cu:add(Cu, Id, 2),
    {ok, Listen} = gen_tcp:listen(0, [binary, {active, false}, {ip, {127, 0, 0, 1}}, {packet, http_bin}, {reuseaddr, true}]),
    {ok, Port} = inet:port(Listen),
    Program = start(World, ["FROM=earliest", "RATE=100", lists:concat(["PUSH=http://127.0.0.1:", Port, "/sink"])]),
    %% 302 is not followed.
    Posted = [posted(Listen, Status) || Status <- ["500 No", "302 Found", "204 No Content", "200 OK"]],
    ?assertEqual([test_cu:cursor(N) || N <- [1, 1, 1, 2]], [Cursor || #{<<"cursor">> := Cursor} <- Posted]),
    ?assertEqual({0, <<>>}, ended(terminate(Program))),
    ok = gen_tcp:close(Listen).

posted(Listen, Status) ->
    {ok, Socket} = gen_tcp:accept(Listen, deadline:ms()),
    {ok, {http_request, 'POST', {abs_path, <<"/sink">>}, _}} = gen_tcp:recv(Socket, 0, deadline:ms()),
    Length = content_length(Socket, 0),
    ok = inet:setopts(Socket, [{packet, raw}]),
    {ok, Body} = gen_tcp:recv(Socket, Length, deadline:ms()),
    ok = gen_tcp:send(Socket, ["HTTP/1.1 ", Status, "\r\nlocation: /elsewhere\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"]),
    ok = gen_tcp:close(Socket),
    json_text:decode(Body).

content_length(Socket, Length) ->
    case gen_tcp:recv(Socket, 0, deadline:ms()) of
        {ok, http_eoh} -> Length;
        {ok, {http_header, _, 'Content-Length', _, Value}} -> content_length(Socket, binary_to_integer(Value));
        {ok, _} -> content_length(Socket, Length)
    end.

standard_output_that_is_closed_ends_the_program(#{cu := Cu, id := Id} = World) ->
    %% The program notices it when it writes: the pipe may take many results before its reader ends.
    Producer = spawn_link(fun() -> produce(Cu, Id) end),
    {Status, Said} = shell(World, ["FROM=earliest", "RATE=100"], "\"$@\" 2>&3 | head -n 1 >/dev/null; exit ${PIPESTATUS[0]}"),
    true = unlink(Producer),
    true = exit(Producer, kill),
    ?assertEqual(1, Status),
    ?assertNotEqual(nomatch, string:find(Said, "the standard output cannot be written (epipe)")).

produce(Cu, Id) ->
    _ = test_cu:add(Cu, Id, 1),
    ok = timer:sleep(20),
    produce(Cu, Id).

second_program_on_one_checkpoint_says_why_it_ends(#{cu := Cu, id := Id} = World) ->
    1 = test_cu:add(Cu, Id, 1),
    First = start(World, ["FROM=earliest", "RATE=100"]),
    _ = lines(First, 1),
    {Status, Said} = shell(World, [], "\"$@\" 2>&1"),
    ?assertEqual(1, Status),
    ?assertNotEqual(nomatch, string:find(Said, "cron-monitor: the file ")),
    ?assertEqual({0, <<>>}, ended(terminate(First))).

bad_arguments_are_a_sentence_and_status_2(World) ->
    [begin
        {Status, Said} = shell(World, Given, "\"$@\" 2>&1"),
        ?assertEqual({Given, 2}, {Given, Status}),
        ?assertMatch({Given, [_ | _]}, {Given, string:find(Said, Text)})
     end || {Given, Text} <- [{["RATE=0"], "RATE: '0' is not a number"}, {["FROM="], "FROM is empty"}]].

%% The program

start(World, Given) ->
    open_port({spawn_executable, script()}, [{args, arguments(World, Given)}, {cd, maps:get(dir, World)}, {env, environment()},
                                             exit_status, binary, {line, 1000000}, hide]).

%% Runs the program in a shell command, and returns its exit status and what it wrote, with descriptor 3 for its errors.
shell(#{dir := Dir} = World, Given, Command) ->
    os_program:run("/bin/bash", ["-c", "exec 3>&1; " ++ Command, "bash", script() | arguments(World, Given)],
                   #{cd => Dir, env => environment()}).

script() -> harness:checkout("scripts/run.sh").

arguments(#{cu := Cu, id := Id}, Given) ->
    ["PROCESS=" ++ binary_to_list(Id), "CU=" ++ binary_to_list(test_cu:url(Cu)) | Given].

%% The script is not that of the checkout in which the tests run, if these are in a release.
environment() ->
    Ebin = filename:absname(filename:dirname(code:where_is_file("hb_cron_standalone.beam"))),
    [{"CRON_PATHS", Ebin}].

%% The next lines of the standard output.
lines(Port, Count) -> [line(Port) || _ <- lists:seq(1, Count)].

line(Port) ->
    receive
        {Port, {data, {eol, Line}}} -> json_text:decode(Line);
        {Port, {exit_status, Status}} -> error({ended, Status})
    after deadline:ms() -> error(no_line)
    end.

terminate(Port) ->
    {os_pid, Pid} = erlang:port_info(Port, os_pid),
    %% SIGINT is ignored by what runs in the background of a shell, such as these tests, perhaps.
    _ = os:cmd(lists:concat(["kill -TERM ", Pid])),
    Port.

%% The exit status, and what came since the last line.
ended(Port) -> ended(Port, []).

ended(Port, Said) ->
    receive
        {Port, {data, {_, Line}}} -> ended(Port, [Said, Line]);
        {Port, {exit_status, Status}} -> {Status, iolist_to_binary(Said)}
    after deadline:ms() -> error(no_end)
    end.
