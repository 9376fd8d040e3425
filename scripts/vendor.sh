#!/usr/bin/env bash
# vendor.sh DIR: copies the project into the source tree of a host that is a rebar3 project. HyperBEAM keeps its
# own NIFs like this: Rust under native/, Erlang under src/. Replaces an earlier copy and the host's own
# src/hb_process_monitor.erl, and touches nothing else. The host's rebar.config is not changed: the line that it
# needs is printed.
#
# Only the sources of the library are copied: no tests, no simulation, no fuzzing.
set -euo pipefail
# If set, cd would print the directory.
unset CDPATH

fail() { echo "vendor: $*" >&2; exit 1; }

{ [ $# -eq 1 ] && [ -n "$1" ]; } || fail "usage: make vendor INTO=DIR"
[ -d "$1" ] || fail "$1 is not a directory"
into=$(cd "$1" && pwd)
cd "$(dirname "$0")/.."

[ "$into" != "$PWD" ] || fail "$into is this checkout itself"
[ -f "$into/rebar.config" ] || fail "$into is not a rebar3 project: it has no rebar.config"
[ -d "$into/src" ] || fail "$into has no src/"

readonly CRATES=(cron_checkpoint cron_cluster cron_engine cron_io cron_postgres hb_process_monitor_nif)
rust=$into/native/hb_process_monitor
if [ -e "$rust" ] && [ ! -e "$rust/native/hb_process_monitor_nif/Cargo.toml" ]; then
  fail "$rust exists and is not an earlier copy: move it away"
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
# Their tests have a crate that does not ship.
sed -i.old '/^postgres_server/d' "$new"/Cargo.toml "$new"/native/*/Cargo.toml
rm "$new"/Cargo.toml.old "$new"/native/*/Cargo.toml.old
# Read by the next copy, because the host may have its own modules with the same prefixes.
sources=(erlang/*.erl erlang/*/*.erl)
printf '%s\n' "${sources[@]##*/}" >"$new/modules"
# The copied workspace is everything under native/. `--locked` requires a lock file of exactly these crates, so
# drop the other ones. If one of those had dependencies of its own, they would remain, which test-checkout detects.
awk -v kept=" ${CRATES[*]} " 'BEGIN { RS = ""; ORS = "\n\n" }
  !/\nsource = / && /^\[\[package\]\]/ { split($0, line, "\""); if (!index(kept, " " line[2] " ")) next }
  { print }' Cargo.lock | sed -e '/^ "postgres_server",$/d' -e '$ { /^$/d }' >"$new/Cargo.lock"

# Remove modules of an earlier copy that no longer exist.
if [ -f "$rust/modules" ]; then
  while read -r module; do
    case $module in
      hb_process_monitor_*.erl|hb_cron_*.erl|dev_process_monitor.erl) grep -qxF -- "$module" "$new/modules" || rm -f "$into/src/$module" ;;
    esac
  done <"$rust/modules"
fi

# Keep an existing build, so that the next one only builds what has changed.
[ ! -d "$rust/target" ] || mv "$rust/target" "$new/target"
rm -rf "$rust"
mv "$new" "$rust"

had=
[ ! -e "$into/src/hb_process_monitor.erl" ] || had=" (replaced)"
cp "${sources[@]}" "$into/src/"

cat <<TEXT
vendor: native/hb_process_monitor/  the Rust workspace
vendor: src/hb_process_monitor.erl$had and src/hb_cron_*.erl, src/hb_process_monitor_*.erl, src/dev_process_monitor.erl
vendor: rebar.config needs this hook:

    {pre_hooks, [{"(linux|darwin|freebsd)", compile, "native/hb_process_monitor/build.sh priv"}]}.

TEXT
if grep -qE '^[[:space:]]*\{[[:space:]]*pre_hooks' "$into/rebar.config"; then
  if grep -qF 'native/hb_process_monitor/build.sh' "$into/rebar.config"; then
    echo "vendor: the hook is already there."
  else
    echo "vendor: rebar.config already has pre_hooks: add the inner tuple to that list, because rebar3 reads only the first list."
  fi
fi
