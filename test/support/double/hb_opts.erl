%%% A double of the host's option store, with its exports: get/1,2,3, which return `undefined' for unset options.
-module(hb_opts).
-export([get/1, get/2, get/3]).
-export([set/1, reset/0]).

get(Key) -> get(Key, undefined).
get(Key, Default) -> get(Key, Default, #{}).
get(Key, Default, Opts) ->
    maps:get(Key, Opts, maps:get(Key, persistent_term:get(?MODULE, #{}), Default)).

%% For tests: sets the host's options.
set(Options) -> persistent_term:put(?MODULE, Options).
reset() -> persistent_term:erase(?MODULE).
