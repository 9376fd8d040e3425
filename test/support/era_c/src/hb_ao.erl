%%% Double of the resolver of a host of November 2025: the devices that are used of it.
-module(hb_ao).
-export([resolve/2, resolve/3, get/4, set/3]).

%% A policy resolves to itself.
resolve(Policy, _Opts) -> {ok, Policy}.

resolve(Base, Request, Opts) -> later_host:resolve(era_c, Base, Request, Opts).

get(Key, Message, Default, Opts) -> later_host:get(Key, Message, Default, Opts).

set(Message, Fields, Opts) -> later_host:set(Message, Fields, Opts).
