%%% Double of the option store of a host of 2026: the shared one, and identities.
-module(hb_opts).
-export([get/1, get/2, get/3, as/2]).
-export([set/1, reset/0]).

get(Key) -> get(Key, undefined).

get(Key, Default) -> get(Key, Default, #{}).

get(Key, Default, Opts) ->
    maps:get(Key, Opts, maps:get(dashed(Key), Opts, maps:get(Key, persistent_term:get(?MODULE, #{}), Default))).

as(Address, Opts) -> later_host:as(era_d, Address, Opts).

dashed(Key) -> binary:replace(atom_to_binary(Key), <<"_">>, <<"-">>, [global]).

%% For tests: sets the host's options.
set(Options) -> persistent_term:put(?MODULE, Options).

reset() -> persistent_term:erase(?MODULE).
