#!/usr/bin/env bash
# What `make valgrind` runs: a node under valgrind's memcheck, with the library at work in it. An error
# in which the library has a part, or memory that it lost, fails it.
#
# The emulator's own code is no concern of this, and valgrind understands it only in part: generated
# code keeps Erlang's stacks in the heap, and where one was, valgrind takes memory for out of bounds or
# undefined. So nothing is said here of values that are undefined, and an access to the inside of
# a block that is allocated, and so is none out of bounds, is passed over (see errors.awk).
set -euo pipefail
cd "$(dirname "$0")/../../.."

rebar3 as test compile

here=$PWD
lib=$here/_build/test/lib/hb_process_monitor
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

# --smc-check: code is generated. --max-stackframe: to a stack of Erlang's is a switch and no push.
# +Mea min: the emulator gets each of its blocks from malloc, so that valgrind knows its bounds.
# +sbwt: valgrind runs one thread at a time; none may spin.
(cd "$tmp" && ERL_CRASH_DUMP_SECONDS=0 valgrind --quiet \
  --smc-check=all --max-stackframe=65536 --fair-sched=try \
  --undef-value-errors=no --error-limit=no --num-callers=30 \
  --leak-check=full --show-leak-kinds=definite --errors-for-leak-kinds=definite \
  --trace-children=yes --trace-children-skip='*/erl_child_setup,*/inet_gethost,*/sh,*/dash,*/bash,*/sed,*/dirname,*/basename,*/mktemp,*/rm' \
  --xml=yes --xml-file="$tmp/%p.xml" \
  erl +Mea min +sbwt none +sbwtdcpu none +sbwtdio none +S 2:2 -noshell \
  -pa "$lib/ebin" "$lib/test" "$lib"/test/*/ "$lib"/test/*/*/ -run valgrind_run main)

awk -v library=hb_process_monitor_nif.so -f "$here/test/tools/valgrind/errors.awk" "$tmp"/*.xml
