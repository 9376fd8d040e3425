%%% Root installs into a prepared release of another user. Root's files stay unchanged, and that user's programs do
%%% not run as root. Requires root; otherwise the tests are skipped with a message.
-module(install_root_tests).
-include_lib("eunit/include/eunit.hrl").

-define(OWNER, "12345").
-define(KEPT, "hb_process_monitor").

eunit_wrapper_(Tests) -> deadline:each(Tests).

all_test_() ->
    case os:cmd("id -u") of
        "0\n" ->
            installation:tests([
                {release_of_a_user_is_installed_into_and_left_as_it_was, fun whole_life/1},
                {program_of_a_user_does_not_run_as_root, fun planted_program/1},
                {link_at_the_originals_is_not_followed, fun linked_originals/1},
                {link_at_the_manifest_is_not_followed, fun linked_manifest/1},
                {link_at_the_originals_is_not_followed_by_uninstall, fun linked_leftovers/1},
                {link_in_place_of_the_libraries_is_not_followed, fun linked_lib/1},
                {release_of_several_users_is_refused, fun several_users/1},
                {release_that_others_can_write_to_is_refused, fun writable_by_others/1}
            ]);
        _ ->
            {"skipped: needs root", fun() -> io:format(user, "install_root_tests: skipped, needs root~n", []) end}
    end.

%% Root's files outside the release: a directory with a file.
victim(#{own := Own}) ->
    Victim = filename:join(Own, "victim"),
    ok = file:make_dir(Victim),
    ok = file:write_file(filename:join(Victim, "secret"), "of root"),
    ok = file:change_mode(Victim, 8#700),
    {Victim, host_release:snapshot(Victim)}.

%% A copy, because the release's files are links to those of other tests.
given(Release) ->
    "" = os:cmd("cp -a " ++ Release ++ " " ++ Release ++ ".own && rm -rf " ++ Release ++ " && mv " ++ Release ++ ".own "
                ++ Release ++ " && chown -hR " ?OWNER ":" ?OWNER " " ++ Release),
    ok.

kept(Release) ->
    Kept = filename:join(host_release:app(Release), ?KEPT),
    ok = filelib:ensure_path(Kept),
    Kept.

whole_life(#{release := Release, dist := Dist}) ->
    ok = given(Release),
    Before = host_release:snapshot(Release),
    {0, _} = installation:install(Dist, Release),
    {0, _} = installation:verify(Dist, Release),
    ?assertEqual("", os:cmd("find " ++ Release ++ " ! -uid " ?OWNER)),
    {0, _} = installation:uninstall(Dist, Release),
    ?assertEqual(Before, host_release:snapshot(Release)).

%% When the library is tested, and when an installed one is verified.
planted_program(#{release := Release, dist := Dist, own := Own}) ->
    Ran = filename:join(Own, "ran"),
    ok = file:write_file(Ran, ""),
    ok = file:change_mode(Ran, 8#666),
    ok = file:change_mode(Own, 8#755),
    [Erlexec] = filelib:wildcard(filename:join(Release, "erts-*/bin/erlexec")),
    ok = file:rename(Erlexec, Erlexec ++ ".real"),
    ok = file:write_file(Erlexec, ["#!/bin/sh\nid -u >>", Ran, "\nexec \"$0.real\" \"$@\"\n"]),
    ok = file:change_mode(Erlexec, 8#755),
    ok = given(Release),
    {0, _} = installation:install(Dist, Release, [{"OF_ROOT", "hidden"}]),
    {0, _} = installation:verify(Dist, Release),
    {ok, Users} = file:read_file(Ran),
    ?assertEqual([<<?OWNER>>], lists:usort(binary:split(Users, <<"\n">>, [global, trim_all]))).

linked_originals(#{release := Release, dist := Dist} = World) ->
    {Victim, Before} = victim(World),
    ok = file:make_symlink(Victim, filename:join(kept(Release), "originals")),
    ok = given(Release),
    {1, Said} = installation:install(Dist, Release),
    installation:says(Said, "originals: a symbolic link"),
    ?assertEqual(Before, host_release:snapshot(Victim)).

linked_manifest(#{release := Release, dist := Dist} = World) ->
    {Victim, Before} = victim(World),
    ok = file:make_symlink(filename:join(Victim, "secret"), filename:join(kept(Release), "manifest.new")),
    ok = given(Release),
    {1, Said} = installation:install(Dist, Release),
    installation:says(Said, "manifest.new: a symbolic link"),
    ?assertEqual(Before, host_release:snapshot(Victim)).

linked_leftovers(#{release := Release, dist := Dist} = World) ->
    {Victim, Before} = victim(World),
    ok = file:make_symlink(Victim, filename:join(kept(Release), "originals")),
    ok = given(Release),
    {1, Said} = installation:uninstall(Dist, Release),
    installation:says(Said, "originals: a symbolic link"),
    ?assertEqual(Before, host_release:snapshot(Victim)).

linked_lib(#{release := Release, dist := Dist, own := Own}) ->
    %% A release of root, to which the other one links.
    Other = host_release:copy(Release, filename:join(Own, "other")),
    Before = host_release:snapshot(Other),
    ok = file:del_dir_r(filename:join(Release, "lib")),
    ok = file:make_symlink(filename:join(Other, "lib"), filename:join(Release, "lib")),
    ok = given(Release),
    {1, Said} = installation:install(Dist, Release),
    installation:says(Said, "a symbolic link|no permission to write"),
    ?assertEqual(Before, host_release:snapshot(Other)).

several_users(#{release := Release, dist := Dist}) ->
    ok = given(Release),
    "" = os:cmd("chown 12346 " ++ filename:join(Release, "bin")),
    {1, Said} = installation:install(Dist, Release),
    installation:says(Said, "belong to several users \\(12345 12346\\)").

writable_by_others(#{release := Release, dist := Dist}) ->
    ok = file:change_mode(host_release:app(Release), 8#777),
    {1, Said} = installation:install(Dist, Release),
    installation:says(Said, "users other than root can write to it").
