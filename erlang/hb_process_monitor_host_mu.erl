%%% @doc Pushes by the documented call, `dev_mu:push(#{message => Result}, State)', or by the operator's
%%% own function in its place (option `cron_push'). Runs in the Monitor, and no time-out ends it:
%%% nobody knows what such a push has done when it is killed.
-module(hb_process_monitor_host_mu).
-behaviour(hb_process_monitor_host).

-export([is_available/0, push/4, format/2]).

%% @private
-spec is_available() -> boolean().
is_available() -> true.

%% @private
-spec push(Result :: map(), hb_process_monitor_host:push_state(), What :: term(),
           hb_process_monitor_opts:monitor()) -> hb_process_monitor_host:outcome().
push(Result, State, What, #{cron_result_format := Format}) ->
    Message = #{message => case format({?MODULE, What}, Format) of
        map -> Result;
        record -> record(Result)
    end},
    Answer = case What of
        {Module, Function} -> Module:Function(Message, State);
        Fun -> Fun(Message, State)
    end,
    case Answer of
        {error, Reason} -> {error, Reason, Result, unknown};
        _ -> ok
    end.

%% @doc The form in which a device gets its results, where the option says nothing: the host's own
%% record for a `dev_mu' beside `ar_bundles', since one that was written for the host's own client
%% wants that; the map for everybody else.
-spec format(hb_process_monitor_host:device(), map | record | undefined) -> map | record.
format({?MODULE, {dev_mu, push}}, undefined) ->
    case hb_process_monitor_host:is_exported(ar_bundles, json_struct_to_item, 1) of
        true -> record;
        false -> map
    end;
format(_Device, undefined) -> map;
format(_Device, Given) -> Given.

%% What the host's own client makes of a result, with `[]' for what the CU left out.
record(#{<<"cursor">> := Cursor} = Result) ->
    {result,
     [item(Item) || Item <- field(<<"Messages">>, Result)],
     [ejson(Assignment) || Assignment <- field(<<"Assignments">>, Result)],
     [item(Item) || Item <- field(<<"Spawns">>, Result)],
     ejson(field(<<"Output">>, Result)),
     Cursor}.

field(Key, Result) ->
    case Result of
        #{Key := Value} when Value =/= null -> Value;
        #{} -> []
    end.

item(Item) ->
    hb_process_monitor_host:call(ar_bundles, json_struct_to_item, [ejson(Item)]).

%% JSON as jiffy has it: an object is `{[{Key, Value}]}'.
ejson(#{} = Object) -> {[{Key, ejson(Value)} || {Key, Value} <- maps:to_list(Object)]};
ejson(List) when is_list(List) -> [ejson(Value) || Value <- List];
ejson(Scalar) -> Scalar.
