%%% @doc Events, `[hb_process_monitor, poll | page | push | checkpoint | breaker, start | stop | exception]', for
%%% tracing and counting. docs/events.md describes them. This module sends them, and is the behaviour of receivers:
%%% the host's library `telemetry', or none.
%%%
%%% While there is no handler, no event is made: a monitor looks up the receiver once for each part of a page,
%%% and the library checks a flag for each fetch. {@link hb_cron_observer} chooses the receiver.
-module(hb_cron_events).

%% The receiver
-export([choose/1, use/1, receiver/0]).
%% Sending them
-export([from_library/2, push_starts/3, push_ends/4]).

-export_type([noted/0, started/0]).

-type noted() :: {Kind :: atom(), Phase :: start | stop | exception, AtUs :: non_neg_integer(),
                  TookUs :: non_neg_integer() | undefined, Measures :: map(), Details :: map()}.
%% An event of the library.

-type started() :: {StartTime :: integer(), Metadata :: map()}.

-callback is_available() -> boolean().
%% Whether this receiver can be used in this node.

-callback has_handlers() -> boolean().
%% Whether there is a handler for events.

-callback execute(Event :: [atom(), ...], Measurements :: map(), Metadata :: map()) -> ok.
%% Handles an event, in the process in which it happens.

-define(NONE, hb_cron_events_none).
%% In the order of preference: the last one is always available.
-define(RECEIVERS, [hb_cron_events_telemetry, ?NONE]).

%% @doc The receiver for a value of the option `cron_events': `auto', an available one that has handlers; `true',
%% an available one; `false', none.
-spec choose(auto | boolean()) -> module().
choose(false) ->
    ?NONE;
choose(Option) ->
    [Taker | _] = [Taker || Taker <- ?RECEIVERS, Taker:is_available()],
    case Option =:= true orelse Taker:has_handlers() of
        true -> Taker;
        false -> ?NONE
    end.

%% @doc Makes this the receiver from now on.
-spec use(module()) -> ok.
use(Taker) -> persistent_term:put(?MODULE, Taker).

%% @doc The receiver, to be looked up once for many events; `none' while there is no handler.
-spec receiver() -> module() | none.
receiver() ->
    case persistent_term:get(?MODULE, ?NONE) of
        ?NONE -> none;
        Taker -> Taker
    end.

%% @doc Passes on an event of the library, with its times in Erlang's units.
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

%% @doc A push ends with this outcome.
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
