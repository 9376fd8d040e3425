#!/usr/bin/env bash
# Tests the checkout as a rebar3 dependency from git: a temporary project with this dependency, `rebar3 compile`,
# and a node that runs it. The dependency's own hook must build the library where rebar3 puts dependencies.
# Releases are not tested here.
set -euo pipefail
cd "$(dirname "$0")/../../.."
. test/support/checkout.sh

tmp=$(mktemp -d)
trap 'disown_build; rm -rf "$tmp"' EXIT
share_build
unset GIT_DIR GIT_WORK_TREE GIT_INDEX_FILE

copy_checkout "$tmp/repository"
git -C "$tmp/repository" init -q
git -C "$tmp/repository" add -A
git -C "$tmp/repository" -c user.name=test -c user.email=test@localhost -c commit.gpgsign=false commit -qm checkout
ref=$(git -C "$tmp/repository" rev-parse HEAD)

mkdir -p "$tmp/project/src"
cat >"$tmp/project/rebar.config" <<TEXT
{erl_opts, [debug_info]}.
{deps, [{hb_process_monitor, {git, "file://$tmp/repository", {ref, "$ref"}}}]}.
TEXT
cat >"$tmp/project/src/project.app.src" <<TEXT
{application, project, [{description, "Depends on hb_process_monitor"}, {vsn, "1"}, {registered, []},
                        {applications, [kernel, stdlib, hb_process_monitor]}]}.
TEXT

(cd "$tmp/project" && rebar3 compile)

lib=$tmp/project/_build/default/lib
[ ! -e "$lib/hb_process_monitor/target" ] || { echo "dependency: it was not built in CARGO_TARGET_DIR" >&2; exit 1; }
lives "$tmp" "$lib"/*/ebin
echo "dependency: loaded, started and stopped as a rebar3 dependency"
