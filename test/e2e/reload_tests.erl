%%% New code for a running node: every module except the library's is replaced under load, all at once. Nothing is
%%% lost, repeated or killed.
-module(reload_tests).
-include_lib("eunit/include/eunit.hrl").

-define(M, hb_process_monitor).
-define(LIBRARY_MODULE, hb_process_monitor_nif).

eunit_wrapper_(Tests) -> deadline:each(Tests).

all_test_() ->
    {foreach, fun setup/0, fun cleanup/1,
     [fun(World) -> {atom_to_list(Name), fun() -> Test(World) end} end || {Name, Test} <- [
        {unchanged_files_reload_nothing, fun unchanged/1},
        {reloads_under_load_lose_and_repeat_nothing, fun under_load/1},
        {library_module_is_never_exchanged, fun library_module/1},
        {library_that_has_not_all_that_is_called_exchanges_nothing, fun library_calls/1},
        {reload_that_is_killed_leaves_the_engine_awake, fun killed/1},
        {monitor_whose_state_has_another_shape_begins_anew, fun shape/1},
        {push_that_outlasts_two_reloads_is_waited_for_and_not_killed, fun long_push/1},
        {damaged_file_exchanges_nothing, fun damaged/1},
        {file_of_a_module_that_is_new_is_loaded, fun new_module/1}
     ]]}.

%% Puts a directory of beams before the real one in the code path.
setup() ->
    Cu = harness:setup(),
    %% Other tests may have loaded some.
    [{module, Module} = code:ensure_loaded(Module) || Module <- hb_cron_loader:modules()],
    Real = real(),
    Dir = filename:join(string:trim(os:cmd("mktemp -d")), "ebin"),
    ok = file:make_dir(Dir),
    [{ok, _} = file:copy(File, filename:join(Dir, filename:basename(File)))
     || File <- filelib:wildcard(filename:join(Real, "{hb_process_monitor,hb_cron_,dev_process_monitor}*.beam"))],
    true = code:add_patha(Dir),
    #{cu => Cu, dir => Dir}.

cleanup(#{cu := Cu, dir := Dir}) ->
    harness:cleanup(Cu),
    true = code:del_path(Dir),
    {ok, _} = hb_process_monitor:reload(),
    file:del_dir_r(filename:dirname(Dir)).

real() -> filename:join(code:lib_dir(hb_process_monitor), "ebin").

%% Writes new versions of modules, with a function that returns the version.
new_version(#{dir := Dir}, Version, Modules) ->
    [begin
        File = filename:join(Dir, atom_to_list(Module) ++ ".beam"),
        {ok, {Module, [{abstract_code, {_, Forms}}]}} = beam_lib:chunks(filename:join(real(), Module), [abstract_code]),
        [FileForm, ModuleForm | Rest] = [Form || Form <- Forms, not is_version(Form)],
        Versioned = [FileForm, ModuleForm, {attribute, 1, export, [{version, 0}]} | Rest],
        Function = {function, 1, version, 0, [{clause, 1, [], [], [{integer, 1, Version}]}]},
        {ok, Module, Code} = compile:forms(with_function(Versioned, Function), [debug_info]),
        %% Written to a new file and renamed, like all files that a node may read.
        ok = file:write_file(File ++ ".new", Code),
        ok = file:rename(File ++ ".new", File)
    end || Module <- Modules],
    ok.

is_version({attribute, _, export, [{version, 0}]}) -> true;
is_version({function, _, version, 0, _}) -> true;
is_version(_) -> false.

with_function(Forms, Function) ->
    {Before, Eof} = lists:splitwith(fun(Form) -> element(1, Form) =/= eof end, Forms),
    Before ++ [Function | Eof].

exchangeable() -> hb_cron_loader:modules() -- [?LIBRARY_MODULE].

unchanged(_World) ->
    ?assertEqual({ok, []}, ?M:reload()).

under_load(#{cu := Cu} = World) ->
    Ids = [harness:proc_id() || _ <- lists:seq(1, 10)],
    lists:foreach(fun harness:report_pushes/1, Ids),
    Monitors = [begin
        test_cu:add(Cu, Id, 100),
        element(1, harness:start(Cu, Id, #{cursor => earliest, rate => 50, cron_page_limit => 20}))
    end || Id <- Ids],
    Ticker = whereis(hb_cron_engine),
    [begin
        ok = new_version(World, Version, exchangeable()),
        {ok, Reloaded} = ?M:reload(),
        ?assertEqual(lists:sort(exchangeable()), lists:sort(Reloaded)),
        [?assertEqual(Version, Module:version()) || Module <- exchangeable()],
        [test_cu:add(Cu, Id, 100) || Id <- Ids]
    end || Version <- lists:seq(1, 5)],
    Pushed = received(#{}, 6000),
    [?assertEqual(lists:seq(1, 600), lists:reverse(maps:get(Id, Pushed))) || Id <- Ids],
    ?assertEqual([], [Monitor || Monitor <- Monitors, not is_process_alive(Monitor)]),
    ?assertEqual(Ticker, whereis(hb_cron_engine)).

received(Pushed, 0) ->
    Pushed;
received(Pushed, Left) ->
    receive {pushed, Number, _, #{proc_id := Id}} ->
        received(maps:update_with(Id, fun(Before) -> [Number | Before] end, [Number], Pushed), Left - 1)
    after deadline:ms() -> error({missing, Left})
    end.

library_module(World) ->
    Before = erlang:get_module_info(?LIBRARY_MODULE, md5),
    ok = new_version(World, 1, [hb_cron_host]),
    ok = other_library(World),
    ?assertEqual({ok, [hb_cron_host]}, ?M:reload()),
    ?assertEqual(Before, erlang:get_module_info(?LIBRARY_MODULE, md5)).

%% With an additional clause, and the same exports.
other_library(#{dir := Dir}) ->
    Name = atom_to_list(?LIBRARY_MODULE) ++ ".beam",
    {ok, {_, [{abstract_code, {_, Forms}}]}} = beam_lib:chunks(filename:join(real(), Name), [abstract_code]),
    Changed = [case Form of
        {function, L, poll, 1, Clauses} -> {function, L, poll, 1, [{clause, L, [{atom, L, other}], [], [{atom, L, ok}]} | Clauses]};
        _ -> Form
    end || Form <- Forms],
    {ok, _, Code} = compile:forms(Changed, []),
    file:write_file(filename:join(Dir, Name), Code).

library_calls(World) ->
    ok = new_version(World, 1, [?LIBRARY_MODULE, hb_cron_host]),
    {error, {not_loaded, [{File, library_needs_a_restart}]}} = ?M:reload(),
    ?assertEqual(atom_to_list(?LIBRARY_MODULE) ++ ".beam", filename:basename(File)),
    ?assertNot(erlang:function_exported(hb_cron_host, version, 0)).

shape(#{cu := Cu, dir := Dir}) ->
    Id = harness:proc_id(),
    {Monitor, _} = harness:start_and_push(Cu, Id, 2, #{rate => 50}),
    Name = "hb_cron_server.beam",
    {ok, {_, [{abstract_code, {_, Forms}}]}} = beam_lib:chunks(filename:join(real(), Name), [abstract_code]),
    Changed = [case Form of
        {attribute, L, record, {state, Fields}} ->
            {attribute, L, record, {state, Fields ++ [{record_field, L, {atom, L, more}, {atom, L, none}}]}};
        _ -> Form
    end || Form <- Forms],
    {ok, _, Code} = compile:forms(Changed, [debug_info]),
    ok = file:write_file(filename:join(Dir, Name), Code),
    #{level := Level} = logger:get_primary_config(),
    %% It crashes, on purpose.
    ok = logger:set_primary_config(level, none),
    ?assertEqual({ok, [hb_cron_server]}, ?M:reload()),
    test_cu:add(Cu, Id, 1),
    harness:await_results(3, 3),
    ok = logger:set_primary_config(level, Level),
    ?assertNot(is_process_alive(Monitor)).

killed(#{cu := Cu}) ->
    Id = harness:proc_id(),
    harness:report_pushes(Id),
    test_cu:add(Cu, Id, 1),
    _ = harness:start(Cu, Id, #{cursor => earliest, rate => 50}),
    harness:await_results(1, 1),
    Self = self(),
    Caller = spawn(fun() ->
        hb_cron_engine:without_loop(fun() -> Self ! asleep, receive never -> ok end end)
    end),
    receive asleep -> ok end,
    _ = harness:kill(Caller),
    test_cu:add(Cu, Id, 1),
    harness:await_results(2, 2).

long_push(#{cu := Cu} = World) ->
    Id = harness:proc_id(),
    Push = harness:hold_pushes(Id),
    test_cu:add(Cu, Id, 2),
    {Monitor, _} = harness:start(Cu, Id, #{cursor => earliest}),
    Monitor ! tick,
    First = harness:await_push(Push, 1),
    ok = new_version(World, 1, exchangeable()),
    {ok, [_ | _]} = ?M:reload(),
    ok = new_version(World, 2, exchangeable()),
    {error, {busy, Busy}} = ?M:reload(50),
    ?assert(lists:member(hb_cron_server, Busy)),
    ?assertEqual(1, hb_cron_server:version()),
    ?assert(is_process_alive(Monitor)),
    harness:release_push(First),
    harness:release_push(harness:await_push(Push, 2)),
    {ok, [_ | _]} = ?M:reload(),
    ?assertEqual(2, hb_cron_server:version()).

damaged(#{dir := Dir} = World) ->
    ok = new_version(World, 1, [hb_cron_host]),
    ok = file:write_file(filename:join(Dir, "hb_cron_log.beam"), <<"FOR1 no more">>),
    {error, {not_loaded, [{File, _}]}} = ?M:reload(),
    ?assertEqual("hb_cron_log.beam", filename:basename(File)),
    ?assertNot(erlang:function_exported(hb_cron_host, version, 0)).

new_module(#{dir := Dir}) ->
    Forms = [{attribute, 1, module, hb_cron_to_come}, {eof, 1}],
    {ok, Module, Code} = compile:forms(Forms, []),
    ok = file:write_file(filename:join(Dir, "hb_cron_to_come.beam"), Code),
    Loader = filename:join(Dir, "hb_cron_loader.beam"),
    {ok, {_, [{abstract_code, {_, LoaderForms}}]}} = beam_lib:chunks(Loader, [abstract_code]),
    {ok, _, LoaderCode} = compile:forms([with_module(Form, Module) || Form <- LoaderForms], [debug_info]),
    ok = file:write_file(Loader, LoaderCode),
    {ok, Reloaded} = ?M:reload(),
    ?assertEqual([hb_cron_loader, Module], lists:sort(Reloaded)),
    ?assert(erlang:module_loaded(Module)),
    true = code:delete(Module),
    _ = code:purge(Module).

%% The loader's list of modules with an addition.
with_module({attribute, Line, modules, Modules}, Module) -> {attribute, Line, modules, [Module | Modules]};
with_module(Form, _) -> Form.
