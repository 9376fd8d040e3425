#!/usr/bin/env bash
# nif.sh DIR: builds the Rust library and leaves it in DIR, as load_nif wants it. Where the variable
# PREBUILT_NIF names a library, that one is taken instead, and neither cargo nor Rust is needed. NIF_PROFILE
# names another profile of cargo's than dist: dev is built in seconds, and is for trying things out.
#
# The library holds no path of this machine: the same sources and toolchain give the same file in any directory.
#
# The checkout's own build runs it as scripts/nif.sh, and one that it is copied into as build.sh beside
# Cargo.toml. It knows nothing of either but that.
set -euo pipefail
# With it, cd would print where it goes.
unset CDPATH

# rustc's arguments that replace paths of this machine, one a line. The last one that matches a path applies.
remapped() {
  local rustc commit
  echo "--remap-path-prefix=$1=/hb_process_monitor"
  echo "--remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}=/cargo"
  [ -z "${CARGO_TARGET_DIR:-}" ] || echo "--remap-path-prefix=$CARGO_TARGET_DIR=/hb_process_monitor/target"
  # The standard library's sources, where they are installed, as those of a toolchain without them.
  rustc=${RUSTC:-$(PATH=$PATH:$(dirname "$(command -v "${CARGO:-cargo}")") command -v rustc)} || return 0
  commit=$("$rustc" -vV | sed -n 's/^commit-hash: //p')
  echo "--remap-path-prefix=$("$rustc" --print sysroot)/lib/rustlib/src/rust=/rustc/$commit"
}

# Builds in a directory, with these arguments added to those of the environment or of cargo's configuration. The dev
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
  # In there, for the toolchain that a file of rustup's may ask for; and cargo itself is asked what it
  # made: a target directory or triple may be configured anywhere, and Darwin's libraries end in .dylib.
  built=$(build "$(cd "$here" && pwd -P)" |
    sed -n 's/.*"filenames":\["\([^"]*libhb_process_monitor_nif\.[a-z]*\)".*/\1/p' | tail -n 1)
  [ -f "$built" ] || { echo "nif: cargo has built no library" >&2; exit 1; }
fi

# Appends the stamp that hb_cron_library checks before it loads the file. One that was built elsewhere
# may have it already. Formats of other systems than Linux do not allow for it.
stamp() {
  local size md5 text
  [ "$(uname -s)" = Linux ] || return 0
  ! tail -c 76 "$1" | grep -qa '^hb_process_monitor library 1 ' || return 0
  size=$(wc -c <"$1")
  md5=$(md5sum <"$1")
  printf -v text '\nhb_process_monitor library 1 %012d %s\n' "$size" "${md5%% *}"
  printf %s "$text" >>"$1"
}

# Written beside and renamed: a library that a node has mapped must never be overwritten in place.
new=$into.$$.new
trap 'rm -f "$new"' EXIT
cp "$built" "$new"
chmod u+w "$new"
stamp "$new"
cmp -s "$new" "$into" || mv -f "$new" "$into"
