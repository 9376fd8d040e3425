#!/usr/bin/env bash
# Makes a tarball of bin/cron-monitor, which monitors processes without HyperBEAM, with an Erlang of its own.
# Usage: standalone.sh BUILD OUT RUNTIME [SBOM]. BUILD has ebin/ and priv/ as rebar3 leaves them, RUNTIME was made by
# runtime.sh, SBOM by sbom.sh. The tarball is for this machine alone, which its name says. The same files give the same
# tarball, byte for byte. The script neither builds nor tests anything.
set -euo pipefail
# If set, cd would print the directory.
unset CDPATH
umask 022

build=$1
out=$2
runtime=$3
sbom=${4:-}
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
LIBRARY=priv/hb_process_monitor_nif.so
version=$(sed -n 's/.*{vsn, *"\([^"]*\)"}.*/\1/p' "$build/ebin/hb_process_monitor.app")

# For needed_glibc, modules_of and machine.
# shellcheck source=scripts/release/vm.sh
. "$root/scripts/release/vm.sh"
# shellcheck source=scripts/release/checks.sh
. "$root/scripts/release/checks.sh"
# shellcheck source=scripts/release/library.sh
. "$root/scripts/release/library.sh"
# shellcheck source=scripts/tarball.sh
. "$root/scripts/tarball.sh"

name=cron-monitor-$version-$(machine)
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
dist=$tmp/$name
mkdir -p "$dist/bin" "$dist/priv"

copy_common "$build" "$dist"
[ ! -f "$sbom/$(machine)-linux-gnu.cdx.json" ] || cp "$sbom/$(machine)-linux-gnu.cdx.json" "$dist/priv/sbom.cdx.json"
cp -L "$build/$LIBRARY" "$dist/priv"
cp "$root/scripts/run.sh" "$dist/bin/cron-monitor"
cp -R "$runtime" "$dist/erlang"
programs=("$dist"/erlang/erts-*/bin/*)

cat >"$dist/README" <<TEXT
cron-monitor $version for Linux on $(machine)

    bin/cron-monitor PROCESS=ID CU=URL

monitors an AO process without HyperBEAM, and prints its cron results: docs/standalone.md. It has its own Erlang, and needs
glibc $(needs "$dist/$LIBRARY" "${programs[@]}" "$dist"/erlang/native/*) or later, bash and coreutils. erlang/VERSIONS lists what erlang/ was copied from.${sbom:+
priv/sbom.cdx.json lists the Rust crates in the library.} SHA256SUMS has the sum of each file: sha256sum --check SHA256SUMS.
TEXT
pack "$dist" "$out" bin/cron-monitor "$LIBRARY" "${programs[@]#"$dist/"}"
