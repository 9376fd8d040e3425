%%% @doc Starts monitors in the tree of the application, one or many. Their options are read and checked by now.
-module(hb_cron_monitors).

-export([start/2, start_all/1]).

-export_type([started/0, outcome/0]).

-type started() :: {Monitor :: pid(), hb_cron_host_logger:logger()}.

-type outcome() :: {started | already_monitored, started()} | {error, {not_started, Reason :: term()}}.
%% `already_monitored': the process has this monitor, which was not changed.

%% How many monitors may be starting at once. All of them are ready to run at the same time, and the tick of another
%% monitor waits among them.
-define(AT_ONCE, 50).
%% The pause after so many starts, in ms. The threads that start monitors leave a core to the library's loop meanwhile;
%% otherwise one in a hundred ticks of other monitors comes some ms later. It takes a tenth of the time of all starts.
-define(PAUSE, 1).
%% How often it is checked whether a monitor that says nothing still lives, in ms.
-define(CHECK, 1000).

%% @doc Starts a monitor. If the process has one, that is the answer. Raises `{not_started, Reason}'.
-spec start(ProcId :: binary(), hb_cron_options:monitor()) -> started().
start(ProcId, Options) ->
    case start_one(ProcId, Options) of
        {error, Reason} -> error(Reason);
        {_, Started} -> Started
    end.

start_one(ProcId, Options) ->
    case already(ProcId) of
        none ->
            try hb_cron_sup:start_monitor([ProcId, Options]) of
                {ok, undefined} -> start_one(ProcId, Options);
                {ok, Monitor} -> {started, {Monitor, logger_of(ProcId, Monitor)}};
                {error, Reason} -> {error, {not_started, Reason}}
            catch
                %% The tree is going down.
                exit:{Reason, _} -> {error, {not_started, Reason}}
            end;
        Already ->
            Already
    end.

%% Another start or a stop may have come in between.
logger_of(ProcId, Monitor) ->
    case hb_cron_registry:find(ProcId) of
        {ok, {Monitor, Logger, _}} -> Logger;
        _ -> undefined
    end.

already(ProcId) ->
    case hb_cron_registry:find(ProcId) of
        {ok, {Monitor, Logger, #{rate := Rate, cursor := Cursor}}} ->
            ok = hb_cron_host_logger:log(Logger, {ok, already_monitored, {ProcId, Rate, Cursor}}),
            {already_monitored, {Monitor, Logger}};
        none ->
            none
    end.

%% @doc Starts many monitors, and returns the outcome of each, in order. A start without options is its own outcome. The
%% supervisor waits for none of the monitors; each has registered, or failed to, when this returns. A process that is
%% there more than once is started by the first one.
-spec start_all([{ProcId :: binary() | none, {ok, hb_cron_options:monitor()} | Outcome}]) -> [outcome() | Outcome].
start_all([]) ->
    [];
start_all(Starts) ->
    {Some, Rest} = split(?AT_ONCE, Starts, #{}, []),
    Outcomes = some(Some),
    Rest =:= [] orelse length(Some) < ?AT_ONCE orelse timer:sleep(?PAUSE),
    Outcomes ++ start_all(Rest).

%% Of one process no two are started at once.
split(Left, [{_, {error, _}} = Refused | Rest], Taken, Some) when Left > 0 ->
    split(Left - 1, Rest, Taken, [Refused | Some]);
split(Left, [{ProcId, _} = Start | Rest], Taken, Some) when Left > 0, not is_map_key(ProcId, Taken) ->
    split(Left - 1, Rest, Taken#{ProcId => true}, [Start | Some]);
split(_Left, Rest, _Taken, Some) ->
    {lists:reverse(Some), Rest}.

some(Starts) ->
    Tag = make_ref(),
    [outcome(Begun, Tag) || Begun <- [begin_one(Start, Tag) || Start <- Starts]].

begin_one({ProcId, {ok, Options}}, Tag) ->
    case already(ProcId) of
        none ->
            try hb_cron_sup:start_monitor([ProcId, Options, {self(), Tag}]) of
                {ok, Monitor} -> {begun, Monitor, ProcId, Options};
                {error, Reason} -> {error, {not_started, Reason}}
            catch
                exit:{Reason, _} -> {error, {not_started, Reason}}
            end;
        Already ->
            Already
    end;
begin_one({_ProcId, Outcome}, _Tag) ->
    Outcome.

outcome({begun, Monitor, ProcId, Options} = Begun, Tag) ->
    receive
        {Tag, Monitor, {started, Logger}} -> {started, {Monitor, Logger}};
        {Tag, Monitor, {error, Reason}} -> {error, {not_started, Reason}};
        %% Another start came first.
        {Tag, Monitor, ignore} -> start_one(ProcId, Options)
    after ?CHECK ->
        case is_process_alive(Monitor) of
            true -> outcome(Begun, Tag);
            false -> last_word(Monitor, Tag)
        end
    end;
outcome(Outcome, _Tag) ->
    Outcome.

%% It may have been killed at any time.
last_word(Monitor, Tag) ->
    receive {Tag, Monitor, {started, Logger}} -> {started, {Monitor, Logger}}
    after 0 -> {error, {not_started, killed}}
    end.
