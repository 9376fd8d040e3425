#!/usr/bin/env bash
# What `make bench` runs: the library and a plain Erlang loop drain the same backlog from the same
# Compute Unit, in turn, and a table says how fast and at what price. It ends by itself within
# 3 minutes and leaves nothing running. A run that loses, repeats or reorders a result fails it.
#
# It is no test: no figure makes it fail. What it measures and what it does not say is in bench.erl.
set -euo pipefail
cd "$(dirname "$0")/../.."

RUNS=5

has_module() {
  erl -noshell -eval "halt(case code:which($1) of non_existing -> 1; _ -> 0 end)."
}

# Debian's package is for Debian's Erlang; beside another one it would be of no use.
debian_erl() {
  command -v apt-get >/dev/null && dpkg -S "$(readlink -f "$(command -v erl)")" >/dev/null 2>&1
}

# The plain loop decodes with jiffy; where it is not to be had, with what OTP 27 brings.
if ! has_module jiffy; then
  if [ "$(id -u)" -eq 0 ] && debian_erl; then
    echo "bench: installing erlang-jiffy"
    { apt-get update -qq && DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -qq --no-install-recommends erlang-jiffy >/dev/null; } ||
      echo "bench: erlang-jiffy could not be installed" >&2
  else
    echo "bench: jiffy is missing; where Erlang is Debian's, as root: apt-get install erlang-jiffy" >&2
  fi
  if ! has_module jiffy; then
    has_module json || { echo "bench: this OTP has no JSON decoder of its own either" >&2; exit 1; }
    echo "bench: the plain loop decodes with OTP's json instead" >&2
  fi
fi

rebar3 as test compile

tmp=$(mktemp -d)
server=
finish() {
  if [ -n "$server" ]; then
    kill "$server" 2>/dev/null || true
    wait "$server" 2>/dev/null || true
  fi
  rm -rf "$tmp"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# A copy, so that a build of the same checkout meanwhile does not change what is measured.
lib=$tmp/hb_process_monitor
mkdir "$lib"
(cd _build/test/lib/hb_process_monitor && cp -rL ebin priv "$lib" && cp -L test/*.beam test/*/*.beam test/*/*/*.beam "$lib/ebin")

# In a directory of its own, in which whatever a run writes is not found by the next one.
beam() {
  local dir
  dir=$(mktemp -d "$tmp/run.XXXXXX")
  cd "$dir"
  exec erl -noshell -pa "$lib/ebin" -run "$@"
}

beam bench_cu main "$tmp/url" &
server=$!
for _ in $(seq 300); do
  [ -e "$tmp/url" ] && break
  kill -0 "$server" 2>/dev/null || { echo "bench: the server did not start" >&2; exit 1; }
  sleep 0.1
done
[ -e "$tmp/url" ] || { echo "bench: the server did not get ready" >&2; exit 1; }
url=$(cat "$tmp/url")

run() { (beam bench main run "$1" "$url"); }

for who in ours volatile plain floor; do
  run "$who" >/dev/null
done
for n in $(seq "$RUNS"); do
  echo "bench: run $n of $RUNS"
  for who in ours volatile plain floor; do
    run "$who" >>"$tmp/runs"
  done
done
echo
(beam bench main table "$tmp/runs")
