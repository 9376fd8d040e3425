%%% What is used of the host: which adapter pushes, the format of results for a device, and the source of a CU's
%%% URL.
-module(host_choice_tests).
-include_lib("eunit/include/eunit.hrl").

-define(HOST, hb_cron_host).
-define(ID, <<"AZaz09-_AZaz09-_AZaz09-_AZaz09-_AZaz09-_AZa">>).

eunit_wrapper_(Tests) -> deadline:each(Tests).

%% The adapter, and the format of results

device(Push) -> device(Push, undefined).

describe() -> describe(undefined, undefined).

describe(Push, Format) ->
    ?HOST:describe(#{cron_push => Push, cron_result_format => Format}, hb_cron_router:routing(none)).

device(Push, Format) -> ?HOST:device(#{cron_push => Push, cron_result_format => Format}).

mu(Call, Format) -> {hb_cron_host_mu, {Call, Format}}.

bare_host_is_pushed_to_by_the_documented_call_test() ->
    ok = ?HOST:detect(),
    ?assertEqual(mu({dev_mu, push}, map), device(undefined)).

era_a_test_() -> in(era_a, fun() ->
    Fun = fun(_, _) -> ok end,
    [?_assertEqual({hb_cron_host_converge, none}, device(undefined)),
     ?_assertEqual({hb_cron_host_ao, none}, device(ao)),
     %% Only a dev_mu may be written for the record of the host's own client.
     ?_assertEqual(mu({dev_mu, push}, record), device(mu)),
     ?_assertEqual(mu({dev_mu, push}, record), device({dev_mu, push})),
     ?_assertEqual(mu({dev_mu, push}, map), device(mu, map)),
     ?_assertEqual(mu({their, device}, map), device({their, device})),
     ?_assertEqual(mu({their, device}, record), device({their, device}, record)),
     ?_assertEqual(mu(Fun, map), device(Fun)),
     ?_assertEqual(#{options => hb_opts, logger => hb_logger, push => converge, result_format => map,
                     router => {default, [<<"http://localhost:6363">>]}}, describe()),
     ?_test(operators_own_dev_mu_gets_the_record()),
     ?_assertMatch(#{push := {their, device}, result_format := record}, describe({their, device}, record)),
     ?_assertMatch(#{push := mu, result_format := record}, describe(mu, undefined))]
end).

era_b_test_() -> in(era_b, fun() ->
    [?_assertEqual({hb_cron_host_ao, none}, device(undefined)),
     ?_assertEqual({hb_cron_host_converge, none}, device(converge)),
     ?_assertMatch(#{push := ao}, describe())]
end).

in(Era, Tests) ->
    {setup,
     fun() -> Modules = era:load(Era), ok = ?HOST:detect(), Modules end,
     fun(Modules) -> era:unload(Modules), hb_opts:reset(), ok = ?HOST:detect() end,
     fun(_) -> Tests() end}.

operators_own_dev_mu_gets_the_record() ->
    Test = self(),
    Node = #{<<"cursor">> => <<"c">>,
             <<"Messages">> => [#{<<"Target">> => ?ID, <<"Anchor">> => <<"a">>, <<"Data">> => <<"d">>,
                                  <<"Tags">> => [#{<<"name">> => <<"N">>, <<"value">> => <<"V">>}]}],
             <<"Spawns">> => [#{<<"Data">> => <<"s">>}],
             <<"Assignments">> => [#{<<"Processes">> => [<<"p">>]}],
             <<"Output">> => #{<<"data">> => null}},
    Push = fun(Message, State) -> Test ! {Message, State}, ok end,
    Pushed = fun(Result, Format) ->
        ok = ?HOST:push(mu(Push, Format), Result, #{proc_id => ?ID}, #{}),
        receive {#{message := Got}, #{proc_id := ?ID}} -> Got end
    end,
    ?assertEqual(Node, Pushed(Node, map)),
    ?assertEqual({result,
                  [{tx, ?ID, <<"a">>, [{<<"N">>, <<"V">>}], <<"d">>}],
                  [{[{<<"Processes">>, [<<"p">>]}]}],
                  [{tx, <<>>, <<>>, [], <<"s">>}],
                  {[{<<"data">>, null}]},
                  <<"c">>}, Pushed(Node, record)),
    ?assertEqual({result, [], [], [], [], <<"c">>}, Pushed(#{<<"cursor">> => <<"c">>, <<"Messages">> => null}, record)),
    %% Without the record the push fails, and all of the result remains.
    Odd = #{<<"cursor">> => <<"c">>, <<"Messages">> => [17]},
    ?assertMatch({error, {error, function_clause}, Odd, unknown},
                 ?HOST:push(mu(Push, record), Odd, #{}, #{})).

%% The URL of a CU

router_test_() ->
    {foreach, fun() -> ok end, fun(_) -> harness:unload_router(), hb_opts:reset() end,
     [{Name, fun() ->
         Router =:= none orelse harness:load_router(Router),
         hb_opts:set(Options),
         ok = ?HOST:detect(),
         ?assertEqual(Expected, hb_cron_router:nodes_of(?ID, hb_cron_router:routing(none)))
     end} || {Name, Router, Options, Expected} <- [
        {"nothing is said", none, #{}, {default, [<<"http://localhost:6363">>]}},
        {"the router answers a string", "{ok, \"http://cu:1\"}", #{}, {hb_router, [<<"http://cu:1">>]}},
        {"the router answers before the options", "{ok, <<\"http://cu:1/\">>}", #{nodes => #{compute => <<"http://other">>}},
         {hb_router, [<<"http://cu:1">>]}},
        {"the router has no such service", "{error, service_type_not_found}", #{}, {default, [<<"http://localhost:6363">>]}},
        {"the router raises", "error({badmap, undefined})", #{routes => [route(<<"/result/.*">>, <<"http://cu:2">>)]},
         {routes, [<<"http://cu:2">>]}},
        {"the router answers what is no URL", "{ok, #{}}", #{}, {default, [<<"http://localhost:6363">>]}},
        {"nodes for all", none, #{nodes => #{compute => #{'_' => "http://cu:3"}}}, {nodes, [<<"http://cu:3">>]}},
        {"nodes for this one", none, #{nodes => #{compute => #{'_' => "http://cu:3", ?ID => "http://cu:4"}}}, {nodes, [<<"http://cu:4">>]}},
        {"nodes without compute", none, #{nodes => #{message => #{}}}, {default, [<<"http://localhost:6363">>]}},
        {"nodes that is no map", none, #{nodes => 7}, {default, [<<"http://localhost:6363">>]}},
        {"several nodes of a route", none,
         #{routes => [route(<<"/graphql">>, <<"http://gateway">>),
                      #{<<"template">> => <<"/result/.*">>,
                        <<"nodes">> => [#{<<"prefix">> => <<"http://cu:5">>, <<"opts">> => #{}}, <<"http://cu:6">>]}]},
         {routes, [<<"http://cu:5">>, <<"http://cu:6">>]}},
        {"a route for what we ask", none, #{routes => [route(<<"^/cron/">>, <<"http://cu:7">>)]}, {routes, [<<"http://cu:7">>]}},
        {"the first route that fits", none, #{routes => [route(<<"/result/.*">>, <<"http://cu:8">>), route(<<".*">>, <<"http://all">>)]},
         {routes, [<<"http://cu:8">>]}},
        {"routes numbered from 1", none, #{routes => #{<<"1">> => route(<<"/result/.*">>, <<"http://cu:9">>)}}, {routes, [<<"http://cu:9">>]}},
        {"a template that is a message", none, #{routes => [#{<<"template">> => #{<<"path">> => <<"/">>}, <<"node">> => <<"http://x">>}]},
         {default, [<<"http://localhost:6363">>]}},
        {"a template that is no regular expression", none, #{routes => [route(<<"(">>, <<"http://x">>)]}, {default, [<<"http://localhost:6363">>]}},
        {"routes that are no routes", none, #{routes => [7, #{}]}, {default, [<<"http://localhost:6363">>]}}
     ]]}.

route(Template, Prefix) ->
    #{<<"template">> => Template, <<"node">> => #{<<"prefix">> => Prefix}}.
