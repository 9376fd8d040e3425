%%% @doc Examines a node: its options and their sources, what the host offers, the state of the library, the
%%% checkpoint and the monitors, and whether the CU answers. It starts and changes nothing. {@link
%%% hb_cron_doctor_report} judges and prints the findings.
-module(hb_cron_doctor).

-export([examine/1]).

-include_lib("kernel/include/file.hrl").

-export_type([options/0, findings/0, option/0, node_answer/0]).

-type options() :: #{process => hb_process_monitor:process_id(), probe => boolean()}.
%% `process': the process that the CU is asked for, and whose options are shown; by default one that is monitored
%% or configured, otherwise an id that no process has.

-type option() :: {Key :: atom(), Scope :: monitor | node, Value :: term(), From :: start | host | default | refused}.
%% `start': given when the monitor was started; `host': by hb_opts; `refused': the host's value is invalid. Of URLs
%% only the origin is shown.

-type node_answer() :: #{node := binary(), us := non_neg_integer() | undefined,
                         answer := {ok, Cursor :: binary() | earliest} | {error, Class :: atom(), Text :: binary()}}.

-type findings() :: #{
    verdict := ok | attention | wrong,
    advice := [{ok | attention | wrong, What :: binary(), Advice :: binary()}],
    library := #{loaded := ok | {error, term()}, file := string() | undefined, version := binary() | undefined,
                 application := string() | undefined},
    running := boolean(),
    system := #{otp := string(), dirty_io := pos_integer(), processes := {non_neg_integer(), pos_integer()}},
    options := [option()],
    changed := [atom()],
    host := map(),
    environment := [{Variable :: string(), Shown :: binary()}],
    checkpoint := map(),
    counters := #{atom() => non_neg_integer()},
    monitors := hb_cron_totals:totals(),
    undelivered := [hb_cron_info:summary()],
    not_started := [{ProcId :: binary(), Reason :: term()}],
    bad_processes := [{Entry :: term(), Reason :: term()}],
    process := binary(),
    is_known := boolean(),
    cu := [node_answer()] | {not_asked, Why :: term()}
}.
%% `undelivered': some of the monitors whose last fetch or push failed. `not_started': some of the processes that
%% could not be started and wait for the next try. `bad_processes': invalid entries of `cron_processes'. `changed':
%% options of scope node whose value in the host differs from the one in force. `is_known': the process is
%% monitored or configured on this node, or the caller named it.

%% How many undelivered processes are named, and how many monitors are examined for them.
-define(UNDELIVERED, 5).
-define(LOOK_AT, 10000).

-define(PROXIES, ["ALL_PROXY", "HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY"]).

%% @doc Examines everything.
-spec examine(options()) -> findings().
examine(Given) ->
    lists:foreach(fun check/1, maps:to_list(Given)),
    Host = hb_cron_host:describe(),
    {ProcId, IsKnown} = process(Given),
    Running = whereis(hb_cron_monitors_sup) =/= undefined,
    InForce = hb_cron_registry:node_options(),
    Sources = hb_cron_options:sources(),
    Library = library(),
    Totals = hb_cron_totals:read(),
    Findings = #{
        library => Library,
        running => Running,
        system => #{otp => erlang:system_info(otp_release), dirty_io => erlang:system_info(dirty_io_schedulers),
                    processes => {erlang:system_info(process_count), erlang:system_info(process_limit)}},
        options => [shown(Option) || Option <- of_monitor(ProcId, Sources)],
        changed => [Key || {Key, node, Value, From} <- Sources, From =/= refused,
                           is_map_key(Key, InForce), maps:get(Key, InForce) =/= Value],
        host => Host#{push_works => push_works(Host), fault => hb_cron_registry:host_fault(),
                      prometheus => erlang:module_loaded(prometheus_registry),
                      telemetry => erlang:module_loaded(telemetry)},
        environment => environment(),
        checkpoint => checkpoint(InForce, Sources),
        counters => hb_cron_engine:counters(),
        monitors => Totals,
        undelivered => undelivered(Totals),
        not_started => hb_cron_restarts:refused(?UNDELIVERED),
        bad_processes => bad_processes(),
        process => ProcId,
        is_known => IsKnown,
        cu => case Given of
            #{probe := false} -> {not_asked, probe_false};
            #{} -> cu(ProcId, Sources, Library)
        end
    },
    Advice = hb_cron_doctor_report:advice(Findings),
    Findings#{advice => Advice, verdict => worst([Level || {Level, _, _} <- Advice])}.

check({process, ProcID}) -> _ = hb_cron_process_id:new(ProcID), ok;
check({probe, Probe}) when is_boolean(Probe) -> ok;
check({Key, Value}) -> error({bad_option, Key, Value}).

worst(Levels) ->
    case {lists:member(wrong, Levels), lists:member(attention, Levels)} of
        {true, _} -> wrong;
        {_, true} -> attention;
        _ -> ok
    end.

process(#{process := ProcID}) ->
    {hb_cron_process_id:new(ProcID), true};
process(#{}) ->
    case {hb_cron_registry:listing(<<>>, 1), configured()} of
        {[{ProcId, _}], _} -> {ProcId, true};
        {[], [ProcId | _]} -> {ProcId, true};
        {[], []} -> {binary:copy(<<"A">>, 43), false}
    end.

configured() ->
    [ProcId || {ok, ProcId} <- to_start()].

bad_processes() -> [Bad || {bad, Bad} <- to_start()].

to_start() ->
    try hb_cron_host_calls:option(cron_processes) of
        Processes when is_list(Processes), length(Processes) >= 0 -> [configured(Process) || Process <- Processes];
        _ -> []
    catch
        _:_ -> []
    end.

configured(Process) ->
    try
        {ProcId, _} = hb_cron_start:configured(Process),
        {ok, ProcId}
    catch
        error:Reason -> {bad, hb_cron_secret:redact({Process, Reason})}
    end.

%% The process of an entry of `cron_processes'.
id({Id, _Options}) -> Id;
id(Id) -> Id.

library() ->
    Loaded = hb_process_monitor_nif:loaded(),
    #{loaded => Loaded,
      file => hb_process_monitor_nif:file(),
      version => case Loaded of ok -> hb_process_monitor_nif:library_version(); _ -> undefined end,
      application => case application:get_key(hb_process_monitor, vsn) of
          {ok, Version} -> Version;
          undefined -> undefined
      end}.

%% The settings of the process's monitor, or of one that would be started.
of_monitor(ProcId, Sources) ->
    case hb_cron_registry:find(ProcId) of
        {ok, {_, _, #{kept := Kept, rate := Rate} = Own}} ->
            Options = hb_cron_options:settings(Own),
            [case {Key, Scope} of
                {default_cron_rate, _} when is_map_key(rate, Kept) -> {Key, Scope, Rate, start};
                {_, monitor} when is_map_key(Key, Kept) -> {Key, Scope, map_get(Key, Options), start};
                %% A fun is not kept.
                {cron_push, _} when map_get(cron_push, Options) =/= Value -> {Key, Scope, map_get(Key, Options), start};
                _ -> Source
             end || {Key, Scope, Value, _From} = Source <- Sources];
        none ->
            Sources
    end.

%% A text that is not a URL may hold anything, so it is not shown.
shown({cron_node, Scope, _Value, refused}) -> {cron_node, Scope, '(not shown)', refused};
shown({cron_node, Scope, undefined, From}) -> {cron_node, Scope, undefined, From};
shown({cron_node, Scope, Nodes, From}) ->
    List = case is_list(Nodes) andalso not io_lib:char_list(Nodes) of true -> Nodes; false -> [Nodes] end,
    {cron_node, Scope, [origin(Node) || Node <- List], From};
shown({cron_processes, Scope, _Value, refused}) -> {cron_processes, Scope, '(not shown)', refused};
shown({cron_processes, Scope, Processes, From}) ->
    {cron_processes, Scope, [hb_cron_secret:redact(id(Process)) || Process <- Processes], From};
shown(Option) ->
    Option.

origin(Node) when is_list(Node) -> origin(unicode:characters_to_binary(Node));
origin(Node) -> hb_cron_secret:origin(Node).

push_works(#{push := {Module, Function}}) -> hb_cron_host_calls:is_exported(Module, Function, 2);
push_works(#{push := mu}) -> hb_cron_host_calls:is_exported(dev_mu, push, 2);
push_works(#{push := Fun}) when is_function(Fun) -> true;
push_works(#{push := Name}) ->
    {Name, Adapter} = lists:keyfind(Name, 1, hb_cron_host:adapters()),
    Adapter:is_available().

environment() ->
    Names = [Name || Upper <- ?PROXIES, Name <- [Upper, string:lowercase(Upper)]],
    [{Name, case string:uppercase(Name) of
        "NO_PROXY" -> unicode:characters_to_binary(Value);
        _ -> hb_cron_router:origin(unicode:characters_to_binary(Value))
     end} || Name <- Names, Value <- [os:getenv(Name)], Value =/= false, Value =/= ""].

checkpoint(InForce, Sources) ->
    {_, _, Configured, _} = lists:keyfind(cron_checkpoint, 1, Sources),
    case maps:get(cron_checkpoint, InForce, Configured) of
        false ->
            #{path => none};
        Path ->
            Status = case hb_cron_registry:engine() of
                {ok, Engine, _} -> hb_process_monitor_nif:checkpoint_status(Engine);
                none -> #{}
            end,
            Status#{path => filename:absname(Path), file => file_of(Path),
                    writable => is_writable(filename:dirname(filename:absname(Path)))}
    end.

file_of(Path) ->
    case filelib:is_regular(Path) of
        true -> {bytes, filelib:file_size(Path)};
        false -> missing
    end.

%% The first ones. If few of 100,000 monitors fail, the search ends after a tenth of a second.
undelivered(#{failing := 0}) ->
    [];
undelivered(_) ->
    {Rows, _} = hb_cron_info:list(#{state => backing_off, limit => ?UNDELIVERED, look_at => ?LOOK_AT}),
    Rows.

%% What the system says for this node's user. Nothing is written.
is_writable(Dir) ->
    case file:read_file_info(Dir) of
        {ok, #file_info{type = directory, access = Access}} -> Access =:= read_write orelse Access =:= write;
        _ -> false
    end.

%% In a process of its own, whose engine ends with it: the application need not run.
cu(_ProcId, _Sources, #{loaded := {error, _}}) ->
    {not_asked, library_not_loaded};
cu(ProcId, Sources, _Library) ->
    {Asker, Tag} = {self(), make_ref()},
    {_, Ref} = spawn_monitor(fun() -> Asker ! {Tag, asked(ProcId, Sources)} end),
    receive
        {Tag, Answers} -> demonitor(Ref, [flush]), Answers;
        {'DOWN', Ref, process, _, Reason} -> {not_asked, Reason}
    end.

asked(ProcId, Sources) ->
    try ask(ProcId, Sources)
    catch
        %% It may hold a password.
        error:{bad_option, cron_node, _} -> {not_asked, {bad_option, cron_node, '(not shown)'}};
        error:Reason -> {not_asked, Reason}
    end.

ask(ProcId, Sources) ->
    Options = case hb_cron_registry:find(ProcId) of
        {ok, {_, _, Known}} -> Known;
        none -> hb_cron_options:for_monitor(ProcId, #{})
    end,
    #{cron_node := Nodes, cron_connect_timeout := Connect, cron_first_byte_timeout := FirstByte,
      cron_timeout := Total, cron_max_page_bytes := MaxBytes} = hb_cron_options:settings(Options),
    {_, _, CaCertFile, _} = lists:keyfind(cron_cacertfile, 1, Sources),
    New = #{max_inflight => 1, max_buffered => 1, checkpoint => false, checkpoint_interval => 1, dead_letters_max => 0, dead_letters_max_bytes => 0, expire_after => 0,
            cacertfile => case CaCertFile of undefined -> false; _ -> unicode:characters_to_binary(CaCertFile) end},
    case hb_process_monitor_nif:new(New) of
        {ok, Engine} ->
            ok = hb_process_monitor_nif:probe(Engine, ProcId, hb_cron_secret:reveal(Nodes), {Connect, FirstByte, Total, MaxBytes}),
            %% The library has limits; this one is for everything else.
            answers(length(Nodes), erlang:monotonic_time(millisecond) + Total + Connect + 5000);
        {error, Reason} ->
            {not_asked, Reason}
    end.

answers(0, _Until) ->
    [];
answers(Left, Until) ->
    receive
        {hb_cron_probe, Node, Us, Answer} -> [#{node => Node, us => Us, answer => Answer} | answers(Left - 1, Until)]
    after max(0, Until - erlang:monotonic_time(millisecond)) ->
        [#{node => <<>>, us => undefined, answer => {error, timeout, <<"no answer at all">>}}]
    end.
