#!/usr/bin/env bash
# The script of `make bench`: installs a JSON decoder for plain Erlang, builds the measured code and the tools, and
# starts the driver. Everything that the driver starts ends with it.
#
# Usage: `run.sh SUITES QUICK SAVE RESULTS FLEET`; each may be empty.
set -euo pipefail
cd "$(dirname "$0")/../../.."

has_module() {
  erl -noshell -eval "halt(case code:which($1) of non_existing -> 1; _ -> 0 end)."
}

# Debian's package fits only Debian's Erlang.
debian_erl() {
  command -v apt-get >/dev/null && dpkg -S "$(readlink -f "$(command -v erl)")" >/dev/null 2>&1
}

# Plain Erlang decodes with jiffy; without it, with OTP's decoder, from version 27 on.
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
    echo "bench: plain Erlang decodes with OTP's json instead" >&2
  fi
fi

"${CARGO:-cargo}" build --release --locked --quiet --package bench
rebar3 as test compile

# A copy, so that a build in this checkout does not change the measured code.
copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
lib=$copy/hb_process_monitor
mkdir "$lib"
(cd _build/test/lib/hb_process_monitor && cp -rL ebin priv "$lib" && find -L test -name '*.beam' -exec cp -L {} "$lib/ebin" ';')
cp -L target/release/fast_cu target/release/floor target/release/polls "$lib"

# Runs have their directories there as well.
TMPDIR=$copy BENCH_PROGRAMS=$lib erl +Bd -noshell -pa "$lib/ebin" -run bench main "$@"
