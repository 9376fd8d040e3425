%%% Double of the store of a host of November 2025, which reads the values of a message when they are asked for.
-module(hb_cache).
-export([read/2, ensure_loaded/2]).

read(Id, Opts) -> later_host:read(era_c, Id, Opts).

ensure_loaded({link, {value, Value}, #{<<"lazy">> := true}}, #{store := _}) -> Value;
ensure_loaded({link, _, _}, _Opts) -> throw({necessary_message_not_found, <<"cron-interval">>, <<"link">>}).
