%%% Double of a host's `hb', of early and of later ones: its wallet.
-module(hb).
-export([wallet/0]).

wallet() -> host_double:call({hb, wallet}, [], fun() -> {wallet, <<"key">>} end).
