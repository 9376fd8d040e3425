%%% The part of `make browser' with 100,000 monitors: the page that is sorted, filtered, turned and refreshed must never be
%%% busy for long, as the browser measures it. Prints how long the node takes for a page of rows.
-module(fleet_seen).
-export([checks/0]).

-import(seen, [text/1, is/2, set/4, click/2]).

-define(FLEET, 100000).
%% A task of the browser that takes longer, in ms, is a pause that a user notices.
-define(LONG, 100).
%% The machine may be busy with something else.
-define(TRIES, 3).

checks() ->
    [{"page with 100,000 monitors has no task above 100 ms", fun fleet/1}].

fleet(Browser) ->
    hb_opts:reset(),
    hb_opts:set(#{cron_checkpoint => false, cron_node => <<"http://127.0.0.1:9">>}),
    ok = hb_cron_configuration:expire(),
    Ids = [harness:proc_id() || _ <- lists:seq(1, ?FLEET)],
    Started = hb_process_monitor:start_all([{Id, #{rate => 3600000, cursor => earliest, cron_poll => rate}} || Id <- Ids]),
    ?FLEET = length([ok || {started, _} <- Started]),
    {ok, Url} = hb_process_monitor:dashboard(0),
    tried(?TRIES, Browser, Url, Ids).

tried(Left, Browser, Url, Ids) ->
    case used(Browser, Url, Ids) of
        [] -> ok;
        Long when Left > 1 -> io:format("    long tasks, once more: ~w ms~n", [Long]), tried(Left - 1, Browser, Url, Ids);
        Long -> error({long_tasks, Long})
    end.

%% The long tasks of a page that is loaded and used.
used(Browser, Url, Ids) ->
    Id = lists:nth(rand:uniform(?FLEET), Ids),
    ok = browser:open(Browser, <<"about:blank">>),
    ok = browser:open(Browser, Url),
    ok = browser:until(Browser, "document.querySelectorAll('#rows tr').length === 50"),
    browser:value(Browser, "window.long = []; new PerformanceObserver((list) => { for (const entry of list.getEntries()) window.long.push(entry.duration); })"
                           ".observe({ type: 'longtask', buffered: true })"),
    Shown = fun(Text) -> ok = browser:until(Browser, is(text("shown"), Text)) end,
    ok = click(Browser, "document.querySelector('th.next button')"),
    ok = browser:until(Browser, "document.querySelectorAll('#rows tr').length === 50 && document.querySelector('#groups .count').textContent === '100,000'"),
    Shown("1–50 of 100,000 monitors"),
    ok = click(Browser, "document.getElementById('last')"),
    Shown("99,951–100,000 of 100,000 monitors"),
    ok = click(Browser, "document.getElementById('previous')"),
    Shown("99,901–99,950 of 100,000 monitors"),
    Part = binary:part(Id, 20, 10),
    Part = set(Browser, "find", Part, "input"),
    Shown("1–1 of 1 monitor"),
    <<>> = set(Browser, "find", "", "input"),
    Shown("1–50 of 100,000 monitors"),
    ok = click(Browser, "document.querySelector('th.errors button')"),
    Before = browser:value(Browser, "told.points.length"),
    ok = browser:until(Browser, ["told.points.length >= ", integer_to_list(Before + 6)]),
    Times = browser:value(Browser, "performance.getEntriesByType('resource').filter(({ name }) => name.includes('/api/1/monitors')).map(({ duration }) => duration)"),
    Sorted = lists:sort(Times),
    io:format("    ~b answers with rows, in ms: half within ~b, the longest ~b~n",
              [length(Sorted), round(lists:nth(length(Sorted) div 2 + 1, Sorted)), round(lists:last(Sorted))]),
    [round(Ms) || Ms <- browser:value(Browser, "window.long"), Ms > ?LONG].
