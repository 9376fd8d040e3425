# Sourced by the scripts that try a copy of this checkout. The working directory is its root.

# Copies it into a directory, whatever git says of its files, and nothing that was built.
copy_checkout() {
  mkdir -p "$1"
  tar -c --exclude=./_build --exclude=./target --exclude=./test/rust/fuzz/target --exclude=./test/rust/fuzz/corpus \
    --exclude=./.git --exclude=./priv --exclude=./doc . | tar -x -C "$1" --no-same-owner
}

# A copy is built in this checkout's target directory, so that only our own crates are compiled anew, and as
# its tests are: what is tried here is where a build ends up and whether that runs, and optimising the same
# library once more would take most of the time. As it ships it is built, and tested, by this checkout.
share_build() {
  export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$PWD/target} NIF_PROFILE=dev
}

# But a library has no hash in its name: cargo would take the copy's for this checkout's.
disown_build() {
  rm -f "$CARGO_TARGET_DIR/debug/deps/libhb_process_monitor_nif."{so,dylib}
}

# In a node that has this code path, the library is loaded, and a monitor starts and stops, though its
# Compute Unit takes connections and never says a word. The checkpoint is left in the directory given.
lives() {
  local in=$1
  shift
  (cd "$in" && erl -noshell -pa "$@" -eval '
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
