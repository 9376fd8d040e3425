#!/usr/bin/env bash
# Installs missing prerequisites with apt, if there is one. Changes nothing if all are there. Arguments are further
# commands that are needed, each in a package of the same name, or as COMMAND=PACKAGE[,PACKAGE...].
set -euo pipefail

need=()
have() { command -v "$1" >/dev/null 2>&1; }

have cc || need+=(gcc libc6-dev)
have make || need+=(make)
have git || need+=(git)
if ! have erl || ! have erlc; then
  need+=(erlang-nox erlang-dev)
elif ! erl -noshell -eval 'halt(case [A || A <- [eunit, dialyzer, edoc, inets], code:lib_dir(A) =:= {error, bad_name}] of [] -> 0; _ -> 1 end).'; then
  need+=(erlang-nox erlang-dev)
fi
have rebar3 || need+=(rebar3)
for extra in "$@"; do
  IFS=, read -ra packages <<<"${extra#*=}"
  have "${extra%%=*}" || need+=("${packages[@]}")
done
# For the tests. Debian's package depends on Erlang.
if ! have erl || ! erl -noshell -eval 'halt(case code:which(proper) of non_existing -> 1; _ -> 0 end).'; then
  need+=(erlang-proper)
fi
# For the tests of native/cron_cluster and native/cron_postgres, which start private servers. One of them also uses
# pgbouncer, if it is installed. `make test-all` installs it.
have initdb || compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null || need+=(postgresql)

if [ ${#need[@]} -gt 0 ]; then
  if ! have apt-get; then
    echo "setup: missing: ${need[*]} (Debian's names). Install Erlang/OTP 25 to 29 with its" >&2
    echo "setup: development files, rebar3 3.19 or later and a C compiler, then run this again." >&2
    exit 1
  fi
  sudo=()
  if [ "$(id -u)" -ne 0 ]; then
    have sudo || { echo "setup: run as root, or install: apt-get install ${need[*]}" >&2; exit 1; }
    sudo=(sudo)
  fi
  echo "setup: installing ${need[*]}"
  "${sudo[@]}" apt-get update -qq
  DEBIAN_FRONTEND=noninteractive "${sudo[@]}" apt-get install -y -qq --no-install-recommends "${need[@]}" >/dev/null
fi

rust="prebuilt library ${PREBUILT_NIF:-}"
if [ -z "${PREBUILT_NIF:-}" ]; then
  have cargo || {
    echo "setup: cargo is missing: install Rust 1.91 or later from https://rustup.rs, then run this again," >&2
    echo "setup: or set PREBUILT_NIF to a library that was built elsewhere." >&2
    exit 1
  }
  rust=$(cargo --version)
fi
echo "setup: OTP $(erl -noshell -eval 'io:put_chars(erlang:system_info(otp_release)), halt().'), $(rebar3 version | head -1 | cut -d' ' -f1-2), $rust"
