%%% @doc Monitors processes without HyperBEAM: the program behind `make run' and `bin/cron-monitor'. Results go to the
%%% standard output or to a URL ({@link hb_cron_standalone_push}); what happens goes to the standard error
%%% ({@link hb_cron_standalone_status}). Runs until SIGTERM, which OTP turns into a regular stop of the node: all acks are
%%% durable then, and the next run continues after them.
-module(hb_cron_standalone).

-export([main/0, main/1]).

%% Exit statuses.
-define(BAD_ARGUMENTS, 2).
-define(FAILED, 1).

%% @equiv main([])
-spec main() -> ok.
main() -> main([]).

%% @doc The entry point, `erl -run hb_cron_standalone main NAME=VALUE ...'. The flag `-hb_cron_columns N' of `erl' says that
%% the standard error is a terminal of so many columns.
-spec main([string()]) -> ok.
main(Arguments) ->
    case hb_cron_standalone_arguments:read(Arguments) of
        {ok, Settings} -> run(Settings);
        {error, Text} -> fail(?BAD_ARGUMENTS, [Text, "\n\n", hb_cron_standalone_arguments:usage()])
    end.

run(#{entries := Entries, processes := ProcIds, checkpoint := Checkpoint} = Settings) ->
    ok = hb_cron_standalone_status:start(ProcIds, columns()),
    %% Why the application does not start is printed below.
    ok = logger:set_primary_config(level, critical),
    ok = hb_cron_standalone_push:start(Settings),
    ok = case application:load(hb_process_monitor) of ok -> ok; {error, {already_loaded, _}} -> ok end,
    ok = application:set_env(hb_process_monitor, cron_checkpoint, unicode:characters_to_binary(Checkpoint)),
    try
        ok = hb_cron_start:ensure_started(),
        ok = hb_cron_start:start_configured(Entries)
    catch
        error:Reason -> fail(?FAILED, why(Reason))
    end,
    ok = logger:set_primary_config(level, warning),
    %% The first poll does not wait for its place in the interval.
    lists:foreach(fun(ProcId) ->
        case hb_cron_registry:find(ProcId) of
            {ok, {Monitor, _, _}} -> Monitor ! tick, ok;
            none -> ok
        end
    end, ProcIds).

why({checkpoint_unavailable, Path, Reason}) ->
    io_lib:format("the file ~ts cannot be used: ~ts", [Path, Reason]);
why({nif_not_loaded, Tried}) ->
    io_lib:format("the library cannot be loaded: ~0tp", [Tried]);
why(Reason) ->
    io_lib:format("cannot start: ~0tp", [Reason]).

columns() ->
    case init:get_argument(hb_cron_columns) of
        {ok, [[Columns] | _]} -> list_to_integer(Columns);
        _ -> none
    end.

%% Prints why the program ends, and ends it at once.
-spec fail(Status :: pos_integer(), unicode:chardata()) -> no_return().
fail(Status, Text) ->
    io:put_chars(standard_error, ["cron-monitor: ", Text, "\n"]),
    halt(Status).
