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
readonly ROOT=$PWD/$KEPT/root
readonly LIBRARY=priv/hb_process_monitor_nif.so
readonly PACKAGES=(erlang-nox erlang-dev erlang-proper rebar3 make openssl gcc libc6-dev postgresql)
readonly IN=(env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 TERM=dumb)

say() { echo "otp$OTP: $*"; }
fail() { echo "otp$OTP: $*" >&2; exit 1; }

if [ "$(id -u)" -ne 0 ]; then
  fail "needs root, for a chroot: run it as root, or \`sudo -E env PATH=\"\$PATH\" make test-otp$OTP\`"
fi
[ -e "$LIBRARY" ] || fail "$LIBRARY is missing: run \`make nif\` first"

# In separate namespaces of mounts and processes, so that the kernel ends both with this script in any case. While
# unshare waits, it reacts only to SIGKILL.
if [ -z "${OTP_UNSHARED:-}" ]; then
  OTP_UNSHARED=1 unshare --mount --pid --fork --kill-child -- "$0" "$@" &
  unshared=$!
  trap 'kill -KILL "$unshared" 2>/dev/null || true' EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM
  wait "$unshared"
  exit 0
fi

# One run at a time, because each replaces the checkout.
mkdir -p "$KEPT"
exec 9>"$KEPT/lock"
flock --nonblock 9 || fail "another run is under way"

# The Debian mirror of this machine's apt, without updates and other suites.
mirror() {
  local codename
  codename=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
  apt-get indextargets --format '$(RELEASE) $(COMPONENT) $(REPO_URI)' 'Created-By: Packages' 2>/dev/null |
    awk -v codename="$codename" '$2 == "main" && ($1 == codename || $1 == "stable" || $1 == "testing" || $1 == "sid") { print $3; exit }'
}

# Update host names and proxies at each run, because they may have changed.
network() {
  local proxy
  cp -L /etc/resolv.conf /etc/hosts "$ROOT/etc/"
  # The chroot has no programs that find a proxy.
  apt-config dump | grep -E '^Acquire::(https?|Check-|Retries)' | grep -v 'Auto-Detect' \
    >"$ROOT/etc/apt/apt.conf.d/90outside" || true
  for proxy in http_proxy https_proxy no_proxy; do
    [ -z "${!proxy:-}" ] || echo "$proxy=${!proxy}"
  done >"$KEPT/proxies"
}

mounts() {
  mount -t proc proc "$ROOT/proc"
  mount --rbind /dev "$ROOT/dev"
  mount -t tmpfs -o mode=1777 tmpfs "$ROOT/tmp"
}

make_root() {
  local from proxy
  from=$(mirror)
  [ -n "$from" ] || fail "apt names no mirror of Debian to take $SUITE from"
  ./scripts/setup.sh debootstrap
  say "making a Debian $SUITE in $KEPT (once)"
  rm -rf --one-file-system "$ROOT"
  mkdir -p "$ROOT"
  # debootstrap downloads with wget, which ignores apt's settings.
  proxy=$(apt-config shell P Acquire::http::Proxy | sed -n "s/^P='\(.*\)'$/\1/p")
  [ -z "$proxy" ] || [ "$proxy" = DIRECT ] || export http_proxy="$proxy"
  # Name the script, because an older debootstrap does not know the newest suites.
  debootstrap --variant=minbase --include=ca-certificates "$SUITE" "$ROOT" "$from" \
    "/usr/share/debootstrap/scripts/sid" >"$KEPT/log" 2>&1 ||
    { tail -n 20 "$KEPT/log" >&2; fail "debootstrap failed; all that it said: $KEPT/log"; }
}

install_packages() {
  local -a proxies
  mapfile -t proxies <"$KEPT/proxies"
  say "installing ${PACKAGES[*]}"
  { chroot "$ROOT" "${IN[@]}" "${proxies[@]}" apt-get update &&
    chroot "$ROOT" "${IN[@]}" "${proxies[@]}" DEBIAN_FRONTEND=noninteractive \
      apt-get install -y --no-install-recommends "${PACKAGES[@]}"; } >>"$KEPT/log" 2>&1 ||
    { tail -n 20 "$KEPT/log" >&2; fail "apt failed; all that it said: $KEPT/log"; }
  chroot "$ROOT" "${IN[@]}" apt-get clean
}

# The list of packages identifies the chroot: with another list it is created again.
if [ "$(cat "$KEPT/made" 2>/dev/null)" != "${PACKAGES[*]}" ]; then
  rm -f "$KEPT/made"
  make_root
  network
  mounts
  install_packages
  echo "${PACKAGES[*]}" >"$KEPT/made"
else
  network
  mounts
fi

# In a tmpfs, so that no file survives a run.
copy_checkout "$ROOT/tmp/checkout"
cp "$LIBRARY" "$ROOT/tmp/prebuilt.so"

inside() {
  chroot "$ROOT" "${IN[@]}" PREBUILT_NIF=/tmp/prebuilt.so /bin/sh -c 'cd /tmp/checkout && exec "$@"' sh "$@"
}

release=$(inside erl -noshell -eval 'io:put_chars(erlang:system_info(otp_release)), halt().')
[ "$release" = "$OTP" ] || fail "Debian $SUITE has OTP $release: correct the table in $0"
say "OTP $(inside erl -noshell -eval 'io:format("~s, NIF version ~s, ~s", [erlang:system_info(otp_release),
  erlang:system_info(nif_version), erlang:system_info(system_version)]), halt().' | tr -d '\n'), $(inside rebar3 --version)"

shift
[ $# -gt 0 ] || set -- xref dialyzer eunit
for command in "$@"; do
  say "rebar3 $command"
  # shellcheck disable=SC2086 # A command and its arguments.
  inside rebar3 $command 2>&1 | tee "$KEPT/output"
  if [[ $command == eunit* ]]; then
    # A suite without tests shows nothing.
    count=$(grep -aoE "[0-9]+ tests, 0 failures" "$KEPT/output" | tail -n 1 | cut -d" " -f1 || true)
    [ "${count:-0}" -gt 0 ] || fail "no test was run"
    say "$count tests passed on OTP $OTP with $(sha256sum "$LIBRARY" | cut -c1-16)... built outside"
  fi
done
