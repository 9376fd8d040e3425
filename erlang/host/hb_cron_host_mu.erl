%%% @doc Pushes with the documented call, `dev_mu:push(#{message => Result}, State)', or with the operator's own
%%% function (option `cron_push'). Runs in the monitor, without a time-out: the effect of a killed push would be
%%% unknown.
-module(hb_cron_host_mu).
-behaviour(hb_cron_host).

-import(hb_cron_message, [field/2]).

-export([device/2, is_available/0, push/4]).

%% @private
-spec is_available() -> boolean().
is_available() -> true.

%% @private
-spec push(Result :: map(), hb_cron_host:push_state(), What :: term(),
           hb_cron_options:monitor()) -> hb_cron_host:outcome().
push(Result, State, {Call, Format}, _Options) ->
    Message = #{message => case Format of map -> Result; record -> record(Result) end},
    Answer = case Call of
        {Module, Function} -> Module:Function(Message, State);
        Fun -> Fun(Message, State)
    end,
    case Answer of
        {error, Reason} -> {error, Reason, Result, unknown};
        _ -> ok
    end.

%% @doc The device of this call. If the option says nothing, results are in the host's own record for a `dev_mu'
%% beside `ar_bundles', because one that was written for the host's client expects it; otherwise they are maps.
-spec device(Call :: {module(), Function :: atom()} | fun((map(), map()) -> term()),
             #{cron_result_format := map | record | undefined, atom() => term()}) -> hb_cron_host:device().
device({dev_mu, push} = Call, #{cron_result_format := undefined}) ->
    case hb_cron_host_calls:has(ar_bundles, json_struct_to_item, 1) of
        true -> {?MODULE, {Call, record}};
        false -> {?MODULE, {Call, map}}
    end;
device(Call, #{cron_result_format := undefined}) -> {?MODULE, {Call, map}};
device(Call, #{cron_result_format := Format}) -> {?MODULE, {Call, Format}}.

%% The record that the host's own client makes of a result, with `[]' for missing fields.
record(#{<<"cursor">> := Cursor} = Result) ->
    {result,
     [item(Item) || Item <- field(<<"Messages">>, Result)],
     [ejson(Assignment) || Assignment <- field(<<"Assignments">>, Result)],
     [item(Item) || Item <- field(<<"Spawns">>, Result)],
     ejson(field(<<"Output">>, Result)),
     Cursor}.

item(Item) ->
    hb_cron_host_calls:call(ar_bundles, json_struct_to_item, [ejson(Item)]).

%% JSON in jiffy's form: an object is `{[{Key, Value}]}'.
ejson(#{} = Object) -> {[{Key, ejson(Value)} || {Key, Value} <- maps:to_list(Object)]};
ejson(List) when is_list(List) -> [ejson(Value) || Value <- List];
ejson(Scalar) -> Scalar.
