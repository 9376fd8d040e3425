%%% @doc What the dashboard can ask and do: the routes below `/api/1/' and their answers, as terms that {@link
%%% hb_cron_json} encodes. Access is checked before. Every answer is small and fast, for any number of monitors: at
%%% most one listing, with long texts cut. {@link hb_cron_dashboard_survey} knows the order of the monitors.
-module(hb_cron_dashboard_api).

-export([route/1, answer/2]).

-export_type([route/0, answer/0]).

-type route() :: metrics | monitors | findings | listing
               | {monitor | history | pause | resume | poll | stop | start | forget | letters, ProcID :: binary()}
               | {redeliver | discard, ProcID :: binary(), Id :: binary()}.

%% `listing': monitors in the order of their ids, without a survey. It has no path: the device for HTTP asks for it.

-type answer() :: {ok, map()} | {error, Code :: 400..599, Reason :: atom(), Text :: binary()}.

%% Rows of a listing, by default and at most.
-define(ROWS, 50).
-define(MOST_ROWS, 200).
%% How many monitors are examined for one listing, some 40 ms of work: a client asks again if it needs more.
-define(LOOK_AT, 4000).
%% How many dead letters are shown at a time, the longest text, and the size in bytes above which a result is not
%% decoded.
-define(LETTERS, 20).
-define(SHOWN, 4000).
-define(UNPACKED, 1048576).

%% @doc The method of a path, and what it stands for.
-spec route(Path :: [binary()]) -> {Method :: string(), route()} | none.
route([<<"metrics">>]) -> {"GET", metrics};
route([<<"monitors">>]) -> {"GET", monitors};
route([<<"monitors">>, ProcID]) -> {"GET", {monitor, ProcID}};
route([<<"findings">>]) -> {"GET", findings};
route([<<"monitors">>, ProcID, <<"history">>]) -> {"GET", {history, ProcID}};
route([<<"monitors">>, ProcID, <<"poll">>]) -> {"POST", {poll, ProcID}};
route([<<"monitors">>, ProcID, <<"stop">>]) -> {"POST", {stop, ProcID}};
route([<<"monitors">>, ProcID, <<"start">>]) -> {"POST", {start, ProcID}};
route([<<"monitors">>, ProcID, <<"forget">>]) -> {"POST", {forget, ProcID}};
route([<<"monitors">>, ProcID, <<"pause">>]) -> {"POST", {pause, ProcID}};
route([<<"monitors">>, ProcID, <<"resume">>]) -> {"POST", {resume, ProcID}};
route([<<"monitors">>, ProcID, <<"dead-letters">>]) -> {"GET", {letters, ProcID}};
route([<<"monitors">>, ProcID, <<"dead-letters">>, Id, <<"redeliver">>]) -> {"POST", {redeliver, ProcID, Id}};
route([<<"monitors">>, ProcID, <<"dead-letters">>, Id, <<"discard">>]) -> {"POST", {discard, ProcID, Id}};
route(_) -> none.

%% @doc The answer, or the effect.
-spec answer(route(), Query :: #{binary() => binary() | true}) -> answer().
answer(Route, Query) ->
    try answered(Route, Query)
    catch
        error:{bad_process_id, _} -> {error, 400, bad_process_id, <<"A process id is 43 characters of base64url.">>};
        error:{bad_option, Key, _} -> {error, 400, bad_query, <<"Invalid value of the parameter ", (atom_to_binary(Key))/binary>>};
        error:{not_started, _} -> {error, 503, not_started, <<"The application is starting or stopping.">>}
    end.

%% The time of the values, in ms since the node's start: rates are differences by that clock, not by the arrival of
%% answers.
answered(metrics, _Query) ->
    {ok, #{at => (erlang:monotonic_time() - erlang:system_info(start_time)) / erlang:convert_time_unit(1, millisecond, native),
           node => node(),
           states => hb_cron_info:states(),
           cluster => cluster(hb_process_monitor:cluster()),
           metrics => maps:map(fun(_, Value) -> metric(Value) end, hb_process_monitor:metrics())}};
answered(findings, _Query) ->
    %% Without asking the CU, which may take a minute.
    #{verdict := Verdict, advice := Advice} = hb_process_monitor:doctor(#{probe => false}),
    {ok, #{verdict => Verdict, findings => [#{level => Level, what => cut(What), advice => cut(Text)} || {Level, What, Text} <- Advice]}};
answered(monitors, Query) ->
    Most = limit(Query),
    From = (number(page, Query, 1) - 1) * Most,
    Wanted = hb_cron_dashboard_listing:query(maps:from_list([{Key, text(Key, Query)} || Key <- [sort, order, show, find]])),
    case hb_cron_dashboard_survey:listing(Wanted) of
        {ok, #{count := Count, counts := Counts} = Listing, Age} ->
            Ids = hb_cron_dashboard_listing:slice(Listing, From, Most),
            {ok, listed(hb_cron_info:of_processes(Ids), #{count => Count, counts => Counts, age => Age})};
        not_yet ->
            {ok, listed(some(From, Most), #{count => hb_cron_info:count(), counts => null, age => null})};
        {error, timeout} ->
            {error, 503, busy, <<"The node is too busy to read all monitors.">>}
    end;
answered(listing, Query) ->
    Options = #{limit => limit(Query), look_at => ?LOOK_AT, start_after => text('after', Query), prefix => text(prefix, Query)},
    {Rows, Next} = hb_process_monitor:list(of_state(text(state, Query), Options)),
    {ok, listed(Rows, #{next => case Next of done -> null; _ -> Next end})};
answered({monitor, ProcID}, _Query) ->
    case hb_process_monitor:info(proc_id(ProcID)) of
        undefined -> not_monitored();
        {elsewhere, Name} -> {error, 404, elsewhere, <<"The host node ", (cut(Name))/binary, " monitors the process.">>};
        Info -> {ok, shown(Info)}
    end;
answered({history, ProcID}, _Query) ->
    ProcId = proc_id(ProcID),
    {Monitor, Elsewhere} = case hb_process_monitor:info(ProcId) of
        {elsewhere, Name} -> {null, cut(Name)};
        undefined -> {null, null};
        Info -> {shown(Info), null}
    end,
    {ok, #{now => erlang:system_time(millisecond), monitor => Monitor, elsewhere => Elsewhere,
           can_start => hb_cron_dashboard_stops:is_remembered(ProcId),
           events => [event(Event) || Event <- hb_cron_history:of_process(ProcId)]}};
answered({poll, ProcID}, _Query) ->
    case hb_cron_registry:find(proc_id(ProcID)) of
        {ok, {Monitor, _, _}} -> Monitor ! tick, done(ok);
        none -> not_monitored()
    end;
answered({stop, ProcID}, _Query) ->
    done(hb_cron_dashboard_stops:stop(proc_id(ProcID)));
answered({start, ProcID}, _Query) ->
    done(hb_cron_dashboard_stops:start_again(proc_id(ProcID)));
answered({forget, ProcID}, _Query) ->
    done(hb_process_monitor:forget(proc_id(ProcID)));
answered({pause, ProcID}, _Query) ->
    done(hb_process_monitor:pause(proc_id(ProcID)));
answered({resume, ProcID}, _Query) ->
    done(hb_process_monitor:resume(proc_id(ProcID)));
answered({letters, ProcID}, Query) ->
    letters(proc_id(ProcID), number('after', Query, 0));
answered({redeliver, ProcID, Id}, _Query) ->
    done(hb_cron_dashboard:redeliver(proc_id(ProcID), id(Id)));
answered({discard, ProcID, Id}, _Query) ->
    done(hb_process_monitor:discard(proc_id(ProcID), id(Id))).

%% While the first survey is made. Only the first listing is asked for then, in the order of the ids.
some(0, Most) -> element(1, hb_process_monitor:list(#{limit => Most}));
some(_From, _Most) -> [].

listed(Monitors, About) ->
    About#{now => erlang:system_time(millisecond), monitors => [shown(Row) || Row <- Monitors]}.

event(#{what := pushed} = Event) ->
    Event;
event(#{details := Details} = Event) ->
    {Times, Rest} = lists:partition(fun is_integer/1, [time_or(Detail) || Detail <- Details]),
    Text = unicode:characters_to_binary(hb_process_monitor_log_format:details([Detail || {_, Detail} <- Rest])),
    (maps:remove(details, Event))#{text => cut(Text), result_time => case Times of [Time | _] -> Time; [] -> undefined end}.

%% The time of a cursor says more than the cursor.
time_or(Cursor) when is_binary(Cursor) ->
    case hb_process_monitor_nif:cursor_time(Cursor) of
        undefined -> {text, Cursor};
        Time -> Time
    end;
time_or(Detail) ->
    {text, Detail}.

cluster(undefined) -> null;
cluster(#{nodes := Nodes, latency_us := Latency} = Status) ->
    Findings = #{status => Status, not_started => hb_cron_unstarted:recent(), unused_checkpoint => false, unencrypted => false},
    (shown(maps:without([nodes, latency_us, incarnation], Status)))#{
        nodes => shown(lists:sublist(Nodes, ?MOST_ROWS)),
        stand_ins => hb_cron_stand_ins:count(),
        latency => [#{lane => Lane, median => Median, p99 => P99} || {Lane, {Median, P99}} <- lists:sort(maps:to_list(Latency))],
        findings => [#{level => Level, what => cut(unicode:characters_to_binary(io_lib:format(Format, Args))),
                       advice => cut(unicode:characters_to_binary(Text))}
                     || {Level, {Format, Args}, Text} <- hb_cron_cluster_report:advice(Findings)]}.

done(ok) -> {ok, #{done => true}};
done(waiting) -> {ok, #{done => false}};
done({error, not_monitored}) -> not_monitored();
done({error, not_durable}) -> {error, 500, not_durable, <<"Done, but the checkpoint cannot be written at present.">>};
done({error, not_found}) -> {error, 404, not_found, <<"This dead letter does not exist, or no longer.">>};
done({error, monitored}) -> {error, 409, monitored, <<"The process is monitored, or will be restarted: stop it first.">>};
done({error, supervised}) -> {error, 409, supervised, <<"A supervisor of the host has this monitor: stop it there.">>};
done({error, not_remembered}) -> {error, 404, not_remembered, <<"The dashboard has not stopped this process, or it was long ago.">>};
done({error, {push_failed, Reason}}) -> {error, 409, push_failed, <<"Failed again: ", (term(Reason))/binary>>};
done({error, Reason}) -> {error, 500, failed, cut(Reason)}.

not_monitored() -> {error, 404, not_monitored, <<"The process is not monitored, or no longer.">>}.

%% The 43 characters: the 32 bytes of an id would be something else in a URL.
proc_id(Text) when byte_size(Text) =:= 43 -> hb_cron_process_id:new(Text);
proc_id(Text) -> error({bad_process_id, Text}).

id(Text) -> number(id, #{<<"id">> => Text}, 0).

number(Key, Query, Default) ->
    case maps:get(atom_to_binary(Key), Query, <<>>) of
        <<>> -> Default;
        %% At most the digits of one of our numbers.
        Text when is_binary(Text), byte_size(Text) =< 18 ->
            try binary_to_integer(Text) of
                Number when Number >= 1 -> Number;
                Number -> error({bad_option, Key, Number})
            catch
                error:badarg -> error({bad_option, Key, Text})
            end;
        Other -> error({bad_option, Key, Other})
    end.

limit(Query) ->
    Limit = number(limit, Query, ?ROWS),
    Limit =< ?MOST_ROWS orelse error({bad_option, limit, Limit}),
    Limit.

text(Key, Query) ->
    case maps:get(atom_to_binary(Key), Query, <<>>) of
        Text when is_binary(Text), byte_size(Text) =< 200 -> Text;
        Other -> error({bad_option, Key, Other})
    end.

%% No atom is made from input.
of_state(<<>>, Options) -> Options;
of_state(Name, Options) ->
    case [State || State <- hb_cron_info:states(), atom_to_binary(State) =:= Name] of
        [] -> error({bad_option, state, Name});
        States -> Options#{state => States}
    end.

letters(ProcId, After) ->
    case hb_cron_registry:engine() of
        {ok, Engine, _Ticker} ->
            case hb_cron_dead_letters:batch(Engine, ProcId, After, ?LETTERS) of
                {ok, Page, Next, All} ->
                    {ok, #{letters => [letter(Letter) || Letter <- Page], count => All,
                           next => case Next of done -> null; _ -> Next end}};
                {error, Reason} ->
                    {error, 500, failed, cut(Reason)}
            end;
        none ->
            error({not_started, no_engine})
    end.

letter({Id, At, Attempts, Cursor, Result, Error}) ->
    #{id => Id, at => At, attempts => Attempts, cursor => cut(Cursor), bytes => byte_size(Result),
      result => unpacked(Result), error => unpacked(Error)}.

unpacked(Packed) when byte_size(Packed) > ?UNPACKED -> <<"too long to be shown">>;
unpacked(Packed) -> term(binary_to_term(Packed)).

%% The last bound is null: JSON has no infinity.
metric(#{buckets := Buckets} = Histogram) ->
    Histogram#{buckets := [[case Bound of infinity -> null; _ -> Bound end, Count] || {Bound, Count} <- Buckets]};
metric(Value) ->
    Value.

%% A monitor's values in a form that JSON can express.
shown(Map) when is_map(Map) -> maps:map(fun(_, Value) -> shown(Value) end, Map);
shown(List) when is_list(List) -> [shown(Item) || Item <- List];
shown(Text) when is_binary(Text) -> cut(Text);
shown(Value) when is_atom(Value); is_number(Value) -> Value;
shown(Term) -> term(Term).

%% Formats no more than is shown.
term(Term) -> unicode:characters_to_binary(io_lib:format("~0tp", [Term], [{chars_limit, ?SHOWN}])).

cut(Text) when byte_size(Text) =< ?SHOWN -> Text;
cut(Text) -> <<(binary:part(Text, 0, ?SHOWN))/binary, "…"/utf8>>.
