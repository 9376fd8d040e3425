#!/usr/bin/env bash
# Makes a tarball that installs on machines without Rust, rebar3, make and their own Erlang.
# Usage: dist.sh BUILD OUT [CROSS [SBOM]]. BUILD has ebin/ and priv/ as rebar3 leaves them. CROSS has libraries for other
# machines, as cross.sh leaves them, and SBOM what sbom.sh has written. The tarball's name has the machines of its libraries.
# The same files give the same tarball, byte for byte. The script neither builds nor tests anything.
set -euo pipefail

build=$1
out=$2
cross=${3:-}
sbom=${4:-}
# shellcheck source=scripts/tarball.sh
. "$(dirname "${BASH_SOURCE[0]}")/tarball.sh"
version=$(version_of "$build")

dist=$tmp/dist
mkdir -p "$dist/scripts/release"

copy_common "$build" "$dist"
cp "$root/scripts/release.sh" "$dist/scripts"
cp "$root"/scripts/release/*.sh "$dist/scripts/release"

libraries=()
# Includes the library of a directory for one kind of system.
include() {
  [ "$(c_library)" != gnu ] || check_glibc "$1"
  mkdir -p "$dist/priv/$2"
  cp -L "$1" "$dist/priv/$2"
  libraries+=("priv/$2/${LIBRARY##*/}")
  [ ! -f "$sbom/$2.cdx.json" ] || cp "$sbom/$2.cdx.json" "$dist/priv/$2/sbom.cdx.json"
}
include "$build/$LIBRARY" "$(machine)-linux-$(c_library)"
for dir in ${cross:+"$cross"/*/}; do
  [ ! -f "$dir${LIBRARY##*/}" ] || include "$dir${LIBRARY##*/}" "$(basename "$dir")"
done
machines=$(printf '%s\n' "${libraries[@]}" | cut -d/ -f2 | cut -d- -f1 | LC_ALL=C sort -ru | paste -sd-)
glibc=$(cd "$dist" && needs "${libraries[@]}")

for command in install uninstall verify; do
  cat >"$dist/$command" <<TEXT
#!/usr/bin/env bash
exec "\$(dirname "\${BASH_SOURCE[0]}")/scripts/release.sh" $command "\$@"
TEXT
done
cat >"$dist/README" <<TEXT
hb_process_monitor $version for Linux on ${machines//-/ and }

    ./install DIR      installs into a built release of HyperBEAM: DIR has bin/, lib/ and releases/
    ./verify DIR       shows what is installed, whether it loads, and what it finds of the host
    ./uninstall DIR    restores the release, byte for byte

README.md explains features and options. docs/ has metrics, alert rules and a Grafana dashboard. SHA256SUMS has the sum of
each file: sha256sum --check SHA256SUMS.${sbom:+ sbom.cdx.json beside each library lists the Rust crates in it.}

The release needs OTP 25 or later. ./install takes the library for this machine from priv/. The libraries were built for
glibc ${glibc:-(none)} or later: the first line of "ldd --version" shows the version of a system. Required commands: bash, coreutils,
sed, grep; as root also find and util-linux, because the scripts run as the user who owns DIR.

If a node runs on DIR, installation is refused. LIVE=yes ./install DIR installs anyway, which is safe:
then call code:load_file(hb_process_monitor) in the node after a first installation, and
hb_process_monitor:reload() after an upgrade. The library of an upgrade takes effect at the next start of
the node.
TEXT
mv "$dist" "$tmp/hb_process_monitor-$version-$machines"
pack "$tmp/hb_process_monitor-$version-$machines" "$out" install uninstall verify scripts/release.sh "${libraries[@]}"
