%%% The driver of `make browser': the dashboard of a busy node, in a real browser. It must show every monitor
%%% correctly, draw its charts, show hostile text as text, execute its buttons, work by keyboard, keep its view in the
%%% address, and say when the node is unreachable. process_seen has the page of a process, fleet_seen 100,000 monitors. Then
%%% the node is in a cluster, and the page must show that. The console must stay empty, and no request may go elsewhere. On a
%%% failure the exit status is 1. It leaves pictures of the page in _build/browser, or with SAVE=yes one in docs.
-module(page_seen).
-export([main/1]).

-import(seen, [row/1, cell/2, text/1, is/2, shown/1, set/4, click/2, tab/3, rows_are/2]).

-define(PICTURE, "dashboard.png").
-define(NAME, <<"<img src=x onerror=alert(1)>">>).

main([Save]) ->
    _ = logger:set_primary_config(level, none),
    Dir = string:trim(os:cmd("mktemp -d")),
    World = #{ids := Ids} = lively:start(),
    {ok, Url} = hb_process_monitor:dashboard(0),
    Browser = browser:start(Dir),
    Alone = seen:failed(checks(World, Url) ++ process_seen:checks(Ids, Url) ++ last_checks(Url, Save), Browser),
    ok = lively:stop(World),
    Many = seen:failed(fleet_seen:checks(), Browser),
    _ = application:stop(hb_process_monitor),
    Server = postgres_server:start(),
    Clustered = seen:failed(cluster_checks(Server, join(Server)), Browser),
    ok = browser:stop(Browser),
    ok = application:stop(hb_process_monitor),
    ok = postgres_server:stop(Server),
    _ = file:del_dir_r(Dir),
    Failed = Alone + Many + Clustered,
    io:format("~b of the page's checks failed~n", [Failed]),
    halt(min(1, Failed)).

%% This node becomes a host node of a cluster, with a hostile name. Returns the dashboard's URL.
join(Server) ->
    hb_opts:reset(),
    hb_opts:set(#{cron_cluster => postgres_server:url(Server), cron_cluster_node => ?NAME, cron_cluster_ttl => 2000}),
    ok = hb_cron_configuration:expire(),
    {ok, Url} = hb_process_monitor:dashboard(0),
    Url.

checks(#{ids := Ids}, Url) ->
    [{"page opened shows every monitor, and no token in the address bar", fun(B) -> opened(Ids, Url, B) end},
     {"monitors are shown in their states", fun(B) -> states(Ids, B) end},
     {"charts have lines, labels with units and words for who cannot see them", fun charts/1},
     {"table has a caption, and headers for columns and rows", fun table/1},
     {"groups and parts of an id show what fits alone, with counts", fun(B) -> filters(Ids, B) end},
     {"column header sorts, turns the order round, and says so to a screen reader", fun(B) -> sorts(Ids, B) end},
     {"address has the view, and reload, back and forth show it again", fun(B) -> address(Ids, B) end},
     {"row with the focus keeps its place", fun(B) -> held(Ids, B) end},
     {"button pauses a monitor and its undo resumes it", fun(B) -> pauses(maps:get(works, Ids), B) end},
     {"nothing moves while values update", fun(B) -> [] = seen:moved(B) end}].

last_checks(Url, Save) ->
    [{"self-check shows findings as text, and returns the focus", fun self_check/1},
     {"dark is dark", fun dark/1},
     {"narrow page needs no scrolling sideways", fun narrow/1},
     {"console has nothing to say, and nothing is asked elsewhere", fun(B) -> quiet(Url, B) end},
     {"picture is taken", fun(B) -> picture(Save, B) end},
     {"tab without a token asks for it, and opens the view", fun(B) -> no_token(Url, B) end},
     {"unreachable node is reported, with a gap in the charts, and its new URL opens in the same tab", fun(B) -> gone(Url, B) end}].

cluster_checks(Server, Url) ->
    [{"host node of a cluster is shown with its shards, as text", fun(B) -> cluster(Url, B) end},
     {"tables of the cluster have captions, and are reached by keyboard", fun cluster_table/1},
     {"process of a cluster is stopped and started again", fun cluster_stop/1},
     {"database that does not answer is reported until it does", fun(B) -> no_database(Server, B) end}].

opened(Ids, Url, Browser) ->
    ok = browser:size(Browser, 1440, 1100),
    ok = browser:open(Browser, Url),
    ok = rows_are(Browser, lists:sort(maps:values(Ids))),
    true = browser:value(Browser, "location.hash === '' && location.pathname === '/' && location.search === ''"),
    ok = browser:until(Browser, is(text("status"), "connected")),
    %% Nothing of a cluster is shown or read out outside of one.
    true = browser:value(Browser, "document.getElementById('cluster').hidden && document.getElementById('cluster').offsetParent === null").

states(#{paused := Paused, slow := Slow, failing := Failing, no_cu := NoCu, poison := Poison, works := Works}, Browser) ->
    ok = browser:until(Browser, is(cell(Paused, 1), "paused")),
    ok = browser:until(Browser, [cell(Slow, 1), ".startsWith('pushing for ')"]),
    ok = browser:until(Browser, is(cell(Failing, 1), "backing off")),
    ok = browser:until(Browser, [cell(NoCu, 8), ".includes('fetch connect')"]),
    ok = browser:until(Browser, is(cell(Poison, 7), "2")),
    ok = browser:until(Browser, [cell(Works, 4), ".endsWith(' ago')"]),
    ok = browser:until(Browser, ["/^[0-9.]+ (ms|s)$/.test(", cell(Works, 2), ")"]).

charts(Browser) ->
    Has = fun(Nth) -> ["document.querySelectorAll('#charts path')[", integer_to_list(Nth), "].getAttribute('d').includes('L')"] end,
    %% Results; fetches and pages; lag, twice; failed pushes or fetches.
    [ok = browser:until(Browser, Has(Nth)) || Nth <- lists:seq(0, 6)],
    4 = browser:value(Browser, "document.querySelectorAll('#charts figure').length"),
    true = browser:value(Browser, "[...document.querySelectorAll('#charts svg')].every((svg) => svg.getAttribute('role') === 'img' && svg.getAttribute('aria-label').includes('now: '))"),
    true = browser:value(Browser, "[...document.querySelectorAll('#charts svg')].every((svg) => [...svg.querySelectorAll('text')].some((text) => text.textContent.endsWith('min ago')))"),
    true = browser:value(Browser, "[...document.querySelectorAll('#charts figure:first-child text')].some((text) => text.textContent.endsWith('/s'))"),
    %% A series without values has no line.
    false = browser:value(Browser, "[...document.querySelectorAll('#charts path')].some((path) => path.getAttribute('d').includes('NaN'))").

table(Browser) ->
    true = browser:value(Browser, "document.querySelector('#monitors caption') !== null && "
                                  "[...document.querySelectorAll('#monitors thead th')].every((th) => th.scope === 'col' && th.textContent !== '') && "
                                  "[...document.querySelectorAll('#rows tr')].every((row) => row.children[0].scope === 'row' && row.children.length === 10)"),
    %% The state of a button says which process it is for.
    true = browser:value(Browser, "[...document.querySelectorAll('#rows tr')].every((row) => row.querySelector('button').getAttribute('aria-label').endsWith(row.dataset.process))").

group(Name) -> ["[...document.querySelectorAll('#groups button')].find((button) => button.textContent.startsWith('", Name, "'))"].

filters(#{paused := Paused, works := Works, poison := Poison} = Ids, Browser) ->
    ok = click(Browser, group("Paused")),
    ok = rows_are(Browser, [Paused]),
    true = browser:value(Browser, [group("Paused"), ".getAttribute('aria-pressed') === 'true'"]),
    ok = browser:until(Browser, is([group("All"), ".textContent"], "All 8")),
    ok = click(Browser, group("Dead letters")),
    ok = rows_are(Browser, [Poison]),
    ok = click(Browser, group("All")),
    Part = string:uppercase(binary:part(Works, 8, 9)),
    Part = set(Browser, "find", Part, "input"),
    ok = rows_are(Browser, [Works]),
    ok = browser:until(Browser, is([group("All"), ".textContent"], "All 1")),
    <<"<b>">> = set(Browser, "find", "<b>", "input"),
    ok = browser:until(Browser, is(text("shown"), "no monitor fits")),
    <<>> = set(Browser, "find", "", "input"),
    ok = rows_are(Browser, lists:sort(maps:values(Ids))).

header(Name) -> ["[...document.querySelectorAll('#columns th')].find((th) => th.textContent === '", Name, "')"].

sorts(#{poison := Poison} = Ids, Browser) ->
    ok = click(Browser, [header("Letters"), ".firstChild"]),
    ok = browser:until(Browser, ["document.querySelector('#rows tr').dataset.process === '", Poison, "'"]),
    <<"descending">> = browser:value(Browser, [header("Letters"), ".getAttribute('aria-sort')"]),
    ok = click(Browser, [header("Letters"), ".firstChild"]),
    ok = browser:until(Browser, ["document.querySelector('#rows tr:last-child').dataset.process === '", Poison, "'"]),
    <<"ascending">> = browser:value(Browser, [header("Letters"), ".getAttribute('aria-sort')"]),
    <<"none">> = browser:value(Browser, [header("Process"), ".getAttribute('aria-sort')"]),
    ok = click(Browser, [header("Process"), ".firstChild"]),
    ok = rows_are(Browser, lists:sort(maps:values(Ids))).

search(Expected) -> ["location.search === '", Expected, "'"].

address(#{paused := Paused} = Ids, Browser) ->
    true = browser:value(Browser, search("")),
    ok = click(Browser, group("Paused")),
    ok = click(Browser, [header("Lag"), ".firstChild"]),
    ok = browser:until(Browser, search("?show=paused&sort=lag")),
    ok = rows_are(Browser, [Paused]),
    ok = seen:open_process(Browser, Paused),
    ok = browser:until(Browser, search(["?show=paused&sort=lag&process=", Paused])),
    browser:value(Browser, "history.back()"),
    ok = browser:until(Browser, [search("?show=paused&sort=lag"), " && ", shown("overview")]),
    ok = browser:until(Browser, is("document.activeElement.textContent", Paused)),
    browser:value(Browser, "history.forward()"),
    ok = browser:until(Browser, [shown("process"), " && ", is(text("process-title"), Paused)]),
    browser:value(Browser, "location.reload()"),
    ok = browser:until(Browser, ["document.readyState === 'complete' && ", is(text("status"), "connected"), " && ", shown("process"), " && ",
                                 is(text("process-title"), Paused)]),
    ok = click(Browser, "document.getElementById('back')"),
    ok = rows_are(Browser, [Paused]),
    %% What the address cannot mean is left out.
    browser:value(Browser, "location.search = '?sort=%3Cimg%3E&page=0&show=x&process=..%2F..&order=up'"),
    ok = rows_are(Browser, lists:sort(maps:values(Ids))),
    browser:value(Browser, "go({ sort: 'process', order: 'asc', show: 'all' })").

%% The order changes with each survey, as the poison process gets results all the time.
held(#{quiet := Quiet, works := Works}, Browser) ->
    ok = click(Browser, group("All")),
    ok = browser:until(Browser, "document.querySelectorAll('#rows tr').length === 8"),
    browser:value(Browser, [row(Quiet), ".querySelector('a').focus({ focusVisible: true })"]),
    Order = "[...document.querySelectorAll('#rows tr')].map((row) => row.dataset.process).join()",
    Before = browser:value(Browser, Order),
    {ok, _} = {hb_process_monitor:pause(Works), Works},
    ok = browser:until(Browser, is(cell(Works, 1), "paused")),
    Before = browser:value(Browser, Order),
    ok = browser:until(Browser, ["document.activeElement === ", row(Quiet), ".querySelector('a')"]),
    ok = hb_process_monitor:resume(Works),
    browser:value(Browser, "document.activeElement.blur()"),
    ok = browser:until(Browser, [cell(Works, 1), " !== 'paused'"]).

pauses(Id, Browser) ->
    Button = [row(Id), ".querySelector('td button')"],
    ok = browser:until(Browser, is([Button, ".textContent"], "Pause")),
    ok = click(Browser, Button),
    ok = browser:until(Browser, is(cell(Id, 1), "paused")),
    #{state := paused} = hb_process_monitor:info(Id),
    ok = browser:until(Browser, is([Button, ".textContent"], "Resume")),
    <<"polite">> = browser:value(Browser, "document.getElementById('toasts').getAttribute('aria-live')"),
    ok = click(Browser, "document.querySelector('#toasts .undo')"),
    ok = browser:until(Browser, [cell(Id, 1), " !== 'paused'"]),
    harness:eventually(fun() -> maps:get(state, hb_process_monitor:info(Id)) =/= paused end),
    browser:value(Browser, "document.querySelectorAll('#toasts .close').forEach((close) => close.click())").

self_check(Browser) ->
    browser:value(Browser, "document.getElementById('check').focus()"),
    ok = browser:key(Browser, <<"Enter">>),
    ok = browser:until(Browser, "document.querySelectorAll('#findings-list li').length > 1"),
    true = browser:value(Browser, "document.getElementById('findings-list').textContent.includes('<img src=x')"),
    0 = browser:value(Browser, "document.querySelectorAll('img').length"),
    ok = browser:key(Browser, <<"Escape">>),
    ok = browser:until(Browser, "!document.getElementById('findings').open && document.activeElement.id === 'check'").

dark(Browser) ->
    Ground = fun() -> browser:value(Browser, "getComputedStyle(document.body).backgroundColor") end,
    ok = browser:dark(Browser, false),
    <<"rgb(246, 247, 249)">> = Ground(),
    ok = browser:dark(Browser, true),
    <<"rgb(20, 23, 28)">> = Ground(),
    ok = browser:picture(Browser, "_build/browser/dark.png"),
    ok = browser:dark(Browser, false).

narrow(Browser) ->
    ok = browser:size(Browser, 360, 740),
    ok = browser:until(Browser, "innerWidth === 360 && document.documentElement.scrollWidth <= 360"),
    %% Sorting needs no headers.
    true = browser:value(Browser, shown("sort")),
    ok = browser:picture(Browser, "_build/browser/narrow.png"),
    ok = browser:size(Browser, 1440, 1100).

quiet(Url, Browser) ->
    %% A failed redelivery is an answer with status 409, which Chromium reports on its console.
    [] = [Complaint || Complaint <- browser:complaints(Browser), not is_409(Complaint)],
    [Base, _] = binary:split(Url, <<"/#">>),
    [] = [Asked || Asked <- browser:asked(Browser), binary:longest_common_prefix([Asked, Base]) =/= byte_size(Base),
                   binary:longest_common_prefix([Asked, <<"data:">>]) =/= 5].

is_409(#{<<"entry">> := #{<<"text">> := Text}}) -> binary:match(Text, <<"409">>) =/= nomatch;
is_409(_) -> false.

%% A picture for docs shows a page that has been open for a while.
picture(Save, Browser) ->
    {Path, Points} = case Save of
        "yes" -> {filename:join("docs", ?PICTURE), 58};
        _ -> {filename:join("_build/browser", ?PICTURE), 1}
    end,
    ok = wait_for_points(Browser, Points),
    browser:value(Browser, "document.activeElement.blur(), document.querySelectorAll('#toasts .close').forEach((close) => close.click())"),
    ok = browser:size(Browser, 1440, 700),
    ok = browser:picture(Browser, Path),
    Size = filelib:file_size(Path),
    io:format("    ~ts, ~b KB~n", [Path, Size div 1024]),
    true = Size > 20000 andalso Size < 200 * 1024.

wait_for_points(Browser, Points) ->
    try browser:until(Browser, ["told.points.length >= ", integer_to_list(Points)])
    catch error:{never_true, _, false} -> wait_for_points(Browser, Points)
    end.

no_token(Url, Browser) ->
    [Base, _] = binary:split(Url, <<"/#">>),
    browser:value(Browser, "sessionStorage.clear()"),
    ok = browser:open(Browser, <<Base/binary, "/?show=paused">>),
    ok = browser:until(Browser, shown("sign-in")),
    set(Browser, "token", Url, "input"),
    browser:value(Browser, "document.getElementById('token').focus()"),
    ok = browser:key(Browser, <<"Enter">>),
    ok = browser:until(Browser, ["!", shown("sign-in"), " && document.querySelectorAll('#rows tr').length === 1 && ", search("?show=paused")]),
    browser:value(Browser, "go({ show: 'all' })"),
    ok = browser:until(Browser, is(text("status"), "connected")).

gone(Url, Browser) ->
    [<<"http://127.0.0.1:", Port/binary>>, _] = binary:split(Url, <<"/#">>),
    ok = hb_process_monitor:dashboard_stop(),
    ok = browser:until(Browser, [text("status"), ".includes('cannot be reached')"]),
    ok = browser:until(Browser, "told.points.some(({ values }) => values === null)"),
    {ok, New} = hb_process_monitor:dashboard(binary_to_integer(Port)),
    ok = browser:until(Browser, [text("status"), ".includes('dashboard/1')"]),
    ok = browser:open(Browser, New),
    ok = browser:until(Browser, [is(text("status"), "connected"), " && location.hash === ''"]).

cluster_tile(Name) -> ["[...document.querySelectorAll('#cluster-tiles div')].find((tile) => tile.firstChild.textContent === '", Name, "').lastChild"].
cluster_tile_is(Name, Text) -> is([cluster_tile(Name), ".textContent"], Text).

cluster(Url, Browser) ->
    ok = browser:size(Browser, 1440, 1100),
    ok = browser:open(Browser, Url),
    ok = browser:until(Browser, cluster_tile_is("Own shards", "4096 of 4096")),
    ok = browser:until(Browser, [cluster_tile_is("Database", "connected"), " && ", cluster_tile_is("Pushing", "allowed")]),
    true = browser:value(Browser, "!document.getElementById('cluster').hidden"),
    Cells = fun() -> browser:value(Browser, "[...document.querySelectorAll('#host-nodes tr > *')].map((cell) => cell.textContent)") end,
    [Name, Age, <<"4,096">>, <<>>, <<"member">>] = Cells(),
    Name = <<?NAME/binary, " (this one)">>,
    {_, _} = binary:match(Age, <<" ago">>),
    ok = browser:until(Browser, "document.querySelectorAll('#lanes tr').length > 2"),
    0 = browser:value(Browser, "document.querySelectorAll('img').length"),
    browser:picture(Browser, "_build/browser/cluster.png").

cluster_table(Browser) ->
    true = browser:value(Browser, "[...document.querySelectorAll('#cluster table')].every((table) => table.caption.textContent !== '') && "
                                  "[...document.querySelectorAll('#cluster thead th')].every((th) => th.scope === 'col' && th.textContent !== '') && "
                                  "[...document.querySelectorAll('#host-nodes tr')].every((row) => row.children[0].scope === 'row')"),
    browser:value(Browser, "document.activeElement.blur()"),
    tab(Browser, "document.activeElement.matches('#cluster [role=region]')", 20).

cluster_stop(Browser) ->
    Id = harness:proc_id(),
    {_, _} = hb_process_monitor:start(Id, #{rate => 3600000, cron_node => <<"http://127.0.0.1:9">>, cursor => earliest}),
    ok = rows_are(Browser, [Id]),
    ok = browser:until(Browser, cluster_tile_is("Stand-ins", "1")),
    ok = seen:open_process(Browser, Id),
    Button = fun(Label) -> ["[...document.querySelectorAll('#actions button')].find((button) => button.textContent === '", Label, "')"] end,
    ok = click(Browser, Button("Stop…")),
    ok = click(Browser, "document.getElementById('confirm-yes')"),
    ok = click(Browser, Button("Start again")),
    harness:eventually(fun() -> is_map(hb_process_monitor:info(Id)) end),
    ok = browser:until(Browser, [shown("process"), " && document.getElementById('process-state').textContent !== 'not monitored'"]),
    browser:value(Browser, "go({ process: '' })").

no_database(Server, Browser) ->
    ok = browser:until(Browser, "document.querySelectorAll('#cluster-findings .wrong').length === 0"),
    ok = postgres_server:kill(Server),
    ok = browser:until(Browser, [cluster_tile_is("Database", "no answer"), " && ", cluster_tile_is("Pushing", "held back")]),
    true = browser:value(Browser, [cluster_tile("Database"), ".classList.contains('bad') && ", text("cluster-findings"), ".includes('database')"]),
    ok = postgres_server:restart(Server),
    ok = browser:until(Browser, [cluster_tile_is("Database", "connected"), " && ", cluster_tile_is("Pushing", "allowed"), " && "
                                 "document.querySelectorAll('#cluster-findings .wrong').length === 0"]).
