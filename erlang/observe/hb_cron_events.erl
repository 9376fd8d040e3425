%%% @doc Events, `[hb_process_monitor, poll | page | push | checkpoint | breaker, start | stop | exception]':
%%% what happens, as it happens, for whoever wants to trace or count it in their own way. docs/events.md
%%% says what each holds. This module is how they are sent, and the behaviour of what takes them: the
%%% host's library `telemetry', or nothing.
%%%
%%% While nobody wants any, none is made: a monitor asks once for each part of a page what takes its
%%% events, and the library looks at a flag for each fetch. Who decides what takes them is
%%% {@link hb_cron_observer}.
-module(hb_cron_events).

%% What takes them
-export([choose/1, use/1, taker/0]).
%% Sending them
-export([from_library/2, push_starts/3, push_ends/4]).

-export_type([noted/0, started/0]).

-type noted() :: {Kind :: atom(), Phase :: start | stop | exception, AtUs :: non_neg_integer(),
                  TookUs :: non_neg_integer() | undefined, Measures :: map(), Details :: map()}.
%% An event of the library.

-type started() :: {StartTime :: integer(), Metadata :: map()}.

-callback is_available() -> boolean().
%% Whether this implementation can take events in this node.

-callback has_takers() -> boolean().
%% Whether anybody would hear of an event.

-callback execute(Event :: [atom(), ...], Measurements :: map(), Metadata :: map()) -> ok.
%% Takes an event, in the process that it happens in.

-define(NOBODY, hb_cron_events_none).
%% In the order in which they are chosen: the last one is always available.
-define(TAKERS, [hb_cron_events_telemetry, ?NOBODY]).

%% @doc What should take events, by the option `cron_events': `auto', what is there and has somebody to
%% tell; `true', what is there; `false', nothing.
-spec choose(auto | boolean()) -> module().
choose(false) ->
    ?NOBODY;
choose(Option) ->
    [Taker | _] = [Taker || Taker <- ?TAKERS, Taker:is_available()],
    case Option =:= true orelse Taker:has_takers() of
        true -> Taker;
        false -> ?NOBODY
    end.

%% @doc This takes events from now on.
-spec use(module()) -> ok.
use(Taker) -> persistent_term:put(?MODULE, Taker).

%% @doc What takes events, to be asked once for many; `none' while nobody wants them.
-spec taker() -> module() | none.
taker() ->
    case persistent_term:get(?MODULE, ?NOBODY) of
        ?NOBODY -> none;
        Taker -> Taker
    end.

%% @doc Passes on an event of the library. Its times become those of Erlang.
-spec from_library(module(), noted()) -> ok.
from_library(Taker, {Kind, Phase, AtUs, TookUs, Measures, Details}) ->
    Timed = case TookUs of
        undefined -> Measures#{system_time => native(AtUs)};
        _ -> Measures#{system_time => native(AtUs), duration => native(TookUs)}
    end,
    Metadata = case Phase of
        exception -> Details#{kind => error};
        _ -> Details
    end,
    Taker:execute([hb_process_monitor, Kind, Phase], Timed, Metadata).

native(Us) -> erlang:convert_time_unit(Us, microsecond, native).

%% @doc A push begins.
-spec push_starts(module(), ProcId :: binary(), Result :: map()) -> started().
push_starts(Taker, ProcId, Result) ->
    Metadata = #{proc_id => ProcId, cursor => maps:get(<<"cursor">>, Result, undefined)},
    ok = Taker:execute([hb_process_monitor, push, start], #{system_time => erlang:system_time()}, Metadata),
    {erlang:monotonic_time(), Metadata}.

%% @doc A push ends, with this outcome.
-spec push_ends(module(), hb_cron_host:outcome(), EndTime :: integer(), started()) -> ok.
push_ends(Taker, Outcome, EndTime, {StartTime, Metadata}) ->
    Measurements = #{system_time => erlang:system_time(), duration => EndTime - StartTime},
    case Outcome of
        ok ->
            Taker:execute([hb_process_monitor, push, stop], Measurements, Metadata);
        {error, {Class, Reason}, _Left, _Host} when Class =:= error; Class =:= exit; Class =:= throw ->
            Taker:execute([hb_process_monitor, push, exception], Measurements,
                          Metadata#{kind => Class, reason => Reason});
        {error, Reason, _Left, _Host} ->
            Taker:execute([hb_process_monitor, push, exception], Measurements,
                          Metadata#{kind => error, reason => Reason})
    end.
