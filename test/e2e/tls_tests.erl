%%% HTTPS end to end: a CU whose certificate was issued by a test CA, with and without that CA in the option
%%% cron_cacertfile, and everything that is refused.
-module(tls_tests).
-include_lib("eunit/include/eunit.hrl").
-include_lib("public_key/include/public_key.hrl").

eunit_wrapper_(Tests) -> deadline:each(Tests).

all_test_() ->
    {foreach, fun setup/0, fun cleanup/1,
     [{with, [T]} || T <- [
        fun cu_of_the_files_ca_is_polled/1,
        fun cu_of_an_unknown_ca_is_refused/1,
        fun cu_with_a_certificate_for_another_host_is_refused/1,
        fun cu_with_an_expired_certificate_is_refused/1,
        fun cu_that_does_not_speak_tls_is_refused/1,
        fun unusable_file_is_an_error_of_start/1
     ]]}.

setup() ->
    {ok, _} = application:ensure_all_started(ssl),
    harness:setup().

cleanup(Cu) -> harness:cleanup(Cu).

cu_of_the_files_ca_is_polled(_) ->
    {Cu, Ca} = cu(certificate_for(<<127, 0, 0, 1>>)),
    trust(Ca),
    {Id, Monitor, Logger} = ticked(Cu),
    harness:await_results(1, 3),
    %% The idle connection is closed, which is not a failure.
    harness:await_polled(Cu, Id),
    ok = test_cu:go_down(Cu),
    ok = test_cu:come_up(Cu),
    test_cu:add(Cu, Id, 1),
    Monitor ! tick,
    harness:await_results(4, 4),
    ?assertEqual([], [Entry || {error, _, _} = Entry <- harness:report(Logger)]).

cu_of_an_unknown_ca_is_refused(_) ->
    {Cu, _} = cu(certificate_for(<<127, 0, 0, 1>>)),
    refused(Cu, "issuer of the certificate is not trusted").

cu_with_a_certificate_for_another_host_is_refused(_) ->
    {Cu, Ca} = cu(certificate_for(<<127, 0, 0, 2>>)),
    trust(Ca),
    refused(Cu, "another host").

cu_with_an_expired_certificate_is_refused(_) ->
    {Cu, Ca} = cu([{validity, {{2020, 1, 1}, {2021, 1, 1}}} | certificate_for(<<127, 0, 0, 1>>)]),
    trust(Ca),
    refused(Cu, "expired").

cu_that_does_not_speak_tls_is_refused(#{port := Port} = Cu) ->
    Url = iolist_to_binary(io_lib:format("https://127.0.0.1:~b", [Port])),
    refused(Cu#{url := Url}, "plain HTTP?").

unusable_file_is_an_error_of_start(Cu) ->
    Missing = filename:dirname(harness:checkpoint()) ++ "/none.pem",
    Others = [file(Content) || Content <- [<<>>, <<"no PEM">>, <<"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n">>]],
    [begin
        harness:host(#{cron_cacertfile => Path}),
        Binary = unicode:characters_to_binary(Path),
        ?assertError({bad_option, cron_cacertfile, {Binary, <<_/binary>>}}, harness:start(Cu, harness:proc_id(), #{}))
    end || Path <- [Missing | Others]],
    %% With a valid option it starts.
    harness:host(#{}),
    {Monitor, _} = harness:start(Cu, harness:proc_id(), #{}),
    ?assert(is_process_alive(Monitor)).

%% The failure must be of class tls, and the CU must get no request.
refused(Cu, Told) ->
    {_, Monitor, Logger} = ticked(Cu),
    harness:await_logged(Logger, fun({error, tls, {_, Text, 1}}) -> string:find(Text, Told) =/= nomatch end),
    ?assert(is_process_alive(Monitor)),
    harness:no_result(),
    ?assertEqual([], test_cu:requests(Cu)).

%% A monitor that got a tick, of a process with three results.
ticked(Cu) ->
    Id = harness:proc_id(),
    harness:report_pushes(Id),
    test_cu:add(Cu, Id, 3),
    {Monitor, Logger} = harness:start(Cu, Id, #{cursor => earliest}),
    Monitor ! tick,
    {Id, Monitor, Logger}.

trust(Ca) -> harness:host(#{cron_cacertfile => file(Ca)}).

file(Content) ->
    Name = io_lib:format("~b.pem", [erlang:unique_integer([positive])]),
    Path = filename:join(filename:dirname(harness:checkpoint()), lists:flatten(Name)),
    ok = file:write_file(Path, Content),
    Path.

%% A CU with such a certificate, and the PEM of the CA that issued it.
cu(Certificate) ->
    %% All OTP releases encode these as in the RFCs. Other libraries refuse the encoding of RSA parameters (OTP 29)
    %% and of other curves (OTP 25).
    Plain = [{key, {namedCurve, ed25519}}],
    Chain = #{root => Plain, intermediates => [], peer => Plain ++ Certificate},
    #{server_config := Server, client_config := Client} =
        public_key:pkix_test_data(#{server_chain => Chain, client_chain => Chain#{peer => Plain}}),
    Cas = [{'Certificate', Der, not_encrypted} || Der <- proplists:get_value(cacerts, Client)],
    Tls = [Option || {Name, _} = Option <- Server, Name =:= cert orelse Name =:= key orelse Name =:= cacerts],
    {test_cu:start(#{tls => Tls}), public_key:pem_encode(Cas)}.

certificate_for(Address) ->
    Names = #'Extension'{extnID = ?'id-ce-subjectAltName', extnValue = [{iPAddress, Address}], critical = false},
    [{extensions, [Names]}].
