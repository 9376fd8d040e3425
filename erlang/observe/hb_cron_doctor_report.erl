%%% @doc Judges what {@link hb_cron_doctor} found: a verdict, an advice for everything that is wrong, and the whole
%%% as text. It examines nothing itself.
-module(hb_cron_doctor_report).

-export([advice/1, text/1]).

%% The number of failures in a row from which a process is in trouble.
-define(IN_TROUBLE, 3).
%% A commit that takes longer, in ms, hangs.
-define(HANGS, 5000).
-define(PUSH_ADVICE, "see to what cron_push calls; it is tried again by itself, and at once with Monitor ! tick").
%% The depth to which a term is shown.
-define(DEPTH, 12).
%% The share of dead letters or processes above which there is a finding.
-define(FULL, 0.8).

%% @doc The findings in words, the worst first.
-spec advice(map()) -> [{ok | attention | wrong, What :: binary(), Advice :: binary()}].
advice(Findings) ->
    All = lists:append([library(Findings), system(Findings), options(Findings), push(Findings), checkpoint(Findings),
                        not_started(Findings), undelivered(Findings), monitors(Findings), cu(Findings)]),
    [{Level, text_of(What, Args), iolist_to_binary(Advice)}
     || Wanted <- [wrong, attention, ok], {Level, {What, Args}, Advice} <- All, Level =:= Wanted].

text_of(Format, Args) -> unicode:characters_to_binary(io_lib:format(Format, Args)).

library(#{library := #{loaded := {error, Tried}}}) ->
    [{wrong, {"the Rust library is not loaded, tried ~0tp", [Tried]},
      "build it (make nif) or set the application environment's nif_path, then restart the node"}];
library(#{library := #{version := Version, application := Application}, running := Running}) ->
    [{attention, {"the library is of version ~ts, the modules are of ~ts", [Version, Application]},
      "restart the node, so that it loads the library that belongs to them"}
     || is_list(Application), binary_to_list(Version) =/= Application]
    ++ [{attention, {"the application does not run", []},
         "hb_process_monitor:start/1 starts it; if that raises, it says why"} || not Running].

system(#{system := #{dirty_io := DirtyIo, processes := {Processes, Limit}}}) ->
    [{wrong, {"the node has ~b dirty IO scheduler, and the engine holds one", [DirtyIo]},
      "start it with +SDio 10: file calls of the whole node wait for it"} || DirtyIo < 2]
    ++ [{attention, {"~b of ~b processes are taken", [Processes, Limit]}, "start the node with a higher +P"}
        || Processes > ?FULL * Limit].

options(#{options := Options, changed := Changed}) ->
    [{wrong, {"the host's ~s is no value for it", [Key]}, "correct it: nothing starts that needs it. The README's table says what is"}
     || {Key, _, _, refused} <- Options]
    ++ [{attention, {"the host's ~s is not the one in force", [Key]}, "restart the application for it to count"}
        || Key <- Changed].

push(#{host := #{push_works := true}}) -> [];
push(#{host := #{push := Push}}) ->
    [{wrong, {"results are to be pushed with ~0tp, which the host does not export", [Push]},
      "set cron_push to what there is: every push fails until then"}].

checkpoint(#{checkpoint := #{path := none}}) ->
    [{attention, {"there is no checkpoint", []},
      "set cron_checkpoint to a path: cursors die with the node, and a result that cannot be pushed blocks its process"}];
checkpoint(#{checkpoint := #{failing := 1, path := Path}}) ->
    [{wrong, {"the checkpoint ~ts cannot be written", [Path]},
      "look for a full or read-only disk; results go on, and what is acked meanwhile would be pushed again after a crash"}];
checkpoint(#{checkpoint := #{writing_for_ms := For, path := Path}}) when For >= ?HANGS ->
    [{wrong, {"a commit of the checkpoint ~ts has not returned for ~ts", [Path, hb_cron_table:duration(For)]},
      "look at the disk: results go on, what is acked meanwhile would be pushed again after a crash, and stops wait"}];
checkpoint(#{checkpoint := #{writable := false, path := Path}}) ->
    [{wrong, {"nothing can be written beside the checkpoint ~ts", [Path]}, "let the node's user write there, or set cron_checkpoint to another path"}];
checkpoint(#{checkpoint := #{dead_letters := Letters} = Checkpoint, options := Options}) ->
    {_, _, Max, _} = lists:keyfind(cron_dead_letters_max, 1, Options),
    Interval = element(3, lists:keyfind(cron_checkpoint_interval, 1, Options)),
    Slow = maps:get(last_commit_us, Checkpoint, 0),
    [{case is_integer(Max) andalso Letters > ?FULL * Max of true -> wrong; false -> attention end,
      {"~b results could not be pushed and are dead letters, of at most ~0tp", [Letters, Max]},
      "look at them with dead_letters/1, and redeliver or discard them: when there are as many as there may be, pushing waits"}
     || Letters > 0]
    ++ [{attention, {"the checkpoint's file was deleted or replaced while the node ran, ~b times", [Replaced]},
         "find out what does that to it: it was written anew from memory, but a crash before that would have lost it"}
        || Replaced <- [maps:get(replaced, Checkpoint, 0)], Replaced > 0]
    ++ [{attention, {"the last commit of the checkpoint took ~b ms", [Slow div 1000]}, "put it on a faster disk"}
        || is_integer(Interval), Slow > 1000 * max(1000, 10 * Interval)];
checkpoint(_) -> [].

%% Processes that should be monitored and are not.
not_started(#{not_started := NotStarted, bad_processes := Bad}) ->
    [{wrong, {"~ts could not be started: ~0tP", [ProcId, Reason, ?DEPTH]},
      "see to what the reason names: it is tried again by itself, later each time, and at once with hb_process_monitor:start/2"}
     || {ProcId, Reason} <- NotStarted]
    ++ [{wrong, {"an entry of cron_processes is none: ~0tP, ~0tP", [Entry, ?DEPTH, Reason, ?DEPTH]},
         "correct it, and restart the application: the others are started"} || {Entry, Reason} <- Bad].

%% Each process that gets nothing: since when, why, and what to do. A failure or two of a process that was
%% delivered before may pass without help.
undelivered(#{undelivered := Rows}) ->
    [{case Failures >= ?IN_TROUBLE orelse Last =:= undefined of true -> wrong; false -> attention end,
      {"~ts is not delivered, ~ts: the last ~ts failed, ~b in a row: ~ts", [ProcId, since(Last), failed(What), Failures, Text]},
      case {What, Class} of {push, push_failed} -> ?PUSH_ADVICE; _ -> advice_on(Class) end}
     || #{process := ProcId, last_result := Last,
          error := #{what := What, class := Class, text := Text, failures := Failures}} <- Rows].

failed(push) -> "push";
failed(fetch) -> "fetch".

since(undefined) -> "nothing since the node's start";
since(At) ->
    For = hb_cron_table:duration(max(0, erlang:system_time(millisecond) - At)),
    [calendar:system_time_to_rfc3339(At div 1000, [{offset, "Z"}]), " was the last result, ", For, " ago"].

monitors(#{monitors := #{states := States, stalled := Stalled, failing := Failing}, counters := Counters}) ->
    Paused = maps:get(paused, States, 0),
    Breakers = maps:get(open_breakers, Counters, 0),
    [{wrong, {"~b monitors have been at one push for longer than cron_push_stall", [Stalled]},
      "see which with i(#{state => pushing}) and what they are at with erlang:process_info(Monitor, current_stacktrace)"}
     || Stalled > 0]
    ++ [{attention, {"the last fetch or push of ~b monitors failed", [Failing]}, "i(#{state => backing_off}) says how"} || Failing > 0]
    ++ [{attention, {"the engine did not answer for ~b monitors", [Unknown]}, "look whether hb_cron_engine runs or is suspended"}
        || Unknown <- [maps:get(unknown, States, 0)], Unknown > 0]
    ++ [{attention, {"~b hosts of CUs are left alone, since they do not answer", [Breakers]}, "they are asked again by themselves; look at them"} || Breakers > 0]
    ++ [{attention, {"~b monitors are paused", [Paused]}, "resume/1 has them go on"} || Paused > 0].

cu(#{cu := {not_asked, probe_false}}) -> [];
cu(#{cu := {not_asked, {bad_option, Key, _}}}) ->
    [{wrong, {"the CU was not asked: ~s is no good value", [Key]}, "correct it"}];
cu(#{cu := {not_asked, Why}}) ->
    [{attention, {"the CU was not asked: ~0tP", [Why, 8]}, "see what is said of the library and the options"}];
cu(#{cu := Answers, is_known := IsKnown}) ->
    [answer(Answer, IsKnown) || Answer <- Answers].

answer(#{node := Node, us := Us, answer := {ok, earliest}}, _) ->
    {ok, {"~ts answered in ~ts: the process has no result", [Node, ms(Us)]}, ""};
answer(#{node := Node, us := Us, answer := {ok, _Cursor}}, _) ->
    {ok, {"~ts answered in ~ts", [Node, ms(Us)]}, ""};
%% A CU may refuse an id that no process has.
answer(#{node := Node, us := Us, answer := {error, Class, _}}, false)
        when Class =:= status; Class =:= bad_json; Class =:= bad_page; Class =:= redirect ->
    {ok, {"~ts answered in ~ts, but it knows nothing of the made-up process that it was asked for", [Node, ms(Us)]},
     "name a process of yours to be sure: doctor(#{process => ProcID})"};
answer(#{node := Node, us := Us, answer := {error, Class, Text}}, _) ->
    {wrong, {"~ts gave no result after ~ts, ~s: ~ts", [Node, ms(Us), Class, Text]}, advice_on(Class)}.

advice_on(resolve) -> "check the host's name in cron_node, and the node's DNS";
advice_on(connect) -> "see that a CU listens there, and that cron_node, the host's router and any proxy of the environment are right";
advice_on(connect_timeout) -> "look for a firewall in between; cron_connect_timeout bounds it";
advice_on(Class) when Class =:= timeout; Class =:= first_byte_timeout ->
    "the CU is busy or hangs: look there, or give it longer with cron_first_byte_timeout and cron_timeout";
advice_on(tls) -> "have its certificate signed by a known CA for this name, or name its CA in cron_cacertfile; check the node's clock";
advice_on(status) -> "see the CU's own log: it refuses this process";
advice_on(Class) when Class =:= body_too_large; Class =:= no_room -> "raise cron_max_page_bytes";
advice_on(redirect) -> "set cron_node to where it leads: only its own origin is followed";
advice_on(result_too_large) ->
    "the result does not fit in the node's limit on heaps: start the node with a higher +hmax, or without one";
advice_on(future_cursor) ->
    "compare the clocks of the CU and of this node; if such results are right, raise cron_max_ahead";
advice_on(_) -> "what answers is no CU, or a broken one: check cron_node".

ms(undefined) -> "no time";
ms(Us) -> io_lib:format("~.1f ms", [Us / 1000]).

%% @doc The whole report as text.
-spec text(hb_cron_doctor:findings()) -> unicode:chardata().
text(#{verdict := Verdict, advice := Advice, library := Library, system := System, options := Options, host := Host,
       environment := Environment, checkpoint := Checkpoint, counters := Counters, monitors := Monitors,
       process := ProcId, running := Running, undelivered := Undelivered}) ->
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
     heading("Monitors"), [item(atom_to_list(State), "~b", [Count]) || {State, Count} <- lists:sort(maps:to_list(maps:get(states, Monitors)))],
     [item(atom_to_list(Key), "~b", [Value]) || {Key, Value} <- lists:sort(maps:to_list(Counters))],
     heading(["Verdict, asking for ", ProcId]),
     [["  ", mark(Level), What, $\n, [["        ", Do, $\n] || Do =/= <<>>]] || {Level, What, Do} <- Advice],
     "  ", verdict(Verdict, Undelivered, Monitors), $\n].

heading(Name) -> [Name, $\n].

item(Name, Format, Args) -> ["  ", string:pad(Name, 26), io_lib:format(Format, Args), $\n].

option({Key, Scope, Value, From}) ->
    item(atom_to_list(Key), "~ts ~ts (~s)", [string:pad(value(Value), 32), source(From), Scope]).

source(start) -> "given to start";
source(host) -> "the host's hb_opts";
source(default) -> "default";
source(refused) -> "the host's hb_opts, refused".

value(Text) when is_binary(Text) -> Text;
value(Term) -> io_lib:format("~0tP", [Term, 20]).

or_dash(undefined) -> "-";
or_dash(Text) -> Text.

mark(ok) -> "ok    ";
mark(attention) -> "look  ";
mark(wrong) -> "WRONG ".

verdict(ok, _, _) -> "All is well.";
verdict(Level, [_ | _] = Rows, #{failing := Failing}) ->
    [verdict(Level), io_lib:format(" Not delivered at the moment: ~b processes.", [max(Failing, length(Rows))])];
verdict(Level, _, _) -> verdict(Level).

verdict(attention) -> "There is something to look at.";
verdict(wrong) -> "Something is wrong.".
