#!/usr/bin/env bash
# The script of `make valgrind`: runs a node with the busy library under valgrind's memcheck. An error with the
# library in its stack, or memory that the library has lost, is a failure.
#
# The emulator's own code is not judged, because valgrind cannot follow all of it: generated code keeps Erlang's
# stacks in the heap, and valgrind takes memory of former stacks for out of bounds or undefined. Therefore
# undefined values are not reported, and accesses inside an allocated block, which are not out of bounds, are
# ignored (see errors.awk).
set -euo pipefail
cd "$(dirname "$0")/../../.."

rebar3 as test compile

here=$PWD
lib=$here/_build/test/lib/hb_process_monitor
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

# --smc-check: code is generated. --max-stackframe: a switch to a stack of Erlang is not a push.
# +Mea min: the emulator allocates each block with malloc, so that valgrind knows its bounds.
# +sbwt: valgrind runs one thread at a time, so no thread may spin.
(cd "$tmp" && ERL_CRASH_DUMP_SECONDS=0 valgrind --quiet \
  --smc-check=all --max-stackframe=65536 --fair-sched=try \
  --undef-value-errors=no --error-limit=no --num-callers=30 \
  --leak-check=full --show-leak-kinds=definite --errors-for-leak-kinds=definite \
  --trace-children=yes --trace-children-skip='*/erl_child_setup,*/inet_gethost,*/sh,*/dash,*/bash,*/sed,*/dirname,*/basename,*/mktemp,*/rm' \
  --xml=yes --xml-file="$tmp/%p.xml" \
  erl +Mea min +sbwt none +sbwtdcpu none +sbwtdio none +S 2:2 -noshell \
  -pa "$lib/ebin" "$lib/test" "$lib"/test/*/ "$lib"/test/*/*/ -run valgrind_run main)

awk -v library=hb_process_monitor_nif.so -f "$here/test/tools/valgrind/errors.awk" "$tmp"/*.xml
