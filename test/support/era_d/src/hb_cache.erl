%%% Double of the store of a host of 2026.
-module(hb_cache).
-export([read/2]).

read(Id, Opts) -> later_host:read(era_d, Id, Opts).
