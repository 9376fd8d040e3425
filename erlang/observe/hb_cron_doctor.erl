%%% @doc Examines a node: its options and their sources, what the host offers, the state of the library, the
%%% checkpoint and the monitors, and whether the CU answers. It starts and changes nothing. {@link
%%% hb_cron_doctor_report} judges and prints the findings.
-module(hb_cron_doctor).

-export([examine/1, host/0]).

-include_lib("kernel/include/file.hrl").

-export_type([options/0, findings/0, option/0, node_answer/0]).

-type options() :: #{process => hb_process_monitor:process_id(), probe => boolean()}.
%% `process': the process that the CU is asked for, and whose options are shown; by default one that is monitored
%% or configured, otherwise an id that no process has.

-type option() :: {Key :: atom(), Scope :: monitor | node, Value :: term(),
                   From :: call | hb_cron_configuration:source() | default | refused}.
%% `call': given when the monitor was started; `refused': the first source that has the option holds a value that
%% cannot be read, so the default applies. Of URLs only the origin is shown.

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
    refused := [hb_cron_configuration:refused()],
    changed := [atom()],
    host := map(),
    environment := [{Variable :: string(), Shown :: binary()}],
    checkpoint := map(),
    cluster := hb_cron_cluster_report:findings() | undefined,
    counters := #{atom() => non_neg_integer()},
    monitors := hb_cron_totals:totals(),
    undelivered := [hb_cron_info:summary()],
    not_started := [{ProcId :: binary(), Reason :: term()}],
    bad_processes := [{Entry :: term(), Reason :: term()}],
    process := binary(),
    asks := binary() | undefined,
    is_known := boolean(),
    cu := [node_answer()] | {not_asked, Why :: term()}
}.
%% `undelivered': some of the monitors whose last fetch or push failed. `not_started': some of the processes that
%% could not be started and wait for the next try. `bad_processes': invalid entries of `cron_processes'. `refused':
%% configured values that cannot be read. `changed': options of scope node whose configured value differs from the
%% one in force. `asks': when the process's monitor on this host node asks, and why. `is_known': the process is
%% monitored or configured on this node, or the caller named it.

%% How many undelivered processes are named, and how many monitors are examined for them.
-define(UNDELIVERED, 5).
-define(LOOK_AT, 10000).

-define(PROXIES, ["ALL_PROXY", "HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY"]).

%% @doc Examines everything.
-spec examine(options()) -> findings().
examine(Given) ->
    lists:foreach(fun check/1, maps:to_list(Given)),
    ok = look_at_host(),
    #{refused := Refused} = Configuration = hb_cron_configuration:read(),
    Sources = hb_cron_options:sources(Configuration),
    Host = host(Configuration, Sources),
    Entries = entries(Sources),
    {ProcId, IsKnown} = process(Given, Entries),
    Running = whereis(hb_cron_monitors_sup) =/= undefined,
    InForce = hb_cron_registry:node_options(),
    Library = library(),
    Totals = hb_cron_totals:read(),
    Findings = #{
        library => Library,
        running => Running,
        system => #{otp => erlang:system_info(otp_release), dirty_io => erlang:system_info(dirty_io_schedulers),
                    processes => {erlang:system_info(process_count), erlang:system_info(process_limit)}},
        options => [shown(Option) || Option <- of_monitor(ProcId, Sources)],
        refused => Refused,
        changed => [Key || {Key, node, Value, From} <- Sources, From =/= refused,
                           is_map_key(Key, InForce), maps:get(Key, InForce) =/= hb_cron_secret:seal(Value)],
        host => Host#{push_works => push_works(Host), fault => hb_cron_registry:host_fault(),
                      prometheus => erlang:module_loaded(prometheus_registry),
                      telemetry => erlang:module_loaded(telemetry)},
        environment => environment(),
        checkpoint => checkpoint(InForce, Sources),
        cluster => cluster(Sources),
        counters => hb_cron_engine:counters(),
        monitors => Totals,
        undelivered => undelivered(Totals),
        not_started => hb_cron_restarts:refused(?UNDELIVERED),
        bad_processes => [Bad || {bad, Bad} <- Entries],
        process => ProcId,
        asks => asks(ProcId),
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

%% @doc What is used of the host.
-spec host() -> map().
host() ->
    ok = look_at_host(),
    Configuration = hb_cron_configuration:read(),
    host(Configuration, hb_cron_options:sources(Configuration)).

host(#{routing := Routing}, Sources) ->
    hb_cron_host:describe(maps:from_list([{Key, Value} || {Key, _, Value, _} <- Sources]), Routing).

%% While the application runs, what it found of the host's exports at its start is in force; otherwise its start will
%% look again.
look_at_host() ->
    case whereis(hb_cron_sup) of
        undefined -> hb_cron_host:detect();
        _ -> ok
    end.

process(#{process := ProcID}, _Entries) ->
    {hb_cron_process_id:new(ProcID), true};
process(#{}, Entries) ->
    case {hb_cron_registry:listing(<<>>, 1), [ProcId || {ok, ProcId} <- Entries]} of
        {[{ProcId, _}], _} -> {ProcId, true};
        {[], [ProcId | _]} -> {ProcId, true};
        {[], []} -> {binary:copy(<<"A">>, 43), false}
    end.

%% The entries of `cron_processes': the process of each, or what is wrong with it.
entries(Sources) ->
    {_, _, Entries, _} = lists:keyfind(cron_processes, 1, Sources),
    [entry(Entry) || Entry <- Entries].

entry(Entry) ->
    try
        {ProcId, _} = hb_cron_process_entry:read(Entry),
        {ok, ProcId}
    catch
        error:Reason -> {bad, hb_cron_secret:redact({Entry, Reason})}
    end.

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
                {default_cron_rate, _} when is_map_key(rate, Kept) -> {Key, Scope, Rate, call};
                {_, monitor} when is_map_key(Key, Kept) -> {Key, Scope, map_get(Key, Options), call};
                %% A fun is not kept.
                {cron_push, _} when map_get(cron_push, Options) =/= Value -> {Key, Scope, map_get(Key, Options), call};
                _ -> Source
             end || {Key, Scope, Value, _From} = Source <- Sources];
        none ->
            Sources
    end.

shown({cron_node, Scope, undefined, From}) -> {cron_node, Scope, undefined, From};
shown({cron_node, Scope, Nodes, From}) ->
    List = case is_list(Nodes) andalso not io_lib:char_list(Nodes) of true -> Nodes; false -> [Nodes] end,
    {cron_node, Scope, [origin(Node) || Node <- List], From};
shown({cron_processes, Scope, Entries, From}) ->
    {cron_processes, Scope, [hb_cron_secret:redact(hb_cron_process_entry:id(Entry)) || Entry <- Entries], From};
shown({cron_cluster, Scope, Url, From}) ->
    {cron_cluster, Scope, hb_cron_secret:redact(Url), From};
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
    case {maps:get(cron_checkpoint, InForce, Configured), hb_cron_cluster:is_on()} of
        {_, true} ->
            (checkpoint_status())#{path => cluster};
        {false, false} ->
            #{path => none};
        {Path, false} ->
            (checkpoint_status())#{path => filename:absname(Path), file => file_of(Path),
                                   writable => is_writable(filename:dirname(filename:absname(Path)))}
    end.

checkpoint_status() ->
    case hb_cron_registry:engine() of
        {ok, Engine, _} -> hb_process_monitor_nif:checkpoint_status(Engine);
        none -> #{}
    end.

cluster(Sources) ->
    case hb_cron_cluster:status() of
        undefined ->
            undefined;
        Status ->
            {_, _, _, From} = lists:keyfind(cron_checkpoint, 1, Sources),
            {_, _, Url, _} = lists:keyfind(cron_cluster, 1, Sources),
            #{status => Status, not_started => hb_cron_unstarted:recent(),
              unused_checkpoint => From =/= default andalso From =/= refused,
              unencrypted => is_unencrypted(hb_cron_secret:reveal(Url))}
    end.

%% The library has checked the URL in force. The configured one may have changed since.
is_unencrypted(Url) when is_binary(Url) ->
    binary:match(Url, <<"sslmode=disable">>) =/= nomatch
        andalso not lists:all(fun is_loopback/1, binary:split(hosts(Url), <<",">>, [global]));
is_unencrypted(_) ->
    false.

hosts(Url) ->
    [Authority | _] = binary:split(lists:last(binary:split(Url, <<"://">>)), [<<"/">>, <<"?">>]),
    lists:last(binary:split(Authority, <<"@">>, [global])).

is_loopback(<<"localhost", Rest/binary>>) -> Rest =:= <<>> orelse binary:first(Rest) =:= $:;
is_loopback(<<"[::1]", _/binary>>) -> true;
is_loopback(<<"127.", _/binary>>) -> true;
is_loopback(_) -> false.

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

%% Of the monitor on this host node, since in a cluster only the owner asks.
asks(ProcId) ->
    case hb_cron_registry:listing_of(ProcId) of
        [{_, Monitor}] ->
            case hb_cron_info:info(Monitor) of
                #{asks := _} = Info -> unicode:characters_to_binary(hb_cron_table:asking(Info));
                undefined -> undefined
            end;
        [] ->
            undefined
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
            cluster => false, cacertfile => case CaCertFile of undefined -> false; _ -> unicode:characters_to_binary(CaCertFile) end},
    case hb_process_monitor_nif:new(New) of
        {ok, Engine} ->
            ok = hb_process_monitor_nif:probe(Engine, ProcId, hb_cron_secret:reveal(Nodes), {Connect, FirstByte, Total, MaxBytes}),
            %% The library has limits; this one is for everything else.
            answers(length(Nodes), hb_cron_deadline:new(Total + Connect + 5000));
        {error, Reason} ->
            {not_asked, Reason}
    end.

answers(0, _Until) ->
    [];
answers(Left, Until) ->
    receive
        {hb_cron_probe, Node, Us, Answer} -> [#{node => Node, us => Us, answer => Answer} | answers(Left - 1, Until)]
    after hb_cron_deadline:left(Until) ->
        [#{node => <<>>, us => undefined, answer => {error, timeout, <<"no answer at all">>}}]
    end.
