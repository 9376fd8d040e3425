%%% @doc Pushes results without HyperBEAM: each becomes a line of JSON, which is written to the standard output or posted to
%%% a URL. A result is delivered once it is written, or once the answer has a status of 2xx; otherwise it is retried as any
%%% push.
-module(hb_cron_standalone_push).
-behaviour(gen_server).

-export([start/1, push/2, line/2]).
-export([init/1, handle_call/3, handle_cast/2]).

%% How long the receiver of a posted result may take to accept a connection, and to answer, in ms.
-define(CONNECT_LIMIT, 10000).
-define(ANSWER_LIMIT, 30000).
%% How many connections there may be for each receiver.
-define(SESSIONS, 100).
-define(TARGET, {?MODULE, target}).

%% @doc Prepares for pushing to where the settings say.
-spec start(hb_cron_standalone_arguments:settings()) -> ok.
start(#{push := stdout = Target}) ->
    {ok, _} = gen_server:start({local, ?MODULE}, ?MODULE, [], []),
    persistent_term:put(?TARGET, Target);
start(#{push := {url, _} = Target}) ->
    _ = [{ok, _} = application:ensure_all_started(Application) || Application <- [inets, ssl]],
    {ok, _} = inets:start(httpc, [{profile, ?MODULE}]),
    ok = httpc:set_options([{max_sessions, ?SESSIONS}, {max_keep_alive_length, 0}], ?MODULE),
    persistent_term:put(?TARGET, Target).

%% @doc Pushes one result: the function of the option `cron_push'.
-spec push(#{message := map()}, #{proc_id := binary(), atom() => term()}) -> ok | {error, Reason :: term()}.
push(#{message := Result}, #{proc_id := ProcId}) ->
    Line = line(ProcId, Result),
    Pushed = case persistent_term:get(?TARGET) of
        stdout -> gen_server:call(?MODULE, {write, [Line, $\n]}, infinity);
        {url, Url} -> post(Url, iolist_to_binary(Line))
    end,
    _ = Pushed =:= ok andalso hb_cron_standalone_status:pushed(ProcId),
    Pushed.

%% @doc A result as JSON. `time' is in ms since 1970, and null if the cursor is not one of AO.
-spec line(ProcId :: binary(), Result :: map()) -> iodata().
line(ProcId, #{<<"cursor">> := Cursor} = Result) ->
    Time = hb_process_monitor_nif:cursor_time(Cursor),
    ["{\"process\":", hb_cron_json:encode(ProcId), ",\"cursor\":", hb_cron_json:encode(Cursor), ",\"time\":", hb_cron_json:encode(Time),
     ",\"result\":", hb_cron_json:encode(maps:remove(<<"cursor">>, Result)), "}"].

post(Url, Body) ->
    Http = [{autoredirect, false}, {connect_timeout, ?CONNECT_LIMIT}, {timeout, ?ANSWER_LIMIT} | tls(Url)],
    case httpc:request(post, {Url, [], "application/json", Body}, Http, [{body_format, binary}], ?MODULE) of
        {ok, {{_, Status, _}, _, _}} when Status >= 200, Status =< 299 -> ok;
        {ok, {{_, Status, _}, _, Answer}} -> {error, {status, Status, hb_cron_excerpt:details(Answer)}};
        {error, Reason} -> {error, Reason}
    end.

tls(<<"https", _/binary>> = Url) ->
    #{host := Host} = uri_string:parse(Url),
    Check = public_key:pkix_verify_hostname_match_fun(https),
    [{ssl, [{verify, verify_peer}, {cacerts, public_key:cacerts_get()}, {server_name_indication, binary_to_list(Host)},
            {customize_hostname_check, [{match_fun, Check}]}]}];
tls(_) ->
    [].

%% The process that writes the standard output: lines of several monitors must not mix. It writes in the raw mode, in which
%% a write returns once the operating system has the bytes, and fails if the reader has gone.

%% @private
-spec init([]) -> {ok, file:io_device()}.
init([]) ->
    {ok, File} = file:open("/dev/stdout", [append, raw, binary]),
    {ok, File}.

%% @private
-spec handle_call({write, iodata()}, gen_server:from(), file:io_device()) ->
    {reply, ok | {error, term()}, file:io_device()}.
handle_call({write, Line}, _From, File) ->
    case file:write(File, Line) of
        ok -> {reply, ok, File};
        %% Nothing can be delivered any more. The node stops as with SIGTERM.
        {error, Reason} ->
            io:format(standard_error, "cron-monitor: the standard output cannot be written (~p): ending~n", [Reason]),
            ok = init:stop(1),
            {reply, {error, {stdout, Reason}}, File}
    end.

%% @private
-spec handle_cast(term(), file:io_device()) -> {noreply, file:io_device()}.
handle_cast(_Cast, File) -> {noreply, File}.
