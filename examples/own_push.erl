%%% Results to a function of your own: each is printed, with where it stands in its process.
%%%
%%%     erl -pa _build/default/lib/hb_process_monitor/ebin examples
%%%     1> c("examples/own_push"), own_push:start(<<"PROCESS_ID">>, <<"http://localhost:6363">>).
-module(own_push).

-export([start/2, push/2]).

%% From the process's first result on, asked for every five seconds.
start(ProcId, CuUrl) ->
    hb_process_monitor:start(ProcId, #{
        rate => 5000,
        cursor => earliest,
        cron_node => CuUrl,
        cron_push => {?MODULE, push}
    }).

%% What it returns counts as pushed. An exception or `{error, Reason}' does not: then the same result
%% comes again, later, and none before it has come.
push(#{message := #{<<"cursor">> := Cursor, <<"Messages">> := Messages}}, #{proc_id := ProcId}) ->
    io:format("~s ~s: ~b message(s)~n", [ProcId, Cursor, length(Messages)]).
