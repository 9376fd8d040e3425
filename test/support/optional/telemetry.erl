%%% A double of the library `telemetry', reduced to what is used. It refuses whatever the real one refuses.
%%% Compiled and loaded on demand.
-module(telemetry).
-export([attach/4, attach_many/4, detach/1, list_handlers/1, execute/3]).
-export([start/0, stop/0]).

-define(TABLE, telemetry_handler_table).

start() -> optional_library:start_table(?TABLE, duplicate_bag).

stop() -> optional_library:stop_table(?TABLE).

attach(Id, Event, Fun, Config) -> attach_many(Id, [Event], Fun, Config).

attach_many(Id, Events, Fun, Config) when is_function(Fun, 4) ->
    case ets:match(?TABLE, {'_', Id, '_', '_'}) of
        [] ->
            true = ets:insert(?TABLE, [{Event, Id, Fun, Config} || Event <- Events]),
            ok;
        _ ->
            {error, already_exists}
    end.

detach(Id) ->
    case ets:select_delete(?TABLE, [{{'_', Id, '_', '_'}, [], [true]}]) of
        0 -> {error, not_found};
        _ -> ok
    end.

list_handlers(Prefix) ->
    [#{id => Id, event_name => Event, function => Fun, config => Config}
     || {Event, Id, Fun, Config} <- ets:tab2list(?TABLE), lists:prefix(Prefix, Event)].

execute([_ | _] = Event, Measurements, Metadata) when is_map(Measurements), is_map(Metadata) ->
    true = lists:all(fun is_atom/1, Event),
    true = lists:all(fun is_number/1, maps:values(Measurements)),
    lists:foreach(fun({_, Id, Fun, Config}) ->
        try Fun(Event, Measurements, Metadata, Config)
        catch _:_ -> detach(Id)
        end
    end, ets:lookup(?TABLE, Event)).
