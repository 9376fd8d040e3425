%%% @doc Judges what {@link hb_cron_doctor} found: a verdict, an advice for everything that is wrong, and the whole
%%% as text. It examines nothing itself.
-module(hb_cron_doctor_report).

-export([advice/1, text/1]).

%% The number of failures in a row from which a process is in trouble.
-define(IN_TROUBLE, 3).
%% A commit that takes longer, in ms, hangs.
-define(COMMIT_HANGS, 5000).
-define(PUSH_ADVICE, "see the error and docs/pushing.md; pushes are retried, at once with Monitor ! tick").
%% The depth to which a term is shown.
-define(DEPTH, 12).
%% The share of dead letters or processes above which there is a finding.
-define(FULL, 0.8).

%% @doc The findings in words, the worst first.
-spec advice(map()) -> [{ok | attention | wrong, What :: binary(), Advice :: binary()}].
advice(Findings) ->
    All = lists:append([library(Findings), system(Findings), options(Findings), push(Findings),
                        hb_cron_cluster_report:advice(maps:get(cluster, Findings)), checkpoint(Findings),
                        not_started(Findings), undelivered(Findings), monitors(Findings), cu(Findings)]),
    [{Level, text_of(What, Args), iolist_to_binary(Advice)}
     || Wanted <- [wrong, attention, ok], {Level, {What, Args}, Advice} <- All, Level =:= Wanted].

text_of(Format, Args) -> unicode:characters_to_binary(io_lib:format(Format, Args)).

library(#{library := #{loaded := {error, Tried}}}) ->
    [{wrong, {"the Rust library could not be loaded: ~0tp", [Tried]},
      "build it (make nif) or set nif_path in the application environment, then restart the node"}];
library(#{library := #{version := Version, application := Application}, running := Running}) ->
    [{attention, {"the library has version ~ts, but the modules have version ~ts", [Version, Application]},
      "restart the node, so that it loads the matching library"}
     || is_list(Application), binary_to_list(Version) =/= Application]
    ++ [{attention, {"the application is not running", []},
         "call hb_process_monitor:start/1; if that raises, the error has the reason"} || not Running].

system(#{system := #{dirty_io := DirtyIo, processes := {Processes, Limit}}}) ->
    [{wrong, {"the node has ~b dirty IO scheduler, and the engine occupies one", [DirtyIo]},
      "start the node with +SDio 10: otherwise all file calls of the node wait for the engine"} || DirtyIo < 2]
    ++ [{attention, {"~b of ~b processes are in use", [Processes, Limit]}, "start the node with a higher +P"}
        || Processes > ?FULL * Limit].

options(#{refused := Refused, changed := Changed}) ->
    [{wrong, {"invalid value of ~s in ~ts: ~ts", [Key, place(Source, Key), Value]},
      "correct it: the default applies until then. docs/options.md has the valid values"}
     || {Key, Source, Value} <- Refused]
    ++ [{attention, {"the changed value of ~s is not in force", [Key]}, "restart the application to apply it"}
        || Key <- Changed].

place(environment, Key) -> ["the environment variable ", hb_cron_configuration:variable(Key)];
place(node_message, _Key) -> "the node message (config.flat, config.json)";
place(application, _Key) -> "the application environment (sys.config)";
place(hb_opts, _Key) -> "hb_opts".

push(#{host := #{push_works := true, fault := {Reason, At}}}) ->
    [{wrong, {"the host cannot push since ~b s: ~ts", [(erlang:monotonic_time(millisecond) - At) div 1000, Reason]},
      "repair the host; pushes are retried without end, and no result is given up for it"}];
push(#{host := #{push_works := true}}) -> [];
push(#{host := #{push := Push}}) ->
    [{wrong, {"cron_push is ~0tp, which the host does not export", [Push]},
      "set cron_push to an exported function: every push fails until then"}].

checkpoint(#{checkpoint := #{path := none}}) ->
    [{attention, {"there is no checkpoint", []},
      "set cron_checkpoint to a path: otherwise cursors are lost with the node, and a result that cannot be pushed blocks its process"}];
checkpoint(#{checkpoint := #{failing := 1, path := cluster}}) ->
    [{wrong, {"acks cannot be saved in the database of the cluster", []},
      "see the node's log and the findings on the cluster; pushing has stopped, and resumes by itself"}];
checkpoint(#{checkpoint := #{failing := 1, path := Path}}) ->
    [{wrong, {"the checkpoint ~ts cannot be written", [Path]},
      "check for a full or read-only disk; pushing continues, but a crash would repeat results acked since"}];
checkpoint(#{checkpoint := #{writing_for_ms := For, path := Path}}) when For >= ?COMMIT_HANGS, Path =/= cluster ->
    [{wrong, {"a commit of the checkpoint ~ts has not returned for ~ts", [Path, hb_cron_table:duration(For)]},
      "check the disk: pushing continues, but stops wait, and a crash would repeat results acked since"}];
checkpoint(#{checkpoint := #{writable := false, path := Path}}) ->
    [{wrong, {"the directory of the checkpoint ~ts is not writable", [Path]}, "give the node's user write permission, or set cron_checkpoint to another path"}];
checkpoint(#{checkpoint := #{dead_letters := Letters} = Checkpoint, options := Options}) ->
    {_, _, Max, _} = lists:keyfind(cron_dead_letters_max, 1, Options),
    Interval = element(3, lists:keyfind(cron_checkpoint_interval, 1, Options)),
    Slow = maps:get(last_commit_us, Checkpoint, 0),
    [{case is_integer(Max) andalso Letters > ?FULL * Max of true -> wrong; false -> attention end,
      {"~b results could not be pushed and are dead letters, ~0tp at most", [Letters, Max]},
      "inspect them with dead_letters/1, then redeliver or discard them: at the limit, pushing waits"}
     || Letters > 0]
    ++ [{attention, {"the checkpoint's file was deleted or replaced while the node ran, ~b times", [Replaced]},
         "find the cause: it was rewritten from memory, but a crash before that would have lost it"}
        || Replaced <- [maps:get(replaced, Checkpoint, 0)], Replaced > 0]
    ++ [{attention, {"the last commit of the checkpoint took ~b ms", [Slow div 1000]},
         case Checkpoint of #{path := cluster} -> "check the database, and the way to it"; #{} -> "put it on a faster disk" end}
        || is_integer(Interval), Slow > 1000 * max(1000, 10 * Interval)];
checkpoint(_) -> [].

%% Processes that should be monitored and are not.
not_started(#{not_started := NotStarted, bad_processes := Bad}) ->
    [{wrong, {"~ts could not be started: ~0tP", [ProcId, Reason, ?DEPTH]},
      "correct the cause: starts are retried with growing pauses, and at once with hb_process_monitor:start/2"}
     || {ProcId, Reason} <- NotStarted]
    ++ [{wrong, {"an entry of cron_processes is invalid: ~0tP, ~0tP", [Entry, ?DEPTH, Reason, ?DEPTH]},
         "correct it and restart the application; all other entries are started"} || {Entry, Reason} <- Bad].

%% Each process that gets nothing: since when, why, and what to do. A failure or two of a process that was
%% delivered before may pass without help.
undelivered(#{undelivered := Rows}) ->
    [{case Failures >= ?IN_TROUBLE orelse Last =:= undefined of true -> wrong; false -> attention end,
      {"~ts is not delivered, ~ts: the last ~ts failed, ~b in a row: ~ts", [ProcId, since(Last), failed(What), Failures, Text]},
      case {What, Class} of
          {push, push_failed} -> ?PUSH_ADVICE;
          {push, push_held} -> "see the findings on the cluster: pushing resumes by itself once acks can be saved";
          _ -> advice_on(Class)
      end}
     || #{process := ProcId, last_result := Last,
          error := #{what := What, class := Class, text := Text, failures := Failures}} <- Rows].

failed(push) -> "push";
failed(fetch) -> "fetch".

since(undefined) -> "no result since the node's start";
since(At) ->
    For = hb_cron_table:duration(max(0, erlang:system_time(millisecond) - At)),
    [calendar:system_time_to_rfc3339(At div 1000, [{offset, "Z"}]), " was the last result, ", For, " ago"].

monitors(#{monitors := #{states := States, stalled := Stalled, failing := Failing}, counters := Counters}) ->
    Paused = maps:get(paused, States, 0),
    Breakers = maps:get(open_breakers, Counters, 0),
    [{wrong, {"~b monitors have been in one push for longer than cron_push_stall", [Stalled]},
      "list them with i(#{state => pushing}); erlang:process_info(Monitor, current_stacktrace) shows where they are"}
     || Stalled > 0]
    ++ [{attention, {"the last fetch or push of ~b monitors failed", [Failing]}, "list them with i(#{state => backing_off})"} || Failing > 0]
    ++ [{attention, {"the engine did not answer for ~b monitors", [Unknown]}, "check whether the process hb_cron_engine is alive and not suspended"}
        || Unknown <- [maps:get(unknown, States, 0)], Unknown > 0]
    ++ [{attention, {"~b CU hosts get no requests, because they do not answer", [Breakers]}, "requests resume by themselves once they answer; check the CUs"} || Breakers > 0]
    ++ [{attention, {"~b monitors are paused", [Paused]}, "resume/1 resumes one"} || Paused > 0].

cu(#{cu := {not_asked, probe_false}}) -> [];
cu(#{cu := {not_asked, {bad_option, Key, _}}}) ->
    [{wrong, {"the CU was not probed: ~s has an invalid value", [Key]}, "correct it"}];
cu(#{cu := {not_asked, Why}}) ->
    [{attention, {"the CU was not probed: ~0tP", [Why, 8]}, "see the findings on the library and the options"}];
cu(#{cu := Answers, is_known := IsKnown}) ->
    [answer(Answer, IsKnown) || Answer <- Answers].

answer(#{node := Node, us := Us, answer := {ok, earliest}}, _) ->
    {ok, {"~ts answered in ~ts: the process has no result", [Node, ms(Us)]}, ""};
answer(#{node := Node, us := Us, answer := {ok, _Cursor}}, _) ->
    {ok, {"~ts answered in ~ts", [Node, ms(Us)]}, ""};
%% A CU may refuse an id that no process has.
answer(#{node := Node, us := Us, answer := {error, Class, _}}, false)
        when Class =:= status; Class =:= bad_json; Class =:= bad_page; Class =:= redirect ->
    {ok, {"~ts answered in ~ts, but does not know the random process of this probe", [Node, ms(Us)]},
     "probe one of your processes: doctor(#{process => ProcID})"};
answer(#{node := Node, us := Us, answer := {error, Class, Text}}, _) ->
    {wrong, {"~ts failed after ~ts, ~s: ~ts", [Node, ms(Us), Class, Text]}, advice_on(Class)}.

advice_on(resolve) -> "check the host name in cron_node, and the node's DNS";
advice_on(connect) -> "check that a CU listens there, and check cron_node, the host's router and proxy variables";
advice_on(connect_timeout) -> "check for a firewall in between; cron_connect_timeout is the limit";
advice_on(Class) when Class =:= timeout; Class =:= first_byte_timeout ->
    "the CU is busy or hangs: check it, or raise cron_first_byte_timeout and cron_timeout";
advice_on(tls) -> "use a certificate for this name by a trusted CA, or add its CA in cron_cacertfile; check the node's clock";
advice_on(status) -> "check the CU's log: it refuses this process";
advice_on(Class) when Class =:= body_too_large; Class =:= no_room -> "raise cron_max_page_bytes";
advice_on(redirect) -> "set cron_node to its target: only redirects within the origin are followed";
advice_on(result_too_large) ->
    "the result does not fit in the node's limit on heaps: start the node with a higher +hmax, or without one";
advice_on(future_cursor) ->
    "compare the clocks of the CU and of this node; if the results are right, raise cron_max_ahead";
advice_on(_) -> "the server is not a CU, or is broken: check cron_node".

ms(undefined) -> "no time";
ms(Us) -> io_lib:format("~.1f ms", [Us / 1000]).

%% @doc The whole report as text.
-spec text(hb_cron_doctor:findings()) -> unicode:chardata().
text(#{verdict := Verdict, advice := Advice, library := Library, system := System, options := Options, host := Host,
       environment := Environment, checkpoint := Checkpoint, counters := Counters, monitors := Monitors,
       process := ProcId, asks := Asks, running := Running, undelivered := Undelivered} = Findings) ->
    #{otp := Otp, dirty_io := DirtyIo, processes := {Processes, Limit}} = System,
    #{file := File, version := Version, application := Application} = Library,
    [heading("Options"), [option(Option) || Option <- lists:sort(Options)],
     heading("Node"),
     item("library", "~ts, ~ts", [or_dash(Version), or_dash(File)]),
     item("application", "~ts, ~ts", [or_dash(Application), case Running of true -> "running"; false -> "not running" end]),
     item("system", "OTP ~ts, ~b dirty IO schedulers, ~b of ~b processes", [Otp, DirtyIo, Processes, Limit]),
     [item(Name, "~ts (environment)", [Value]) || {Name, Value} <- Environment],
     heading("Host"), [item(atom_to_list(Key), "~0tp", [Value]) || {Key, Value} <- lists:sort(maps:to_list(Host))],
     heading("Checkpoint"), [item(atom_to_list(Key), "~ts", [value(Value)]) || {Key, Value} <- lists:sort(maps:to_list(Checkpoint))],
     section("Cluster", hb_cron_cluster_report:text(maps:get(cluster, Findings))),
     heading("Monitors"), [item(atom_to_list(State), "~b", [Count]) || {State, Count} <- lists:sort(maps:to_list(maps:get(states, Monitors)))],
     [item(atom_to_list(Key), "~b", [Value]) || {Key, Value} <- lists:sort(maps:to_list(Counters))],
     [[heading(["Polling of ", ProcId]), item("asking", "~ts", [Asks])] || Asks =/= undefined],
     heading(["Verdict, probed with ", ProcId]),
     [["  ", mark(Level), What, $\n, [["        ", Do, $\n] || Do =/= <<>>]] || {Level, What, Do} <- Advice],
     "  ", verdict(Verdict, Undelivered, Monitors), $\n].

heading(Name) -> [Name, $\n].

section(_Name, []) -> [];
section(Name, Items) -> [heading(Name), [item(Item, "~ts", [Text]) || {Item, Text} <- Items]].

item(Name, Format, Args) -> ["  ", string:pad(Name, 26), io_lib:format(Format, Args), $\n].

option({Key, Scope, Value, From}) ->
    item(atom_to_list(Key), "~ts ~ts (~s)", [string:pad(value(Value), 32), source(From), Scope]).

source(call) -> "argument of start";
source(environment) -> "environment";
source(node_message) -> "node message";
source(application) -> "application environment";
source(hb_opts) -> "hb_opts";
source(default) -> "default";
source(refused) -> "default, refused".

value(Text) when is_binary(Text) -> Text;
value(Term) -> io_lib:format("~0tP", [Term, 20]).

or_dash(undefined) -> "-";
or_dash(Text) -> Text.

mark(ok) -> "ok    ";
mark(attention) -> "check ";
mark(wrong) -> "WRONG ".

verdict(ok, _, _) -> "No problem was found.";
verdict(Level, [_ | _] = Rows, #{failing := Failing}) ->
    [verdict(Level), io_lib:format(" Processes without delivery at present: ~b.", [max(Failing, length(Rows))])];
verdict(Level, _, _) -> verdict(Level).

verdict(attention) -> "Some findings need attention.";
verdict(wrong) -> "Something is wrong.".
