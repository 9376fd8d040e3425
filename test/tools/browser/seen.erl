%%% What the checks of the dashboard's page have in common: expressions for what it shows, and what a user does.
-module(seen).
-export([failed/2, row/1, cell/2, text/1, is/2, shown/1, set/4, click/2, tab/3, rows_are/2, moved/1, open_process/2]).

%% How many checks fail.
failed(Checks, Browser) -> length([Name || {Name, Check} <- Checks, not passes(Name, Check, Browser)]).

passes(Name, Check, Browser) ->
    try Check(Browser) of
        _ -> io:format("  ~ts~n", [Name]), true
    catch
        Class:Reason:Stack ->
            io:format("  FAILED ~ts~n    ~0tP~n    ~0tP~n", [Name, {Class, Reason}, 60, Stack, 30]),
            false
    end.

%% The row of a process, and the text of a cell of it.
row(Id) -> ["document.querySelector('tr[data-process=\"", Id, "\"]')"].
cell(Id, N) -> [row(Id), ".children[", integer_to_list(N), "].textContent"].
text(Id) -> ["document.getElementById('", Id, "').textContent"].
is(Text, Expected) -> ["(", Text, ") === '", Expected, "'"].
shown(Id) -> ["document.getElementById('", Id, "').offsetParent !== null"].

%% Sets a select or a field, as a user does.
set(Browser, Id, Value, Event) ->
    browser:value(Browser, ["(() => { const e = document.getElementById('", Id, "'); e.value = '", Value,
                            "'; e.dispatchEvent(new Event('", Event, "', { bubbles: true })); return e.value; })()"]).

%% Waits for a button that can be clicked, and clicks it.
click(Browser, Element) ->
    ok = browser:until(Browser, ["(() => { const e = ", Element, "; return e !== null && e !== undefined && !e.disabled && e.offsetParent !== null; })()"]),
    undefined = browser:value(Browser, [Element, ".click()"]),
    ok.

tab(_Browser, Where, 0) -> error({never_there, Where});
tab(Browser, Where, Left) ->
    ok = browser:key(Browser, <<"Tab">>),
    case browser:value(Browser, Where) of
        true -> ok;
        false -> tab(Browser, Where, Left - 1)
    end.

%% The rows, in this order.
rows_are(Browser, Ids) ->
    Expected = hb_cron_json:encode(Ids),
    browser:until(Browser, ["JSON.stringify([...document.querySelectorAll('#rows tr')].map((row) => row.dataset.process)) === '",
                            Expected, "'"]).

%% What moved on the page during four updates, by the browser's own measure.
moved(Browser) ->
    browser:value(Browser, "window.moved = []; window.moves = new PerformanceObserver((list) => { for (const { value, sources } of list.getEntries()) "
                           "window.moved.push([value, ...sources.map(({ node }) => (node?.outerHTML ?? String(node)).slice(0, 200))]); }), window.moves.observe({ type: 'layout-shift' })"),
    Updates = browser:value(Browser, "told.end"),
    ok = browser:until(Browser, ["told.end >= ", integer_to_list(ceil(Updates) + 8000)]),
    browser:value(Browser, "window.moves.disconnect(), window.moved").

%% A click on the id.
open_process(Browser, Id) ->
    ok = click(Browser, [row(Id), "?.querySelector('a.id')"]),
    browser:until(Browser, [is(text("process-title"), Id), " && ", shown("process"), " && !", shown("overview")]).
