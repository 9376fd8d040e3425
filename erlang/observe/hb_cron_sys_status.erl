%%% @doc How the library's processes show themselves to OTP's tools: their labels, and what
%%% `sys:get_status/1' and crash reports say of their states. No results, which may be megabytes, and no
%%% more of a URL than may be logged.
-module(hb_cron_sys_status).

-export([label/1, options/1, short/1, reason/1]).

%% The longest reason that is kept of a failed push, in bytes.
-define(REASON, 200).
%% How deep a term is shown.
-define(DEPTH, 12).

%% @doc Labels the calling process, where OTP has labels: since 27. It takes about 150 bytes there.
-spec label(Label :: term()) -> ok.
label(Label) ->
    case erlang:function_exported(proc_lib, set_label, 1) of
        true -> set_label(proc_lib, Label);
        false -> ok
    end.

%% By a variable: there is no such function on OTP 25, where xref looks too.
set_label(Module, Label) -> Module:set_label(Label).

%% @doc A monitor's options as they may be shown.
-spec options(hb_cron_options:monitor()) -> map().
options(Options) ->
    #{cron_node := Nodes} = Settings = hb_cron_options:settings(Options),
    Shown = maps:merge(Settings, maps:without([kept, settings], Options)),
    Shown#{cron_node := [hb_cron_secret:origin(Node) || Node <- Nodes]}.

%% @doc The message and the reason of a status, in which a whole result may be, cut short.
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

%% @doc Why a push failed, in one line that is never long.
-spec reason(term()) -> binary().
reason(Reason) ->
    Text = unicode:characters_to_binary(io_lib:format("~0tP", [Reason, ?DEPTH])),
    case string:length(Text) > ?REASON of
        true -> <<(string:slice(Text, 0, ?REASON))/binary, "...">>;
        false -> Text
    end.
