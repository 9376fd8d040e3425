%%% The driver of `make prometheus': a real Prometheus scrapes a node with monitors, some of them in trouble, and
%%% runs every query of the Grafana dashboard and the alerts. Each query must return data, each alert must be
%%% evaluated, and alerts must fire if their fault is quickly made. All alerts must fire over an hour that promtool
%%% simulates. promtool must accept the metrics and the rules. On a failure the exit status is 1.
-module(scraped).
-export([main/0]).
%% Callback of httpd: answers a scrape.
-export([do/1]).

-include_lib("inets/include/httpd.hrl").

%% The limit of every step, in ms.
-define(DEADLINE, 90000).
-define(DASHBOARD, "docs/grafana.json").
-define(RULES, "docs/alerts.yml").
%% Each alert with its fault, over a simulated hour.
-define(PLAYED, "test/tools/prometheus/alerts.yml").
%% The alerts that the world below must cause.
-define(FIRING, ["HbProcessMonitorPushStalled", "HbProcessMonitorDeadLetters", "HbProcessMonitorBreakerOpen",
                 "HbProcessMonitorTicksMissed", "HbProcessMonitorCheckpointFails", "HbProcessMonitorEngineRestarted"]).

main() ->
    _ = logger:set_primary_config(level, none),
    Dir = string:trim(os:cmd("mktemp -d")),
    Status = try run(Dir)
    catch Class:Reason:Stack ->
        io:format("~p: ~p~n~p~n", [Class, Reason, Stack]),
        1
    end,
    _ = os:cmd("umount --lazy " ++ filename:join(Dir, "disk")),
    _ = file:del_dir_r(Dir),
    halt(Status).

run(Dir) ->
    {ok, _} = application:ensure_all_started(inets),
    World = world(Dir),
    {ok, Server} = inets:start(httpd, [{port, 0}, {bind_address, {127, 0, 0, 1}}, {server_name, "node"},
                                       {server_root, Dir}, {document_root, Dir}, {modules, [?MODULE]}]),
    [{port, Port}] = httpd:info(Server, [port]),
    ok = promtool_is_content(Dir),
    Prometheus = prometheus(Dir, Port),
    try
        ok = trouble(World),
        Queries = [query(Text) || Text <- dashboard()],
        Empty = settle(fun() -> [Query || Query <- Queries, brings(Prometheus, Query) =:= nothing] end),
        io:format("~b of the dashboard's ~b queries bring something~n", [length(Queries) - length(Empty), length(Queries)]),
        [io:format("  nothing: ~ts~n", [Query]) || Query <- Empty],
        Quiet = settle(fun() -> ?FIRING -- firing(Prometheus) end),
        {Rules, Broken} = rules(Prometheus),
        io:format("~b alerts are evaluated, ~b fire, and these did not that should: ~p~n",
                  [Rules - length(Broken), length(firing(Prometheus)), Quiet]),
        [io:format("  broken: ~ts~n", [Rule]) || Rule <- Broken],
        case {Empty, Quiet, Broken} of
            {[], [], []} when Rules > length(?FIRING), Queries =/= [] -> 0;
            _ -> 1
        end
    after
        port_close(element(2, Prometheus))
    end.

%% The world: monitors that work, and one for each kind of trouble.

world(Dir) ->
    ok = dev_mu_routes(),
    Disk = filename:join(Dir, "disk"),
    "" = os:cmd("mkdir " ++ Disk ++ " && mount -t tmpfs -o size=3m tmpfs " ++ Disk),
    hb_opts:set(#{cron_checkpoint => filename:join(Disk, "checkpoint.redb"), cron_push_attempts => 2,
                  cron_push_backoff => {1, 1}, cron_push_stall => 100}),
    Cu = test_cu:start(),
    Working = [harness:proc_id() || _ <- lists:seq(1, 10)],
    [dev_mu:route(Id, fun(_, _) -> receive after rand:uniform(3) -> ok end end) || Id <- Working],
    [{_, _} = harness:start(Cu, Id, #{rate => 100, cursor => earliest}) || Id <- Working],
    Producer = spawn_link(fun() -> produce(Cu, Working) end),
    #{cu => Cu, disk => Disk, producer => Producer}.

dev_mu_routes() ->
    dev_mu:create(),
    ok.

produce(Cu, Ids) ->
    [test_cu:add(Cu, Id, 1) || Id <- Ids],
    receive after 50 -> produce(Cu, Ids) end.

%% After the first scrapes, because increases need a lower earlier value.
trouble(#{cu := Cu, disk := Disk}) ->
    Poisoned = harness:proc_id(),
    dev_mu:route(Poisoned, fun(Result, _) ->
        case harness:number(Result) rem 2 of 1 -> {error, poison}; 0 -> ok end
    end),
    test_cu:add(Cu, Poisoned, 4),
    {_, _} = harness:start(Cu, Poisoned, #{rate => 100, cursor => earliest}),
    Stalled = harness:proc_id(),
    dev_mu:route(Stalled, fun(_, _) -> receive never -> ok end end),
    test_cu:add(Cu, Stalled, 1),
    {_, _} = harness:start(Cu, Stalled, #{rate => 100, cursor => earliest}),
    Hanging = test_cu:start(),
    test_cu:script(Hanging, fun(_) -> hang end),
    [{_, _} = harness:start(Hanging, harness:proc_id(), #{rate => 5, cursor => earliest}) || _ <- lists:seq(1, 10)],
    Dead = test_cu:start(),
    test_cu:go_down(Dead),
    [{_, _} = harness:start(Dead, harness:proc_id(), #{rate => 100, cursor => earliest}) || _ <- lists:seq(1, 10)],
    harness:eventually(fun() -> maps:get(dead_letters_total, hb_process_monitor:metrics()) > 0 end),
    killed = harness:kill(whereis(hb_cron_engine)),
    %% From here on the disk is full, and the file must grow.
    _ = os:cmd("dd if=/dev/zero of=" ++ filename:join(Disk, "full") ++ " bs=64k"),
    _ = os:cmd("dd if=/dev/zero of=" ++ filename:join(Disk, "fuller") ++ " bs=1k"),
    [{_, _} = harness:start(Cu, harness:proc_id(), #{rate => 3600000, cursor => earliest}) || _ <- lists:seq(1, 2000)],
    ok.

do(#mod{request_uri = "/metrics"}) ->
    Text = binary_to_list(hb_process_monitor:prometheus()),
    {proceed, [{response, {response, [{code, 200}, {content_type, binary_to_list(hb_cron_prometheus:content_type())},
                                      {content_length, integer_to_list(length(Text))}], Text}}]};
do(#mod{}) ->
    {proceed, [{response, {404, "there is /metrics"}}]}.

%% promtool

promtool_is_content(Dir) ->
    Text = filename:join(Dir, "metrics.txt"),
    ok = file:write_file(Text, hb_process_monitor:prometheus()),
    ok = promtool("check metrics <" ++ Text),
    ok = promtool("check rules " ++ ?RULES),
    {ok, Played} = file:read_file(?PLAYED),
    Test = filename:join(Dir, "played.yml"),
    ok = file:write_file(Test, string:replace(Played, "RULES", filename:absname(?RULES))),
    ok = promtool("test rules " ++ Test).

promtool(What) ->
    Said = os:cmd("promtool " ++ What ++ " 2>&1; echo status $?"),
    case re:run(Said, "status 0\n$") of
        {match, _} -> io:format("promtool ~ts: content~n", [hd(string:split(What, "<"))]);
        nomatch -> error({promtool, What, Said})
    end.

%% Starts Prometheus with the rules of the file, without their waiting times, because the test cannot wait ten
%% minutes.

prometheus(Dir, NodePort) ->
    {ok, Rules} = file:read_file(?RULES),
    ok = file:write_file(filename:join(Dir, "rules.yml"), re:replace(Rules, "for: \\d+m", "for: 0s", [global])),
    Config = ["global: {scrape_interval: 1s, evaluation_interval: 1s}\nrule_files: [rules.yml]\nscrape_configs:\n"
              "  - {job_name: hb, static_configs: [{targets: ['127.0.0.1:", integer_to_list(NodePort), "']}]}\n"],
    ok = file:write_file(filename:join(Dir, "prometheus.yml"), Config),
    Port = free_port(),
    Url = "http://127.0.0.1:" ++ integer_to_list(Port),
    %% A shell ends it when this node ends.
    Command = "prometheus --config.file=prometheus.yml --storage.tsdb.path=data --log.level=error --web.listen-address="
        ++ lists:nthtail(7, Url) ++ " & pid=$!; read -r _; kill $pid; wait $pid",
    Shell = open_port({spawn_executable, "/bin/sh"}, [{args, ["-c", Command]}, {cd, Dir}, exit_status, hide]),
    Prometheus = {Url, Shell},
    %% Several scrapes: a rate needs two.
    [] = settle(fun() ->
        case ask(Prometheus, "/api/v1/query?query=" ++ uri_string:quote("count_over_time(hb_process_monitor_monitors[1m]) > 3")) of
            {ok, #{<<"data">> := #{<<"result">> := [_ | _]}}} -> [];
            _ -> [not_scraped]
        end
    end),
    Prometheus.

free_port() ->
    {ok, Socket} = gen_tcp:listen(0, [{ip, {127, 0, 0, 1}}]),
    {ok, Port} = inet:port(Socket),
    ok = gen_tcp:close(Socket),
    Port.

ask({Url, _}, Path) ->
    case httpc:request(get, {Url ++ Path, []}, [{timeout, 10000}], [{body_format, binary}]) of
        {ok, {{_, _, _}, _, Body}} -> {ok, json_text:decode(Body)};
        {error, Reason} -> {error, Reason}
    end.

%% Repeats until Fun() reports nothing missing, or the time is over.
settle(Fun) -> settle(Fun, erlang:monotonic_time(millisecond) + ?DEADLINE).

settle(Fun, Until) ->
    case Fun() of
        [] -> [];
        Missing ->
            case erlang:monotonic_time(millisecond) < Until of
                true -> receive after 200 -> settle(Fun, Until) end;
                false -> Missing
            end
    end.

%% The Grafana dashboard

dashboard() ->
    {ok, Text} = file:read_file(?DASHBOARD),
    #{<<"panels">> := Panels} = json_text:decode(Text),
    [Expr || #{<<"targets">> := Targets} <- Panels, #{<<"expr">> := Expr} <- Targets].

%% Expands Grafana's variables.
query(Text) ->
    lists:foldl(fun({From, To}, In) -> string:replace(In, From, To, all) end, Text,
                [{"$instance", ".*"}, {"$__rate_interval", "10s"}]).

brings(Prometheus, Query) ->
    case ask(Prometheus, "/api/v1/query?query=" ++ uri_string:quote(unicode:characters_to_list(Query))) of
        {ok, #{<<"status">> := <<"success">>, <<"data">> := #{<<"result">> := [_ | _]}}} -> something;
        {ok, #{<<"status">> := <<"success">>}} -> nothing;
        Other -> error({query, unicode:characters_to_list(Query), Other})
    end.

%% The alerts

rules(Prometheus) ->
    {ok, #{<<"data">> := #{<<"groups">> := Groups}}} = ask(Prometheus, "/api/v1/rules"),
    Rules = [Rule || #{<<"rules">> := Rules} <- Groups, Rule <- Rules],
    {length(Rules), [Name || #{<<"name">> := Name, <<"health">> := Health} <- Rules, Health =/= <<"ok">>]}.

firing(Prometheus) ->
    {ok, #{<<"data">> := #{<<"alerts">> := Alerts}}} = ask(Prometheus, "/api/v1/alerts"),
    lists:usort([binary_to_list(Name) || #{<<"state">> := <<"firing">>, <<"labels">> := #{<<"alertname">> := Name}} <- Alerts]).
