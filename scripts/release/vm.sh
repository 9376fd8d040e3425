# Tests the library in a temporary Erlang VM: the release's own if it has one, because that is the VM that has to
# load it. The VM has no distribution, no cookie and no shell. It does not start the host and writes nothing. To be
# sourced.
# shellcheck shell=bash

# Takes the library that is to be installed.
PROBE_PAYLOAD='
    {ok, [[Library]]} = init:get_argument(hb_process_monitor_probe),
    ok = application:set_env(hb_process_monitor, nif_path, Library),'
# Prints the version of Erlang, and whether the library loads.
PROBE_LIBRARY='
    Line = fun(Key, Text) -> io:format("~s ~ts~n", [Key, Text]) end,
    Line("otp", erlang:system_info(otp_release)),
    Line("nif", erlang:system_info(nif_version)),
    case hb_process_monitor_nif:loaded() of
        ok -> Line("loaded", "");
        {error, Tried} -> [Line("reason", [Path, ": ", Why]) || {Path, Why} <- Tried]
    end,'
# Prints what the host offers, with all of its modules on the code path.
PROBE_HOST='
    _ = code:ensure_loaded(hb_cron_doctor),
    case erlang:function_exported(hb_cron_doctor, host, 0) of
        true ->
            try apply(hb_cron_doctor, host, []) of
                Host -> [Line("host", io_lib:format("~p ~0tp", [Key, Value])) || {Key, Value} <- lists:sort(maps:to_list(Host))]
            catch Class:Reason -> Line("raised", io_lib:format("~0tp", [{Class, Reason}]))
            end;
        false -> ok
    end,'

# Runs `Code' with these directories on the code path. Sets VM_SAID to its output.
vm() {
  local code=$1 erts boot environment command name release_version status=0
  shift
  read -r erts release_version 2>/dev/null <"$RELEASE/releases/start_erl.data" || release_version='*'
  erts=$RELEASE/erts-${erts:-none}
  [ -d "$erts" ] || for erts in "$RELEASE"/erts-*; do :; done
  VM_DIR=$(mktemp -d)
  trap 'rm -rf "$VM_DIR"' EXIT
  ERLANG="the release's own Erlang"
  if [ -x "$erts/bin/erlexec" ]; then
    for name in no_dot_erlang start_clean; do
      for boot in "$RELEASE"/releases/$release_version/$name.boot "$RELEASE/bin/$name.boot"; do
        [ ! -f "$boot" ] || break 2
      done
    done
    [ -f "$boot" ] || die "$RELEASE: it has no start_clean.boot, which is required to test the library."
    environment=(-i PATH="$PATH" HOME="$VM_DIR" LANG=C.UTF-8 LD_LIBRARY_PATH="${LD_LIBRARY_PATH:-}"
      ROOTDIR="$RELEASE" BINDIR="$erts/bin" EMU=beam PROGNAME=erl)
    command=("$erts/bin/erlexec" -boot "${boot%.boot}")
  elif command -v erl >/dev/null; then
    ERLANG="the Erlang in the PATH, because the release has none"
    # erl may be a script of a version manager, which needs its environment.
    environment=()
    while read -r name; do environment+=(-u "$name"); done < <(compgen -e ERL_)
    command=(erl -boot no_dot_erlang)
  else
    die "$RELEASE: it has no Erlang (erts-VERSION/), and there is no erl in the PATH." \
        "Add the Erlang that runs the release to the PATH."
  fi
  # In a separate directory. Variables for nodes, such as ERL_FLAGS, are not for this VM.
  VM_SAID=$(cd "$VM_DIR" && timeout -s KILL 60 env "${environment[@]}" ERL_CRASH_DUMP_SECONDS=0 "${command[@]}" \
    +S 1:1 +sbwt none -mode interactive -noshell -noinput -hb_process_monitor_probe "${PAYLOAD_LIBRARY:-}" -pa "$1" -pz "${@:2}" \
    -eval "$code halt(0)." 2>&1 9>&-) || status=$?
  trap - EXIT
  rm -rf "$VM_DIR"
  return "$status"
}

# Prints the lines of the VM's output with this key, without the key.
said() { sed -n "s/^$1 //p" <<<"$VM_SAID"; }

# Explains why the library at this path did not load.
why_not() {
  local needed
  needed=$(needed_glibc "$1")
  if [ -z "$(said reason)" ]; then
    echo "${VM_SAID:-The test VM did not answer within 60 s.}"
    return
  fi
  said reason | sort -u
  case $VM_SAID in
    *"GLIBC_"*"not found"*)
      echo "The library was built for glibc $needed or newer, but this system has $(system_glibc). Build it here, or on a system with an equally old glibc." ;;
    *"wrong ELF class"*|*"invalid ELF header"*|*"file too short"*|*"cannot open shared object"*)
      echo "The library is damaged, or for another machine than this ($(uname -m)). Build it here, or download it again." ;;
    *"NIF version"*|*"nif version"*|*"compiled for"*)
      echo "The OTP of the release is too old: OTP 25 or later is required." ;;
  esac
}

# Prints the newest version of glibc that a library requires, if any. Its version strings are text in the file.
needed_glibc() {
  { grep -aoE 'GLIBC_[0-9]+(\.[0-9]+)+' -- "$1" || true; } | sed 's/GLIBC_//' | sort -uV | tail -n 1
}

system_glibc() { getconf GNU_LIBC_VERSION 2>/dev/null || echo "no glibc"; }

# Refuses to install a library that the release cannot load.
try_payload() {
  local lines
  if ! vm "$PROBE_PAYLOAD$PROBE_LIBRARY" "$PAYLOAD/ebin" || ! grep -q '^loaded' <<<"$VM_SAID"; then
    mapfile -t lines < <(why_not "$PAYLOAD_LIBRARY")
    die "the library does not load under $ERLANG$(said otp | sed 's/^/, OTP /'). Nothing was changed." "${lines[@]}"
  fi
}

# Prints whether the installed library loads, and what it finds of the host. Fails if it does not load.
try_installed() {
  local name value known=
  if ! vm "$PROBE_LIBRARY$PROBE_HOST" "$APP/ebin" "$RELEASE"/lib/*/ebin || ! grep -q '^loaded' <<<"$VM_SAID"; then
    echo "library     does not load under $ERLANG:"
    why_not "$APP/$LIBRARY" | sed 's/^/  /'
    return 1
  fi
  printf '%-11s loads under %s: OTP %s, NIF %s\n' library "$ERLANG" "$(said otp)" "$(said nif)"
  printf '%-11s needs %s, this system has %s\n' glibc "$(needed_glibc "$APP/$LIBRARY")" "$(system_glibc)"
  if [ -n "$(said raised)" ]; then
    printf '%-11s cannot be examined: %s\n' host "$(said raised)"
    return 1
  fi
  while read -r name value; do
    [ -n "$name" ] || continue
    [ -n "$known" ] || echo host
    known=yes
    printf '  %-15s %s\n' "$name" "$value"
  done < <(said host)
}
