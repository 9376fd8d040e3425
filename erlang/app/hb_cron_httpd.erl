%%% @doc OTP's httpd for the servers of this program: one address each, whose requests one module answers. No files are
%%% served.
-module(hb_cron_httpd).

-export([free_port/2, start/4, requests/1, no_delay/1, response/3]).

-include_lib("inets/include/httpd.hrl").

%% @doc A free port at an address: this one, or any if it is 0. If a port is in use, httpd says only that it could not
%% start. Therefore the port is tried first.
-spec free_port(inet:ip_address(), inet:port_number()) -> {ok, inet:port_number()} | {error, inet:posix()}.
free_port(Address, Port) ->
    V6Only = [{ipv6_v6only, true} || tuple_size(Address) =:= 8],
    case gen_tcp:listen(Port, [family(Address), {ip, Address}, {reuseaddr, true} | V6Only]) of
        {ok, Socket} ->
            {ok, Free} = inet:port(Socket),
            ok = gen_tcp:close(Socket),
            {ok, Free};
        {error, Reason} ->
            {error, Reason}
    end.

family(Address) when tuple_size(Address) =:= 4 -> inet;
family(_) -> inet6.

%% @doc Starts a server, linked to the caller. `Module' answers the requests, `Options' are limits of httpd.
-spec start(inet:ip_address(), inet:port_number(), module(), [{atom(), term()}]) -> {ok, pid()} | {error, term()}.
start(Address, Port, Module, Options) ->
    Config = [{bind_address, Address}, {ipfamily, family(Address)}, {port, Port}, {server_name, "hb_process_monitor"},
              %% No files are served from there: the module is the only one.
              {server_root, "/"}, {document_root, "/"}, {modules, [Module]}, {customize, Module}, {server_tokens, none} | Options],
    %% Linked only to this process, so that it cannot outlive it.
    case inets:start(httpd, Config, stand_alone) of
        {ok, Httpd} ->
            case named(Httpd) of
                [_] -> {ok, Httpd};
                [] -> true = exit(Httpd, shutdown), {error, eaddrinuse}
            end;
        {error, Reason} ->
            {error, Reason}
    end.

%% @doc The processes that answer a request or wait for one, of a supervisor of servers, `{httpd, _}'.
-spec requests(Supervisor :: pid()) -> [pid()].
requests(Supervisor) ->
    [Request || {httpd, Httpd} <- named(Supervisor), {_, Instance} <- named(Httpd),
                {httpd_connection_sup, Connections} <- named(Instance), {_, Request} <- named(Connections)].

named(Supervisor) ->
    try [{name(Id), Pid} || {Id, Pid, _, _} <- supervisor:which_children(Supervisor), is_pid(Pid)]
    %% It has ended.
    catch exit:_ -> []
    end.

name(Id) when is_tuple(Id) -> element(1, Id);
name(Id) -> Id.

%% @doc httpd sends a response in two pieces, and without this option the second would wait for the client's ack of the
%% first, about 40 ms. httpd has no option for it. The socket may be closed already.
-spec no_delay(#mod{}) -> ok.
no_delay(#mod{socket = Socket}) ->
    _ = inet:setopts(Socket, [{nodelay, true}]),
    ok.

%% @doc What a module returns to httpd.
-spec response(Code :: 200..599, Headers :: [{string(), string()}], Body :: iodata()) ->
    {break, [{response, {response, [term()], iodata()}}]}.
response(Code, Headers, Body) ->
    Length = integer_to_list(iolist_size(Body)),
    {break, [{response, {response, [{code, Code}, {"content-length", Length} | Headers], Body}}]}.
