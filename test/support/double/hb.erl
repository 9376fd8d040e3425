%%% Double of the module `hb' of early and later hosts: its wallet.
-module(hb).
-export([wallet/0]).

wallet() -> host_double:call({hb, wallet}, [], fun() -> {wallet, <<"key">>} end).
