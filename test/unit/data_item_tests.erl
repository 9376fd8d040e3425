%%% Reading and verifying ANS-104 items.
-module(data_item_tests).
-include_lib("eunit/include/eunit.hrl").

-import(recorded_items, [item/1]).

eunit_wrapper_(Tests) -> deadline:each(Tests).

recorded_item_is_read_and_valid_test() ->
    {ok, Item} = hb_cron_data_item:read(item('monitor-1')),
    ?assertEqual({rsa, recorded_items:signer(), recorded_items:process()},
                 {maps:get(type, Item), maps:get(address, Item), maps:get(target, Item)}),
    ?assert(hb_cron_data_item:is_valid(Item)).

two_items_of_one_content_have_their_own_ids_test() ->
    [A, B] = [maps:get(id, element(2, hb_cron_data_item:read(item(Name)))) || Name <- ['monitor-1', 'monitor-2']],
    ?assertNotEqual(A, B).

item_with_any_byte_changed_is_refused_test() ->
    Whole = item('monitor-1'),
    ?assertEqual([], [At || At <- lists:seq(0, byte_size(Whole) - 1), is_accepted(changed(At, Whole))]).

changed(At, Whole) ->
    <<Before:At/binary, Byte, After/binary>> = Whole,
    <<Before/binary, (Byte bxor 1), After/binary>>.

is_accepted(Item) ->
    case hb_cron_data_item:read(Item) of
        {ok, Read} -> hb_cron_data_item:is_valid(Read) =:= true;
        {error, _} -> false
    end.

item_cut_short_anywhere_is_refused_test() ->
    Whole = item('monitor-1'),
    ?assertEqual([], [Size || Size <- lists:seq(0, byte_size(Whole) - 1), is_accepted(binary:part(Whole, 0, Size))]).

item_with_a_byte_more_is_refused_test() ->
    ?assertNot(is_accepted(<<(item('monitor-1'))/binary, " ">>)).

item_with_another_type_of_signature_is_unknown_test() ->
    <<1:16/little, Rest/binary>> = item('monitor-1'),
    ?assertEqual({error, unknown_signature}, hb_cron_data_item:read(<<2:16/little, Rest/binary>>)).

item_with_large_tags_is_malformed_test() ->
    Item = <<1:16/little, 0:(1024 * 8), 0, 0, 1:64/little, 5000:64/little, 0:(5000 * 8), " ">>,
    ?assertEqual({error, malformed}, hb_cron_data_item:read(Item)).

key_of_zeros_is_refused_test() ->
    {ok, Item} = hb_cron_data_item:read(<<1:16/little, 0:(1024 * 8), 0, 0, 0:64, 0:64, " ">>),
    ?assertNot(hb_cron_data_item:is_valid(Item)).

ethereum_item_is_valid_only_with_the_hosts_keccak_test() ->
    {ok, Item} = hb_cron_data_item:read(item(ethereum)),
    ?assertEqual({ethereum, recorded_items:ethereum_signer()}, {maps:get(type, Item), maps:get(address, Item)}),
    ?assertEqual({error, unknown_signature}, hb_cron_data_item:is_valid(Item)),
    ok = optional_library:load(hb_keccak),
    try
        ?assert(hb_cron_data_item:is_valid(Item)),
        ?assertEqual([], [At || At <- lists:seq(0, byte_size(item(ethereum)) - 1, 7), is_changed_and_accepted(At)])
    after
        optional_library:unload(hb_keccak)
    end.

%% The last byte of a signature helps only to find the key.
is_changed_and_accepted(66) -> false;
is_changed_and_accepted(At) -> is_accepted(changed(At, item(ethereum))).

%% Two tags in one block, in two blocks, and in a block with its size.
tags_are_counted_in_each_form_of_their_array_test() ->
    Tag = <<2, "n", 4, "vv">>,
    Forms = [<<4, Tag/binary, Tag/binary, 0>>, <<2, Tag/binary, 2, Tag/binary, 0>>, <<3, 20, Tag/binary, Tag/binary, 0>>],
    [begin
        Item = fun(Count) -> <<1:16/little, 0:(1024 * 8), 0, 0, Count:64/little, (byte_size(Tags)):64/little, Tags/binary>> end,
        ?assertMatch({ok, _}, hb_cron_data_item:read(Item(2))),
        [?assertEqual({error, malformed}, hb_cron_data_item:read(Item(Count))) || Count <- [0, 1, 3]]
     end || Tags <- Forms].

tags_that_end_early_are_malformed_test() ->
    [?assertEqual({error, malformed}, hb_cron_data_item:read(
        <<1:16/little, 0:(1024 * 8), 0, 0, 1:64/little, (byte_size(Tags)):64/little, Tags/binary>>))
     || Tags <- [<<2>>, <<2, 2, "n">>, <<2, 2, "n", 2>>, <<2, 2, "n", 2, "v">>, <<2, 1, "n", 2, "v", 0>>, <<2, 2, "n", 2, "v", 0, 0>>,
                 binary:copy(<<255>>, 20)]].
