%%% Double of an early host's `hb': its wallet.
-module(hb).
-export([wallet/0]).

wallet() -> host_double:call({hb, wallet}, [], fun() -> {wallet, <<"key">>} end).
