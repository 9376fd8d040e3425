%%% @doc Decides whose fault an error of the host is, and shortens it for logs and dead letters. Plain functions over
%%% what a host's call returned or raised.
%%%
%%% `host': the host cannot push now, whatever the item is, so no item is given up for it. `item': another try of this
%%% item will most likely fail as well. `unknown': the error shows neither.
-module(hb_cron_fault).

-export([raised/3, returned/1, short/1]).

-export_type([fault/0]).

-type fault() :: host | item | unknown.

%% The longest text and the largest term that are kept of an error, in bytes and in words.
-define(MAX_TEXT, 500).
-define(MAX_WORDS, 500).
%% Depth to which a larger term is printed.
-define(DEPTH, 15).

%% @doc The fault of a call that raised.
-spec raised(error | exit | throw, Reason :: term(), Stack :: [tuple()]) -> {fault(), Short :: term()}.
raised(throw, {process_not_available, Id}, _Stack) -> {item, {target_not_found, Id}};
raised(error, badarg, [{Module, Function, _, _} | _]) -> {badarg(Module, Function), {error, badarg}};
raised(Class, Reason, _Stack) -> {is_hosts(Reason, raised), {Class, short(Reason)}}.

%% A table or a process of the host is gone. Elsewhere `badarg' may come from what is converted.
badarg(ets, _) -> host;
badarg(persistent_term, _) -> host;
badarg(erlang, send) -> host;
badarg(erlang, '!') -> host;
badarg(_, _) -> unknown.

%% @doc The fault of a call that returned something other than a success.
-spec returned(Answer :: term()) -> {fault(), Short :: term()}.
returned({failure, Reason}) -> {host, short(Reason)};
returned({error, Reason}) -> {is_hosts(Reason, returned), short(Reason)};
returned({ok, Answer}) -> {item, short(Answer)};
returned(Answer) -> {item, short(Answer)}.

%% The host's own code or a part of it is missing; its store cannot be read; its scheduler does not answer; a
%% process or a table of it is gone. Each is wrapped in many ways.
is_hosts(undef, raised) -> host;
is_hosts(noproc, raised) -> host;
is_hosts({undef, _}, _) -> host;
is_hosts({noproc, _}, _) -> host;
is_hosts({timeout, _}, raised) -> host;
is_hosts(not_loadable, _) -> host;
is_hosts(no_viable_store, _) -> host;
is_hosts(no_viable_wallet, _) -> host;
is_hosts(Reason, How) when is_tuple(Reason), tuple_size(Reason) > 0 ->
    case element(1, Reason) of
        scheduler_timeout -> host;
        device_not_loadable -> host;
        necessary_message_not_found -> host;
        error -> is_hosts(element(tuple_size(Reason), Reason), How);
        _ -> otherwise(How)
    end;
is_hosts(_Reason, How) ->
    otherwise(How).

%% An exception may come from the item's content as well as from the host's state. An error that the host returns is
%% its answer to this item.
otherwise(raised) -> unknown;
otherwise(returned) -> item.

%% @doc The error without what makes it long: messages, paths and texts.
-spec short(term()) -> term().
short(#{<<"status">> := Status} = Answer) ->
    case Answer of
        #{<<"body">> := Body} when is_binary(Body) -> {status, short(Status), short(Body)};
        #{} -> {status, short(Status)}
    end;
short(Text) when is_binary(Text), byte_size(Text) > ?MAX_TEXT ->
    <<(binary:part(Text, 0, ?MAX_TEXT))/binary, "...">>;
short(Reason) when is_tuple(Reason), tuple_size(Reason) > 1, element(1, Reason) =:= scheduler_timeout ->
    scheduler_timeout;
short({necessary_message_not_found, Path, _Details}) ->
    {necessary_message_not_found, short(Path)};
short(Reason) ->
    %% A large binary takes a few words of a term.
    case erts_debug:flat_size(Reason) > ?MAX_WORDS orelse erlang:external_size(Reason) > 8 * ?MAX_WORDS of
        true -> short(unicode:characters_to_binary(io_lib:format("~0tP", [Reason, ?DEPTH])));
        false -> Reason
    end.
