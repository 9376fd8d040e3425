#!/usr/bin/env bash
# sbom.sh OUT MACHINE…: writes OUT/MACHINE-linux-gnu.cdx.json for each, the Rust crates in the library for that machine, as a
# CycloneDX SBOM. The same sources give the same files: they have no random number, and the time of SOURCE_DATE_EPOCH,
# which is 0 by default. Builds nothing.
set -euo pipefail
unset CDPATH

[ $# -ge 2 ] || { echo "usage: $0 OUT MACHINE..." >&2; exit 2; }
mkdir -p "$1"
out=$(cd "$1" && pwd)
shift
cd "$(dirname "${BASH_SOURCE[0]}")/.."
command -v cargo-cyclonedx >/dev/null ||
  { echo "sbom: cargo-cyclonedx is missing: cargo install --locked cargo-cyclonedx" >&2; exit 1; }

# The tool writes a file beside the manifest of each crate of the workspace.
tmp=$(cd "$(mktemp -d)" && pwd -P)
trap 'rm -rf "$tmp"' EXIT
tar -c --exclude=target --exclude=corpus Cargo.toml Cargo.lock native test/rust | tar -x -C "$tmp" --no-same-owner
crate=native/hb_process_monitor_nif
for machine in "$@"; do
  (cd "$tmp" && SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-0} "${CARGO:-cargo}" cyclonedx --quiet --format json --spec-version 1.5 \
    --no-build-deps --target "$machine-unknown-linux-gnu" --manifest-path "$crate/Cargo.toml")
  sed "s#$tmp#/hb_process_monitor#g" "$tmp/$crate/hb_process_monitor_nif.cdx.json" >"$out/$machine-linux-gnu.cdx.json"
done
