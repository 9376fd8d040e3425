%%% @doc Judges and prints what a host node sees of its cluster: findings for the doctor, its section in the doctor's
%%% text, and the line above the table of monitors. It examines nothing itself.
-module(hb_cron_cluster_report).

-export([advice/1, text/1, line/1]).

-export_type([findings/0]).

-type findings() :: #{
    status := hb_cron_cluster:status(),
    not_started := [hb_cron_unstarted:entry()],
    unused_checkpoint := boolean(),
    unencrypted := boolean()
}.
%% `not_started': processes that this host node owns and could not start. `unused_checkpoint': `cron_checkpoint' is
%% configured. `unencrypted': the connection to a database on another machine has no TLS.

%% The age in ms of an unsaved ack from which there is a finding. Pushing stops at half of it.
-define(UNSAVED, 1000).
%% By how many shards two host nodes may differ without a finding.
-define(UNEVEN, 2).
%% The depth to which a reason is shown.
-define(DEPTH, 12).

%% @doc The findings in words, in the form of {@link hb_cron_doctor_report}.
-spec advice(findings() | undefined) -> [{attention | wrong, {Format :: string(), Args :: [term()]}, Advice :: iodata()}].
advice(undefined) -> [];
advice(#{status := Status} = Findings) ->
    lists:append([connection(Status), saving(Status), past(Status), shards(Status), leaving(Status),
                  configuration(Findings), not_started(Findings)]).

connection(#{connected := false, error := Error} = Status) ->
    [{wrong, {"the database of the cluster does not answer: ~ts", [or_unknown(Error)]},
      ["correct the cause: ", case Status of #{may_push := true} -> "pushing stops soon"; #{} -> "pushing has stopped" end,
       ", and resumes by itself once the database answers"]}];
connection(#{incarnation := undefined}) ->
    [{attention, {"this host node has not joined the cluster yet", []},
      "if that takes longer than a few seconds, see the node's log"}];
connection(#{may_push := false}) ->
    [{wrong, {"this host node must not push at present", []},
      "if that lasts, compare unsaved_ms, unconfirmed_ms and latency_us of hb_process_monitor:cluster(): the database is slow or "
      "refuses writes"}];
connection(_) -> [].

or_unknown(undefined) -> <<"no statement has had an answer yet">>;
or_unknown(Error) -> Error.

saving(#{unsaved_ms := Unsaved}) ->
    [{wrong, {"an ack has not been saved for ~ts", [hb_cron_table:duration(Unsaved)]},
      "check the database for a full disk, locks or a slow replica: results acked since would be pushed again after a crash"}
     || Unsaved >= ?UNSAVED].

past(#{evictions := Evictions, fenced := Fenced, restarts := Restarts}) ->
    [{attention, {"the other host nodes took this one for dead, ~b times since its start", [Evictions]},
      "look for a suspended machine, an overload, or a slow way to the database at those times in the log; a longer "
      "cron_cluster_ttl, the same on all host nodes, tolerates longer gaps"}
     || Evictions > 0]
    ++ [{attention, {"the database refused ~b acks since this host node's start", [Fenced]},
         "their processes had a new owner, or were started anew or forgotten: results that were acked so may have been pushed twice"}
        || Fenced > 0]
    ++ [{attention, {"the thread of the cluster was restarted ~b times", [Restarts]}, "report it with the log"}
        || Restarts > 0].

%% What the last view shows. It is old while the database does not answer.
shards(#{connected := true, nodes := [_ | _] = Nodes, all_shards := All, moving := Moving}) ->
    Shares = [Shards || #{shards := Shards, leaving := false} <- Nodes],
    Ownerless = All - lists:sum([Shards || #{shards := Shards} <- Nodes]),
    [{attention, {"~b of ~b shards have no owner", [Ownerless, All]},
      "a host node claims them within seconds; if they stay, see the logs of the host nodes"}
     || Ownerless > 0]
    ++ [{attention, {"the host nodes have from ~b to ~b shards", [lists:min(Shares), lists:max(Shares)]},
         "hand-overs even that out within a minute; if it stays, see the log of the host node with the most"}
        || Ownerless =< 0, Moving =:= 0, Shares =/= [], lists:max(Shares) - lists:min(Shares) > ?UNEVEN];
shards(_) -> [].

leaving(#{nodes := Nodes}) ->
    [{attention, {"the host node ~ts is leaving and still has ~b shards", [Name, Shards]},
      "that ends once its pushes under way have ended, or when it stops"}
     || #{name := Name, shards := Shards, leaving := true} <- Nodes].

configuration(#{unused_checkpoint := Unused, unencrypted := Unencrypted}) ->
    [{attention, {"cron_checkpoint is set, and not used in a cluster", []},
      "remove it: cursors and dead letters are in the database"}
     || Unused]
    ++ [{attention, {"the connection to the database is not encrypted", []},
         "use sslmode=verify-full in cron_cluster, unless the network is private"}
        || Unencrypted].

not_started(#{not_started := NotStarted}) ->
    [{wrong, {"~ts could not be started on this host node, ~ts ago: ~0tP", [ProcId, hb_cron_table:duration(Ago), Reason, ?DEPTH]},
      "correct its options, or this host node's configuration, then stop and start the process"}
     || {ProcId, Reason, Ago} <- NotStarted].

%% @doc The cluster's section of the doctor's text.
-spec text(findings() | undefined) -> [{Name :: string(), Text :: iodata()}].
text(undefined) -> [];
text(#{status := #{connected := Connected, may_push := MayPush, shards := Shards, all_shards := All, moving := Moving,
                   unsaved_ms := Unsaved, unconfirmed_ms := Unconfirmed, ttl_ms := Ttl, nodes := Nodes,
                   latency_us := Latency, hand_overs := HandOvers, fenced := Fenced} = Status}) ->
    [{"connected", atom_to_list(Connected)},
     {"may push", atom_to_list(MayPush)},
     {"own shards", io_lib:format("~b of ~b, ~b being handed over, ~b handed over so far", [Shards, All, Moving, HandOvers])},
     {"oldest unsaved ack", hb_cron_table:duration(Unsaved)},
     {"confirmed", case Unconfirmed of undefined -> "never"; _ -> [hb_cron_table:duration(Unconfirmed), " ago, TTL ", hb_cron_table:duration(Ttl)] end},
     {"refused acks", integer_to_list(Fenced)},
     {"statements", io_lib:format("~b, ~b without an answer", [maps:get(statements, Status), maps:get(failures, Status)])}]
    ++ [{"statements, " ++ atom_to_list(Lane), io_lib:format("half within ~ts ms, 99 % within ~ts ms", [ms(Median), ms(P99)])}
        || {Lane, {Median, P99}} <- lists:sort(maps:to_list(Latency))]
    ++ [{"host node", host_node(Node)} || Node <- Nodes].

ms(Us) -> io_lib:format("~p", [Us / 1000]).

host_node(#{name := Name, me := IsMe, leaving := IsLeaving, beat_age := Age, shards := Shards}) ->
    [Name, case IsMe of true -> " (this one)"; false -> "" end, io_lib:format(", ~b shards, ~ts", [Shards, age(Age)]),
     case IsLeaving of true -> ", leaving"; false -> "" end].

age(undefined) -> "not seen yet";
age(Age) -> ["last beat ", hb_cron_table:duration(Age), " ago"].

%% @doc The cluster in a line.
-spec line(hb_cron_cluster:status() | undefined) -> iodata().
line(undefined) -> [];
line(#{nodes := Nodes, shards := Shards, all_shards := All, moving := Moving} = Status) ->
    [io_lib:format("cluster: ~b host nodes, ~b of ~b shards here", [length(Nodes), Shards, All]),
     [io_lib:format(", ~b being handed over", [Moving]) || Moving > 0], ", ", pushes(Status), $\n].

pushes(#{connected := false}) -> "the database does not answer: see doctor()";
pushes(#{may_push := false}) -> "may not push: see doctor()";
pushes(_) -> "may push".
