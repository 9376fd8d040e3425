%%% @doc Limits the requests that one address sends to the listener in a minute. Counters are in a table that the listener
%%% owns, so that they cost no process a message.
-module(hb_cron_listener_limit).

-export([create/0, take/1, expire/0]).

%% {Address, Minute} and the number of requests.
-define(TABLE, ?MODULE).
-define(MINUTE, 60).
%% The most addresses that are counted. With more, all are counted anew.
-define(ADDRESSES, 100000).

%% @doc Creates the table; the caller owns it.
-spec create() -> ok.
create() ->
    ?TABLE = ets:new(?TABLE, [named_table, public, set, {write_concurrency, true}]),
    ok.

%% @doc Counts a request, of an address as httpd names it; `{wait, Seconds}': it has had as many as it may.
-spec take(Peer :: string()) -> ok | {wait, Seconds :: pos_integer()}.
take(Peer) ->
    Now = erlang:monotonic_time(second),
    Key = {network(Peer), Now div ?MINUTE},
    Most = maps:get(cron_monitor_requests, hb_cron_registry:node_options()),
    case ets:update_counter(?TABLE, Key, 1, {Key, 0}) of
        Count when Count =< Most -> ok;
        _ -> {wait, ?MINUTE - (Now - Now div ?MINUTE * ?MINUTE)}
    end.

%% One customer of a provider has a whole network of IPv6.
network(Peer) ->
    case inet:parse_address(Peer) of
        {ok, {A, B, C, D, _, _, _, _}} -> {A, B, C, D};
        {ok, Address} -> Address;
        {error, _} -> Peer
    end.

%% @doc Forgets earlier minutes. To be called about once a minute.
-spec expire() -> ok.
expire() ->
    Minute = erlang:monotonic_time(second) div ?MINUTE,
    _ = case ets:info(?TABLE, size) > ?ADDRESSES of
        true -> ets:delete_all_objects(?TABLE);
        false -> ets:select_delete(?TABLE, [{{{'_', '$1'}, '_'}, [{'<', '$1', Minute}], [true]}])
    end,
    ok.
