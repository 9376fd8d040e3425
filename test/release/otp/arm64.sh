#!/usr/bin/env bash
# arm64.sh [MODULE…]: runs eunit modules on an emulated arm64 with the library that `make cross` has built; without
# arguments those of MODULES. The emulator is qemu's user mode, many times slower than a machine, so deadlines are longer.
#
# The Debian is a chroot that is created once and kept under _build/otp/arm64. Modules and tests are compiled on this
# machine, because their files are the same on every machine.
set -euo pipefail
cd "$(dirname "$0")/../../.."
. test/support/checkout.sh

# OTP 27: one before 26 cannot run in the emulator, because its JIT maps memory twice.
readonly SUITE=trixie NAME=arm64 ARCH=arm64 KEPT=_build/otp/arm64
readonly LIBRARY=_build/cross/aarch64-linux-gnu/hb_process_monitor_nif.so
readonly PACKAGES=(erlang-nox erlang-dev rebar3 openssl procps)
readonly BUILT=_build/test/lib/hb_process_monitor
# What depends on the machine, in a quarter of an hour: the library and its file, terms, HTTP, TLS, the disk, threads, and nodes
# that are killed. Left out: modules that need PostgreSQL, a C compiler, proper or git; memory_tests, because the emulator's
# memory counts; peer_tests and what else judges speed; installations, whose test node gets none of the flags below; and Erlang
# code that is the same everywhere.
readonly MODULES=(
  library_tests nif_tests paging_tests push_tests fault_tests tls_tests fetch_threads_tests checkpoint_tests resume_tests life_tests
  dead_letter_tests restarter_tests supervisor_child_tests start_all_tests heap_limit_tests log_tests metrics_tests events_tests
  dashboard_api_tests listener_tests data_item_tests standalone_tests)

# shellcheck source=test/release/otp/emulator.sh
. test/release/otp/emulator.sh
# shellcheck source=test/release/otp/chroot.sh
. test/release/otp/chroot.sh
[ -e "$LIBRARY" ] || fail "$LIBRARY is missing: run \`make cross\` first"
[ -d "$BUILT/test" ] || fail "$BUILT is missing: run \`rebar3 as test compile\` first"

# In a tmpfs, so that no file survives a run.
copy_checkout "$ROOT/tmp/checkout"
mkdir -p "$ROOT/tmp/checkout/$BUILT"
cp -RL "$BUILT/"{ebin,test} "$ROOT/tmp/checkout/$BUILT"
install -D "$LIBRARY" "$ROOT/tmp/checkout/$BUILT/priv/${LIBRARY##*/}"

[ $# -gt 0 ] || set -- "${MODULES[@]}"
readonly RUN='
  [Name] = init:get_plain_arguments(),
  halt(case eunit:test(list_to_atom(Name), [{report, {eunit_surefire, [{dir, "/tmp"}]}}]) of ok -> 0; error -> 1 end).'
paths=()
for dir in "$ROOT/tmp/checkout/$BUILT/ebin/" "$ROOT/tmp/checkout/$BUILT"/test/*/ "$ROOT/tmp/checkout/$BUILT"/test/*/*/; do
  ! compgen -G "$dir*.beam" >/dev/null || paths+=("${dir#"$ROOT"}")
done

# The flags are for the nodes that tests start, too. JMsingle: the emulator cannot map memory twice.
run() {
  inside TEST_DEADLINE_FACTOR=10 ERL_FLAGS='+JMsingle true' timeout -s KILL "${LIMIT:-900}" \
    /bin/sh -c 'cd /tmp/checkout && exec "$@"' sh erl -noshell -pa "${paths[@]}" -eval "$RUN" -extra "$1"
}

failed=()
for module; do
  started=$SECONDS
  if run "$module" >"$KEPT/output" 2>&1; then
    count=$(sed -n 's/.*<testsuite tests="\([0-9]*\)".*/\1/p' "$ROOT/tmp/TEST-$module.xml" | head -n 1)
    say "$module: ${count:-no} tests passed in $((SECONDS - started)) s"
    # A module without tests shows nothing.
    [ "${count:-0}" -gt 0 ] || failed+=("$module")
  else
    failed+=("$module")
    say "$module: failed after $((SECONDS - started)) s"
    tail -n 60 "$KEPT/output"
  fi
done
[ ${#failed[@]} -eq 0 ] || fail "failed: ${failed[*]}"
say "$# modules passed on $(inside uname -m), OTP 27, with $(sha256sum "$LIBRARY" | cut -c1-16)…"
