#!/usr/bin/env bash
# run.sh SUITE [COMMAND…]: runs xref, dialyzer and the eunit suite on the OTP of another Debian, with the library
# that was built on this machine, to show that one library file serves all OTP releases. SUITE is trixie (OTP 27)
# or forky (OTP 29). COMMANDs are rebar3 commands to run instead, each one argument:
#   test/release/otp/run.sh forky edoc 'eunit --module=nif_tests'
#
# The Debian is a chroot that is created once and kept under _build/otp/SUITE. The checkout is copied into it with
# its uncommitted changes. Rust is neither built nor tested there.
set -euo pipefail
cd "$(dirname "$0")/../../.."
. test/support/checkout.sh

readonly SUITE=${1:-}
case $SUITE in
  trixie) readonly OTP=27 ;;
  forky) readonly OTP=29 ;;
  *) echo "usage: $0 trixie|forky [COMMAND…]" >&2; exit 2 ;;
esac
readonly KEPT=_build/otp/$SUITE
readonly LIBRARY=priv/hb_process_monitor_nif.so
readonly PACKAGES=(erlang-nox erlang-dev erlang-proper rebar3 make git openssl gcc libc6-dev postgresql)

readonly NAME=otp$OTP
# shellcheck source=test/release/otp/chroot.sh
. test/release/otp/chroot.sh
[ -e "$LIBRARY" ] || fail "$LIBRARY is missing: run \`make nif\` first"

# In a tmpfs, so that no file survives a run.
copy_checkout "$ROOT/tmp/checkout"
cp "$LIBRARY" "$ROOT/tmp/prebuilt.so"

in_checkout() { inside PREBUILT_NIF=/tmp/prebuilt.so /bin/sh -c 'cd /tmp/checkout && exec "$@"' sh "$@"; }

release=$(in_checkout erl -noshell -eval 'io:put_chars(erlang:system_info(otp_release)), halt().')
[ "$release" = "$OTP" ] || fail "Debian $SUITE has OTP $release: correct the table in $0"
say "OTP $(in_checkout erl -noshell -eval 'io:format("~s, NIF version ~s, ~s", [erlang:system_info(otp_release),
  erlang:system_info(nif_version), erlang:system_info(system_version)]), halt().' | tr -d '\n'), $(in_checkout rebar3 --version)"

shift
[ $# -gt 0 ] || set -- xref dialyzer eunit
for command in "$@"; do
  say "rebar3 $command"
  # shellcheck disable=SC2086 # A command and its arguments.
  in_checkout rebar3 $command 2>&1 | tee "$KEPT/output"
  if [[ $command == eunit* ]]; then
    # A suite without tests shows nothing.
    count=$(grep -aoE "[0-9]+ tests, 0 failures" "$KEPT/output" | tail -n 1 | cut -d" " -f1 || true)
    [ "${count:-0}" -gt 0 ] || fail "no test was run"
    say "$count tests passed on OTP $OTP with $(sha256sum "$LIBRARY" | cut -c1-16)... built outside"
  fi
done
