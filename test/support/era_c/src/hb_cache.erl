%%% Double of the store of a host of November 2025.
-module(hb_cache).
-export([read/2]).

read(Id, Opts) -> later_host:read(era_c, Id, Opts).
