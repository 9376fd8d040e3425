#!/usr/bin/env bash
# What `make test-otp27` runs: xref, dialyzer and the eunit suite on OTP 27, against the library that was
# built here, for OTP 25 or whatever this machine has. Proof that one and the same file serves both.
#
# OTP 27 is Debian trixie's, in a chroot that is made once and kept under _build/otp27. The checkout is
# copied in as it is, whatever git says of it; nothing in there builds Rust. Not for the Rust tests: they
# know no Erlang. Arguments are the rebar3 commands to run instead, each with its own:
#   test/otp27/run.sh edoc 'eunit --module=nif_tests'
set -euo pipefail
cd "$(dirname "$0")/../.."
. test/support/checkout.sh

readonly KEPT=_build/otp27
readonly ROOT=$PWD/$KEPT/trixie
readonly LIBRARY=priv/hb_process_monitor_nif.so
readonly PACKAGES=(erlang-nox erlang-dev erlang-proper rebar3 make openssl gcc libc6-dev)
readonly IN=(env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 TERM=dumb)

say() { echo "otp27: $*"; }
fail() { echo "otp27: $*" >&2; exit 1; }

if [ "$(id -u)" -ne 0 ]; then
  fail "needs root, for a chroot: run it as root, or \`sudo -E env PATH=\"\$PATH\" make test-otp27\`"
fi
[ -e "$LIBRARY" ] || fail "$LIBRARY is missing: run \`make nif\` first"

# Mounts and processes of its own: the kernel ends both with this script, however that ends. Unshare
# itself is deaf to all but SIGKILL while it waits.
if [ -z "${OTP27_UNSHARED:-}" ]; then
  OTP27_UNSHARED=1 unshare --mount --pid --fork --kill-child -- "$0" "$@" &
  unshared=$!
  trap 'kill -KILL "$unshared" 2>/dev/null || true' EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM
  wait "$unshared"
  exit 0
fi

# One run at a time: each lays the checkout anew.
mkdir -p "$KEPT"
exec 9>"$KEPT/lock"
flock --nonblock 9 || fail "another run is under way"

# Where this machine's apt gets Debian from; not its updates, nor what others offer.
mirror() {
  local codename
  codename=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
  apt-get indextargets --format '$(RELEASE) $(COMPONENT) $(REPO_URI)' 'Created-By: Packages' 2>/dev/null |
    awk -v codename="$codename" '$2 == "main" && ($1 == codename || $1 == "stable" || $1 == "testing" || $1 == "sid") { print $3; exit }'
}

# Names and proxies as this machine has them, at each run: they may have changed since the last one.
network() {
  local proxy
  cp -L /etc/resolv.conf /etc/hosts "$ROOT/etc/"
  # Programs that find a proxy are not in there.
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
  [ -n "$from" ] || fail "apt names no mirror of Debian to take trixie from"
  ./scripts/setup.sh debootstrap
  say "making a Debian trixie in $KEPT (once)"
  rm -rf --one-file-system "$ROOT"
  mkdir -p "$ROOT"
  # wget's, which knows nothing of apt's settings.
  proxy=$(apt-config shell P Acquire::http::Proxy | sed -n "s/^P='\(.*\)'$/\1/p")
  [ -z "$proxy" ] || [ "$proxy" = DIRECT ] || export http_proxy="$proxy"
  debootstrap --variant=minbase --include=ca-certificates trixie "$ROOT" "$from" >"$KEPT/log" 2>&1 ||
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

# The list of packages is the stamp: another list is another root's.
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

# In a tmpfs: no file of an earlier run is there, and none stays.
copy_checkout "$ROOT/tmp/checkout"
cp "$LIBRARY" "$ROOT/tmp/prebuilt.so"

inside() {
  chroot "$ROOT" "${IN[@]}" PREBUILT_NIF=/tmp/prebuilt.so /bin/sh -c 'cd /tmp/checkout && exec "$@"' sh "$@"
}

say "OTP $(inside erl -noshell -eval 'io:format("~s, NIF version ~s, ~s", [erlang:system_info(otp_release),
  erlang:system_info(nif_version), erlang:system_info(system_version)]), halt().' | tr -d '\n'), $(inside rebar3 --version)"

[ $# -gt 0 ] || set -- xref dialyzer eunit
for command in "$@"; do
  say "rebar3 $command"
  # shellcheck disable=SC2086 # A command and its arguments.
  inside rebar3 $command 2>&1 | tee "$KEPT/output"
  if [[ $command == eunit* ]]; then
    # A suite that found no test has shown nothing.
    count=$(grep -aoE "[0-9]+ tests, 0 failures" "$KEPT/output" | tail -n 1 | cut -d" " -f1 || true)
    [ "${count:-0}" -gt 0 ] || fail "no test was run"
    say "$count tests passed on OTP 27 with $(sha256sum "$LIBRARY" | cut -c1-16)… built outside"
  fi
done
