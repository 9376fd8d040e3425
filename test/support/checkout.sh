# Sourced by the scripts that test a copy of this checkout. The working directory is its root.
# shellcheck shell=bash

# Copies the checkout into a directory, including files that git ignores, without build results.
copy_checkout() {
  mkdir -p "$1"
  tar -c --exclude=./_build --exclude=./target --exclude=./test/rust/fuzz/target --exclude=./test/rust/fuzz/corpus \
    --exclude=./.git --exclude=./priv --exclude=./doc . | tar -x -C "$1" --no-same-owner
}

# Builds copies in this checkout's target directory with the tests' profile, so that only the project's own crates
# are compiled again. These scripts test where a build puts its results, and whether they run. Optimising the same
# library again would take most of the time; the shipped profile is built and tested elsewhere.
share_build() {
  export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$PWD/target} NIF_PROFILE=dev
}

# The file name of a library has no hash, so cargo would take the copy's library for this checkout's.
disown_build() {
  rm -f "$CARGO_TARGET_DIR/debug/deps/libhb_process_monitor_nif."{so,dylib}
}

# Runs a node with this code path, as lives_as does.
lives() {
  local in=$1
  shift
  lives_as "$in" erl -pa "$@"
}

# Boots the release in a directory in embedded mode, as lives_as does.
lives_released() {
  local in=$1 release=$2 erts
  erts=$(echo "$release"/erts-*)
  ROOTDIR=$release BINDIR=$erts/bin EMU=beam PROGNAME=hb lives_as "$in" "$erts/bin/erlexec" \
    -boot "$release/releases/0.0.1/start" -config "$release/releases/0.0.1/sys" -mode embedded
}

# Runs a node with this command: loads the library, starts and stops a monitor whose Compute Unit accepts
# connections and never answers. The checkpoint stays in the given directory.
lives_as() {
  local in=$1
  shift
  (cd "$in" && "$@" -noshell -eval '
    ok = hb_process_monitor_nif:loaded(),
    {ok, Mute} = gen_tcp:listen(0, [{ip, {127, 0, 0, 1}}]),
    {ok, Port} = inet:port(Mute),
    Node = iolist_to_binary(["http://127.0.0.1:", integer_to_list(Port)]),
    Begun = erlang:monotonic_time(millisecond),
    {Monitor, undefined} = hb_process_monitor:start(binary:copy(<<"D">>, 43), #{cron_node => Node}),
    Took = erlang:monotonic_time(millisecond) - Begun,
    true = is_process_alive(Monitor),
    %% A start that waited for the network would wait for its time-out, a minute.
    true = Took < 60000,
    ok = hb_process_monitor:stop(Monitor, 10000),
    false = is_process_alive(Monitor),
    halt(0).')
}
