%%% @doc What the keys of the device `process-monitor@1.0' do, and their answers. {@link hb_cron_device_access} decides
%%% whether a request is allowed. Input is remote: an answer is always a status and a text.
%%%
%%% Answers use no 404 and no 500, which HyperBEAM replaces by pages of its own.
-module(hb_cron_device).

-import(hb_cron_device_access, [refuse/2]).

-export([keys/0, answer/2]).

-export_type([answer/0]).

-type answer() :: {ok | error, #{binary() => integer() | binary()}}.
%% A message of AO-Core.

%% How long a redelivery may take, in ms. It continues after that.
-define(PATIENCE, 5000).
%% Rows of a listing for an address other than the operator's, at most.
-define(ROWS, 200).
%% A structured field, as HyperBEAM's client reads it. Prometheus's own type, with its version, is none.
-define(TEXT, <<"text/plain; charset=utf-8">>).
%% The parameters of listings and batches.
-define(QUERY, [<<"after">>, <<"limit">>, <<"state">>, <<"prefix">>]).

%% @doc The keys.
-spec keys() -> [binary(), ...].
keys() ->
    [<<"info">>, <<"list">>, <<"dead-letters">>, <<"metrics">>,
     <<"start">>, <<"stop">>, <<"pause">>, <<"resume">>, <<"redeliver">>, <<"discard">>].

%% @doc Answers a request for a key.
-spec answer(Key :: binary(), Request :: term()) -> answer().
answer(Key, Request) ->
    try answered(Key, Request) of
        {text, Text} -> {ok, message(200, ?TEXT, Text)};
        {json, Status, Value} ->
            {ok, message(Status, <<"application/json">>, iolist_to_binary(hb_cron_json:encode(Value)))}
    catch
        throw:{refused, Status, Text} ->
            {error, message(Status, ?TEXT, Text)};
        Class:Reason:Stack ->
            ok = hb_cron_host_logger:log(undefined, {error, device_call_failed, hb_cron_secret:redact(
                {Key, Class, hb_cron_sys_status:reason(Reason), hb_cron_secret:stack(lists:sublist(Stack, 3))})}),
            {error, message(503, ?TEXT, <<"The call failed. The node's log has the reason.">>)}
    end.

message(Status, Type, Body) ->
    #{<<"status">> => Status, <<"content-type">> => Type, <<"cache-control">> => <<"no-store">>, <<"body">> => Body}.

answered(<<"info">>, Request) when not is_map_key(<<"process">>, Request) ->
    {json, 200, #{device => <<"process-monitor@1.0">>, keys => keys()}};
answered(<<"info">> = Key, Request) ->
    #{params := Params} = Read = hb_cron_device_access:to_read(Key, Request),
    ProcId = process(Params),
    ok = hb_cron_device_monitors:may_concern(ProcId, maps:get(role, Read)),
    shown({monitor, ProcId}, Params);
answered(<<"dead-letters">> = Key, Request) ->
    #{params := Params} = Read = hb_cron_device_access:to_read(Key, Request),
    ProcId = process(Params),
    ok = hb_cron_device_monitors:may_concern(ProcId, maps:get(role, Read)),
    shown({letters, ProcId}, Params);
answered(<<"list">> = Key, Request) ->
    case hb_cron_device_access:to_read(Key, Request) of
        #{role := {address, Address}, params := Params} ->
            {json, 200, own(Address, maps:get(<<"after">>, Params, <<>>))};
        #{params := Params} ->
            shown(listing, Params)
    end;
answered(<<"metrics">> = Key, Request) ->
    case hb_cron_device_access:to_read(Key, Request) of
        #{role := {address, _}} -> refuse(403, [<<"Metrics are for the operator.">>]);
        #{} -> {text, hb_process_monitor:prometheus()}
    end;
answered(<<"start">> = Key, Request) ->
    started(hb_cron_device_access:to_change(Key, Request));
answered(Key, Request) ->
    #{params := Params} = Change = hb_cron_device_access:to_change(Key, Request),
    ProcId = process(Params),
    ok = hb_cron_device_monitors:may_concern(ProcId, maps:get(role, Change)),
    changed(Key, ProcId, Change).

%% Reading, with the answers of the dashboard: small for any number of monitors, with long texts cut.
shown(Route, Params) ->
    case hb_cron_dashboard_api:answer(Route, maps:with(?QUERY, Params)) of
        {ok, Value} -> {json, 200, Value};
        {error, Status, _Reason, Text} -> refuse(status(Status), [Text])
    end.

status(404) -> 409;
status(500) -> 503;
status(Status) -> Status.

%% The processes of an address, in a form that is as a listing's.
own(Address, After) ->
    Ids = lists:sublist([ProcId || ProcId <- hb_cron_device_owner:all(Address), ProcId > After], ?ROWS + 1),
    {Shown, Next} = case length(Ids) > ?ROWS of
        true -> {lists:droplast(Ids), lists:nth(?ROWS, Ids)};
        false -> {Ids, null}
    end,
    Rows = [Row || ProcId <- Shown,
                   {ok, #{monitors := Listed}} <- [hb_cron_dashboard_api:answer(listing, #{<<"prefix">> => ProcId})],
                   Row <- Listed],
    #{now => erlang:system_time(millisecond), monitors => Rows, next => Next}.

%% Changes

started(#{role := Role, params := Params} = Change) ->
    ProcId = process(Params),
    For = case Role of operator -> operator; {address, _} -> other end,
    Options = case hb_cron_device_options:from(Params, For) of
        {ok, Given} -> Given;
        {error, {forbidden, Name}} -> refuse(403, [<<"This value of `">>, Name, <<"` is for the operator.">>]);
        {error, {unknown, Name}} -> refuse(400, [<<"`">>, Name, <<"` is no option over HTTP.">>]);
        {error, {bad_value, Name}} -> refuse(400, [<<"Invalid value of `">>, Name, <<"`.">>])
    end,
    IsNew = hb_cron_device_monitors:start(ProcId, Options, Role, claim(Change)),
    {json, 200, #{process => ProcId, started => IsNew}}.

%% Uses the message up, right before it takes effect.
claim(Change) -> fun() -> hb_cron_device_access:claim(Change) end.

changed(<<"stop">>, ProcId, Change) ->
    done(ProcId, hb_cron_device_monitors:stop(ProcId, claim(Change)));
changed(<<"pause">>, ProcId, Change) ->
    ok = hb_cron_device_access:claim(Change),
    done(ProcId, hb_process_monitor:pause(ProcId));
changed(<<"resume">>, ProcId, Change) ->
    ok = hb_cron_device_access:claim(Change),
    done(ProcId, hb_process_monitor:resume(ProcId));
changed(<<"redeliver">>, ProcId, #{params := Params} = Change) ->
    Id = letter(Params),
    ok = hb_cron_device_access:claim(Change),
    done(ProcId, in_time(fun() -> hb_process_monitor:redeliver(ProcId, Id) end));
changed(<<"discard">>, ProcId, #{params := Params} = Change) ->
    Id = letter(Params),
    ok = hb_cron_device_access:claim(Change),
    done(ProcId, hb_process_monitor:discard(ProcId, Id)).

done(ProcId, ok) -> {json, 200, #{process => ProcId, done => true}};
done(ProcId, waiting) -> {json, 202, #{process => ProcId, done => false}};
done(_ProcId, {error, not_monitored}) -> not_monitored();
done(_ProcId, {error, not_found}) -> refuse(409, [<<"This dead letter does not exist, or no longer.">>]);
done(_ProcId, {error, {push_failed, Reason}}) ->
    refuse(409, [<<"Failed again: ">>, hb_cron_sys_status:reason(hb_cron_secret:redact(Reason))]);
done(_ProcId, {error, Reason}) when is_binary(Reason) -> refuse(503, [Reason]).

-spec not_monitored() -> no_return().
not_monitored() -> refuse(409, [<<"The process is not monitored, or no longer.">>]).

%% A push may take as long as it wants. It continues without its caller.
in_time(Do) ->
    {Caller, Tag} = {self(), make_ref()},
    {_, Ref} = spawn_monitor(fun() -> Caller ! {Tag, Do()} end),
    receive
        {Tag, Answer} ->
            demonitor(Ref, [flush]),
            Answer;
        %% The monitor ended meanwhile.
        {'DOWN', Ref, process, _, _} ->
            {error, not_monitored}
    after ?PATIENCE ->
        demonitor(Ref, [flush]),
        waiting
    end.

process(#{<<"process">> := ProcId}) ->
    hb_cron_process_id:is_valid(ProcId) orelse refuse(400, [<<"`process` is not an id of 43 characters.">>]),
    ProcId;
process(#{}) ->
    refuse(400, [<<"`process` is missing.">>]).

letter(Params) ->
    case hb_cron_device_options:integer(maps:get(<<"letter">>, Params, <<>>)) of
        {ok, Id} -> Id;
        error -> refuse(400, [<<"`letter` is not the number of a dead letter.">>])
    end.
