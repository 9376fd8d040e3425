%%% A damaged library file is refused with a message, and does not kill the VM that would load it.
-module(library_tests).
-include_lib("eunit/include/eunit.hrl").

-define(M, hb_cron_library).
-define(NIF, hb_process_monitor_nif).

eunit_wrapper_(Tests) -> deadline:each(Tests).

all_test_() ->
    {foreach, fun setup/0, fun cleanup/1,
     [{with, [T]} || T <- [
        fun built_library_is_accepted/1,
        fun library_cut_short_anywhere_is_damaged/1,
        fun library_without_a_stamp_cut_short_is_damaged/1,
        fun library_with_a_byte_changed_is_damaged/1,
        fun library_whose_end_was_not_written_is_damaged/1,
        fun library_cut_short_before_it_was_stamped_is_damaged/1,
        fun file_of_another_format_is_left_to_the_system/1,
        fun node_with_a_library_cut_short_lives_and_says_so/1,
        fun running_library_beside_a_damaged_file_runs_on/1
     ]]}.

setup() ->
    Dir = string:trim(os:cmd("mktemp -d")),
    {ok, Library} = file:read_file(filename:join(code:priv_dir(hb_process_monitor), "hb_process_monitor_nif.so")),
    Path = filename:join([Dir, "priv", "hb_process_monitor_nif.so"]),
    ok = filelib:ensure_dir(Path),
    {Path, Library}.

cleanup({Path, _}) -> file:del_dir_r(filename:dirname(filename:dirname(Path))).

built_library_is_accepted({Path, Library}) ->
    ?assertEqual(ok, check(Path, Library)),
    ?assertMatch({_, _}, binary:match(stamp(Library), <<"hb_process_monitor library 1 ">>)),
    %% The place where rebar3's cargo plugin leaves it.
    ?assertEqual(ok, check(Path, without_stamp(Library))).

library_cut_short_anywhere_is_damaged({Path, Library}) -> cut_short(Path, Library).

library_without_a_stamp_cut_short_is_damaged({Path, Library}) -> cut_short(Path, without_stamp(Library)).

cut_short(Path, Library) ->
    Size = byte_size(without_stamp(Library)),
    ?assertEqual([], [Left || Left <- [0, 20, 63, 64, 4096, Size div 10, Size div 2, Size - 4096, Size - 1],
                              not is_damaged(check(Path, binary:part(Library, 0, Left)))]).

library_with_a_byte_changed_is_damaged({Path, Library}) ->
    Half = byte_size(Library) div 2,
    <<Before:Half/binary, Byte, After/binary>> = Library,
    ?assert(is_damaged(check(Path, <<Before/binary, (Byte bxor 1), After/binary>>))).

library_whose_end_was_not_written_is_damaged({Path, Library}) ->
    Half = byte_size(Library) div 2,
    ?assert(is_damaged(check(Path, [binary:part(Library, 0, Half), <<0:Half/unit:8>>]))).

library_cut_short_before_it_was_stamped_is_damaged({Path, Library}) ->
    Half = binary:part(Library, 0, byte_size(Library) div 2),
    Stamp = io_lib:format("~nhb_process_monitor library 1 ~12..0b ~s~n",
                          [byte_size(Half), string:lowercase(binary:encode_hex(erlang:md5(Half)))]),
    ?assert(is_damaged(check(Path, [Half, Stamp]))).

file_of_another_format_is_left_to_the_system({Path, _}) ->
    ?assertEqual(ok, check(Path, <<"text">>)),
    ?assertEqual(ok, ?M:check(Path ++ ".none")).

node_with_a_library_cut_short_lives_and_says_so({Path, Library}) ->
    %% So short that mapped parts are missing, and not just debug information.
    ok = file:write_file(Path, binary:part(Library, 0, byte_size(Library) div 50)),
    with_node(Path, fun(Peer) ->
        {error, [{Tried, Reason} | _]} = harness:call_peer(Peer, ?NIF, loaded, []),
        ?assertEqual(Path, Tried),
        ?assertMatch({_, _}, binary:match(list_to_binary(Reason), <<"damaged">>))
    end).

running_library_beside_a_damaged_file_runs_on({Path, Library}) ->
    ok = file:write_file(Path, Library),
    with_node(Path, fun(Peer) ->
        ?assertEqual({ok, Path}, {harness:call_peer(Peer, ?NIF, loaded, []), harness:call_peer(Peer, ?NIF, file, [])}),
        %% Renamed into place: overwriting a mapped library kills the VM.
        ok = file:write_file(Path ++ ".new", <<>>),
        ok = file:rename(Path ++ ".new", Path),
        ?assertMatch({error, _}, harness:call_peer(Peer, code, load_file, [?NIF])),
        ?assertEqual(ok, harness:call_peer(Peer, ?NIF, loaded, [])),
        ?assertMatch(<<_/binary>>, harness:call_peer(Peer, ?NIF, library_version, []))
    end).

%% A node with these modules and this library, and no other library.
with_node(Path, Fun) ->
    Ebin = filename:join(filename:dirname(filename:dirname(Path)), "ebin"),
    ok = filelib:ensure_path(Ebin),
    [{ok, _} = file:copy(code:which(Module), filename:join(Ebin, atom_to_list(Module) ++ ".beam")) || Module <- [?NIF, ?M]],
    Peer = harness:start_peer(["-pa", Ebin]),
    try Fun(Peer)
    after peer:stop(Peer)
    end.

check(Path, Content) ->
    ok = file:write_file(Path, Content),
    ?M:check(Path).

is_damaged({error, Reason}) -> string:find(Reason, "damaged") =/= nomatch;
is_damaged(_) -> false.

%% The stamp is 76 bytes.
stamp(Library) -> binary:part(Library, byte_size(Library), -76).

without_stamp(Library) -> binary:part(Library, 0, byte_size(Library) - 76).
