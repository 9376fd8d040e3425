%%% @doc What OTP's tools show of the library's processes: labels, and their states in `sys:get_status/1' and crash
%%% reports. No results, which may be megabytes, and of URLs only what may be logged.
-module(hb_cron_sys_status).

-export([label/1, options/1, short/1, reason/1]).

%% The longest reason of a failed push, in characters.
-define(REASON, 200).

%% @doc Labels the calling process, since OTP 27. A label takes about 150 bytes.
-spec label(Label :: term()) -> ok.
label(Label) ->
    case erlang:function_exported(proc_lib, set_label, 1) of
        true -> set_label(proc_lib, Label);
        false -> ok
    end.

%% Through a variable, since the function does not exist on OTP 25, where xref would report it.
set_label(Module, Label) -> Module:set_label(Label).

%% @doc A monitor's options in a form that may be shown.
-spec options(hb_cron_options:monitor()) -> map().
options(Options) ->
    #{cron_node := Nodes} = Settings = hb_cron_options:settings(Options),
    Shown = maps:merge(Settings, maps:without([kept, settings], Options)),
    Shown#{cron_node := [hb_cron_secret:origin(Node) || Node <- Nodes]}.

%% @doc Shortens the message and the reason of a status, which may hold a whole result.
-spec short(gen_server:format_status()) -> gen_server:format_status().
short(Status) ->
    maps:map(fun(message, Message) -> without_results(Message);
                (log, Log) -> [without_results(Event) || Event <- Log];
                (reason, {Why, [_ | _] = Stack}) -> {Why, hb_cron_secret:stack(Stack)};
                (_, Value) -> Value
             end, Status).

without_results({'$gen_call', From, {redeliver, Id, _}}) ->
    {'$gen_call', From, {redeliver, Id, result}};
without_results(Event) when is_tuple(Event) ->
    list_to_tuple([without_results(Part) || Part <- tuple_to_list(Event)]);
without_results(Other) ->
    Other.

%% @doc Why a push failed, in one short line.
-spec reason(term()) -> binary().
reason(Reason) -> hb_cron_excerpt:text(Reason, ?REASON).
