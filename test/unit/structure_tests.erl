%%% The structure of the sources: no circles among files and modules, and lists that exist twice are equal. Each check
%%% is also given something wrong, which it must find.
-module(structure_tests).
-include_lib("eunit/include/eunit.hrl").

eunit_wrapper_(Tests) -> deadline:each(Tests).

%% Rust files

rust_files_import_without_a_circle_test_() ->
    [{filename:basename(Dir), fun() ->
         Crate = rust_source:crate(Dir),
         %% Else an error in reading the sources would hide all circles.
         ?assert(length(rust_source:imports(Crate)) > map_size(Crate)),
         ?assertEqual([], rust_source:circles(Crate))
     end} || Dir <- filelib:wildcard(path("native/*"))].

rust_files_in_a_circle_are_found_test_() ->
    Circle = fun(Lib, A, B, C) ->
        rust_source:circles(#{[] => Lib, ["a"] => A, ["b"] => B, ["b", "c"] => C})
    end,
    [?_assertEqual([[["a"], ["b"]]], Circle("", "use crate::b::B;", "use crate::a::A;", "")),
     ?_assertEqual([[["a"], ["b"], ["b", "c"]]], Circle("", "use crate::{b, x::{Y, Z}};", "use crate::{z, b::{c::{self, C}}};", "fn f() { crate::a::f() }")),
     ?_assertEqual([[["a"], ["b", "c"]]], Circle("pub use b::c::{C as D, E};", "use crate::D;", "", "use crate::a::f as g;")),
     ?_assertEqual([[["b"], ["b", "c"]]], Circle("", "", "use crate::b::c::f;", "use super::B;")),
     ?_assertEqual([[["a"], ["b", "c"]]], Circle("", "fn f(c: crate::b::c::C) {}", "", "use super::super::a;"))].

rust_files_without_a_circle_pass_test_() ->
    Circle = fun(Lib, A, B) -> rust_source:circles(#{[] => Lib, ["a"] => A, ["b"] => B}) end,
    [?_assertEqual([], Circle("", "use crate::b::B;", "use std::a::A; use a::B;")),
     ?_assertEqual([], Circle("", "use crate::b::B;", "// use crate::a::A;\n")),
     ?_assertEqual([], Circle("", "use crate::b::B;", "fn f() {}\n#[cfg(test)]\nmod tests {\n    use crate::a::A;\n}\n")),
     ?_assertEqual([], Circle("pub use b::a as c;", "use crate::b::B;", "use crate::c;"))].

%% Erlang modules

erlang_modules_call_without_a_circle_test() ->
    Ebin = filename:join(code:lib_dir(hb_process_monitor), "ebin"),
    Beams = [filename:join(Ebin, atom_to_list(Module) ++ ".beam") || Module <- hb_cron_loader:modules()],
    Calls = calls(Beams),
    ?assert(lists:member({hb_cron_push_loop, hb_process_monitor_nif}, Calls)),
    ?assertEqual([], rust_source:graph_circles(Calls)).

erlang_modules_in_a_circle_are_found_test() ->
    Dir = string:trim(os:cmd("mktemp -d")),
    try
        Beams = [compiled(Dir, Module, Called)
                 || {Module, Called} <- [{structure_a, structure_b}, {structure_b, structure_c}, {structure_c, structure_a},
                                         {structure_d, structure_a}]],
        ?assertEqual([[structure_a, structure_b, structure_c]], rust_source:graph_circles(calls(Beams)))
    after
        file:del_dir_r(Dir)
    end.

compiled(Dir, Module, Called) ->
    Forms = [{attribute, 1, module, Module},
             {attribute, 2, export, [{f, 0}]},
             {function, 3, f, 0, [{clause, 3, [], [], [{call, 3, {remote, 3, {atom, 3, Called}, {atom, 3, f}}, []}]}]}],
    {ok, Module, Code} = compile:forms(Forms, [debug_info]),
    File = filename:join(Dir, atom_to_list(Module) ++ ".beam"),
    ok = file:write_file(File, Code),
    File.

%% The pairs of modules of which the first one calls the second one.
calls(Beams) ->
    {ok, _} = xref:start(?MODULE),
    try
        ok = xref:set_default(?MODULE, [{verbose, false}, {warnings, false}]),
        [{ok, _} = xref:add_module(?MODULE, Beam) || Beam <- Beams],
        {ok, Calls} = xref:q(?MODULE, "strict ME"),
        Calls
    after
        xref:stop(?MODULE)
    end.

%% Lists that exist twice

loader_names_the_modules_under_erlang_test() ->
    Files = filelib:wildcard("erlang/**/*.erl", path(".")),
    same([list_to_atom(filename:basename(File, ".erl")) || File <- Files],
         proplists:get_value(modules, hb_cron_loader:module_info(attributes))).

loader_specifies_what_the_app_file_says_test() ->
    {ok, [{application, Name, InFile}]} = file:consult(path("erlang/hb_process_monitor.app.src")),
    {application, Name, Specified} = hb_cron_loader:specification(),
    same(proplists:get_value(registered, InFile), proplists:get_value(registered, Specified)),
    [?assertEqual(proplists:get_value(Key, InFile), proplists:get_value(Key, Specified))
     || Key <- [description, vsn, mod, applications]].

crates_have_the_version_of_the_application_test() ->
    {application, _, Specified} = hb_cron_loader:specification(),
    {ok, Cargo} = file:read_file(path("Cargo.toml")),
    {match, [Version]} = re:run(Cargo, "^version = \"(.*)\"$", [multiline, {capture, all_but_first, list}]),
    ?assertEqual(proplists:get_value(vsn, Specified), Version).

%% The dashboard, which starts the application too, is the last of them to be started.
application_registers_the_names_it_declares_test_() ->
    {setup, fun harness:setup/0, fun harness:cleanup/1, fun(_) -> {with, none, [fun(none) ->
        {ok, _} = hb_process_monitor:dashboard(0),
        {application, _, Specified} = hb_cron_loader:specification(),
        Registered = [Name || Name <- registered(), Pid <- [whereis(Name)], is_pid(Pid),
                              application:get_application(Pid) =:= {ok, hb_process_monitor},
                              %% OTP's httpd names its own processes.
                              not lists:prefix("httpd_", atom_to_list(Name))],
        InClusters = [hb_cron_cluster_sup, hb_cron_recorder, hb_cron_stand_ins, hb_cron_ownership,
                      hb_cron_stand_in_check],
        OfListeners = [hb_cron_listener_sup, hb_cron_listener, hb_cron_listener_replay],
        same(Registered ++ InClusters ++ OfListeners, proplists:get_value(registered, Specified))
    end]} end}.

library_exports_the_functions_that_erlang_declares_test() ->
    Crate = rust_source:crate(path("native/hb_process_monitor_nif")),
    same([Nif || Text <- maps:values(Crate), Nif <- rust_source:nifs(Text)], declared_nifs()).

declared_nifs() ->
    {ok, Forms} = epp:parse_file(path("erlang/app/hb_process_monitor_nif.erl"), []),
    [Nif || {attribute, _, nifs, Nifs} <- Forms, Nif <- Nifs].

exported_function_is_found_by_name_and_arity_test() ->
    Source = "#[rustler::nif]\nfn one(env: Env<'_>, a: u64) -> u64 {}\n"
             "#[rustler::nif(schedule = \"DirtyIo\")]\nfn two<'a>(\n    env: Env<'a>,\n    a: (u32, u32),\n    b: Vec<(u8, u8)>,\n) -> Term<'a> {}\n"
             "// #[rustler::nif]\n// fn three() {}\nfn four() {}\n#[rustler::nif]\npub(crate) fn five() {}\n",
    ?assertEqual([{one, 1}, {two, 2}, {five, 0}], rust_source:nifs(Source)).

lists_that_differ_are_told_apart_test() ->
    ok = same([a, b], [b, a]),
    [?assertError({assertEqual, _}, same(A, B)) || {A, B} <- [{[a, b], [a]}, {[a], [a, b]}, {[a, a], [a]}, {[], [a]}]].

%% Nothing is missing on either side, and nothing is there twice.
same(A, B) ->
    ?assertEqual({[], []}, {A -- B, B -- A}).

%% Bounds that both languages know

cursor_is_as_long_in_erlang_as_in_rust_test() ->
    Longest = constant("cron_engine/src/monitor/position.rs", "MAX_CURSOR_BYTES"),
    bounds(Longest, fun(N) -> hb_cron_options:cursor(binary:copy(<<"a">>, N)) end).

process_id_is_as_long_in_erlang_as_in_rust_test() ->
    Length = constant("cron_engine/src/monitor/process.rs", "LENGTH"),
    bounds(Length, fun(N) -> true = hb_cron_process_id:is_valid(binary:copy(<<"a">>, N)) end),
    ?assertNot(hb_cron_process_id:is_valid(binary:copy(<<"a">>, Length - 1))).

page_limit_is_as_high_in_erlang_as_in_rust_test() ->
    Highest = constant("cron_engine/src/decode/request.rs", "MAX_LIMIT"),
    {_, _, _, Type, _, _} = lists:keyfind(cron_page_limit, 1, hb_cron_option_table:entries()),
    bounds(Highest, fun(N) -> true = hb_cron_option_type:is_valid(Type, N) end).

snapshots_takes_as_many_monitors_as_it_says_test() ->
    Most = constant("hb_process_monitor_nif/src/inspection_nifs.rs", "MOST"),
    ?assert(macro("erlang/observe/hb_cron_info.erl", "BATCH") =< Most).

commit_hangs_for_the_doctor_when_it_is_logged_test() ->
    ?assertEqual(macro("erlang/monitor/hb_cron_hung_pushes.erl", "COMMIT_HANGS"),
                 macro("erlang/observe/hb_cron_doctor_report.erl", "COMMIT_HANGS")).

bound_that_differs_is_found_test() ->
    UpTo = fun(Highest) -> fun(N) when N =< Highest -> ok end end,
    bounds(5, UpTo(5)),
    [?assertError(_, bounds(5, UpTo(N))) || N <- [4, 6]].

constant_is_found_whatever_its_form_test() ->
    Source = "// const A: u8 = 1;\npub const A: u64 = 4_096;\nconst B: usize = 64 * 1024;\nconst C: u64 = 8 << 20;\n",
    ?assertEqual([4096, 65536, 8388608], [rust_source:constant(Name, Source) || Name <- ["A", "B", "C"]]),
    ?assertError(_, rust_source:constant("D", Source)).

%% The function accepts this many, and not one more.
bounds(Most, Accepts) ->
    _ = Accepts(Most),
    ?assertError(_, Accepts(Most + 1)).

constant(File, Name) ->
    {ok, Text} = file:read_file(path(filename:join("native", File))),
    rust_source:constant(Name, unicode:characters_to_list(Text)).

macro(File, Name) ->
    {ok, Text} = file:read_file(path(File)),
    {match, [Value]} = re:run(Text, "define\\(" ++ Name ++ ", *([0-9]+)\\)", [{capture, all_but_first, list}]),
    list_to_integer(Value).

path(File) -> harness:checkout(File).
