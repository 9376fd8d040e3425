%%% The library's resources: engines and registrations that are alive, stopped, removed, or lost their owner.
%%% abuse_calls decides which calls use them.
-module(abuse_world).

-export([empty/0, new/1, stop/1]).
-export([engines/2, handles/1]).
-export([engine_options/0, monitor_options/0]).

-define(NIF, hb_process_monitor_nif).

%% How many stale handles of each kind are kept from earlier worlds.
-define(KEPT, 6).
%% In the working directory.
-define(CHECKPOINT, <<"abuse.redb">>).

-type world() :: #{owner := pid() | none,
                   %% Running.
                   alive := [reference()],
                   %% Stopped without a checkpoint; stopped with a closed checkpoint.
                   stopped := [reference()], closed := [reference()],
                   handles := [reference()]}.

empty() -> #{owner => none, alive => [], stopped => [], closed => [], handles => []}.

%% A new world, which also has some stale handles of the old one.
-spec new(world()) -> world().
new(#{alive := [], stopped := Stopped, closed := Closed, handles := Handles}) ->
    {Orphan, Orphans} = in_a_process_that_ends(fun() -> make(false) end),
    Self = self(),
    Owner = spawn(fun() -> own(Self) end),
    {[{Runs, Of1}, {Ended, Of2}, {Written, Of3}]} = receive {Owner, Made} -> {Made} end,
    Stale = lists:sublist(Handles, ?KEPT),
    #{owner => Owner, alive => [Runs, Written], stopped => [Orphan, Ended | lists:sublist(Stopped, ?KEPT)],
      closed => lists:sublist(Closed, ?KEPT), handles => Orphans ++ Of1 ++ Of2 ++ Of3 ++ Stale}.

%% Ends everything alive. Returns the stale handles.
-spec stop(world()) -> world().
stop(#{owner := Owner, alive := [Runs, Written], stopped := Stopped, closed := Closed} = World) ->
    Ref = monitor(process, Owner),
    Owner ! {self(), stop},
    receive {'DOWN', Ref, process, Owner, _} -> ok end,
    [] = ?NIF:close_checkpoints(20000),
    World#{owner := none, alive := [], stopped := [Runs | Stopped], closed := [Written | Closed]}.

%% The owner of three engines: one that runs, one that has run, and one that runs with a checkpoint.
own(Parent) ->
    [{Runs, _}, {Ended, _}, {Written, _}] = Made = [make(false), make(false), make(?CHECKPOINT)],
    ok = ?NIF:stop(Ended),
    Runners = [spawn_monitor(fun() -> run(Engine) end) || Engine <- [Runs, Written]],
    Parent ! {self(), Made},
    own(Parent, [Runs, Written], Runners).

own(Parent, Engines, Runners) ->
    receive
        {Parent, stop} ->
            [ok = ?NIF:stop(Engine) || Engine <- Engines],
            [receive {'DOWN', Ref, process, Runner, _} -> ok end || {Runner, Ref} <- Runners];
        _FromTheLibrary ->
            own(Parent, Engines, Runners)
    end.

run(Engine) ->
    case ?NIF:run(Engine, 100) of
        stopped -> ok;
        _OverOrBusy -> run(Engine)
    end.

%% An engine with three registrations: live, removed, and of a dead process.
make(Checkpoint) ->
    {ok, Engine} = ?NIF:new((engine_options())#{checkpoint := Checkpoint}),
    [Stands, Removed] = [register(Engine) || _ <- [1, 2]],
    _ = ?NIF:remove(Removed, false),
    {Engine, [Stands, Removed, in_a_process_that_ends(fun() -> register(Engine) end)]}.

register(Engine) ->
    {ok, Handle, _Epoch, _Start} = ?NIF:register(Engine, (monitor_options())#{process := harness:proc_id()}),
    Handle.

in_a_process_that_ends(Fun) ->
    Self = self(),
    {Pid, Ref} = spawn_monitor(fun() -> Self ! {self(), Fun()} end),
    Made = receive {Pid, Result} -> Result end,
    receive {'DOWN', Ref, process, Pid, _} -> Made end.

engines(Kinds, World) -> lists:append([maps:get(Kind, World) || Kind <- Kinds]).

handles(#{handles := Handles}) -> Handles.

engine_options() ->
    #{max_inflight => 4, max_buffered => 1 bsl 20, checkpoint => false, cacertfile => false,
      checkpoint_interval => 5, dead_letters_max => 50, dead_letters_max_bytes => 1000000, expire_after => 0, cluster => false}.

%% A port without a listener.
monitor_options() ->
    #{process => binary:copy(<<"A">>, 43), rate => 3600000, cursor => earliest, nodes => [<<"http://127.0.0.1:1">>],
      page_limit => 1000, connect_timeout => 1000, first_byte_timeout => 1000, timeout => 1000,
      max_page_bytes => 1000000, stale_after => 0, max_ahead => 0,
      walk_after => 60000, poll => rate, poll_max_gap => 60000, kept => <<>>, go_on => false, paused => false}.
