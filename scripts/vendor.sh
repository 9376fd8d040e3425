#!/usr/bin/env bash
# vendor.sh DIR: copies the project into the source tree of a host that is a rebar3 project, as
# HyperBEAM keeps NIFs of its own: Rust under native/, Erlang under src/. What the host has of an
# earlier copy, and its own src/hb_process_monitor.erl, is replaced; nothing else of it is touched. Its
# rebar.config is its own business: the line that it needs is printed.
#
# What ships is what the library is built from: no tests, no simulation, no fuzzing.
set -euo pipefail
# With it, cd would print where it goes.
unset CDPATH

fail() { echo "vendor: $*" >&2; exit 1; }

[ $# -eq 1 ] && [ -n "$1" ] || fail "usage: make vendor INTO=DIR"
[ -d "$1" ] || fail "$1 is no directory"
into=$(cd "$1" && pwd)
cd "$(dirname "$0")/.."

[ "$into" != "$PWD" ] || fail "$into is this checkout itself"
[ -f "$into/rebar.config" ] || fail "$into is no rebar3 project: it has no rebar.config"
[ -d "$into/src" ] || fail "$into has no src/"

readonly CRATES=(cron_checkpoint cron_engine cron_io hb_process_monitor_nif)
rust=$into/native/hb_process_monitor
if [ -e "$rust" ] && [ ! -e "$rust/native/hb_process_monitor_nif/Cargo.toml" ]; then
  fail "$rust is there, and is no earlier copy: move it away"
fi
new=$rust.new.$$
trap 'rm -rf "$new"' EXIT

mkdir -p "$new/native"
sed 's#^members = .*#members = ["native/*"]#' Cargo.toml >"$new/Cargo.toml"
cp LICENSE "$new/"
cp scripts/nif.sh "$new/build.sh"
echo /target/ >"$new/.gitignore"
for crate in "${CRATES[@]}"; do
  mkdir "$new/native/$crate"
  cp -R "native/$crate/Cargo.toml" "native/$crate/src" "$new/native/$crate/"
  [ ! -e "native/$crate/build.rs" ] || cp "native/$crate/build.rs" "$new/native/$crate/"
done
# For the next copy: the host may have modules of its own whose names begin like ours.
sources=(erlang/*.erl erlang/*/*.erl)
printf '%s\n' "${sources[@]##*/}" >"$new/modules"
# The workspace is what is under native/. But `--locked` wants the lock file to name just that; should
# a crate that stays behind have dependencies of its own, the test of this finds them in there.
awk -v kept=" ${CRATES[*]} " 'BEGIN { RS = ""; ORS = "\n\n" }
  !/\nsource = / && /^\[\[package\]\]/ { split($0, line, "\""); if (!index(kept, " " line[2] " ")) next }
  { print }' Cargo.lock | sed '$ { /^$/d }' >"$new/Cargo.lock"

# Modules of an earlier copy that are no more.
if [ -f "$rust/modules" ]; then
  while read -r module; do
    case $module in
      hb_process_monitor_*.erl|hb_cron_*.erl) grep -qxF -- "$module" "$new/modules" || rm -f "$into/src/$module" ;;
    esac
  done <"$rust/modules"
fi

# A build that is there already stays: the next one only builds what has changed.
[ ! -d "$rust/target" ] || mv "$rust/target" "$new/target"
rm -rf "$rust"
mv "$new" "$rust"

had=
[ ! -e "$into/src/hb_process_monitor.erl" ] || had=" (replaced)"
cp "${sources[@]}" "$into/src/"

cat <<TEXT
vendor: native/hb_process_monitor/  the Rust workspace
vendor: src/hb_process_monitor.erl$had and src/hb_cron_*.erl, src/hb_process_monitor_*.erl
vendor: rebar.config needs, once, this hook:

    {pre_hooks, [{"(linux|darwin|freebsd)", compile, "native/hb_process_monitor/build.sh priv"}]}.

TEXT
if grep -qE '^[[:space:]]*\{[[:space:]]*pre_hooks' "$into/rebar.config"; then
  if grep -qF 'native/hb_process_monitor/build.sh' "$into/rebar.config"; then
    echo "vendor: which it has."
  else
    echo "vendor: It has pre_hooks already: add the inner tuple to their list, for rebar3 reads only the first list."
  fi
fi
