%%% @doc Reads the tags `Cron-Interval' of a process from the process's message in the host's own stores. Without these
%%% tags a monitor learns the crons from results. It decides nothing about when a process is read: see {@link
%%% hb_cron_tag_reader}.
%%%
%%% Only stores on the node itself are read, never a gateway or another node. What is not surely complete is
%%% `unknown': a HyperBEAM of January 2025 keeps only the last of several tags with one name, and where one of 2026 looks
%%% for a message that it does not have cannot be limited.
-module(hb_cron_process_tags).

-export([detect/0, is_readable/0, cron_intervals/1]).

-import(hb_cron_host_calls, [call/3, is_exported/3]).

-define(READABLE, {?MODULE, readable}).
-define(TAG, <<"cron-interval">>).
%% The stores of HyperBEAM that are on the node itself. An operator's own may be anywhere.
-define(LOCAL_STORES, [hb_store_fs, hb_store_lmdb, hb_store_rocksdb]).
%% No process has more crons, or a longer tag. The library has the first bound, too.
-define(MOST_CRONS, 64).
-define(LONGEST_TAG, 256).

%% @doc Finds out whether the host's messages can be read.
-spec detect() -> ok.
detect() ->
    Is = is_exported(hb_cache, read, 2) andalso is_exported(hb_ao, resolve, 3) andalso is_exported(hb_opts, get, 3)
        andalso not is_exported(hb_device_load, reference, 2),
    persistent_term:put(?READABLE, Is).

%% @doc Whether they could be read when the application started.
-spec is_readable() -> boolean().
is_readable() -> persistent_term:get(?READABLE, false).

%% @doc The values of all tags `Cron-Interval' of a process, in no particular order; `unknown' if the host does not have
%% the process's message, or if the tags may be incomplete. Calls the host, which may hang, raise, or take any memory.
-spec cron_intervals(ProcId :: binary()) -> {ok, [binary()]} | unknown.
cron_intervals(ProcId) ->
    Options = case hb_cron_node_message:get() of none -> #{}; NodeMessage -> NodeMessage end,
    case [Store || Store <- stores(call(hb_opts, get, [store, none, Options])), is_local(Store)] of
        [] ->
            unknown;
        Stores ->
            Local = Options#{store => Stores},
            case call(hb_cache, read, [ProcId, Local]) of
                {ok, #{} = Message} -> in_message(Message, Local);
                _ -> unknown
            end
    end.

stores(Stores) when is_list(Stores) -> Stores;
stores(Store) -> [Store].

is_local(#{<<"store-module">> := Module} = Store) ->
    lists:member(Module, ?LOCAL_STORES) andalso lists:member(maps:get(<<"scope">>, Store, local), [local, <<"local">>]);
is_local(_) ->
    false.

%% A message that is not a process says nothing of one.
in_message(Message, Options) ->
    case {named(<<"type">>, Message), named(?TAG, Message)} of
        {[{_, Type}], []} -> of_process(loaded(Type, Options), fun() -> {ok, []} end);
        {[{_, Type}], [{Key, Value}]} when byte_size(Key) =:= byte_size(?TAG) ->
            of_process(loaded(Type, Options), fun() -> values(loaded(Value, Options), Options) end);
        _ -> unknown
    end.

of_process(<<"Process">>, Read) -> Read();
of_process(_Type, _Read) -> unknown.

%% The keys of this name in any case. The name of a key whose value is elsewhere has an ending.
named(Name, Message) ->
    Link = <<Name/binary, "+link">>,
    [{Key, Value} || {Key, Value} <- maps:to_list(Message), is_binary(Key), byte_size(Key) =< byte_size(Link),
                     lists:member(string:lowercase(Key), [Name, Link])].

%% A host of November 2025 reads values when they are asked for.
loaded({link, _, _} = Link, Options) -> call(hb_cache, ensure_loaded, [Link, Options]);
loaded(Value, _Options) -> Value.

%% Several tags of one name are a list, as text, as a term, or as a map numbered from 1.
values(<<$", _/binary>> = List, _Options) ->
    checked(quoted(List, []));
values(Value, _Options) when is_binary(Value) ->
    checked([Value]);
values(List, Options) when is_list(List), length(List) =< ?MOST_CRONS ->
    checked([loaded(Value, Options) || Value <- List]);
values(#{} = Numbered, Options) when map_size(Numbered) =< ?MOST_CRONS ->
    Keys = maps:keys(maps:without([<<"ao-types">>, <<"commitments">>, <<"priv">>], Numbered)),
    case lists:all(fun(Key) -> is_integer(Key) orelse is_digits(Key) end, Keys) of
        true -> checked([loaded(map_get(Key, Numbered), Options) || Key <- Keys]);
        false -> unknown
    end;
values(_Other, _Options) ->
    unknown.

is_digits(Key) -> is_binary(Key) andalso Key =/= <<>> andalso << <<C>> || <<C>> <= Key, C >= $0, C =< $9 >> =:= Key.

checked(Values) when is_list(Values), length(Values) =< ?MOST_CRONS ->
    case lists:all(fun(Value) -> is_binary(Value) andalso byte_size(Value) =< ?LONGEST_TAG end, Values) of
        true -> {ok, Values};
        false -> unknown
    end;
checked(_) ->
    unknown.

%% `"a", "b"', a list of strings of HTTP's structured fields (RFC 9651).
quoted(_Text, Values) when length(Values) > ?MOST_CRONS -> unknown;
quoted(<<$", Rest/binary>>, Values) -> string(Rest, <<>>, Values);
quoted(_Text, _Values) -> unknown.

string(<<$\\, C, Rest/binary>>, Value, Values) when C =:= $"; C =:= $\\ -> string(Rest, <<Value/binary, C>>, Values);
string(<<$">>, Value, Values) -> [Value | Values];
string(<<$", Rest/binary>>, Value, Values) ->
    case string:trim(Rest, leading, " \t") of
        <<$,, More/binary>> -> quoted(string:trim(More, leading, " \t"), [Value | Values]);
        _ -> unknown
    end;
string(<<C, Rest/binary>>, Value, Values) when C =/= $\\, byte_size(Value) =< ?LONGEST_TAG ->
    string(Rest, <<Value/binary, C>>, Values);
string(_Text, _Value, _Values) -> unknown.
