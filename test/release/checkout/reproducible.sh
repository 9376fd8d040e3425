#!/usr/bin/env bash
# Makes the tarballs of `make dist` in this checkout and from a copy in another directory, with another CARGO_HOME and target
# directory. They must be the same files, and contain no path of either. Includes the library for the other machine, if it
# can be built. The complete build takes minutes.
set -euo pipefail
cd "$(dirname "$0")/../../.."
. test/support/checkout.sh

# Resolve the path: on macOS it contains links.
tmp=$(cd "$(mktemp -d)" && pwd -P)
trap 'rm -rf "$tmp"' EXIT
unset NIF_PROFILE PREBUILT_NIF

home=${CARGO_HOME:-$HOME/.cargo}
there="$tmp/another directory"
copy_checkout "$there"
mkdir "$tmp/cargo"
# The downloads and their sources.
for part in registry config config.toml; do
  [ ! -e "$home/$part" ] || ln -s "$home/$part" "$tmp/cargo/$part"
done

make --no-print-directory dist
CARGO_HOME=$tmp/cargo CARGO_TARGET_DIR=$tmp/target make --no-print-directory -C "$there" dist

for tarball in _build/dist/*.tar.gz; do
  name=$(basename "$tarball" .tar.gz)
  tar -x -z -f "$tarball" -C "$tmp"
  for path in "$PWD" "$home" "$HOME" "$tmp"; do
    if grep -raqF "$path/" "$tmp/$name"/{priv,ebin}; then
      echo "reproducible: $path is in $name: $(grep -ralF "$path/" "$tmp/$name"/{priv,ebin} | head -n 3 | paste -sd' ')" >&2
      exit 1
    fi
  done
  cmp "$tarball" "$there/$tarball" || { echo "reproducible: the two files differ" >&2; exit 1; }
  echo "reproducible: $name $(sha256sum "$tarball" | cut -c1-16)…, made in two directories"
done
