%%% @doc The end of a limited wait, on the monotonic clock.
-module(hb_cron_deadline).

-export([new/1, left/1]).

-export_type([deadline/0]).

-type deadline() :: integer() | infinity.

%% @doc The deadline that comes after so many ms.
-spec new(timeout()) -> deadline().
new(infinity) -> infinity;
new(Timeout) -> erlang:monotonic_time(millisecond) + Timeout.

%% @doc How many ms are left.
-spec left(deadline()) -> timeout().
left(infinity) -> infinity;
left(Deadline) -> max(0, Deadline - erlang:monotonic_time(millisecond)).
