#!/usr/bin/env bash
# bare.sh TARBALL: runs bin/cron-monitor of the tarball in a Debian of the least packages, which has neither Erlang nor
# Rust, against a Compute Unit double on this machine: results are printed in order, and a second run continues after the
# first one.
#
# The Debian is a chroot that is created once and kept under _build/otp/bare.
set -euo pipefail
[ $# -eq 1 ] || { echo "usage: $0 TARBALL" >&2; exit 2; }
cd "$(dirname "$0")/../../.."

SUITE=$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release)
readonly SUITE NAME=standalone KEPT=_build/otp/bare PACKAGES=()
# shellcheck source=test/release/otp/chroot.sh
. test/release/otp/chroot.sh

for command in erl cargo rustc gcc; do
  ! inside sh -c "command -v $command" >/dev/null || fail "the chroot has $command"
done
# In a tmpfs, so that no file survives a run.
tar -x -z -f "$1" -C "$ROOT/tmp" --strip-components=1

readonly BUILT=$PWD/_build/test/lib/hb_process_monitor
exec 3< <(exec erl -noshell -pa "$BUILT"/{ebin,test,test/support,test/support/double,test/tools/demo} -run run_double serve)
readonly DOUBLE=$!
trap 'kill "$DOUBLE" 2>/dev/null || true' EXIT
read -r -t 60 process url <&3 || fail "the Compute Unit double did not start"

# Prints so many lines of a run, and ends it.
lines() {
  local status=0
  # Not by the function, whose process would get the signal.
  chroot "$ROOT" "${IN[@]}" sh -c "cd /tmp && exec bin/cron-monitor PROCESS=$process CU=$url FROM=earliest RATE=500" \
    >"$ROOT/tmp/$1" &
  local monitor=$!
  for _ in $(seq 600); do
    [ "$(wc -l <"$ROOT/tmp/$1")" -lt "$2" ] || break
    sleep 0.1
  done
  kill -TERM "$monitor"
  wait "$monitor" || status=$?
  [ "$status" -eq 0 ] || fail "cron-monitor ended with status $status"
  [ "$(wc -l <"$ROOT/tmp/$1")" -ge "$2" ] || fail "cron-monitor printed too few results"
  # The times of the results.
  sed -n 's/.*"time":\([0-9]*\).*/\1/p' "$ROOT/tmp/$1"
}

lines first 40 >"$KEPT/times"
lines second 3 >>"$KEPT/times"
# The double has a result each second.
awk 'NR > 1 && $1 != before + 1000 { exit 1 } { before = $1 }' "$KEPT/times" || fail "results are missing, repeated or out of order"
say "$(wc -l <"$KEPT/times") results in two runs, in order, none missing, in a Debian without Erlang"
