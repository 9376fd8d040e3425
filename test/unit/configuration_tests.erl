%%% Where options come from: the order of the sources, the spellings of their keys, values that cannot be read, how
%%% often the host's node message is read, and what the host's configuration says of Compute Units.
-module(configuration_tests).
-include_lib("eunit/include/eunit.hrl").

%% The callback of OTP's logger.
-export([log/2]).

-define(ADDRESS, "AZaz09-_AZaz09-_AZaz09-_AZaz09-_AZaz09-_AZa").
-define(OPTS, hb_cron_options).
-define(GET_ENV, {cowboy, get_env}).
-define(INFO, {ranch, info}).

eunit_wrapper_(Tests) -> deadline:each(Tests).

all_test_() ->
    {foreach, fun setup/0, fun cleanup/1, [fun(World) -> {Name, fun() -> hears(), Test(World) end} end || {Name, Test} <- [
        {"option in several sources is the first one's", fun first_source/1},
        {"every option is read from its environment variable", fun environment/1},
        {"key of the node message is found in each spelling", fun spellings/1},
        {"value in each source that cannot be read stops no start", fun refused/1},
        {"value that is refused is logged once", fun logged_once/1},
        {"value that may hold a password is not shown", fun secret/1},
        {"node message of the node's own address decides", fun several_listeners/1},
        {"listener of HTTP/3 is found without asking it", fun http3/1},
        {"listener that is being restarted has no node message", fun restarted/1},
        {"node message is read for no single start", fun read_rarely/1},
        {"options of the node are those of the application's start", fun of_the_start/1},
        {"node message that changes is followed after a failure", fun followed/1},
        {"operator's routes are those that are not built in", fun routes/1},
        {"port of the host's own CU comes before its built-in routes", fun port/1}
    ]]}.

setup() ->
    Cu = harness:setup(),
    Modules = era:load(era_b),
    ok = hb_cron_host:detect(),
    ok = logger:add_handler(?MODULE, ?MODULE, #{config => none, level => warning}),
    #{cu => Cu, modules => Modules}.

cleanup(#{cu := Cu, modules := Modules}) ->
    ok = logger:remove_handler(?MODULE),
    _ = application:stop(hb_process_monitor),
    [true = os:unsetenv(hb_cron_configuration:variable(Key)) || {Key, _, _} <- ?OPTS:describe()],
    [ok = application:unset_env(App, Key) || App <- [hb_process_monitor, hb], {Key, _, _} <- ?OPTS:describe()],
    era:unload(Modules),
    ok = hb_cron_host:detect(),
    harness:cleanup(Cu).

%% Sends log records to the calling test.
hears() -> ok = logger:update_handler_config(?MODULE, config, self()).

log(#{msg := {report, #{what := bad_option, details := Details}}}, #{config := Test}) -> Test ! {logged, Details}, ok;
log(_, _) -> ok.

%% The node message from now on, beside what a stock one has.
node_message(Own) ->
    host_double:on(?GET_ENV, fun([_, node_msg, _]) -> maps:merge(#{priv_wallet => w, http_server => <<"address">>}, Own) end),
    hb_cron_configuration:expire().

variable(Key, Value) ->
    true = os:putenv(hb_cron_configuration:variable(Key), Value),
    hb_cron_configuration:expire().

application(Key, Value) ->
    ok = application:set_env(hb_process_monitor, Key, Value),
    hb_cron_configuration:expire().

source(Key) ->
    {Key, _, Value, From} = lists:keyfind(Key, 1, ?OPTS:sources()),
    {Value, From}.

%% As a monitor gets it.
used(Key) -> used(Key, #{}).

used(Key, Given) -> maps:get(Key, ?OPTS:settings(?OPTS:for_monitor(harness:proc_id(), Given))).

in_force(Key) -> maps:get(Key, hb_cron_registry:node_options()).

start() -> {ok, _} = application:ensure_all_started(hb_process_monitor).

%% From the last source to the first one; then each is taken away again.
first_source(_) ->
    start(),
    Key = cron_page_limit,
    Is = fun(Value, From) ->
        ?assertEqual({Value, From}, source(Key)),
        ?assertEqual(Value, used(Key))
    end,
    Is(1000, default),
    harness:host(#{Key => 11}),
    Is(11, hb_opts),
    ok = application:set_env(hb, Key, 12),
    ok = hb_cron_configuration:expire(),
    Is(12, application),
    application(Key, 13),
    Is(13, application),
    node_message(#{Key => 14}),
    Is(14, node_message),
    variable(Key, "15"),
    Is(15, environment),
    ?assertEqual(16, used(Key, #{Key => 16})),
    %% An empty variable is none.
    variable(Key, ""),
    Is(14, node_message),
    node_message(#{Key => undefined}),
    Is(13, application).

environment(_) ->
    Texts = [{default_cron_rate, "2500", 2500}, {cron_node, "http://a:1,http://b:2", [<<"http://a:1">>, <<"http://b:2">>]},
             {cron_page_limit, "17", 17}, {cron_push, "mu", mu}, {cron_result_format, "map", map},
             {cron_push_timeout, "18", 18}, {cron_push_attempts, "infinity", infinity}, {cron_push_backoff, "1,20", {1, 20}},
             {cron_push_stall, "19", 19}, {cron_walk_after, "20", 20}, {cron_poll, "rate", rate}, {cron_poll_max_gap, "33", 33}, {cron_stale_after, "21", 21}, {cron_max_ahead, "22", 22},
             {cron_connect_timeout, "23", 23}, {cron_first_byte_timeout, "24", 24}, {cron_timeout, "25", 25},
             {cron_max_page_bytes, "2048", 2048}, {cron_max_inflight, "26", 26}, {cron_max_buffered_bytes, "27", 27},
             {cron_cacertfile, "/none.pem", <<"/none.pem">>}, {cron_checkpoint, "false", false},
             {cron_checkpoint_interval, "28", 28}, {cron_dead_letters_max, "0", 0}, {cron_dead_letters_max_bytes, "29", 29},
             {cron_forget_stopped_after, "30", 30}, {cron_processes, "a,b", [<<"a">>, <<"b">>]},
             {cron_owner, ?ADDRESS, list_to_binary(?ADDRESS)}, {cron_monitor_read, "all", all},
             {cron_monitor_access, ?ADDRESS "," ?ADDRESS, [list_to_binary(?ADDRESS), list_to_binary(?ADDRESS)]},
             {cron_monitors_max, "31", 31}, {cron_monitor_port, "[::1]:8735", <<"[::1]:8735">>}, {cron_monitor_requests, "32", 32}, {cron_cluster, "postgresql://u@db/cron", <<"postgresql://u@db/cron">>},
             {cron_cluster_node, "one", <<"one">>}, {cron_cluster_ttl, "7000", 7000}, {cron_autostart, "false", false}, {cron_events, "true", true}, {cron_log_level, "none", none}],
    ?assertEqual(lists:sort([Key || {Key, _, _} <- ?OPTS:describe()]), lists:sort([Key || {Key, _, _} <- Texts])),
    [true = os:putenv("HB_" ++ string:to_upper(atom_to_list(Key)), Text) || {Key, Text, _} <- Texts],
    [?assertEqual({Key, {Value, environment}}, {Key, source(Key)}) || {Key, _, Value} <- Texts].

spellings(_) ->
    start(),
    [begin
        node_message(Message),
        ?assertEqual({Message, {Value, node_message}}, {Message, source(cron_push_attempts)}),
        ?assertEqual(Value, used(cron_push_attempts))
     end || {Message, Value} <- [
        {#{cron_push_attempts => 7}, 7},
        {#{<<"cron_push_attempts">> => <<"8">>}, 8},
        {#{<<"cron-push-attempts">> => <<"infinity">>}, infinity},
        {#{cron_push_attempts => 9, <<"cron-push-attempts">> => <<"10">>}, 9}]].

%% With each source and scope. The application starts, so does a monitor, and the doctor says what is wrong.
refused(#{cu := Cu}) ->
    [begin
        _ = application:stop(hb_process_monitor),
        Set(),
        {Monitor, _} = hb_process_monitor:start(harness:proc_id(), #{cron_node => test_cu:url(Cu)}),
        ?assert(is_process_alive(Monitor)),
        {_, _, Default} = lists:keyfind(Key, 1, ?OPTS:describe()),
        ?assertEqual({Default, refused}, source(Key)),
        ?assertMatch({Key, Source, _}, receive {logged, Details} -> Details after deadline:ms() -> not_logged end),
        #{advice := Advice, refused := [{Key, Source, _}], options := Options} =
            hb_process_monitor:doctor(#{probe => false}),
        ?assertMatch({Key, _, Default, refused}, lists:keyfind(Key, 1, Options)),
        Found = [What || {wrong, What, _} <- Advice, binary:match(What, atom_to_binary(Key)) =/= nomatch,
                         binary:match(What, Place) =/= nomatch],
        ?assertMatch({Key, Source, [_]}, {Key, Source, Found}),
        Unset()
     end || Key <- [cron_page_limit, default_cron_rate, cron_max_inflight],
            {Source, Place, Set, Unset} <- [
                {environment, list_to_binary("HB_" ++ string:uppercase(atom_to_list(Key))),
                 fun() -> variable(Key, "a few") end, fun() -> variable(Key, "") end},
                {node_message, <<"node message">>, fun() -> node_message(#{Key => <<"a few">>}) end,
                 fun() -> node_message(#{}) end},
                {application, <<"sys.config">>, fun() -> application(Key, a_few) end,
                 fun() -> application:unset_env(hb_process_monitor, Key) end},
                {hb_opts, <<"hb_opts">>, fun() -> harness:host(#{Key => a_few}) end, fun() -> harness:host(#{}) end}]].

logged_once(#{cu := Cu}) ->
    variable(cron_page_limit, "0"),
    [{_, _} = harness:start(Cu, harness:proc_id(), #{}) || _ <- "abc"],
    receive {logged, {cron_page_limit, environment, <<"<<\"0\">>">>}} -> ok after deadline:ms() -> error(not_logged) end,
    ok = hb_cron_configuration:expire(),
    {_, _} = harness:start(Cu, harness:proc_id(), #{}),
    receive {logged, Again} -> error({logged, Again}) after 0 -> ok end,
    %% After it was right for a while, it is wrong anew.
    [begin
        variable(cron_page_limit, Text),
        {_, _} = harness:start(Cu, harness:proc_id(), #{})
     end || Text <- ["1", "0"]],
    receive {logged, {cron_page_limit, environment, _}} -> ok after deadline:ms() -> error(not_logged) end.

secret(#{cu := Cu}) ->
    variable(cron_node, "me:secret@no url"),
    {_, _} = harness:start(Cu, harness:proc_id(), #{}),
    receive {logged, Details} -> ?assertEqual({cron_node, environment, '(not shown)'}, Details)
    after deadline:ms() -> error(not_logged)
    end,
    Findings = hb_process_monitor:doctor(#{probe => false}),
    Text = unicode:characters_to_binary([io_lib:format("~0p", [Findings]), hb_cron_doctor_report:text(Findings)]),
    ?assertEqual(nomatch, binary:match(Text, <<"secret">>)).

several_listeners(_) ->
    Messages = #{<<"first">> => 1, <<"own">> => 2, <<"third">> => 3},
    host_double:on(?GET_ENV, fun([Listener, node_msg, _]) -> #{cron_page_limit => maps:get(Listener, Messages)} end),
    [begin
        host_double:on(?INFO, fun(_) -> Info end),
        {module, hb} = harness:compile_module(hb, ["-export([address/0]).", "address() -> <<\"own\">>."]),
        ?assertEqual({2, node_message}, source(cron_page_limit)),
        {module, hb} = harness:compile_module(hb, ["-export([address/0]).", "address() -> <<\"of_another\">>."]),
        ?assertEqual({1, node_message}, source(cron_page_limit))
     end || Info <- [maps:map(fun(_, _) -> #{} end, Messages), [{Name, []} || Name <- lists:sort(maps:keys(Messages))]]],
    harness:unload(hb).

%% Ranch's table, and a ranch that never answers.
http3(_) ->
    host_double:on(?INFO, fun(_) -> receive never -> ok end end),
    ranch_server = ets:new(ranch_server, [named_table, ordered_set]),
    true = ets:insert(ranch_server, [{{proto_opts, <<"address">>}, #{}}, {{max_conns, <<"address">>}, 5}]),
    node_message(#{cron_page_limit => 5}),
    ?assertEqual({5, node_message}, source(cron_page_limit)),
    true = ets:delete(ranch_server).

restarted(_) ->
    host_double:on(?GET_ENV, fun(_) -> #{} end),
    ?assertEqual(none, hb_cron_node_message:get()),
    ?assertNot(hb_cron_node_message:is_listening()).

read_rarely(_) ->
    start(),
    Reads = fun() -> length(host_double:asked(?GET_ENV)) end,
    Before = Reads(),
    Began = erlang:monotonic_time(millisecond),
    [?OPTS:for_monitor(harness:proc_id(), #{}) || _ <- lists:seq(1, 2000)],
    Seconds = (erlang:monotonic_time(millisecond) - Began) div 1000,
    ?assert(Reads() - Before =< Seconds + 1).

of_the_start(_) ->
    node_message(#{cron_max_inflight => <<"7">>, <<"cron-dead-letters-max">> => 8}),
    start(),
    ?assertEqual({7, 8}, {in_force(cron_max_inflight), in_force(cron_dead_letters_max)}),
    node_message(#{cron_max_inflight => <<"9">>}),
    harness:kill(whereis(hb_cron_engine)),
    harness:eventually(fun() -> is_pid(whereis(hb_cron_engine)) end),
    ?assertEqual(7, in_force(cron_max_inflight)),
    ?assertMatch(#{changed := [cron_dead_letters_max, cron_max_inflight]},
                 maps:map(fun(changed, Keys) -> lists:sort(Keys); (_, Value) -> Value end,
                          hb_process_monitor:doctor(#{probe => false}))).

followed(#{cu := Cu}) ->
    Other = test_cu:start(),
    Id = harness:proc_id(),
    node_message(#{<<"cron-node">> => test_cu:url(Cu)}),
    {Monitor, Logger} = hb_process_monitor:start(Id, #{rate => 3600000, cursor => earliest, cron_push => mu}),
    ?assertMatch(#{node := _}, hb_process_monitor:info(Id)),
    ok = test_cu:go_down(Cu),
    node_message(#{<<"cron-node">> => test_cu:url(Other)}),
    harness:report_pushes(Id),
    test_cu:add(Other, Id, 2),
    Monitor ! tick,
    Origin = test_cu:url(Other),
    harness:await_logged(Logger, fun({ok, moved_node, {For, To}}) -> For =:= Id andalso To =:= Origin end),
    Monitor ! tick,
    harness:await_results(1, 2),
    ok = hb_process_monitor:stop(Monitor, deadline:ms()),
    test_cu:stop(Other).

found() -> hb_cron_router:nodes_of(harness:proc_id(), hb_cron_router:routing(hb_cron_node_message:get())).

route(Prefix) -> #{<<"template">> => <<"/result/.*">>, <<"node">> => #{<<"prefix">> => Prefix}}.

routes(_) ->
    ?assertEqual({default, [<<"http://localhost:6363">>]}, found()),
    BuiltIn = [route(<<"http://built-in:1">>)],
    harness:host(#{routes => BuiltIn}),
    [begin
        node_message(Message),
        ?assertEqual({routes, [Expected]}, found())
     end || {Message, Expected} <- [
        {#{}, <<"http://built-in:1">>},
        {#{routes => BuiltIn}, <<"http://built-in:1">>},
        {#{routes => [route(<<"http://operator:1">>)]}, <<"http://operator:1">>},
        {#{<<"routes">> => #{<<"1">> => route(<<"http://operator:1">>)}}, <<"http://operator:1">>},
        %% One that does not fit, and one that is no URL.
        {#{routes => [#{<<"template">> => <<"/graphql">>, <<"node">> => <<"http://x">>}]}, <<"http://built-in:1">>},
        {#{routes => [route(<<"ftp://operator">>)]}, <<"http://built-in:1">>}]].

port(_) ->
    BuiltIn = [route(<<"http://localhost:6363">>)],
    harness:host(#{routes => BuiltIn}),
    [begin
        node_message(Message#{routes => BuiltIn}),
        ?assertEqual({genesis_wasm_port, [<<"http://localhost:7000">>]}, found())
     end || Message <- [#{genesis_wasm_port => 7000}, #{genesis_wasm_port => <<"7000">>}, #{<<"genesis-wasm-port">> => 7000}]],
    node_message(#{genesis_wasm_port => 7000, routes => [route(<<"http://operator:1">>)]}),
    ?assertEqual({routes, [<<"http://operator:1">>]}, found()),
    node_message(#{genesis_wasm_port => <<"often">>}),
    ?assertEqual({routes, [<<"http://localhost:6363">>]}, found()),
    harness:host(#{genesis_wasm_port => 7001}),
    node_message(#{}),
    ?assertEqual({genesis_wasm_port, [<<"http://localhost:7001">>]}, found()).
