%%% Computes when a registration's first tick is due. The library spreads first ticks over the rate by a hash of
%%% the process id, which is repeated here to measure lateness. If the library changes the hash, ticks arrive
%%% before they are due, and the suite fails.
-module(bench_grid).

-export([phase/2]).

-define(MASK, 16#ffffffffffffffff).

%% Microseconds from the registration to the first tick, at a rate in ms.
phase(ProcId, Rate) -> siphash13(ProcId) rem (Rate * 1000) + 1.

%% SipHash-1-3 with a key of zeros: the standard library's hasher.
siphash13(Text) ->
    State = {16#736f6d6570736575, 16#646f72616e646f6d, 16#6c7967656e657261, 16#7465646279746573},
    blocks(Text, byte_size(Text), State).

blocks(<<Word:64/little, Rest/binary>>, Length, State) ->
    blocks(Rest, Length, block(Word, State));
blocks(Rest, Length, State) ->
    Bits = bit_size(Rest),
    <<Left:Bits/little>> = Rest,
    {V0, V1, V2, V3} = block(((Length band 16#ff) bsl 56) bor Left, State),
    {A, B, C, D} = mixed(mixed(mixed({V0, V1, V2 bxor 16#ff, V3}))),
    A bxor B bxor C bxor D.

block(Word, {V0, V1, V2, V3}) ->
    {A, B, C, D} = mixed({V0, V1, V2, V3 bxor Word}),
    {A bxor Word, B, C, D}.

mixed({V0, V1, V2, V3}) ->
    A = (V0 + V1) band ?MASK,
    B = rotated(V1, 13) bxor A,
    C = (V2 + V3) band ?MASK,
    D = rotated(V3, 16) bxor C,
    E = (rotated(A, 32) + D) band ?MASK,
    F = rotated(D, 21) bxor E,
    G = (C + B) band ?MASK,
    {E, rotated(B, 17) bxor G, rotated(G, 32), F}.

rotated(Word, By) -> ((Word bsl By) band ?MASK) bor (Word bsr (64 - By)).
