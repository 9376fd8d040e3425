%%% The library: every way in which hosts load it, and the calls that its functions refuse.
-module(nif_tests).
-include_lib("eunit/include/eunit.hrl").

%% The push device of other nodes.
-export([push/2]).

-define(NIF, hb_process_monitor_nif).

eunit_wrapper_(Tests) -> deadline:each(Tests).

functions_test_() ->
    harness:tests([
        fun functions_given_wrong_types_are_badarg/1,
        fun functions_given_stale_handles_do_nothing/1,
        fun engine_that_runs_already_is_busy/1,
        fun engine_whose_owner_died_is_stopped/1,
        fun engine_that_is_interrupted_returns_from_its_slice/1,
        fun messages_to_a_monitor_are_sent_by_the_loops_process/1,
        fun engine_stopped_before_the_last_message_still_sends_it/1,
        fun registration_with_bad_options_is_refused/1,
        fun library_loaded_again_goes_on_with_the_old_code/1
    ]).

loading_test_() ->
    {setup, fun harness:setup/0, fun harness:cleanup/1, fun(Cu) ->
        [{atom_to_list(Name), fun() -> T(Cu) end} || {Name, T} <- [
            {library_missing_in_an_embedded_release, fun missing_library_in_an_embedded_release_fails_the_call/1},
            {dropped_into_an_embedded_release, fun dropped_into_an_embedded_release_works/1},
            {left_by_a_plugin_for_cargo, fun library_where_a_plugin_for_cargo_leaves_it_is_found/1},
            {nif_path_names_the_library, fun nif_path_names_the_library/1}
        ]]
    end}.

specification_is_what_the_app_file_says_test() ->
    {ok, [{application, Name, File}]} = file:consult(code:where_is_file("hb_process_monitor.app")),
    {application, Name, Own} = hb_cron_loader:specification(),
    [?assertEqual({Key, normal(proplists:get_value(Key, File))}, {Key, normal(Value)}) || {Key, Value} <- Own].

%% Only a library built with NIF_PROFILE=dev contains such paths.
built_library_contains_no_path_of_its_machine_test_() ->
    {timeout, 300, fun() ->
        {ok, Library} = file:read_file(hb_process_monitor_nif:file()),
        {ok, {_, [{compile_info, Info}]}} = beam_lib:chunks(code:where_is_file("hb_process_monitor.beam"), [compile_info]),
        Paths = [harness:checkout("")] ++ [Path || Name <- ["HOME", "CARGO_HOME", "CARGO_TARGET_DIR"],
                                                    Path <- [os:getenv(Name, "")], length(Path) > 1],
        Found = [Path || Path <- ["/.cargo/", "/.rustup/" | Paths],
                         binary:match(Library, iolist_to_binary([string:trim(Path, trailing, "/"), "/"])) =/= nomatch],
        os:getenv("NIF_PROFILE") =:= "dev" orelse ?assertEqual([], Found),
        ?assertEqual(undefined, proplists:get_value(source, Info))
    end}.

normal([A | _] = List) when is_atom(A) -> lists:sort([M || M <- List, not is_test(M)]);
normal(Value) -> Value.

%% rebar3's test profile adds the tests to the file.
is_test(Module) ->
    Path = code:which(Module),
    is_list(Path) andalso string:find(Path, "/test/", trailing) =/= nomatch andalso
        filename:basename(filename:dirname(Path)) =/= "ebin".

engine() ->
    {ok, Engine} = ?NIF:new(#{max_inflight => 4, max_buffered => 1 bsl 20, checkpoint => false,
                              checkpoint_interval => 50, dead_letters_max => 1, dead_letters_max_bytes => 1000000,
                              expire_after => 0, cacertfile => false, cluster => false}),
    Engine.

options(Cu, Changes) ->
    maps:merge(#{process => harness:proc_id(), rate => 3600000, cursor => earliest, nodes => [test_cu:url(Cu)],
                 page_limit => 1000, connect_timeout => 1000, first_byte_timeout => 1000, timeout => 1000, max_page_bytes => 1000000,
                 walk_after => 60000, poll => rate, poll_max_gap => 60000, stale_after => 0, max_ahead => 0, kept => <<>>, go_on => false, paused => false}, Changes).

functions_given_wrong_types_are_badarg(_Cu) ->
    Bad = [undefined, 0, -1, 1.5, <<>>, [], {}, #{}, self(), make_ref(), fun() -> ok end],
    Calls = [fun(B) -> ?NIF:new(B) end, fun(B) -> ?NIF:run(B, 0) end, fun(B) -> ?NIF:run(engine(), {B}) end,
             fun(B) -> ?NIF:interrupt(B) end, fun(B) -> ?NIF:stop(B) end, fun(B) -> ?NIF:counters(B) end,
             fun(B) -> ?NIF:register(B, #{}) end, fun(B) -> ?NIF:register(engine(), B) end,
             fun(B) -> ?NIF:poll(B) end, fun(B) -> ?NIF:ack(B, 1, <<"c">>, true) end,
             fun(B) -> ?NIF:give_up(B, 1, <<"c">>, true, 1, <<>>, <<>>) end, fun(B) -> ?NIF:letters(B, <<>>, 0, {1, 1}) end,
             fun(B) -> ?NIF:letters(engine(), harness:proc_id(), 0, {B, 1}) end, fun(B) -> ?NIF:snapshots(B, []) end, fun(B) -> ?NIF:census(B) end,
             fun(B) -> ?NIF:discard(engine(), B, 1) end, fun(B) -> ?NIF:forget(engine(), B) end,
             fun(B) -> ?NIF:watched(B) end, fun(B) -> ?NIF:checkpoint_status(B) end,
             fun(B) -> ?NIF:close_checkpoints([B]) end, fun(B) -> ?NIF:mail(B) end, fun(B) -> ?NIF:next_part(B, 0, false) end,
             fun(B) -> ?NIF:large_part(B, 0, false) end, fun(B) -> ?NIF:flush(B) end, fun(B) -> ?NIF:stopped(engine(), B, 1) end,
             fun(B) -> ?NIF:has_letter(engine(), B, 1) end, fun(B) -> ?NIF:keep_options(engine(), B, <<>>) end,
             fun(B) -> ?NIF:give_up_large(B, 1, <<"c">>, true, 1, <<>>, <<>>) end,
             fun(B) -> ?NIF:remove(B, true) end, fun(B) -> ?NIF:log_to_self(B) end, fun(B) -> ?NIF:check_node([B]) end,
             %% An engine is not a handle.
             fun(_) -> ?NIF:poll(engine()) end],
    [?assertError(badarg, Call(B)) || Call <- Calls, B <- Bad].

functions_given_stale_handles_do_nothing(Cu) ->
    Engine = engine(),
    {ok, Handle, Epoch, {new, earliest}} = ?NIF:register(Engine, options(Cu, #{})),
    {ok, Other, Later, {new, earliest}} = ?NIF:register(Engine, options(Cu, #{})),
    ?assert(Later > Epoch),
    wait = ?NIF:remove(Handle, false),
    ok = ?NIF:run(Engine, 0),
    receive {hb_cron, Epoch, durable} -> ok end,
    ok = ?NIF:stop(Engine),
    [begin
        ?assertEqual(stopped, ?NIF:poll(H)),
        ?assertEqual(ok, ?NIF:ack(H, 1, <<"c">>, true)),
        ?assertEqual(ok, ?NIF:ack(H, 16#ffffffffffffffff, <<"c">>, false)),
        %% A checkpoint in memory has no room for dead letters.
        ?assertEqual(full, ?NIF:give_up(H, 1, <<"c">>, true, 1, <<>>, <<>>)),
        _ = ?NIF:remove(H, false),
        ?assertEqual(durable, ?NIF:remove(H, false))
    end || H <- [Handle, Other, Handle]],
    ?assertEqual(stopped, ?NIF:run(Engine, 1000)),
    ?assertEqual({error, stopped}, ?NIF:register(Engine, options(Cu, #{}))),
    ?assertEqual([], test_cu:requests(Cu)).

engine_that_runs_already_is_busy(_Cu) ->
    Engine = engine(),
    Self = self(),
    Runner = spawn_link(fun() -> Self ! {ran, run(Engine, 60000)} end),
    harness:eventually(fun() -> ?NIF:run(Engine, 0) =:= busy end),
    ok = ?NIF:stop(Engine),
    receive {ran, Answer} -> ?assertEqual(stopped, Answer) end,
    unlink(Runner).

%% Checking whether the loop runs takes a slice, which may collide with another caller's slice.
run(Engine, Length) ->
    case ?NIF:run(Engine, Length) of
        busy -> run(Engine, Length);
        Answer -> Answer
    end.

engine_whose_owner_died_is_stopped(_Cu) ->
    Self = self(),
    {Owner, Ref} = spawn_monitor(fun() -> Self ! {engine, engine()}, receive never -> ok end end),
    Engine = receive {engine, E} -> E end,
    ?assertEqual(ok, ?NIF:run(Engine, 0)),
    exit(Owner, kill),
    receive {'DOWN', Ref, process, _, _} -> ok end,
    harness:eventually(fun() -> ?NIF:run(Engine, 0) =:= stopped end).

engine_that_is_interrupted_returns_from_its_slice(_Cu) ->
    Engine = engine(),
    Self = self(),
    spawn_link(fun() -> Self ! {ran, run(Engine, 3600000)} end),
    harness:eventually(fun() -> ?NIF:run(Engine, 0) =:= busy end),
    ok = ?NIF:interrupt(Engine),
    receive {ran, Answer} -> ?assertEqual(ok, Answer) end.

%% So they come in the order in which the engine decided on them.
messages_to_a_monitor_are_sent_by_the_loops_process(Cu) ->
    Self = self(),
    Owner = spawn_link(fun() ->
        Engine = engine(),
        Self ! {engine, Engine},
        receive run -> run_until_stopped(Engine) end
    end),
    Engine = receive {engine, E} -> E end,
    1 = erlang:trace(Owner, true, [send]),
    Owner ! run,
    Id = harness:proc_id(),
    test_cu:add(Cu, Id, 1),
    Down = {raw, test_cu:reply(500, <<>>)},
    test_cu:script(Cu, fun(#{query := #{<<"sort">> := <<"DESC">>}}) -> pass;
                          (_) -> Down
                       end),
    {ok, Handle, Epoch, _} = ?NIF:register(Engine, options(Cu, #{process => Id, cursor => undefined, rate => 1})),
    {hb_cron, _, {resolved, Cursor}} = heard(Owner, Epoch, resolved),
    ?assertEqual(test_cu:cursor(1), Cursor),
    tick = heard(Owner, Epoch, tick),
    none = ?NIF:next_part(Handle, 0, false),
    ok = ?NIF:poll(Handle),
    {hb_cron, _, {failed, status, _, 1}} = heard(Owner, Epoch, failed),
    test_cu:add(Cu, Id, 1),
    test_cu:script(Cu, fun(_) -> pass end),
    {hb_cron, _, page} = heard(Owner, Epoch, page),
    {hb_cron, _, {recovered, _}} = heard(Owner, Epoch, recovered),
    wait = ?NIF:remove(Handle, false),
    {hb_cron, _, durable} = heard(Owner, Epoch, durable),
    unlink(Owner),
    ok = ?NIF:stop(Engine).

run_until_stopped(Engine) ->
    case ?NIF:run(Engine, 60000) of
        ok -> run_until_stopped(Engine);
        stopped -> ok
    end.

%% The next message of this kind, which the process sent.
heard(Owner, Epoch, Kind) ->
    receive
        tick when Kind =:= tick -> sent(Owner, tick);
        {hb_cron, Epoch, Kind} = Message -> sent(Owner, Message);
        {hb_cron, Epoch, Content} = Message when element(1, Content) =:= Kind -> sent(Owner, Message)
    after deadline:ms() -> error({not_heard, Kind})
    end.

sent(Owner, Message) ->
    Self = self(),
    receive {trace, Owner, send, Message, Self} -> Message
    after deadline:ms() -> error({not_sent_by_the_loop, Message})
    end.

engine_stopped_before_the_last_message_still_sends_it(Cu) ->
    Engine = engine(),
    {ok, Handle, Epoch, _} = ?NIF:register(Engine, options(Cu, #{})),
    wait = ?NIF:remove(Handle, false),
    ok = ?NIF:stop(Engine),
    receive {hb_cron, Epoch, durable} -> ok
    after deadline:ms() -> error(no_last_message)
    end.

registration_with_bad_options_is_refused(Cu) ->
    Engine = engine(),
    [?assertError(badarg, ?NIF:register(Engine, options(Cu, Changes))) || Changes <- [
        #{process => <<"short">>}, #{process => binary:copy(<<"/">>, 43)}, #{rate => 0}, #{rate => 1 bsl 32},
        #{cursor => <<>>}, #{cursor => latest}, #{cursor => binary:copy(<<"c">>, 4097)}, #{nodes => []},
        #{nodes => none}, #{nodes => [<<"http://127.0.0.1:1">> | <<"x">>]}, #{page_limit => -1}, #{timeout => infinity}]],
    ?assertError(badarg, ?NIF:register(Engine, maps:remove(rate, options(Cu, #{})))),
    ?assertEqual({error, {bad_node, <<"ftp://x">>}}, ?NIF:register(Engine, options(Cu, #{nodes => [<<"ftp://x">>]}))).

library_loaded_again_goes_on_with_the_old_code(Cu) ->
    Id = harness:proc_id(),
    harness:report_pushes(Id),
    {Monitor, _} = harness:start(Cu, Id, #{cursor => earliest}),
    ?assertMatch({error, _}, code:load_file(?NIF)),
    ?assertEqual(ok, ?NIF:loaded()),
    test_cu:add(Cu, Id, 3),
    Monitor ! tick,
    harness:await_results(1, 3).

%% Other nodes: releases in embedded mode, with the beams in an application of the host

push(#{message := #{<<"cursor">> := Cursor}}, _State) ->
    persistent_term:put({?MODULE, pushed}, Cursor).

missing_library_in_an_embedded_release_fails_the_call(Cu) ->
    with_release(none, [], fun(Peer, Dir) ->
        ?assertEqual({module, ?NIF}, harness:call_peer(Peer, code, load_file, [?NIF])),
        {error, {nif_not_loaded, Tried}} = start_on(Peer, Cu),
        Priv = filename:join([Dir, "lib", "hb-0.0.1", "priv"]),
        ?assertEqual([filename:join(Priv, "hb_process_monitor_nif.so"),
                      filename:join([Priv, "crates", "hb_process_monitor_nif", "hb_process_monitor_nif.so"])],
                     [Path || {Path, _} <- Tried]),
        [?assertNotEqual(nomatch, string:find(Reason, "cannot open shared object file")) || {_, Reason} <- Tried],
        ?assertEqual({error, {nif_not_loaded, Tried}}, raised_on(Peer, ?NIF, new, [#{max_inflight => 1}]))
    end).

dropped_into_an_embedded_release_works(Cu) ->
    with_release("priv", [], fun(Peer, _Dir) -> pushes(Peer, Cu) end).

library_where_a_plugin_for_cargo_leaves_it_is_found(Cu) ->
    with_release("priv/crates/hb_process_monitor_nif", [], fun(Peer, _Dir) -> pushes(Peer, Cu) end).

nif_path_names_the_library(Cu) ->
    Library = filename:join(code:priv_dir(hb_process_monitor), "hb_process_monitor_nif.so"),
    with_release(none, ["-hb_process_monitor", "nif_path", lists:flatten(io_lib:format("~p", [Library]))],
                 fun(Peer, _Dir) -> pushes(Peer, Cu) end).

pushes(Peer, Cu) ->
    1 = test_cu:add(Cu, release_id(), 1),
    {Monitor, undefined} = start_on(Peer, Cu),
    harness:call_peer(Peer, erlang, send, [Monitor, tick]),
    Cursor = test_cu:cursor(1),
    harness:eventually(fun() -> harness:call_peer(Peer, persistent_term, get, [{?MODULE, pushed}, none]) =:= Cursor end),
    %% Loads only what a call needs. A second call purges nothing.
    ?assertEqual({Monitor, undefined}, start_on(Peer, Cu)),
    ok = harness:call_peer(Peer, hb_process_monitor, stop, [Monitor, deadline:ms()]),
    ets:delete(maps:get(table, Cu), {count, release_id()}).

release_id() -> list_to_binary(lists:duplicate(43, $R)).

start_on(Peer, Cu) ->
    Options = #{rate => 3600000, cursor => earliest, cron_node => test_cu:url(Cu), cron_push => {?MODULE, push}},
    %% The default checkpoint of a node without options.
    ok = harness:call_peer(Peer, file, set_cwd, [filename:dirname(harness:checkpoint())]),
    raised_on(Peer, hb_process_monitor, start, [release_id(), Options]).

%% The result of a call on the peer, or `{error, Reason}' if it raises.
raised_on(Peer, Module, Function, Args) ->
    harness:call_peer(Peer, erlang, apply, [fun(M, F, As) ->
        try apply(M, F, As) catch error:Reason -> {error, Reason} end
    end, [Module, Function, Args]]).

%% A directory as an operator leaves it: the beams, with or without the library, in an application `hb'.
with_release(Where, Args, Fun) ->
    Dir = string:trim(os:cmd("mktemp -d")),
    Hb = filename:join([Dir, "lib", "hb-0.0.1"]),
    Ebin = filename:join(Hb, "ebin"),
    ok = filelib:ensure_dir(filename:join(Ebin, "x")),
    [{ok, _} = file:copy(Beam, filename:join(Ebin, filename:basename(Beam)))
     || Beam <- filelib:wildcard(filename:join(filename:dirname(code:which(?NIF)),
                                               "{hb_process_monitor,hb_cron_,dev_process_monitor}*.beam"))],
    Library = filename:join(code:priv_dir(hb_process_monitor), "hb_process_monitor_nif.so"),
    Where =:= none orelse begin
        To = filename:join([Hb, Where, filename:basename(Library)]),
        ok = filelib:ensure_dir(To),
        {ok, _} = file:copy(Library, To)
    end,
    Peer = harness:start_peer(["-mode", "embedded", "-pa", Ebin | Args]),
    try
        {module, _} = harness:call_peer(Peer, code, load_file, [hb_process_monitor]),
        {?MODULE, Binary, File} = code:get_object_code(?MODULE),
        {module, _} = harness:call_peer(Peer, code, load_binary, [?MODULE, File, Binary]),
        Fun(Peer, Dir)
    after
        peer:stop(Peer),
        file:del_dir_r(Dir)
    end.
