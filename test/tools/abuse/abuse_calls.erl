%%% The functions of the NIF, with their arguments and possible return values. Makes random calls, and says whether
%%% each is good.
-module(abuse_calls).
-export([all/0, table/0, pick/3, given/1]).

-type verdict() :: badarg | {badarg_or | answer, fun((Answer :: term()) -> boolean())}.

%% The chance in 100 that an argument is sane, independent of the others; otherwise it is any term.
-define(SANE, 75).

-define(ANY, [alive, stopped, closed]).
-define(PROCESS, binary:copy(<<"A">>, 43)).

%% Each function with its arguments and its weight, which is low if it waits for a disk.
all() ->
    [{new, [engine_options], 5}, {run, [{engine, ?ANY}, slice], 20}, {interrupt, [{engine, ?ANY}], 100},
     {stop, [{engine, [stopped, closed]}], 100}, {counters, [{engine, ?ANY}], 100},
     {register, [{engine, ?ANY}, monitor_options], 100}, {poll, [handle], 200}, {next_part, [handle, u64, bool], 200}, {large_part, [handle, u64, bool], 100}, {ack, [handle, u64, cursor, bool], 200},
     {give_up, [handle, u64, binary, bool, u64, binary, binary], 200},
     {give_up_large, [handle, u64, binary, bool, u64, binary, binary], 50}, {mail, [{engine, ?ANY}], 50}, {next_epoch, [], 20},
     {has_letter, [{engine, ?ANY}, process, u64], 20}, {stopped, [{engine, ?ANY}, process, u64], 20},
     {keep_options, [{engine, ?ANY}, process, binary], 20},
     {keep_live_options, [{engine, ?ANY}, process, u64, binary], 20}, {drop_memory, [], 5}, {flush, [{engine, ?ANY}], 20}, {remove, [handle, bool], 100}, {move_to, [handle, nodes], 100}, {set_crons, [handle, tags], 50},
     {letters, [{engine, ?ANY}, process, u64, most], 20}, {discard, [{engine, [alive, stopped]}, process, u64], 20},
     {forget, [{engine, [alive, stopped]}, process], 20}, {watched, [{engine, ?ANY}], 20},
     {checkpoint_status, [{engine, ?ANY}], 100}, {close_checkpoints, [none], 10}, {check_node, [binary], 200}, {cursor_time, [binary], 50},
     {snapshots, [{engine, ?ANY}, epochs], 50}, {census, [{engine, ?ANY}], 50}, {probe, [{engine, ?ANY}, process, nodes, limits], 5},
     {library_version, [], 20}, {log_to_self, [level], 50}, {metrics, [], 20}, {events_to_self, [which], 50},
     {may_push, [handle], 50}, {lease_allows, [{engine, ?ANY}], 20}, {cluster_attach, [{engine, ?ANY}], 10},
     {cluster_stopped, [{engine, ?ANY}, u64, u64], 10}, {cluster_leave, [{engine, ?ANY}], 10},
     {cluster_request, [{engine, ?ANY}, binary], 10}, {cluster_shard, [process], 10}, {cluster_status, [{engine, ?ANY}], 10},
     {cluster_export, [{engine, ?ANY}, binary], 10}, {cluster_import, [{engine, ?ANY}, binary, bool], 10}].

%% Functions for pick/3.
table() ->
    list_to_tuple(lists:append([lists:duplicate(Weight, {Function, Kinds}) || {Function, Kinds, Weight} <- all()])).

%% Special arguments besides terms: the engine on which all functions may be called, and handles.
given(World) ->
    [hd(abuse_world:engines([stopped], World)) | abuse_world:handles(World)].

%% A call and its expected outcome.
-spec pick(tuple(), tuple(), map()) -> {atom(), [term()], verdict()}.
pick(Table, Pool, World) ->
    {Function, Kinds} = element(rand:uniform(tuple_size(Table)), Table),
    Args = [argument(Kind, Pool, World) || Kind <- Kinds],
    Fits = lists:all(fun({Kind, Arg}) -> is(Kind, Arg, World) end, lists:zip(Kinds, Args)),
    Answers = fun(Answer) -> answers(Function, Answer) end,
    Verdict = case {Fits andalso takes(Function, Args, World), Function, Args} of
        {true, _, _} -> {answer, Answers};
        {false, register, [Engine, Options]} when is_map(Options) ->
            %% A stopped engine does not check all of its arguments.
            case is({engine, [stopped, closed]}, Engine, World) of
                true -> {badarg_or, Answers};
                false -> badarg
            end;
        {false, _, _} -> badarg
    end,
    {Function, Args, Verdict}.

%% Rules for more than one argument.
takes(ack, [_, _, Cursor, _], _World) ->
    byte_size(Cursor) > 0 andalso byte_size(Cursor) =< 4096;
takes(probe, [_, _, Nodes, _], _World) ->
    lists:all(fun(Node) -> hb_process_monitor_nif:check_node(Node) =:= ok end, Nodes);
takes(cluster_shard, [_], _World) ->
    true;
%% No engine of this world is in a cluster.
takes(Function, _Args, _World) ->
    not lists:prefix("cluster_", atom_to_list(Function)).

answers(new, {ok, Engine}) -> is_reference(Engine);
answers(run, Answer) -> lists:member(Answer, [ok, stopped, busy]);
answers(register, {ok, Handle, Epoch, {_, _}}) -> is_reference(Handle) andalso is_integer(Epoch);
answers(register, {error, stopped}) -> true;
answers(register, {error, {bad_node, Node}}) -> is_binary(Node);
answers(GiveUp, Answer) when GiveUp =:= give_up; GiveUp =:= give_up_large -> lists:member(Answer, [ok, full]);
answers(Function, Answer) when Function =:= has_letter; Function =:= keep_live_options; Function =:= lease_allows -> is_boolean(Answer);
answers(may_push, Answer) -> lists:member(Answer, [ok, held, lost]);
answers(remove, Answer) -> lists:member(Answer, [durable, wait]);
%% The answers come later; the owner drops them.
answers(letters, Answer) -> is_integer(Answer);
answers(flush, Answer) -> is_integer(Answer);
answers(next_epoch, Answer) -> is_integer(Answer);
answers(discard, Answer) -> is_integer(Answer) orelse Answer =:= not_found;
answers(forget, Answer) -> is_integer(Answer) orelse Answer =:= monitored;
answers(watched, Answer) -> is_list(Answer);
answers(move_to, {error, {bad_node, Node}}) -> is_binary(Node);
answers(check_node, {error, Why}) -> is_binary(Why);
answers(cluster_shard, Answer) -> is_integer(Answer);
answers(cursor_time, Answer) -> Answer =:= undefined orelse is_integer(Answer);
answers(counters, Answer) -> is_map(Answer);
answers(metrics, Answer) -> is_map(Answer);
answers(next_part, large) -> true;
answers(Function, Answer) when Function =:= next_part; Function =:= large_part ->
    lists:member(Answer, [none, lost]) orelse tuple_size(Answer) =:= 3 orelse element(1, Answer) =:= too_large;
%% Both answers come later, and are dropped.
answers(snapshots, Answer) -> is_integer(Answer);
answers(census, Answer) -> is_integer(Answer);
answers(poll, stopped) -> true;
answers(library_version, Answer) -> is_binary(Answer);
answers(checkpoint_status, Answer) -> is_map(Answer);
answers(Function, ok) -> lists:member(Function, [interrupt, mail, drop_memory, stop, poll, ack, move_to, set_crons, stopped, keep_options, check_node, log_to_self, probe, events_to_self]);
answers(_Function, _Answer) -> false.

%% A good slice is short, because no call may take long.
argument(slice, Pool, _World) ->
    case abuse_terms:pick(Pool) of
        Number when is_integer(Number), Number > 1 -> rand:uniform(2) - 1;
        Any -> Any
    end;
%% A successful call would close the checkpoint of the other calls.
argument(none, Pool, _World) ->
    case abuse_terms:pick(Pool) of
        Number when is_integer(Number) -> -1;
        Any -> Any
    end;
argument(Kind, Pool, World) ->
    case rand:uniform(100) =< ?SANE of
        true -> sane(Kind, Pool, World);
        false -> abuse_terms:pick(Pool)
    end.

%% Good arguments; options may be slightly wrong.
sane({engine, Kinds}, _Pool, World) -> one_of(abuse_world:engines(Kinds, World));
sane(handle, _Pool, World) -> one_of(abuse_world:handles(World));
sane(engine_options, Pool, _World) -> 
    Files = #{checkpoint => false, cacertfile => false, cluster => false},
    changed(maps:without(maps:keys(Files), abuse_world:engine_options()), Pool, Files);
sane(monitor_options, Pool, _World) -> changed(abuse_world:monitor_options(), Pool, #{});
sane(tags, Pool, _World) -> [one_of([<<"5-minutes">>, <<"10-blocks">>, abuse_terms:pick(Pool)])];
sane(nodes, Pool, _World) -> [one_of([<<"http://127.0.0.1:1">>, <<"http://127.0.0.1:2/">>, abuse_terms:pick(Pool)])];
sane(epochs, _Pool, _World) -> [rand:uniform(1 bsl 64) - 1 || _ <- lists:seq(1, rand:uniform(3))];
sane(most, _Pool, _World) -> {rand:uniform(1 bsl 64) - 1, rand:uniform(1 bsl 64) - 1};
sane(limits, _Pool, _World) -> {1000, 1000, 1000, 1024};
sane(u64, _Pool, _World) -> rand:uniform(1 bsl rand:uniform(64)) - 1;
sane(bool, _Pool, _World) -> rand:uniform(2) =:= 1;
sane(level, _Pool, _World) -> one_of([none, error, warning, info, debug, trace]);
sane(which, _Pool, _World) -> one_of([next, none]);
sane(process, _Pool, _World) -> ?PROCESS;
sane(cursor, _Pool, _World) -> rand:bytes(rand:uniform(100));
sane(binary, _Pool, _World) -> rand:bytes(rand:uniform(100)).

%% In half of the cases, changes one option.
changed(Options, Pool, Fixed) ->
    Changed = case rand:uniform(2) of
        1 -> Options;
        2 -> Options#{one_of(maps:keys(Options)) := abuse_terms:pick(Pool)}
    end,
    maps:merge(Changed, Fixed).

is({engine, Kinds}, Term, World) -> lists:member(Term, abuse_world:engines(Kinds, World));
is(handle, Term, World) -> lists:member(Term, abuse_world:handles(World));
is(slice, Term, _World) -> is_within(Term, 32);
is(none, _Term, _World) -> false;
is(epochs, Term, _World) -> is_list(Term) andalso length_of(Term) >= 0 andalso length_of(Term) =< 1000 andalso lists:all(fun(Epoch) -> is_within(Epoch, 64) end, Term);
is(most, {Letters, Bytes}, _World) -> is_within(Letters, 64) andalso Letters > 0 andalso is_within(Bytes, 64);
is(limits, {A, B, C, D}, _World) -> lists:all(fun(Limit) -> is_within(Limit, 32) end, [A, B, C, D]);
is(u64, Term, _World) -> is_within(Term, 64);
is(bool, Term, _World) -> is_boolean(Term);
is(level, Term, _World) -> lists:member(Term, [none, error, warning, info, debug, trace]);
is(which, Term, _World) -> lists:member(Term, [next, none]);
is(process, Term, _World) -> is_process(Term);
is(nodes, Term, _World) -> is_nodes(Term);
is(Kind, Term, _World) when Kind =:= cursor; Kind =:= binary -> is_binary(Term);
is(engine_options, #{max_inflight := Inflight, max_buffered := Buffered, checkpoint := false, cacertfile := false,
                     checkpoint_interval := Interval, dead_letters_max := Letters,
                     dead_letters_max_bytes := LetterBytes, expire_after := Expire}, _World) ->
    is_within(Inflight, 32) andalso Inflight > 0 andalso is_within(Buffered, 64) andalso is_within(Interval, 32)
        andalso is_within(Letters, 64) andalso is_within(LetterBytes, 64) andalso is_within(Expire, 64);
is(monitor_options, #{process := Process, rate := Rate, cursor := Cursor, nodes := Nodes, stale_after := Stale, max_ahead := Ahead,
                      kept := Kept}  = Options, _World) ->
    Flags = [maps:get(Key, Options, none) || Key <- [go_on, paused]],
    Widths = [maps:get(Key, Options, none) || Key <- [page_limit, connect_timeout, first_byte_timeout, timeout, max_page_bytes, walk_after, poll_max_gap]],
    is_process(Process) andalso is_within(Rate, 32) andalso Rate > 0 andalso is_cursor(Cursor)
        andalso is_nodes(Nodes) andalso is_within(Stale, 64) andalso is_within(Ahead, 64) andalso is_binary(Kept)
        andalso lists:all(fun(Width) -> is_within(Width, 32) end, Widths)
        andalso lists:all(fun is_boolean/1, Flags)
        andalso lists:member(maps:get(poll, Options, none), [rate, expected]);
is(tags, Term, _World) -> length_of(Term) >= 0 andalso length_of(Term) =< 64 andalso lists:all(fun is_binary/1, Term);
is(_Kind, _Term, _World) -> false.

%% Negative for lists that do not end in the empty list.
length_of(List) -> try length(List) catch error:badarg -> -1 end.

is_within(Term, Bits) -> is_integer(Term) andalso Term >= 0 andalso Term < 1 bsl Bits.

is_process(Term) -> is_binary(Term) andalso re:run(Term, "^[A-Za-z0-9_-]{43}$", [dollar_endonly]) =/= nomatch.

is_cursor(Term) when is_binary(Term) -> byte_size(Term) > 0 andalso byte_size(Term) =< 4096;
is_cursor(Term) -> Term =:= undefined orelse Term =:= earliest.

%% Values that are not URLs have their own answer.
is_nodes([Node]) -> is_binary(Node);
is_nodes([Node | Nodes]) -> is_binary(Node) andalso is_nodes(Nodes);
is_nodes(_) -> false.

one_of(List) -> lists:nth(rand:uniform(length(List)), List).
