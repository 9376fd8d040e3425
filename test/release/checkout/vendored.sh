#!/usr/bin/env bash
# Tests `make vendor`, from a host without this library to a node that runs it, and to a release that boots in
# embedded mode. The host is a temporary project with HyperBEAM's layout: an application `hb`, its own compiler
# options, a module of our name, other Rust code under native/. A second run must update, no other file may change, and wrong arguments must be refused.
set -euo pipefail
cd "$(dirname "$0")/../../.."
. test/support/checkout.sh

fail() { echo "vendored: $*" >&2; exit 1; }

tmp=$(mktemp -d)
trap 'disown_build; rm -rf "$tmp"' EXIT
share_build
hb=$tmp/HyperBEAM

vendor() { make --no-print-directory vendor INTO="$1"; }
refused() { if vendor "$1" >"$tmp/said" 2>&1 || ! grep -q "$2" "$tmp/said"; then fail "not refused: $1"; fi; }
# All files except ours, with their checksums.
others() {
  (cd "$hb" && find . -path ./_build -prune -o -path ./priv -prune -o -path ./native/hb_process_monitor -prune -o \
    \( -name 'hb_process_monitor*.erl' -o -name 'hb_cron_*.erl' -o -name dev_process_monitor.erl \) -prune -o -type f -print0 | sort -z | xargs -0 sha256sum)
}

mkdir -p "$hb/native/dev_other_nif"
refused "$hb" 'no rebar.config'
cat >"$hb/rebar.config" <<'TEXT'
{erl_opts, [debug_info, {d, 'COWBOY_QUICER', 1}, {d, 'GUN_QUICER', 1}]}.
{pre_hooks, [{"(linux|darwin|freebsd)", compile, "touch theirs"}]}.
{relx, [{release, {hb, "0.0.1"}, [hb]}, {mode, prod}, {include_erts, true}, {extended_start_script, true}]}.
TEXT
refused "$hb" 'no src/'
refused "$tmp/none" 'not a directory'
mkdir "$hb/src"
cat >"$hb/src/hb.app.src" <<'TEXT'
{application, hb, [{description, "A host"}, {vsn, "0.0.1"}, {registered, []}, {applications, [kernel, stdlib]}]}.
TEXT
printf -- '-module(hb_process_monitor).\n-export([original/0]).\noriginal() -> ok.\n' >"$hb/src/hb_process_monitor.erl"
printf -- '-module(hb_other).\n-export([one/0]).\none() -> 1.\n' >"$hb/src/hb_other.erl"
echo '[package]' >"$hb/native/dev_other_nif/Cargo.toml"
others >"$tmp/before"

vendor "$hb" >"$tmp/said"
cmp erlang/hb_process_monitor.erl "$hb/src/hb_process_monitor.erl" || fail "the host's own module is still there"
others | cmp - "$tmp/before" || fail "a file of the host's was touched"

# Follow the printed instructions: add the tuple to the existing list.
hook=$(sed -n 's/^ *{pre_hooks, \[\(.*\)\]}\.$/\1/p' "$tmp/said")
grep -q 'add the inner tuple' "$tmp/said" || fail "it does not say what to do with hooks that are there"
[ -n "$hook" ] || fail "no hook was printed"
awk -v hook="$hook" '/^{pre_hooks/ { sub(/\]}\.$/, ", " hook "]}.") } { print }' "$hb/rebar.config" >"$tmp/config"
mv "$tmp/config" "$hb/rebar.config"
(cd "$hb" && rebar3 compile)
[ -e "$hb/theirs" ] || fail "the host's own hook was not run"

lib=$hb/_build/default/lib/hb
[ ! -e "$lib/ebin/hb_process_monitor.app" ] || fail "there is an application file of ours"
lives "$tmp" "$lib/ebin"
echo "vendored: loaded, started and stopped from priv/"

# All modules are in the boot script, and there is no application file.
(cd "$hb" && rebar3 release)
lives_released "$tmp" "$hb/_build/default/rel/hb"
echo "vendored: started and stopped in a release"

# Where the host's cargo plugin would put it.
mkdir -p "$hb/priv/crates/hb_process_monitor_nif"
mv "$hb/priv/hb_process_monitor_nif.so" "$hb/priv/crates/hb_process_monitor_nif/"
lives "$tmp" "$lib/ebin"
echo "vendored: and from priv/crates/"

# A module that no longer exists is removed; other modules and the existing build stay.
touch "$hb/src/hb_cron_gone.erl" "$hb/src/hb_cron_theirs.erl"
echo hb_cron_gone.erl >>"$hb/native/hb_process_monitor/modules"
mkdir -p "$hb/native/hb_process_monitor/target/kept"
others >"$tmp/before"
vendor "$hb" >"$tmp/said"
grep -q 'hook is already there' "$tmp/said" || fail "the hook is asked for again"
[ ! -e "$hb/src/hb_cron_gone.erl" ] || fail "a module that is no more is still there"
[ -e "$hb/src/hb_cron_theirs.erl" ] || fail "a module of the host's own is gone"
rm "$hb/src/hb_cron_theirs.erl"
[ -d "$hb/native/hb_process_monitor/target/kept" ] || fail "the earlier build is gone"
others | cmp - "$tmp/before" || fail "a file of the host's was touched by the second run"
for file in native/cron_engine/Cargo.toml native/cron_engine/src/lib.rs; do
  cmp "$file" "$hb/native/hb_process_monitor/$file" || fail "$file is not this checkout's"
done
echo "vendored: a second run updates"
