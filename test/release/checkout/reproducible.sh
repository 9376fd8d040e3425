#!/usr/bin/env bash
# Builds the library from a copy of the checkout in another directory, with another CARGO_HOME and target
# directory. It must be the same file as this checkout's. The complete build takes minutes.
set -euo pipefail
cd "$(dirname "$0")/../../.."
. test/support/checkout.sh

# Resolve the path: on macOS it contains links.
tmp=$(cd "$(mktemp -d)" && pwd -P)
trap 'rm -rf "$tmp"' EXIT
unset NIF_PROFILE PREBUILT_NIF

home=${CARGO_HOME:-$HOME/.cargo}
copy_checkout "$tmp/another directory"
mkdir "$tmp/cargo"
# The downloads and their sources.
for part in registry config config.toml; do
  [ ! -e "$home/$part" ] || ln -s "$home/$part" "$tmp/cargo/$part"
done

./scripts/nif.sh "$tmp/here"
CARGO_HOME=$tmp/cargo CARGO_TARGET_DIR=$tmp/target "$tmp/another directory/scripts/nif.sh" "$tmp/there"

library=hb_process_monitor_nif.so
for path in "$PWD" "$home" "$HOME" "$tmp"; do
  for side in here there; do
    if grep -qaF "$path/" "$tmp/$side/$library"; then
      echo "reproducible: $path is in the library" >&2
      exit 1
    fi
  done
done
cmp "$tmp/here/$library" "$tmp/there/$library" || { echo "reproducible: the two files differ" >&2; exit 1; }
echo "reproducible: $(sha256sum "$tmp/here/$library" | cut -c1-16)…, built in two directories"
