%%% The driver of `make browser': the dashboard of a busy node, in a real browser. It must show every monitor
%%% correctly, draw its charts, show hostile text as text, execute its buttons, work by keyboard, and say when the
%%% node is unreachable. Then the node is in a cluster, and the page must show that. The console must stay empty, and no
%%% request may go elsewhere. On a failure the exit status is 1. It leaves a picture of the page in _build/browser, or with SAVE=yes in docs.
-module(page_seen).
-export([main/1]).

-define(PICTURE, "dashboard.png").
-define(NAME, <<"<img src=x onerror=alert(1)>">>).

main([Save]) ->
    _ = logger:set_primary_config(level, none),
    Dir = string:trim(os:cmd("mktemp -d")),
    World = lively:start(),
    {ok, Url} = hb_process_monitor:dashboard(0),
    Browser = browser:start(Dir),
    Alone = failed(checks(World, Url, Save), Browser),
    ok = lively:stop(World),
    Server = postgres_server:start(),
    Clustered = failed(cluster_checks(Server, join(Server)), Browser),
    ok = browser:stop(Browser),
    ok = application:stop(hb_process_monitor),
    ok = postgres_server:stop(Server),
    _ = os:cmd("rm -rf " ++ Dir),
    Failed = Alone + Clustered,
    io:format("~b of the page's checks failed~n", [Failed]),
    halt(min(1, Failed)).

%% How many checks fail.
failed(Checks, Browser) -> length([Name || {Name, Check} <- Checks, not passes(Name, Check, Browser)]).

%% This node becomes a host node of a cluster, with a hostile name. Returns the dashboard's URL.
join(Server) ->
    hb_opts:set(#{cron_cluster => postgres_server:url(Server), cron_cluster_node => ?NAME, cron_cluster_ttl => 2000}),
    ok = hb_cron_configuration:expire(),
    {ok, Url} = hb_process_monitor:dashboard(0),
    Url.

passes(Name, Check, Browser) ->
    try Check(Browser) of
        _ -> io:format("  ~ts~n", [Name]), true
    catch
        Class:Reason:Stack ->
            io:format("  FAILED ~ts~n    ~0tP~n    ~0tP~n", [Name, {Class, Reason}, 60, Stack, 30]),
            false
    end.

checks(#{ids := Ids}, Url, Save) ->
    [{"page opened shows every monitor, and no token in the address bar", fun(B) -> opened(Ids, Url, B) end},
     {"monitors are shown in their states", fun(B) -> states(Ids, B) end},
     {"charts have lines, labels with units and words for who cannot see them", fun charts/1},
     {"table has a caption, and headers for columns and rows", fun table/1},
     {"filters show what fits alone", fun(B) -> filters(Ids, B) end},
     {"button pauses a monitor and another click resumes it", fun(B) -> pauses(maps:get(works, Ids), B) end},
     {"keyboard opens a monitor and closes it, and the focus comes back", fun by_keyboard/1},
     {"hostile errors and results are shown as text", fun(B) -> hostile(Ids, B) end},
     {"dead letter is redelivered, and another discarded by two clicks", fun(B) -> letters(maps:get(poison, Ids), B) end},
     {"dark is dark", fun dark/1},
     {"console has nothing to say, and nothing is asked elsewhere", fun(B) -> quiet(Url, B) end},
     {"picture is taken", fun(B) -> picture(Save, B) end},
     {"unreachable node is reported, with a gap in the charts, and its new URL opens in the same tab", fun(B) -> gone(Url, B) end}].

cluster_checks(Server, Url) ->
    [{"host node of a cluster is shown with its shards, as text", fun(B) -> cluster(Url, B) end},
     {"table of host nodes has a caption, and is reached by keyboard", fun cluster_table/1},
     {"database that does not answer is reported until it does", fun(B) -> no_database(Server, B) end}].

%% The row of a process, and a cell of it.
row(Id) -> ["document.querySelector('tr[data-process=\"", Id, "\"]')"].
cell(Id, N) -> [row(Id), ".children[", integer_to_list(N), "].textContent"].
text(Id) -> ["document.getElementById('", Id, "').textContent"].
is(Text, Expected) -> ["(", Text, ") === '", Expected, "'"].

opened(Ids, Url, Browser) ->
    ok = browser:open(Browser, Url),
    ok = browser:until(Browser, ["document.querySelectorAll('#rows tr').length === ", integer_to_list(map_size(Ids))]),
    Shown = browser:value(Browser, "[...document.querySelectorAll('#rows tr')].map((row) => row.children[0].textContent)"),
    Shown = lists:sort(maps:values(Ids)),
    true = browser:value(Browser, "location.hash === '' && location.pathname === '/'"),
    ok = browser:until(Browser, is(text("status"), "connected")),
    %% Nothing of a cluster is shown or read out outside of one.
    true = browser:value(Browser, "document.getElementById('cluster').hidden && document.getElementById('cluster').offsetParent === null").

states(#{paused := Paused, slow := Slow, failing := Failing, no_cu := NoCu, poison := Poison, works := Works}, Browser) ->
    ok = browser:until(Browser, is(cell(Paused, 1), "paused")),
    ok = browser:until(Browser, [cell(Slow, 1), ".startsWith('pushing for ')"]),
    ok = browser:until(Browser, is(cell(Failing, 1), "backing off")),
    ok = browser:until(Browser, [cell(NoCu, 5), ".includes('fetch connect')"]),
    ok = browser:until(Browser, is(cell(Poison, 7), "2")),
    ok = browser:until(Browser, [cell(Works, 4), ".endsWith(' ago')"]),
    ok = browser:until(Browser, ["/^[0-9.]+ (ms|s)$/.test(", cell(Works, 3), ")"]).

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
    true = browser:value(Browser, "document.querySelector('table caption') !== null && "
                                  "[...document.querySelectorAll('thead th')].every((th) => th.scope === 'col' && th.textContent !== '') && "
                                  "[...document.querySelectorAll('#rows tr')].every((row) => row.children[0].scope === 'row')").

%% Sets a select or a field, as a user does.
set(Browser, Id, Value, Event) ->
    browser:value(Browser, ["(() => { const e = document.getElementById('", Id, "'); e.value = '", Value,
                            "'; e.dispatchEvent(new Event('", Event, "', { bubbles: true })); return e.value; })()"]).

rows_are(Browser, Ids) ->
    Expected = hb_cron_json:encode(lists:sort(Ids)),
    browser:until(Browser, ["JSON.stringify([...document.querySelectorAll('#rows tr')].map((row) => row.dataset.process)) === '",
                            Expected, "'"]).

filters(#{paused := Paused, works := Works} = Ids, Browser) ->
    ok = browser:until(Browser, "document.getElementById('state').options.length > 5"),
    <<"paused">> = set(Browser, "state", "paused", "change"),
    ok = rows_are(Browser, [Paused]),
    <<>> = set(Browser, "state", "", "change"),
    Prefix = binary:part(Works, 0, 6),
    Prefix = set(Browser, "prefix", Prefix, "input"),
    ok = rows_are(Browser, [Works]),
    <<"x">> = set(Browser, "prefix", "x", "input"),
    ok = browser:until(Browser, is(text("shown"), "none")),
    <<>> = set(Browser, "prefix", "", "input"),
    ok = rows_are(Browser, maps:values(Ids)).

pauses(Id, Browser) ->
    Click = fun(Label) ->
        ok = browser:until(Browser, [row(Id), ".querySelector('td button').textContent === '", Label, "'"]),
        undefined = browser:value(Browser, [row(Id), ".querySelector('td button').click()"])
    end,
    Click("Pause"),
    ok = browser:until(Browser, is(cell(Id, 1), "paused")),
    #{state := paused} = hb_process_monitor:info(Id),
    Click("Resume"),
    ok = browser:until(Browser, [cell(Id, 1), " !== 'paused'"]).

by_keyboard(Browser) ->
    browser:value(Browser, "document.activeElement.blur()"),
    ok = tab(Browser, "document.activeElement.matches('#rows button.id')", 20),
    Id = browser:value(Browser, "document.activeElement.textContent"),
    ok = browser:key(Browser, <<"Enter">>),
    ok = browser:until(Browser, ["document.getElementById('detail').open && ", is(text("detail-title"), Id)]),
    ok = browser:until(Browser, "document.querySelectorAll('#detail-info dd').length > 5"),
    ok = browser:key(Browser, <<"Escape">>),
    ok = browser:until(Browser, "!document.getElementById('detail').open"),
    ok = browser:until(Browser, is("document.activeElement.textContent", Id)).

tab(_Browser, Where, 0) -> error({never_there, Where});
tab(Browser, Where, Left) ->
    ok = browser:key(Browser, <<"Tab">>),
    case browser:value(Browser, Where) of
        true -> ok;
        false -> tab(Browser, Where, Left - 1)
    end.

open_detail(Id, Browser) ->
    browser:value(Browser, [row(Id), ".querySelector('button.id').click()"]),
    browser:until(Browser, is(text("detail-title"), Id)).

letter_count(Browser, Count) ->
    browser:until(Browser, ["document.querySelectorAll('#letters li').length === ", integer_to_list(Count),
                            " || document.getElementById('detail').textContent"]).

hostile(#{poison := Poison, failing := Failing}, Browser) ->
    ok = browser:until(Browser, [cell(Failing, 5), ".includes('</pre>')"]),
    ok = open_detail(Poison, Browser),
    ok = letter_count(Browser, 2),
    true = browser:value(Browser, "[...document.querySelectorAll('#letters pre')].length === 4 && "
                                  "[...document.querySelectorAll('#letters pre')].every((pre) => pre.textContent.includes('<img src=x'))"),
    0 = browser:value(Browser, "document.querySelectorAll('img, body script, #letters pre *').length - document.querySelectorAll('body > script').length"),
    <<"hb_process_monitor">> = browser:value(Browser, "document.title").

letters(Id, Browser) ->
    Button = fun(Nth) -> ["document.querySelectorAll('#letters li:first-child button')[", integer_to_list(Nth), "]"] end,
    Click = fun(Nth) -> undefined = browser:value(Browser, [Button(Nth), ".click()"]) end,
    %% It is still poison.
    Click(0),
    ok = browser:until(Browser, "document.querySelector('#letters li:first-child [role=status]').textContent.startsWith('Failed again')"),
    true = browser:value(Browser, [Button(1), ".focus(), true"]),
    Click(1),
    ok = browser:until(Browser, is([Button(1), ".textContent"], "Discard for good?")),
    {ok, [_, _]} = hb_process_monitor:dead_letters(Id),
    Click(1),
    ok = letter_count(Browser, 1),
    {ok, [_]} = hb_process_monitor:dead_letters(Id),
    browser:value(Browser, "document.getElementById('close').click()"),
    ok = browser:until(Browser, "!document.getElementById('detail').open").

dark(Browser) ->
    Ground = fun() -> browser:value(Browser, "getComputedStyle(document.body).backgroundColor") end,
    ok = browser:dark(Browser, false),
    <<"rgb(246, 247, 249)">> = Ground(),
    ok = browser:dark(Browser, true),
    <<"rgb(20, 23, 28)">> = Ground(),
    ok = browser:dark(Browser, false).

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
    ok = browser:picture(Browser, Path),
    Size = filelib:file_size(Path),
    io:format("    ~ts, ~b KB~n", [Path, Size div 1024]),
    true = Size > 20000 andalso Size < 200 * 1024.

wait_for_points(Browser, Points) ->
    try browser:until(Browser, ["told.points.length >= ", integer_to_list(Points)])
    catch error:{never_true, _, false} -> wait_for_points(Browser, Points)
    end.

cluster_tile(Nth) -> ["document.querySelectorAll('#cluster-tiles dd')[", integer_to_list(Nth), "]"].
cluster_tile_text(Nth) -> [cluster_tile(Nth), ".textContent"].

cluster(Url, Browser) ->
    ok = browser:open(Browser, Url),
    ok = browser:until(Browser, is(cluster_tile_text(2), "4096 of 4096")),
    ok = browser:until(Browser, [is(cluster_tile_text(0), "connected"), " && ", is(cluster_tile_text(1), "allowed")]),
    true = browser:value(Browser, "!document.getElementById('cluster').hidden"),
    Cells = fun() -> browser:value(Browser, "[...document.querySelectorAll('#host-nodes tr > *')].map((cell) => cell.textContent)") end,
    [Name, Age, <<"4096">>, <<"member">>] = Cells(),
    Name = <<?NAME/binary, " (this one)">>,
    {_, _} = binary:match(Age, <<" ago">>),
    0 = browser:value(Browser, "document.querySelectorAll('img').length").

cluster_table(Browser) ->
    true = browser:value(Browser, "document.querySelector('#cluster caption').textContent !== '' && "
                                  "[...document.querySelectorAll('#cluster thead th')].every((th) => th.scope === 'col' && th.textContent !== '') && "
                                  "[...document.querySelectorAll('#host-nodes tr')].every((row) => row.children[0].scope === 'row')"),
    browser:value(Browser, "document.activeElement.blur()"),
    tab(Browser, "document.activeElement.matches('#cluster [role=region]')", 20).

no_database(Server, Browser) ->
    true = browser:value(Browser, is(text("cluster-error"), "")),
    ok = postgres_server:kill(Server),
    ok = browser:until(Browser, [is(cluster_tile_text(0), "no answer"), " && ", is(cluster_tile_text(1), "held back")]),
    true = browser:value(Browser, [cluster_tile(0), ".classList.contains('bad') && ", text("cluster-error"), ".includes('database')"]),
    ok = postgres_server:restart(Server),
    ok = browser:until(Browser, [is(cluster_tile_text(0), "connected"), " && ", is(cluster_tile_text(1), "allowed"), " && ",
                                 is(text("cluster-error"), "")]).

gone(Url, Browser) ->
    [<<"http://127.0.0.1:", Port/binary>>, _] = binary:split(Url, <<"/#">>),
    ok = hb_process_monitor:dashboard_stop(),
    ok = browser:until(Browser, [text("status"), ".includes('cannot be reached')"]),
    ok = browser:until(Browser, "told.points.some(({ values }) => values === null)"),
    {ok, New} = hb_process_monitor:dashboard(binary_to_integer(Port)),
    ok = browser:until(Browser, [text("status"), ".includes('dashboard/1')"]),
    ok = browser:open(Browser, New),
    ok = browser:until(Browser, [is(text("status"), "connected"), " && location.hash === ''"]).
