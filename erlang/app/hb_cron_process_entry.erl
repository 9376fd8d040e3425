%%% @doc Entries of the option `cron_processes': an id, `{Id, Options}', or an object of a JSON file, `{"id": Id,
%%% "rate": 1000}', whose other keys are options.
-module(hb_cron_process_entry).

-export([read/1, id/1]).

%% What an entry may set beside the options of scope monitor.
-define(OF_A_START, #{rate => {range, 1, 16#ffffffff}, paused => {one_of, [true, false]}}).

%% @doc The process of an entry, and its options as `hb_process_monitor:start/2' takes them. Raises if the entry is
%% invalid.
-spec read(Entry :: term()) -> {ProcId :: binary(), Options :: map()}.
read({ProcID, Options}) when is_map(Options) ->
    {hb_cron_process_id:new(ProcID), options(Options)};
read(#{} = Object) ->
    {hb_cron_process_id:new(id(Object)), options(maps:without([id, <<"id">>], Object))};
read(ProcID) ->
    {hb_cron_process_id:new(ProcID), #{}}.

%% @doc What an entry says the process is, valid or not.
-spec id(Entry :: term()) -> term().
id({Id, _Options}) -> Id;
id(#{<<"id">> := Id}) -> Id;
id(#{id := Id}) -> Id;
id(Other) -> Other.

%% Options under atoms are those of a call, which {@link hb_cron_options} checks.
options(Options) ->
    maps:from_list([option(Key, Value) || {Key, Value} <- maps:to_list(Options), Key =/= <<"ao-types">>]).

option(Key, Value) when is_binary(Key) ->
    Name = binary:replace(Key, <<"-">>, <<"_">>, [global]),
    Types = maps:from_list([{Of, Type} || {Of, monitor, _, Type, _, _} <- hb_cron_option_table:entries()]),
    case [Of || Of <- [cursor | maps:keys(?OF_A_START) ++ maps:keys(Types)], atom_to_binary(Of) =:= Name] of
        [cursor] -> {cursor, cursor(Value)};
        [Of] -> {Of, value(Of, maps:get(Of, maps:merge(Types, ?OF_A_START)), Value)};
        [] -> error({bad_option, Key, hb_cron_secret:redact(Value)})
    end;
option(Key, Value) ->
    {Key, Value}.

cursor(<<"earliest">>) -> earliest;
cursor(Cursor) -> Cursor.

value(Key, Type, Value) ->
    case hb_cron_option_type:read(Type, Value) of
        {ok, Valid} -> Valid;
        error -> error({bad_option, Key, hb_cron_secret:redact(Value)})
    end.
