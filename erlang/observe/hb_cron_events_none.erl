%%% @doc The receiver of events on a node without handlers: it drops them.
-module(hb_cron_events_none).
-behaviour(hb_cron_events).

-export([is_available/0, has_handlers/0, execute/3]).

-spec is_available() -> true.
is_available() -> true.

-spec has_handlers() -> false.
has_handlers() -> false.

-spec execute([atom(), ...], map(), map()) -> ok.
execute(_Event, _Measurements, _Metadata) -> ok.
