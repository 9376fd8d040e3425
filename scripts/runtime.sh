#!/usr/bin/env bash
# runtime.sh OUT: copies what bin/cron-monitor needs of the installed Erlang/OTP into OUT, with the shared libraries of
# the system that a minimal Linux may lack. Only the C library is taken from the machine on which it runs.
# The same Erlang gives the same files. The script neither builds nor tests anything.
set -euo pipefail
unset CDPATH

[ $# -eq 1 ] || { echo "usage: $0 OUT" >&2; exit 2; }
out=$1
rm -rf "$out"
mkdir -p "$out/bin" "$out/lib" "$out/native"

# Modules without debug information, in the applications that the program calls and those that these need. If beam_lib:strip/1
# got the name of a file, it would overwrite it.
OUT=$out erl -noshell -boot no_dot_erlang -eval '
  Out = os:getenv("OUT"),
  %% Debian compresses them.
  Plain = fun(File) ->
    {ok, Beam} = file:read_file(File),
    try zlib:gunzip(Beam) catch error:_ -> Beam end
  end,
  Needed = fun Needed(App, Known) ->
    case lists:member(App, Known) of
      true -> Known;
      false ->
        ok = case application:load(App) of ok -> ok; {error, {already_loaded, App}} -> ok end,
        {ok, Apps} = application:get_key(App, applications),
        lists:foldl(Needed, [App | Known], Apps)
    end
  end,
  lists:foreach(fun(App) ->
    Lib = code:lib_dir(App),
    To = filename:join([Out, "lib", filename:basename(Lib)]),
    lists:foreach(fun(From) ->
      Into = filename:join(To, string:prefix(From, Lib ++ "/")),
      ok = filelib:ensure_dir(Into),
      {ok, _} = case filename:extension(From) of
        ".beam" -> {ok, {_, Beam}} = beam_lib:strip(Plain(From)), {ok, file:write_file(Into, Beam)};
        _ -> file:copy(From, Into)
      end
    end, filelib:wildcard(Lib ++ "/ebin/*.{app,beam}") ++ filelib:wildcard(Lib ++ "/priv/lib/crypto.so"))
  end, lists:foldl(Needed, [], [kernel, stdlib, crypto, inets, public_key, ssl])),
  lists:foreach(fun({Name, Value}) -> ok = file:write_file(filename:join(Out, Name), Value) end, [
    {"root", code:root_dir()}, {"version", erlang:system_info(version)}, {"release", erlang:system_info(otp_release)}]),
  halt().'

root=$(cat "$out/root")
erts=erts-$(cat "$out/version")
release=$(cat "$out/release")
rm "$out/root" "$out/version" "$out/release"
mkdir -p "$out/$erts/bin"
for program in beam.smp erlexec erl_child_setup inet_gethost; do
  cp -L "$root/$erts/bin/$program" "$out/$erts/bin"
done
cp -L "$root/bin/no_dot_erlang.boot" "$out/bin"
find "$out/lib" -name '*.so' -print0 | xargs -0 ldd "$out/$erts"/bin/* | sed -n 's/^\t\(lib[^ ]*\) => \([^ ]*\) .*/\1 \2/p' | sort -u |
  while read -r name file; do
    case $name in
      libc.so* | libm.so* | libdl.so* | libpthread.so* | librt.so* | libutil.so*) ;;
      *)
        cp -L "$file" "$out/native/$name"
        # The package and its version, where dpkg knows them: some packages have names from before /lib became /usr/lib.
        path=$(realpath "$file")
        package=$(dpkg-query --search "$path" "${path#/usr}" 2>/dev/null | sed -n '1s/: .*//p') || true
        echo "native/$name ${package:+$(dpkg-query --show --showformat '${source:Package} ${source:Version}' "$package")}"
        ;;
    esac
  done >"$out/native.versions"
{
  echo "Erlang/OTP $(cat "$root/releases/$release/OTP_VERSION" 2>/dev/null || echo "$release"), $erts"
  (cd "$out/lib" && printf 'lib/%s\n' *)
  cat "$out/native.versions"
} >"$out/VERSIONS"
rm "$out/native.versions"
chmod -R u=rwX,go=rX "$out"
