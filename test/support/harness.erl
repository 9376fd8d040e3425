%%% What the end-to-end tests share: a host of doubles around the real application, a CU of their
%%% own, process ids, and waiting on an event with a deadline.
-module(harness).

-export([setup/0, setup/1, cleanup/1]).
-export([proc_id/0, sink/1, start/3, report/1]).
-export([results/2, no_result/1, number/1, eventually/1, logged/2, failing/2]).

%% How long something may take that should happen at once, in ms. Only a failure takes this long.
-define(DEADLINE, 20000).

setup() -> setup(#{}).

setup(HostOptions) ->
    %% Loopback must not go through a proxy of the machine's.
    [os:unsetenv(Name) || Name <- ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy",
                                   "ALL_PROXY", "all_proxy"]],
    hb_opts:set(HostOptions),
    dev_mu:create(),
    test_cu:start().

cleanup(Cu) ->
    _ = application:stop(hb_process_monitor),
    hb_opts:reset(),
    ets:delete(dev_mu_routes),
    test_cu:stop(Cu).

%% A process id that no other test has.
proc_id() ->
    Raw = crypto:strong_rand_bytes(32),
    hb_process_monitor_opts:proc_id(Raw).

%% Sends each pushed result to the caller as {pushed, Number, Result, PushState}.
sink(ProcId) ->
    Self = self(),
    dev_mu:route(ProcId, fun(Result, PushState) ->
        Self ! {pushed, number(Result), Result, PushState},
        {ok, pushed}
    end).

%% Starts a monitor on a CU. A rate of an hour unless said otherwise: a test sends its own ticks.
start(Cu, ProcId, Options) ->
    hb_process_monitor:start(ProcId, maps:merge(#{rate => 3600000, cron_node => test_cu:url(Cu)}, Options)).

report(Logger) -> hb_logger:report(Logger).

%% The number that the CU gave a result.
number(#{<<"cursor">> := Cursor}) -> test_cu:number(Cursor).

%% Waits for results with these numbers, in this order, and no others between.
results(First, Last) ->
    lists:foreach(fun(Expected) ->
        receive
            {pushed, Number, _, _} -> Expected = Number
        after ?DEADLINE -> error({no_result, Expected})
        end
    end, lists:seq(First, Last)).

%% No result came within the time that two answers of the CU take.
no_result(Cu) ->
    _ = test_cu:requests(Cu),
    receive {pushed, Number, _, _} -> error({unexpected_result, Number})
    after 0 -> ok
    end.

%% Waits until Fun() is true.
eventually(Fun) -> eventually(Fun, erlang:monotonic_time(millisecond) + ?DEADLINE).

eventually(Fun, Until) ->
    case Fun() of
        true -> ok;
        Other ->
            erlang:monotonic_time(millisecond) < Until orelse error({never_true, Other}),
            receive after 5 -> ok end,
            eventually(Fun, Until)
    end.

%% Waits until the logger's report holds an entry that fits.
logged(Logger, Fits) ->
    eventually(fun() -> lists:any(fun(Entry) -> fits(Fits, Entry) end, report(Logger)) end).

fits(Fits, Entry) ->
    try Fits(Entry) =:= true
    catch error:function_clause -> false
    end.

%% A push that fails in each of these ways in turn for one result, then works.
failing(ProcId, Ways) ->
    Left = counters:new(1, []),
    Self = self(),
    dev_mu:route(ProcId, fun(Result, PushState) ->
        counters:add(Left, 1, 1),
        case counters:get(Left, 1) of
            N when N =< length(Ways) ->
                Self ! {push_failed, number(Result)},
                (lists:nth(N, Ways))();
            _ ->
                Self ! {pushed, number(Result), Result, PushState},
                ok
        end
    end).
