%%% Keccak-256, as the library of that name in HyperBEAM computes it.
-module(hb_keccak).
-export([keccak_256/1]).

%% Bytes of input in a round, and bits of a lane.
-define(RATE, 136).
-define(LANE, 16#ffffffffffffffff).

keccak_256(Data) ->
    State = absorb(padded(Data), maps:from_list([{{X, Y}, 0} || X <- lists:seq(0, 4), Y <- lists:seq(0, 4)])),
    << <<(maps:get({X, 0}, State)):64/little>> || X <- lists:seq(0, 3) >>.

padded(Data) ->
    case ?RATE - byte_size(Data) rem ?RATE of
        1 -> <<Data/binary, 16#81>>;
        Left -> <<Data/binary, 1, 0:((Left - 2) * 8), 16#80>>
    end.

absorb(<<>>, State) -> State;
absorb(<<Block:?RATE/binary, Rest/binary>>, State) ->
    Lanes = lists:zip([{N rem 5, N div 5} || N <- lists:seq(0, 16)], [Lane || <<Lane:64/little>> <= Block]),
    absorb(Rest, permute(lists:foldl(fun({At, Lane}, Acc) -> maps:update_with(At, fun(Old) -> Old bxor Lane end, Acc) end,
                                     State, Lanes))).

permute(State) -> rounds(24, 1, State).

rounds(0, _, State) -> State;
rounds(Left, Register, State) ->
    {Constant, Next} = constant(0, Register, 0),
    rounds(Left - 1, Next, round(State, Constant)).

round(State, Constant) ->
    At = fun(X, Y) -> maps:get({(X + 5) rem 5, (Y + 5) rem 5}, State) end,
    C = [lists:foldl(fun(Y, Acc) -> Acc bxor At(X, Y) end, 0, lists:seq(0, 4)) || X <- lists:seq(0, 4)],
    D = fun(X) -> lists:nth((X + 4) rem 5 + 1, C) bxor rotated(lists:nth((X + 1) rem 5 + 1, C), 1) end,
    Mixed = maps:map(fun({X, _}, Lane) -> Lane bxor D(X) end, State),
    Moved = moved(Mixed),
    Chi = maps:map(fun({X, Y}, Lane) ->
        Lane bxor ((bnot maps:get({(X + 1) rem 5, Y}, Moved)) band ?LANE band maps:get({(X + 2) rem 5, Y}, Moved))
    end, Moved),
    maps:update_with({0, 0}, fun(Lane) -> Lane bxor Constant end, Chi).

%% The steps rho and pi.
moved(State) -> moved(0, {1, 0}, State, #{{0, 0} => maps:get({0, 0}, State)}).

moved(24, _, _, Acc) -> Acc;
moved(T, {X, Y}, State, Acc) ->
    To = {Y, (2 * X + 3 * Y) rem 5},
    moved(T + 1, To, State, Acc#{To => rotated(maps:get({X, Y}, State), (T + 1) * (T + 2) div 2 rem 64)}).

rotated(Lane, By) -> ((Lane bsl By) bor (Lane bsr (64 - By))) band ?LANE.

%% The constant of a round, from a register of eight bits.
constant(7, Register, Acc) -> {Acc, Register};
constant(J, Register, Acc) ->
    Bit = case Register band 1 of 1 -> 1 bsl ((1 bsl J) - 1); 0 -> 0 end,
    Shifted = case Register band 128 of 128 -> ((Register bsl 1) bxor 16#171) band 255; 0 -> Register bsl 1 end,
    constant(J + 1, Shifted, Acc bor Bit).
