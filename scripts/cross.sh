#!/usr/bin/env bash
# cross.sh OUT: builds the library for the other supported machine into OUT/MACHINE-linux-gnu: on x86-64 for arm64, on
# arm64 for x86-64. It needs Rust's standard library and a C compiler for that machine, and says what is missing.
# cross.sh OUT possible: builds nothing, and succeeds if nothing is missing.
set -euo pipefail
unset CDPATH

[ $# -ge 1 ] || { echo "usage: $0 OUT [possible]" >&2; exit 2; }
out=$1
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

case $(uname -s)-$(uname -m) in
  Linux-x86_64) machine=aarch64 ;;
  Linux-aarch64) machine=x86_64 ;;
  *) echo "cross: no other machine is known for $(uname -s) on $(uname -m)" >&2; exit 1 ;;
esac
target=$machine-unknown-linux-gnu
compiler=$machine-linux-gnu-gcc

missing() { echo "cross: no library for $machine: $1" >&2; exit 1; }
# In the checkout, so that rustup's toolchain file applies.
std() { cd "$root" && ls "$("${RUSTC:-rustc}" --print target-libdir --target "$target")"/libstd-*.rlib; }
command -v "$compiler" >/dev/null || missing "$compiler is missing (Debian: gcc-${machine//_/-}-linux-gnu)"
std >/dev/null 2>&1 || missing "Rust has no standard library for it: rustup target add $target"
[ "${2:-}" != possible ] || exit 0

upper=${target^^}
export "CARGO_TARGET_${upper//-/_}_LINKER=$compiler"
NIF_TARGET=$target PREBUILT_NIF='' "$root/scripts/nif.sh" "$out/$machine-linux-gnu"
