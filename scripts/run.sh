#!/usr/bin/env bash
# Monitors processes without HyperBEAM. Usage: run.sh NAME=VALUE ...; without arguments it prints them.
# Ctrl-C and SIGTERM end it durably; a second one ends it at once.
#
# The checkout runs this script as scripts/run.sh with the installed Erlang, the tarball as bin/cron-monitor with its own
# (see runtime.sh). CRON_PATHS names the directories with modules, separated by colons, and CRON_MAIN the module to run.
set -euo pipefail
unset CDPATH

self=$(readlink -f "${BASH_SOURCE[0]}")
root=$(dirname "$(dirname "$self")")
if [ -d "$root/erlang/bin" ]; then
  # What OTP's own script erl sets.
  BINDIR=$(echo "$root"/erlang/erts-*/bin)
  export ROOTDIR=$root/erlang BINDIR EMU=beam PROGNAME=erl
  export LD_LIBRARY_PATH=$root/erlang/native${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
  erl=$BINDIR/erlexec
  ebin=$root/ebin
else
  erl=erl
  ebin=$root/_build/default/lib/hb_process_monitor/ebin
fi
IFS=: read -ra paths <<<"${CRON_PATHS:-$ebin}"

# The lines of a terminal have its width.
terminal=()
if [ -t 2 ]; then
  columns=$(stty size <&2 2>/dev/null | cut -d' ' -f2) || columns=
  # Some terminals do not know it.
  [ "${columns:-0}" -gt 0 ] || columns=80
  terminal=(-hb_cron_columns "$columns")
fi

# +Bi: Erlang ignores the interrupt of the terminal, which this script turns into a regular stop.
ERL_CRASH_DUMP_SECONDS=0 "$erl" +Bi -noinput -boot no_dot_erlang -kernel logger_level warning -pa "${paths[@]}" \
  "${terminal[@]}" -run "${CRON_MAIN:-hb_cron_standalone}" main "$@" </dev/null &
erlang=$!

asked=
signalled=
stop() {
  signalled=yes
  [ -z "$asked" ] || { kill -KILL "$erlang" 2>/dev/null || true; return; }
  asked=yes
  echo "cron-monitor: stopping; once more to stop at once" >&2
  kill -TERM "$erlang" 2>/dev/null || true
}
trap stop INT TERM HUP

# A signal ends a wait early.
while :; do
  signalled=
  wait "$erlang" && status=0 || status=$?
  [ -n "$signalled" ] || exit "$status"
done
