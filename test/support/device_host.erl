%%% Loads the doubles of a host that has devices, of spring 2025 (device_b) or autumn 2025 (device_c), and starts its
%%% HTTP listener. Has wallets, and signed messages for the device `process-monitor@1.0'.
-module(device_host).

-export([load/1, unload/1, start_listener/1, node_message/0, set_node_message/1]).
%% Messages and requests
-export([message/2, message/3, sign/2, call/2, call/3, signed_call/3, signed_call/4]).
%% Wallets
-export([wallet/1, address/1]).
%% For the doubles
-export([ranch_info/1, id/1, base64url/1, decoded/1]).

-type host() :: device_b | device_c.

%% Loads the doubles of a host, and starts its listener with the operator's wallet. Returns the modules, for unload/1.
-spec load(host()) -> [module()].
load(Host) ->
    ok = host_double:start(),
    ok = persistent_term:put(?MODULE, Host),
    Files = lists:append([filelib:wildcard(harness:checkout(filename:join(["test", "support", Dir, "*.erl"])))
                          || Dir <- [device, Host]]),
    Modules = [load_file(filename:rootname(File)) || File <- Files],
    ok = start_listener(#{}),
    Modules.

load_file(Name) ->
    {ok, Module, Code} = compile:file(Name, [binary, report]),
    harness:unload(Module),
    {module, Module} = code:load_binary(Module, Name, Code),
    Module.

unload(Modules) ->
    lists:foreach(fun harness:unload/1, Modules),
    persistent_term:erase(?MODULE),
    host_double:stop().

%% Starts the listener, or starts it again: then it has the host's own devices only.
start_listener(Options) ->
    Devices = [#{<<"name">> => <<"cron@1.0">>, <<"module">> => dev_cron},
               #{<<"name">> => <<"meta@1.0">>, <<"module">> => dev_meta}],
    hb_http_server:start_listener(address(operator), maps:merge(
        #{preloaded_devices => Devices, priv_wallet => wallet(operator), port => 8734}, Options)).

node_message() -> cowboy:get_env(address(operator), node_msg, undefined).

set_node_message(Message) -> cowboy:set_env(address(operator), node_msg, Message).

ranch_info(Listeners) ->
    case persistent_term:get(?MODULE) of
        device_b -> Listeners;
        device_c -> maps:from_list(Listeners)
    end.

%% What is to be signed for an action: now, with a nonce, since tests do many in the same millisecond.
message(Action, ProcId) -> message(Action, ProcId, #{}).

message(Action, ProcId, More) ->
    Nonce = integer_to_binary(erlang:unique_integer([positive])),
    maps:merge(#{<<"action">> => Action, <<"process">> => ProcId, <<"nonce">> => Nonce,
                 <<"time">> => erlang:system_time(millisecond)}, More).

sign(Message, Name) -> hb_message:commit(Message, #{priv_wallet => wallet(Name)}).

%% The status and the text of a request.
call(Key, Message) -> call(Key, Message, #{}).

call(Key, Message, Also) -> hb_http_server:request(Key, Message, Also).

signed_call(Name, Key, ProcId) -> signed_call(Name, Key, ProcId, #{}).

signed_call(Name, Key, ProcId, More) -> call(Key, sign(message(Key, ProcId, More), Name)).

%% A wallet by name, in the host's form. Making one takes a while, so each is kept.
wallet(Name) ->
    case persistent_term:get({?MODULE, Name}, none) of
        none ->
            {[_, Key], [_, Key, Private | _]} = crypto:generate_key(rsa, {2048, 65537}),
            Wallet = {{{rsa, 65537}, Private, Key}, {{rsa, 65537}, Key}},
            ok = persistent_term:put({?MODULE, Name}, Wallet),
            Wallet;
        Wallet ->
            Wallet
    end.

address(Name) -> base64url(ar_wallet:to_address(wallet(Name))).

id(Bytes) when is_binary(Bytes) -> base64url(crypto:hash(sha256, Bytes));
id(Term) -> id(term_to_binary(Term)).

base64url(Bytes) ->
    << <<(case C of $+ -> $-; $/ -> $_; _ -> C end)>> || <<C>> <= string:trim(base64:encode(Bytes), trailing, "=") >>.

decoded(Text) ->
    Standard = << <<(case C of $- -> $+; $_ -> $/; _ -> C end)>> || <<C>> <= Text >>,
    base64:decode(<<Standard/binary, (binary:copy(<<"=">>, (4 - byte_size(Text) rem 4) rem 4))/binary>>).
