#!/usr/bin/env bash
# nif.sh DIR: builds the Rust library and puts it into DIR for load_nif.
# If PREBUILT_NIF names a library, that file is used instead, and neither cargo nor Rust is needed. NIF_PROFILE
# selects another cargo profile than dist; dev builds in seconds, for experiments. NIF_TARGET builds for another target
# of Rust than this machine.
#
# The library contains no path of this machine: the same sources and toolchain give the same file in any directory.
#
# The checkout runs this script as scripts/nif.sh. A host with copied sources has it as build.sh beside Cargo.toml.
# The script depends on nothing else of either layout.
set -euo pipefail
# If set, cd would print the directory.
unset CDPATH

# Prints rustc's arguments that replace paths of this machine, one a line. The last one that matches a path
# applies.
remapped() {
  local rustc commit
  echo "--remap-path-prefix=$1=/hb_process_monitor"
  echo "--remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}=/cargo"
  [ -z "${CARGO_TARGET_DIR:-}" ] || echo "--remap-path-prefix=$CARGO_TARGET_DIR=/hb_process_monitor/target"
  # Installed sources of the standard library get the path that toolchains without sources use.
  rustc=${RUSTC:-$(PATH=$PATH:$(dirname "$(command -v "${CARGO:-cargo}")") command -v rustc)} || return 0
  commit=$("$rustc" -vV | sed -n 's/^commit-hash: //p')
  echo "--remap-path-prefix=$("$rustc" --print sysroot)/lib/rustlib/src/rust=/rustc/$commit"
}

# Builds in directory $1. Adds these arguments to those of the environment or of cargo's configuration. The dev
# profile is built without them, to share dependencies with the tests.
build() {
  local -a arguments=() flags=() words=()
  local given=
  cd "$1"
  if [ "$profile" != dev ]; then
    mapfile -t flags < <(remapped "$PWD")
    if [ -n "${CARGO_ENCODED_RUSTFLAGS:-}" ]; then
      given=$CARGO_ENCODED_RUSTFLAGS
    elif [ -n "${RUSTFLAGS:-}" ]; then
      read -ra words <<<"$RUSTFLAGS"
      given=$(printf '%s\x1f' "${words[@]}")
      given=${given%$'\x1f'}
    fi
    if [ -n "$given" ]; then
      export CARGO_ENCODED_RUSTFLAGS
      CARGO_ENCODED_RUSTFLAGS=$given$(printf '\x1f%s' "${flags[@]}")
    else
      arguments=(--config "build.rustflags=[$(printf '"%s",' "${flags[@]//\"/\\\"}")]")
    fi
  fi
  [ -z "${NIF_TARGET:-}" ] || arguments+=(--target "$NIF_TARGET")
  "${CARGO:-cargo}" build --profile "$profile" --locked --package hb_process_monitor_nif \
    "${arguments[@]}" --message-format=json-render-diagnostics
}

[ $# -eq 1 ] || { echo "usage: $0 DIR" >&2; exit 2; }
mkdir -p "$1"
into=$(cd "$1" && pwd)/hb_process_monitor_nif.so

if [ -n "${PREBUILT_NIF:-}" ]; then
  [ -f "$PREBUILT_NIF" ] || { echo "nif: PREBUILT_NIF: no such file: $PREBUILT_NIF" >&2; exit 1; }
  built=$(cd "$(dirname "$PREBUILT_NIF")" && pwd)/$(basename "$PREBUILT_NIF")
else
  here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
  [ -e "$here/Cargo.toml" ] || here=$(dirname "$here")
  profile=${NIF_PROFILE:-dist}
  # The build runs in that directory, so that rustup's toolchain file applies. The path of the library comes from
  # cargo, because the target directory and triple may be configured anywhere, and libraries end in .dylib on
  # macOS.
  built=$(build "$(cd "$here" && pwd -P)" |
    sed -n 's/.*"filenames":\["\([^"]*libhb_process_monitor_nif\.[a-z]*\)".*/\1/p' | tail -n 1)
  [ -f "$built" ] || { echo "nif: cargo built no library" >&2; exit 1; }
fi

# Appends the stamp that hb_cron_library checks before it loads the file, unless a prebuilt library has it already.
# File formats of other systems than Linux do not allow appended bytes.
stamp() {
  local size md5 text
  [ "$(uname -s)" = Linux ] || return 0
  ! tail -c 76 "$1" | grep -qa '^hb_process_monitor library 1 ' || return 0
  size=$(wc -c <"$1")
  md5=$(md5sum <"$1")
  printf -v text '\nhb_process_monitor library 1 %012d %s\n' "$size" "${md5%% *}"
  printf %s "$text" >>"$1"
}

# Write to a new file and rename it: a library that a node has mapped must never be overwritten in place.
new=$into.$$.new
trap 'rm -f "$new"' EXIT
cp "$built" "$new"
chmod u+w "$new"
stamp "$new"
cmp -s "$new" "$into" || mv -f "$new" "$into"
