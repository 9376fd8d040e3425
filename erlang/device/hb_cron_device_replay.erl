%%% @doc Remembers which signed messages were used, for as long as their times are accepted. One process does so for the
%%% device, and one for the listener. Messages are in a file beside
%%% the checkpoint, on disk before a message takes effect, so that a restart of the node lets none be used again. If
%%% there is no such file, messages from before the start are refused. With `cron_checkpoint => false' there is never
%%% one: then no time may be further ahead of the clock than a moment, for which messages are refused after the next
%%% start.
-module(hb_cron_device_replay).
-behaviour(gen_server).

-export([start_link/1, remember/4]).
-export([init/1, handle_call/3, handle_cast/2, handle_info/2]).

%% Of the device and of the listener: the name of the process, the end of the file's name, after the checkpoint's, and the
%% most messages that are remembered.
-define(DEVICE, {hb_cron_device_replay, ".device", 10000}).
-define(LISTENER, {hb_cron_listener_replay, ".items", 50000}).
%% How far ahead of the clock a message may be without a file, and how long after the start such messages from before
%% are refused, in ms.
-define(AHEAD, 1000).
%% How long a caller waits, in ms. A disk may hang.
-define(PATIENCE, 10000).
%% Lines of the file that no longer count, at which it is written again.
-define(STALE, 1000).

-record(state, {
    suffix :: string(),
    most :: pos_integer(),
    %% When this process started, in ms since 1970.
    started :: integer(),
    %% `none' without a checkpoint's file; `closed' before the first message.
    file = closed :: closed | none | {file:io_device(), file:filename_all()},
    %% Messages dated at or before this time may have been used.
    floor = 0 :: integer(),
    seen = #{} :: #{Id :: binary() => Time :: integer()},
    %% Lines in the file.
    lines = 0 :: non_neg_integer()
}).

-spec start_link(device | listener) -> gen_server:start_ret().
start_link(Of) ->
    {Name, Suffix, Most} = case Of of device -> ?DEVICE; listener -> ?LISTENER end,
    gen_server:start_link({local, Name}, ?MODULE, {Suffix, Most}, []).

%% @doc Uses a message up: its id, and its time in ms since 1970, which is at most `Window' ms from now.
-spec remember(hb_cron_device_replay | hb_cron_listener_replay, Id :: binary(), Time :: integer(), Window :: pos_integer()) ->
    ok | {error, seen | too_old | too_many | not_durable}.
remember(Name, Id, Time, Window) ->
    try gen_server:call(Name, {remember, Id, Time, Window}, ?PATIENCE)
    catch exit:_ -> {error, not_durable}
    end.

%% @private
-spec init({Suffix :: string(), Most :: pos_integer()}) -> {ok, #state{}}.
init({Suffix, Most}) ->
    {ok, #state{suffix = Suffix, most = Most, started = erlang:system_time(millisecond)}}.

%% @private
-spec handle_call(term(), gen_server:from(), #state{}) -> {reply, ok | {error, atom()}, #state{}}.
handle_call({remember, Id, Time, Window}, _From, State) ->
    Now = erlang:system_time(millisecond),
    case opened(State) of
        {ok, #state{seen = Seen} = Open} ->
            Live = Open#state{seen = maps:filter(fun(_, At) -> At >= Now - Window end, Seen)},
            noted(Id, Time, Now, Live);
        {error, Reason} ->
            ok = hb_cron_host_logger:log(undefined, {error, device_not_durable, Reason}),
            {reply, {error, not_durable}, State}
    end;
handle_call(_Call, _From, State) ->
    {reply, {error, unknown_call}, State}.

noted(Id, Time, Now, #state{seen = Seen, file = File, floor = Floor, most = Most} = State) ->
    if
        is_map_key(Id, Seen) -> {reply, {error, seen}, State};
        Time =< Floor -> {reply, {error, too_old}, State};
        File =:= none, Time > Now + ?AHEAD -> {reply, {error, too_old}, State};
        map_size(Seen) >= Most -> {reply, {error, too_many}, State};
        true ->
            case written(Id, Time, State) of
                {ok, Written} ->
                    {reply, ok, Written#state{seen = Seen#{Id => Time}}};
                {error, Reason} ->
                    ok = hb_cron_host_logger:log(undefined, {error, device_not_durable, Reason}),
                    {reply, {error, not_durable}, closed(State)}
            end
    end.

%% @private
-spec handle_cast(term(), #state{}) -> {noreply, #state{}}.
handle_cast(_Cast, State) ->
    {noreply, State}.

%% @private
-spec handle_info(term(), #state{}) -> {noreply, #state{}}.
handle_info(_Stray, State) ->
    {noreply, State}.

opened(#state{file = closed, started = Started, suffix = Suffix} = State) ->
    case maps:get(cron_checkpoint, hb_cron_registry:node_options(), false) of
        false -> {ok, State#state{file = none, floor = Started + ?AHEAD}};
        Checkpoint -> read(unicode:characters_to_binary([Checkpoint, Suffix]), State)
    end;
opened(State) ->
    {ok, State}.

%% What was remembered by this process before the file was closed counts, too.
read(Path, #state{started = Started, seen = Seen, floor = Floor} = State) ->
    case file:read_file(Path) of
        {ok, Text} ->
            Lines = [Entry || Line <- binary:split(Text, <<"\n">>, [global]), {ok, Entry} <- [entry(Line)]],
            rewrite(Path, State#state{seen = maps:merge(maps:from_list(Lines), Seen)});
        {error, enoent} ->
            rewrite(Path, State#state{floor = max(Floor, Started)});
        {error, Reason} ->
            {error, {Path, Reason}}
    end.

%% Lines that a crash cut off did not take effect.
entry(<<Id:43/binary, " ", Time/binary>>) ->
    try {ok, {decoded(Id), binary_to_integer(Time)}}
    catch error:_ -> error
    end;
entry(_) ->
    error.

decoded(Id) -> base64:decode(<<Id/binary, "=">>).

line(Id, Time) -> [binary:part(base64:encode(Id), 0, 43), $\s, integer_to_binary(Time), $\n].

%% Writes the file with what still counts, and opens it.
rewrite(Path, #state{seen = Seen} = State) ->
    New = <<Path/binary, ".new">>,
    Lines = [line(Id, Time) || {Id, Time} <- maps:to_list(Seen)],
    try
        {ok, File} = file:open(New, [write, raw, binary]),
        ok = file:change_mode(New, 8#600),
        ok = file:write(File, Lines),
        ok = file:datasync(File),
        ok = file:rename(New, Path),
        %% Else a crash of the system could bring the old file back.
        {ok, Dir} = file:open(filename:dirname(Path), [read, raw, directory]),
        ok = file:datasync(Dir),
        ok = file:close(Dir),
        {ok, State#state{file = {File, Path}, lines = map_size(Seen)}}
    catch
        error:{badmatch, {error, Reason}} -> {error, {Path, Reason}}
    end.

written(_Id, _Time, #state{file = none} = State) ->
    {ok, State};
written(Id, Time, #state{file = {_, Path}, seen = Seen, lines = Lines} = State) when Lines > map_size(Seen) + ?STALE ->
    case rewrite(Path, State) of
        {ok, Rewritten} ->
            _ = closed(State),
            written(Id, Time, Rewritten);
        {error, Reason} ->
            {error, Reason}
    end;
written(Id, Time, #state{file = {File, Path}, lines = Lines} = State) ->
    try
        ok = file:write(File, line(Id, Time)),
        ok = file:datasync(File),
        {ok, State#state{lines = Lines + 1}}
    catch
        error:{badmatch, {error, Reason}} -> {error, {Path, Reason}}
    end.

closed(#state{file = {File, _}} = State) ->
    _ = file:close(File),
    State#state{file = closed};
closed(State) ->
    State.
