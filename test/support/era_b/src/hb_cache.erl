%%% Double of the store of a host of May 2025.
-module(hb_cache).
-export([read/2]).

read(Id, Opts) -> later_host:read(era_b, Id, Opts).
