%%% @doc The arguments of the program without HyperBEAM, `NAME=VALUE' each.
-module(hb_cron_standalone_arguments).

-export([read/1, usage/0]).

-export_type([settings/0]).

-type settings() :: #{
    processes := [ProcId :: binary(), ...],
    entries := [{ProcId :: binary(), map()}, ...],
    push := stdout | {url, binary()},
    checkpoint := file:filename()
}.
%% `entries': as the option `cron_processes' has them.

-define(CHECKPOINT, "cron-checkpoint.redb").

%% @doc Reads the arguments; otherwise says in a sentence what is wrong.
-spec read([string()]) -> {ok, settings()} | {error, unicode:chardata()}.
read(Arguments) ->
    try
        Given = lists:foldl(fun named/2, #{}, Arguments),
        ProcIds = processes(maps:get("PROCESS", Given, "")),
        Options = maps:from_list(
            [{cron_node, cu_nodes(maps:get("CU", Given, ""))}, {cron_push, {hb_cron_standalone_push, push}},
             {cron_result_format, map}]
            ++ [{cursor, Cursor} || Text <- given("FROM", Given), Cursor <- [cursor(Text)], Cursor =/= undefined]
            ++ [{rate, rate(Text)} || Text <- given("RATE", Given)]),
        {ok, #{processes => ProcIds, entries => [{ProcId, Options} || ProcId <- ProcIds],
               push => case given("PUSH", Given) of [] -> stdout; [Url] -> {url, url("PUSH", Url)} end,
               checkpoint => maps:get("CHECKPOINT", Given, ?CHECKPOINT)}}
    catch
        throw:{wrong, Text} -> {error, Text}
    end.

%% @doc How the program is called.
-spec usage() -> string().
usage() ->
    "usage: cron-monitor PROCESS=ID[,ID...] CU=URL[,URL...] [FROM=earliest|latest|CURSOR] [RATE=MS] [PUSH=URL]\n"
    "                    [CHECKPOINT=FILE]\n"
    "  PROCESS     the processes to monitor, ids of 43 characters\n"
    "  CU          the Compute Unit that has their results; others are used if the first one fails\n"
    "  FROM        where to begin the first time: with the first result, after the newest (the default), or after a cursor\n"
    "  RATE        the time between two polls in ms, 10000 by default\n"
    "  PUSH        posts each result to this URL as JSON; otherwise it is a line of the standard output\n"
    "  CHECKPOINT  where positions are kept, " ?CHECKPOINT " by default".

named(Argument, Given) ->
    case string:split(Argument, "=") of
        [Name, Value] ->
            lists:member(Name, ["PROCESS", "CU", "FROM", "RATE", "PUSH", "CHECKPOINT"])
                orelse wrong(["there is no argument ", Name]),
            is_map_key(Name, Given) andalso wrong([Name, " is given twice"]),
            Value =:= "" andalso wrong([Name, " is empty"]),
            Given#{Name => Value};
        [Other] ->
            wrong(["'", Other, "' is not of the form NAME=VALUE"])
    end.

given(Name, Given) -> [Value || Value <- [maps:get(Name, Given, "")], Value =/= ""].

processes("") -> wrong("PROCESS is missing");
processes(Text) ->
    ProcIds = [list_to_binary(Id) || Id <- string:lexemes(Text, ",")],
    _ = [wrong(["PROCESS: '", Id, "' is not an id of 43 letters, digits, - and _"])
         || Id <- ProcIds, not hb_cron_process_id:is_valid(Id)],
    case lists:usort(ProcIds) of
        [] -> wrong("PROCESS is missing");
        Unique -> Unique
    end.

cu_nodes("") -> wrong("CU is missing");
cu_nodes(Text) -> [url("CU", Url) || Url <- string:lexemes(Text, ",")].

url(Name, Text) ->
    case uri_string:parse(Text) of
        #{scheme := Scheme, host := [_ | _]} when Scheme =:= "http"; Scheme =:= "https" -> unicode:characters_to_binary(Text);
        _ -> wrong([Name, ": '", Text, "' is not a URL of http or https"])
    end.

cursor("earliest") -> earliest;
cursor("latest") -> undefined;
cursor(Text) ->
    try hb_cron_options:cursor(unicode:characters_to_binary(Text))
    catch error:_ -> wrong("FROM: a cursor has 1 to 4096 bytes")
    end.

rate(Text) ->
    try hb_cron_options:rate(list_to_integer(Text))
    catch error:_ -> wrong(["RATE: '", Text, "' is not a number of milliseconds, 1 or more"])
    end.

-spec wrong(unicode:chardata()) -> no_return().
wrong(Text) -> throw({wrong, Text}).
