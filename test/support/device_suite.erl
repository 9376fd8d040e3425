%%% The fixture of the tests of the device `process-monitor@1.0': a CU, the real application, and the doubles of a host
%%% that has devices. Each test runs on both hosts.
-module(device_suite).

-export([each/1, restart/1, status/1, json/1, run/3]).

%% Tests by name, on each host.
each(Tests) ->
    [{atom_to_list(Host), {foreach, fun() -> setup(Host) end, fun cleanup/1,
      [fun(World) -> {lists:concat([Host, ": ", Name]), fun() -> Test(World) end} end || {Name, Test} <- Tests]}}
     || Host <- [device_b, device_c]].

setup(Host) ->
    Cu = harness:setup(),
    World = #{host => Host, cu => Cu, modules => device_host:load(Host)},
    restart(options(World)),
    World.

%% `friend' has access, `stranger' has not.
options(#{cu := Cu}) ->
    #{cron_node => test_cu:url(Cu), cron_monitor_access => [device_host:address(friend)], cron_monitors_max => 2,
      cron_push_attempts => 1, cron_push_backoff => {1, 2}}.

%% Starts the application with these options of the host. It is stopped if it runs, as when a node restarts.
restart(Options) ->
    _ = application:stop(hb_process_monitor),
    harness:host(Options),
    ok = hb_cron_start:ensure_started(),
    ok = hb_cron_device_registration:check().

cleanup(#{cu := Cu, modules := Modules}) ->
    _ = application:stop(hb_process_monitor),
    device_host:unload(Modules),
    harness:cleanup(Cu).

status({Status, Text}) when is_integer(Status), is_binary(Text) -> Status.

%% The value of an answer that succeeded.
json({200, Text}) -> json_text:decode(Text).

%% Restarts with other options of this test.
run(World, Options, Do) ->
    restart(maps:merge(options(World), Options)),
    Do().
