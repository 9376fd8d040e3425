#!/usr/bin/env bash
# Makes a tarball of bin/cron-monitor, which monitors processes without HyperBEAM, with an Erlang of its own.
# Usage: standalone.sh BUILD OUT RUNTIME [SBOM]. BUILD has ebin/ and priv/ as rebar3 leaves them, RUNTIME was made by
# runtime.sh, SBOM by sbom.sh. The tarball is for this machine alone, which its name says. The same files give the same
# tarball, byte for byte. The script neither builds nor tests anything.
set -euo pipefail

build=$1
out=$2
runtime=$3
sbom=${4:-}
# shellcheck source=scripts/tarball.sh
. "$(dirname "${BASH_SOURCE[0]}")/tarball.sh"
version=$(version_of "$build")

name=cron-monitor-$version-$(machine)
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
