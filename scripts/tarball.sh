# What the tarballs of `make dist` have in common. To be sourced. Sets root, LIBRARY and tmp, a directory that ends with the
# script.
# shellcheck shell=bash disable=SC2034

# If set, cd would print the directory.
unset CDPATH
umask 022

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
LIBRARY=priv/hb_process_monitor_nif.so
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

# For needed_glibc, modules_of, machine and c_library.
# shellcheck source=scripts/release/vm.sh
. "$root/scripts/release/vm.sh"
# shellcheck source=scripts/release/checks.sh
. "$root/scripts/release/checks.sh"
# shellcheck source=scripts/release/library.sh
. "$root/scripts/release/library.sh"

# The oldest glibc that is supported, as README.md says.
SUPPORTED_GLIBC=2.34

# Prints the newest version of glibc that these files require.
needs() {
  local file
  for file in "$@"; do needed_glibc "$file"; done | sort -uV | tail -n 1
}

# Refuses a library that needs a newer glibc than the supported one. GLIBC=2.39 accepts it, for this machine's own use.
check_glibc() {
  local needed limit=${GLIBC:-$SUPPORTED_GLIBC}
  needed=$(needed_glibc "$1")
  if [ "$(printf '%s\n' "$needed" "$limit" | sort -V | tail -n 1)" != "$limit" ]; then
    echo "dist: $1 needs glibc $needed, but $limit is supported: build on a system with an older glibc, or set GLIBC=$needed" >&2
    exit 1
  fi
}

# Copies the modules of a build, the scripts' licence, and the documentation into a directory.
copy_common() {
  local build=$1 into=$2 module
  mkdir -p "$into/ebin"
  cp -L "$build/ebin/hb_process_monitor.app" "$into/ebin"
  for module in $(modules_of "$build"); do cp -L "$build/ebin/$module.beam" "$into/ebin"; done
  cp "$root/LICENSE" "$into"
  # Documentation for operators, and files for Prometheus and Grafana.
  cp -R "$root"/{README,ARCHITECTURE,CHANGELOG,CONTRIBUTING,SECURITY}.md "$root/docs" "$into"
}

# Puts the sums of all files into a directory, and the directory into a tarball. The content does not depend on the run:
# order, modes, times and owners are fixed. Writes to a new file and renames it.
pack() {
  local dir=$1 out=$2 name
  shift 2
  name=$(basename "$dir")
  chmod -R u=rwX,go=rX "$dir"
  find "$dir" -type f -exec chmod 644 {} +
  (cd "$dir" && chmod 755 "$@")
  # shellcheck disable=SC2094 # find leaves out the file that is written
  (cd "$dir" && find . -type f ! -name SHA256SUMS -printf '%P\0' | LC_ALL=C sort -z | xargs -0 sha256sum >SHA256SUMS)
  mkdir -p "$out"
  tar -C "$(dirname "$dir")" --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner --format=ustar -cf - "$name" |
    gzip -9n >"$out/.$name.new"
  mv -f "$out/.$name.new" "$out/$name.tar.gz"
  echo "$out/$name.tar.gz"
}
