# Chooses the library of a tarball, which has one for each machine, by the machine and its C library. To be sourced.
# shellcheck shell=bash disable=SC2034,SC2154

# Prints the machine as the directories of libraries name it.
machine() {
  local name
  name=$(uname -m)
  case $name in
    amd64) echo x86_64 ;;
    arm64) echo aarch64 ;;
    *) echo "$name" ;;
  esac
}

# Prints the kind of the system's C library. Of the supported ones, only glibc knows this variable.
c_library() {
  if getconf GNU_LIBC_VERSION >/dev/null 2>&1; then echo gnu; else echo musl; fi
}

# Prints the directories of libraries that a payload has, in one line.
libraries_of() {
  local dir found=()
  for dir in "$1"/priv/*/; do
    [ ! -f "$dir${LIBRARY##*/}" ] || found+=("$(basename "$dir")")
  done
  echo "${found[*]}"
}

# Sets PAYLOAD_LIBRARY to the library of the payload for this system. A checkout has built one, for itself.
find_library() {
  local system lines=()
  PAYLOAD_LIBRARY=$PAYLOAD/$LIBRARY
  [ ! -f "$PAYLOAD_LIBRARY" ] || return 0
  system=$(machine)-linux-$(c_library)
  PAYLOAD_LIBRARY=$PAYLOAD/priv/$system/${LIBRARY##*/}
  [ ! -f "$PAYLOAD_LIBRARY" ] || return 0
  [ -n "$(libraries_of "$PAYLOAD")" ] || die "$PAYLOAD has no build. In a checkout, run make compile first."
  die "no library for this system, $system. Nothing was changed. This tarball has: $(libraries_of "$PAYLOAD")." \
      "Build the library on this system from the sources: docs/install.md."
}
