%%% @doc A monitor's registration with the engine: makes it, ends it, and moves it to another CU if the host's
%%% router says so. It runs in the monitor, which decides when, and receives the engine's messages.
-module(hb_cron_registration).

-export([register/5, remove/3, follow_router/4, log_origin/4]).

-export_type([registration/0, wait/0]).

-type registration() :: {hb_process_monitor_nif:handle(), hb_process_monitor_nif:epoch(), Ticker :: pid()}.
%% Its handle, its epoch, and the process of the engine, with which it ends.

-type wait() :: durable | {wait, hb_process_monitor_nif:epoch()}.
%% Whether the monitor must wait until its acks are durable.

%% @doc Registers the calling process with the running engine, and returns where it begins. `GoOn': continue from
%% the checkpoint if it knows the process, whatever the cursor. `none': there is no engine now, and the next one
%% will call. `lost': in a cluster, this host node does not own the process.
-spec register(ProcId :: binary(), hb_cron_options:cursor(), GoOn :: boolean(),
               hb_cron_options:monitor(), hb_cron_status_words:words()) ->
    {ok, registration(), hb_process_monitor_nif:origin(), Start :: hb_cron_options:cursor()} | lost | none.
register(ProcId, Cursor, GoOn, Options, Words) ->
    case hb_cron_registry:engine() of
        {ok, Engine, Ticker} ->
            Register = fun() ->
                Library = hb_cron_options:for_library(ProcId, Cursor, Options),
                hb_process_monitor_nif:register(Engine, Library#{go_on => GoOn})
            end,
            case without_arguments(Register) of
                {ok, Handle, Epoch, {Origin, Start}} ->
                    ok = hb_cron_status_words:set_epoch(Words, Epoch),
                    ok = hb_cron_tag_reader:read(ProcId, Handle),
                    {ok, {Handle, Epoch, Ticker}, Origin, Start};
                {error, lost} ->
                    lost;
                {error, stopped} ->
                    none
            end;
        none ->
            none
    end.

%% @doc Ends it. `Watched': whether the process is to be resumed when the node starts next.
-spec remove(Watched :: boolean(), registration(), hb_cron_status_words:words()) -> wait().
remove(Watched, {Handle, Epoch, _Ticker}, Words) ->
    Wait = case hb_process_monitor_nif:remove(Handle, Watched) of
        durable -> durable;
        wait -> {wait, Epoch}
    end,
    ok = hb_cron_status_words:set_epoch(Words, 0),
    Wait.

%% @doc Asks the host's configuration and router again, if they chose the CU, as often as failures are reported.
%% Returns the options from now on.
-spec follow_router(ProcId :: binary(), registration(), hb_cron_options:monitor(),
                    hb_cron_host_logger:logger()) -> hb_cron_options:monitor().
follow_router(ProcId, {Handle, _, _}, #{routed := true} = Options, Logger) ->
    #{cron_node := Nodes} = hb_cron_options:settings(Options),
    case hb_cron_options:host_nodes(ProcId) of
        {Source, Others} when Source =/= default ->
            case hb_cron_secret:seal(Others) of
                Nodes -> Options;
                Sealed -> move(ProcId, Handle, Sealed, Options, Logger)
            end;
        _ ->
            Options
    end;
follow_router(_ProcId, _Registration, Options, _Logger) ->
    Options.

move(ProcId, Handle, [Node | _] = Nodes, Options, Logger) ->
    case without_arguments(fun() -> hb_process_monitor_nif:move_to(Handle, hb_cron_secret:reveal(Nodes)) end) of
        ok ->
            Origin = hb_cron_secret:origin(Node),
            ok = hb_cron_host_logger:log(Logger, {ok, moved_node, {ProcId, Origin}}),
            hb_cron_options:moved(Nodes, Options);
        {error, {bad_node, _}} ->
            %% The router's answer is not a CU: the old one may recover.
            Options
    end.

%% An exception without arguments in its stack trace, which is printed: they may hold passwords.
without_arguments(Fun) ->
    try Fun()
    catch Class:Reason:Stack -> erlang:raise(Class, Reason, hb_cron_secret:stack(Stack))
    end.

%% @doc Logs where a process begins, if its caller wanted something else.
-spec log_origin(hb_process_monitor_nif:origin(), Start :: hb_cron_options:cursor(), ProcId :: binary(),
                 hb_cron_host_logger:logger()) -> ok.
log_origin(new, _Start, _ProcId, _Logger) ->
    ok;
log_origin(resumed, Start, ProcId, Logger) ->
    hb_cron_host_logger:log(Logger, {ok, resumed, {ProcId, Start}});
log_origin({overruled, Stored}, Start, ProcId, Logger) ->
    hb_cron_host_logger:log(Logger, {ok, checkpoint_overruled, {ProcId, {stored, Stored}, {given, Start}}});
log_origin({stale, Stored}, undefined, ProcId, Logger) ->
    hb_cron_host_logger:log(Logger, {error, stale_cursor, {ProcId, Stored, from_the_latest_result}});
log_origin({stale, Stored}, Start, ProcId, Logger) ->
    hb_cron_host_logger:log(Logger, {error, stale_cursor, {ProcId, Stored, {given, Start}}}).
