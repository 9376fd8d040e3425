%%% Terms of every kind, made from a seed, as a NIF may get them by mistake or on purpose.
-module(abuse_terms).
-export([pool/2, pick/1]).

%% The depth of nesting.
-define(DEPTH, 2).
%% Atoms with a meaning in the library, and others.
-define(ATOMS, [ok, error, undefined, earliest, true, false, none, infinity, tick, debug, stopped, '', nil, null]).
%% Keys of the maps that the library takes.
-define(KEYS, [max_inflight, max_buffered, checkpoint, checkpoint_interval, dead_letters_max, process, rate,
               cursor, nodes, page_limit, connect_timeout, timeout, max_page_bytes, walk_after, stale_after, kept, <<"edges">>, 1]).

%% This many terms to pick from, these among them.
pool(Size, Given) ->
    list_to_tuple(Given ++ [term(?DEPTH) || _ <- lists:seq(1, Size)]).

pick(Pool) -> element(rand:uniform(tuple_size(Pool)), Pool).

term(0) -> leaf();
term(Depth) ->
    case rand:uniform(8) of
        1 -> list(Depth);
        2 -> list(Depth) ++ leaf();
        3 -> list_to_tuple(list(Depth));
        4 -> maps:from_list([{one_of(?KEYS ++ [leaf()]), term(Depth - 1)} || _ <- lists:seq(1, rand:uniform(12))]);
        _ -> leaf()
    end.

list(Depth) -> [term(Depth - 1) || _ <- lists:seq(1, rand:uniform(5))].

leaf() ->
    case rand:uniform(16) of
        1 -> one_of(?ATOMS);
        2 -> rand:uniform(1000) - 500;
        %% Integers around the limits of widths.
        3 -> one_of([1, -1]) * (1 bsl one_of([7, 8, 15, 16, 31, 32, 59, 60, 62, 63, 64, 127, 200, 5000])) + rand:uniform(3) - 2;
        4 -> rand:uniform() * 1.0e300;
        5 -> <<>>;
        6 -> rand:bytes(rand:uniform(100));
        %% Sizes around the limit above which a binary is off its process's heap.
        7 -> rand:bytes(64 + rand:uniform(10000));
        8 -> <<(rand:uniform(128) - 1):7>>;
        9 -> <<_:3, Part/bitstring>> = rand:bytes(70 + rand:uniform(30)), Part;
        10 -> binary:part(rand:bytes(500), 100, rand:uniform(300));
        11 -> one_of([make_ref(), self(), fun() -> ok end, fun erlang:self/0, hd([Port || Port <- erlang:ports()] ++ [[]])]);
        12 -> [];
        13 -> [rand:uniform(256) - 1 || _ <- lists:seq(1, rand:uniform(60))];
        14 -> one_of([<<"http://127.0.0.1:1">>, <<"http://[::1]:70000">>, <<"https://">>, <<"http://a b/">>, <<"ftp://x">>]);
        15 -> base64:encode(rand:bytes(one_of([0, 1, 31, 32, 33, 3072, 3073])));
        16 -> binary:copy(<<"A">>, 43)
    end.

one_of(List) -> lists:nth(rand:uniform(length(List)), List).
