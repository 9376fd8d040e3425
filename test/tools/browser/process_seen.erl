%%% The part of `make browser' that concerns one process: its page, its time line, its dead letters, what is done to it, and
%%% the keyboard.
-module(process_seen).
-export([checks/2]).

-import(seen, [row/1, text/1, is/2, shown/1, click/2, tab/3, open_process/2]).

checks(Ids, _Url) ->
    [{"page of a process says what it does, when it is asked, and what happened", fun(B) -> process(maps:get(works, Ids), B) end},
     {"nothing moves on the page of a process while events come", fun(B) -> [] = seen:moved(B) end},
     {"hostile errors and results are shown as text", fun(B) -> hostile(Ids, B) end},
     {"dead letter is retried, and another discarded once that is confirmed", fun(B) -> letters(maps:get(poison, Ids), B) end},
     {"stop is confirmed, and taken back by its note", fun(B) -> stops(maps:get(works_too, Ids), B) end},
     {"process that is not monitored can be started again or forgotten", fun(B) -> starts(maps:get(works_too, Ids), B) end},
     {"keyboard alone opens a monitor and closes it, and the focus comes back", fun by_keyboard/1},
     {"shortcuts find, step, open, pause and take back, and can be turned off", fun(B) -> shortcuts(maps:get(quiet, Ids), B) end}].

action(Label) -> ["[...document.querySelectorAll('#actions button')].find((button) => button.textContent === '", Label, "' && !button.hidden)"].

process(Id, Browser) ->
    ok = open_process(Browser, Id),
    ok = browser:until(Browser, "document.activeElement.id === 'process-title'"),
    ok = browser:until(Browser, [text("events"), ".includes('Pushed ')"]),
    ok = browser:until(Browser, [text("asking"), ".length > 10 && ", text("asking-facts"), ".includes('Rate')"]),
    true = browser:value(Browser, "/[0-9]+ push(es)?/.test(document.querySelector('#line svg').getAttribute('aria-label'))"),
    true = browser:value(Browser, "document.querySelectorAll('#line path.pushed').length > 0 && document.querySelectorAll('#line .next').length > 0"),
    true = browser:value(Browser, "document.querySelector('#event-rows time').dateTime.endsWith('Z')"),
    Title = browser:value(Browser, "document.title"),
    true = Title =:= <<Id/binary, " · hb_process_monitor"/utf8>>.

letter_count(Browser, Count) ->
    browser:until(Browser, ["document.querySelectorAll('#letters li').length === ", integer_to_list(Count), " || ", text("process")]).

back(Browser) ->
    ok = click(Browser, "document.getElementById('back')"),
    browser:until(Browser, [shown("overview"), " && document.querySelectorAll('#rows tr').length > 0"]).

hostile(#{poison := Poison, failing := Failing}, Browser) ->
    ok = back(Browser),
    ok = open_process(Browser, Failing),
    ok = browser:until(Browser, [text("process-note"), ".includes('</pre>')"]),
    ok = browser:until(Browser, [text("events"), ".includes('<img src=x')"]),
    ok = back(Browser),
    ok = open_process(Browser, Poison),
    ok = letter_count(Browser, 2),
    true = browser:value(Browser, "[...document.querySelectorAll('#letters pre')].length === 4 && "
                                  "[...document.querySelectorAll('#letters pre')].every((pre) => pre.textContent.includes('<img src=x'))"),
    0 = browser:value(Browser, "document.querySelectorAll('img, body script, #letters pre *').length - document.querySelectorAll('body > script').length"),
    ok = browser:picture(Browser, "_build/browser/process.png").

letters(Id, Browser) ->
    Button = fun(Nth) -> ["document.querySelectorAll('#letters li:first-child button')[", integer_to_list(Nth), "]"] end,
    %% It is still poison.
    ok = click(Browser, Button(0)),
    ok = browser:until(Browser, "document.querySelector('#letters li:first-child [role=status]').textContent.startsWith('Failed again')"),
    ok = click(Browser, "document.getElementById('retry-all')"),
    ok = click(Browser, "document.getElementById('confirm-yes')"),
    ok = browser:until(Browser, [text("letters-note"), ".includes('0 dead letters pushed. Number')"]),
    ok = click(Browser, Button(1)),
    ok = click(Browser, "document.getElementById('confirm-no')"),
    ok = browser:until(Browser, "!document.getElementById('confirm').open"),
    {ok, [_, _]} = hb_process_monitor:dead_letters(Id),
    ok = click(Browser, Button(1)),
    true = browser:value(Browser, "document.activeElement.id === 'confirm-no'"),
    ok = click(Browser, "document.getElementById('confirm-yes')"),
    ok = letter_count(Browser, 1),
    {ok, [_]} = hb_process_monitor:dead_letters(Id),
    back(Browser).

stops(Id, Browser) ->
    ok = open_process(Browser, Id),
    ok = click(Browser, action("Stop…")),
    true = browser:value(Browser, [text("confirm-text"), ".includes('", Id, "')"]),
    ok = click(Browser, "document.getElementById('confirm-no')"),
    #{monitor := Monitor} = hb_process_monitor:info(Id),
    ok = click(Browser, action("Stop…")),
    ok = click(Browser, "document.getElementById('confirm-yes')"),
    ok = browser:until(Browser, is(text("process-state"), "not monitored")),
    undefined = hb_process_monitor:info(Id),
    ok = click(Browser, "document.querySelector('#toasts .undo')"),
    ok = browser:until(Browser, [text("process-state"), " !== 'not monitored'"]),
    #{monitor := Again, rate := 1000} = hb_process_monitor:info(Id),
    true = Again =/= Monitor.

starts(Id, Browser) ->
    ok = click(Browser, action("Stop…")),
    ok = click(Browser, "document.getElementById('confirm-yes')"),
    ok = browser:until(Browser, is(text("process-state"), "not monitored")),
    ok = click(Browser, action("Forget…")),
    true = browser:value(Browser, [text("confirm-text"), ".includes('cannot be brought back')"]),
    ok = click(Browser, "document.getElementById('confirm-no')"),
    ok = click(Browser, action("Start again")),
    ok = browser:until(Browser, [text("process-state"), " !== 'not monitored'"]),
    #{rate := 1000} = hb_process_monitor:info(Id),
    back(Browser).

by_keyboard(Browser) ->
    ok = browser:until(Browser, "document.querySelectorAll('#rows tr').length === 8"),
    browser:value(Browser, "document.activeElement.blur()"),
    ok = tab(Browser, "document.activeElement.matches('#rows a.id')", 60),
    Id = browser:value(Browser, "document.activeElement.textContent"),
    true = browser:value(Browser, "getComputedStyle(document.activeElement).outlineStyle === 'solid'"),
    ok = browser:key(Browser, <<"Enter">>),
    ok = browser:until(Browser, [shown("process"), " && ", is(text("process-title"), Id)]),
    ok = browser:until(Browser, [action("Pause"), " !== undefined"]),
    ok = tab(Browser, "document.activeElement.textContent === 'Stop…'", 20),
    ok = browser:key(Browser, <<"Enter">>),
    ok = browser:until(Browser, "document.getElementById('confirm').open"),
    ok = browser:key(Browser, <<"Escape">>),
    ok = browser:until(Browser, "!document.getElementById('confirm').open && document.activeElement.textContent === 'Stop…'"),
    ok = browser:key(Browser, <<"Escape">>),
    ok = browser:until(Browser, shown("overview")),
    ok = browser:until(Browser, is("document.activeElement.textContent", Id)).

shortcuts(Quiet, Browser) ->
    browser:value(Browser, "document.activeElement.blur()"),
    ok = browser:key(Browser, <<"/">>),
    ok = browser:until(Browser, "document.activeElement.id === 'find' && document.activeElement.value === ''"),
    %% In a field they are letters.
    [ok = browser:key(Browser, <<Char>>) || Char <- "kappa"],
    ok = seen:rows_are(Browser, [Quiet]),
    browser:value(Browser, "document.activeElement.blur()"),
    ok = browser:key(Browser, <<"j">>),
    ok = browser:until(Browser, is("document.activeElement.textContent", Quiet)),
    ok = browser:key(Browser, <<"p">>),
    ok = browser:until(Browser, is(seen:cell(Quiet, 1), "paused")),
    ok = browser:until(Browser, "document.querySelector('#toasts .undo') !== null"),
    ok = browser:key(Browser, <<"u">>),
    ok = browser:until(Browser, [seen:cell(Quiet, 1), " !== 'paused'"]),
    ok = browser:key(Browser, <<"?">>),
    ok = browser:until(Browser, "document.getElementById('shortcuts').open"),
    undefined = browser:value(Browser, "document.getElementById('shortcuts-on').click()"),
    ok = browser:key(Browser, <<"Escape">>),
    ok = browser:until(Browser, "!document.getElementById('shortcuts').open"),
    browser:value(Browser, "document.activeElement.blur()"),
    ok = browser:key(Browser, <<"/">>),
    true = browser:value(Browser, "document.activeElement === document.body"),
    undefined = browser:value(Browser, "document.getElementById('shortcuts-on').click()"),
    ok = browser:key(Browser, <<"/">>),
    true = browser:value(Browser, "document.activeElement.id === 'find'"),
    ok = browser:key(Browser, <<"Escape">>),
    ok = browser:until(Browser, "document.querySelectorAll('#rows tr').length === 8"),
    browser:value(Browser, "document.activeElement.blur()").
