# Sourced by the scripts that test on another Debian: a chroot that is created once and kept. The working directory is
# the root of the checkout. Needed: NAME, the prefix of what is printed; SUITE, the release of Debian; KEPT, where it is
# kept; PACKAGES, the array of what is installed there, if anything. ARCH is another architecture of Debian than this
# machine's, which emulator.sh has prepared. `inside COMMAND…` runs a command there.
# shellcheck shell=bash

readonly ROOT=$PWD/$KEPT/root
readonly IN=(env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 TERM=dumb)

say() { echo "$NAME: $*"; }
fail() { echo "$NAME: $*" >&2; exit 1; }

[ "$(id -u)" -eq 0 ] || fail "needs root, for a chroot: run it as root, or \`sudo -E env PATH=\"\$PATH\" make test-$NAME\`"

# The whole script runs in separate namespaces of mounts and processes, so that the kernel ends
# both with this script in any case. While unshare waits, it reacts only to SIGKILL.
if [ -z "${CHROOT_UNSHARED:-}" ]; then
  CHROOT_UNSHARED=1 unshare --mount --pid --fork --kill-child -- "$0" "$@" &
  unshared=$!
  trap 'kill -KILL "$unshared" 2>/dev/null || true' EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM
  wait "$unshared"
  exit 0
fi

# One run at a time, because each replaces what is tested.
mkdir -p "$KEPT"
exec 9>"$KEPT/lock"
flock --nonblock 9 || fail "another run is under way"

# The Debian mirror of this machine's apt, without updates and other suites.
mirror() {
  local codename
  codename=$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release)
  # shellcheck disable=SC2016 # apt expands them
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
  debootstrap --variant=minbase ${ARCH:+--arch="$ARCH"} ${PACKAGES[@]:+--include=ca-certificates} "$SUITE" "$ROOT" "$from" \
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

inside() { chroot "$ROOT" "${IN[@]}" "$@"; }

# The list of packages identifies the chroot: with another list it is created again.
if [ "$(cat "$KEPT/made" 2>/dev/null)" != "$SUITE${ARCH:+ $ARCH}: ${PACKAGES[*]}" ]; then
  rm -f "$KEPT/made"
  make_root
  network
  mounts
  [ ${#PACKAGES[@]} -eq 0 ] || install_packages
  echo "$SUITE${ARCH:+ $ARCH}: ${PACKAGES[*]}" >"$KEPT/made"
else
  network
  mounts
fi
