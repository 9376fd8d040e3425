#!/usr/bin/env bash
# Installs this build into a release of the host, uninstalls it, or verifies the installation:
#
#   release.sh install|uninstall|verify DIR
#
# DIR is a built release: bin/, lib/, releases/. LIVE=yes also installs while a node runs on it. FORCE=yes also
# replaces files that were modified since they were installed. HB_APP=hb-0.0.1 selects the application if lib/ has
# several.
#
# This file decides what to do and reports it. It builds nothing. Of the files in release/, only files.sh changes
# the release; checks.sh examines it, manifest.sh records the previous files, library.sh chooses the library, vm.sh
# tests it, owner.sh drops root's privileges.
set -euo pipefail
# If set, cd would print the directory.
unset CDPATH
# The node may run as another user than the one who installs.
umask 022

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
ROOT=$(dirname "$HERE")
# shellcheck source=scripts/release/checks.sh
. "$HERE/release/checks.sh"
# shellcheck source=scripts/release/manifest.sh
. "$HERE/release/manifest.sh"
# shellcheck source=scripts/release/files.sh
. "$HERE/release/files.sh"
# shellcheck source=scripts/release/library.sh
. "$HERE/release/library.sh"
# shellcheck source=scripts/release/vm.sh
. "$HERE/release/vm.sh"
# shellcheck source=scripts/release/owner.sh
. "$HERE/release/owner.sh"

LIBRARY=priv/hb_process_monitor_nif.so
# The module that the host calls. It is replaced after everything it needs is in place, and restored first.
SHIM=ebin/hb_process_monitor.beam

usage() {
  echo "usage: $(basename "$0") install|uninstall|verify DIR, where DIR is a built release" >&2
  exit 2
}

# Sets what to install: PAYLOAD, the directory with ebin/ and priv/; PAYLOAD_LIBRARY; VERSION; and WANT, which maps
# file names to hashes. An unpacked tarball has ebin/ and priv/ beside scripts/; a checkout has them where rebar3
# leaves them.
find_payload() {
  PAYLOAD=$ROOT
  [ -d "$ROOT/ebin" ] || PAYLOAD=$ROOT/_build/default/lib/hb_process_monitor
  [ -f "$PAYLOAD/$SHIM" ] || die "$PAYLOAD has no build. In a checkout, run make compile first."
  find_library
  VERSION=$(version_of "$PAYLOAD")
  local hash name hashes files=()
  for name in $(modules_of "$PAYLOAD"); do
    [ -e "$PAYLOAD/ebin/$name.beam" ] || [ -L "$PAYLOAD/ebin/$name.beam" ] || die "$PAYLOAD: incomplete build, ebin/$name.beam is missing."
    files+=("ebin/$name.beam")
  done
  hashes=$(cd "$PAYLOAD" && sha256sum "${files[@]}") || die "$PAYLOAD: cannot read its files."
  while read -r hash name; do
    WANT[$name]=$hash
  done <<<"$hashes"
  WANT[$LIBRARY]=$(hash_of "$PAYLOAD_LIBRARY")
  [ "${WANT[$LIBRARY]}" != none ] || die "$PAYLOAD_LIBRARY: cannot be read."
}

install() {
  find_payload
  find_app "$1"
  lock
  manifest_read || true
  look "${!WANT[@]}" "${!BEFORE[@]}"

  local name first=no changes=() foreign=() obsolete=()
  [ "$STATE" != none ] || first=yes
  for name in "${!WANT[@]}"; do
    [ "${NOW[$name]}" = "${WANT[$name]}" ] || changes+=("$name")
  done
  for name in "${!BEFORE[@]}"; do
    is_ours "$name" || [ "${NOW[$name]}" = absent ] || [ "${NOW[$name]}" = "${WANT[$name]:-}" ] ||
      foreign+=("$name")
    [ -n "${WANT[$name]:-}" ] || obsolete+=("$name")
  done
  if [ "$STATE" = complete ] && [ ${#changes[@]} -eq 0 ] && [ ${#obsolete[@]} -eq 0 ]; then
    say "$VERSION is already installed in $APP. Nothing was changed."
    return
  fi

  refuse_links
  if [ ${#foreign[@]} -gt 0 ] && [ "${FORCE:-}" != yes ]; then
    die "these files were modified since they were installed: ${foreign[*]}." \
        "FORCE=yes replaces them. Their present content is kept, and uninstall restores it."
  fi
  refuse_foreign_directory
  refuse_read_only
  refuse_running
  try_payload

  if [ "$STATE" = none ] && [ "${NOW[ebin/hb_process_monitor_nif.beam]:-absent}" != absent ]; then
    say "note: $APP has copies of these files that were not installed by this script. Uninstall will restore them."
  fi
  keep_originals "${foreign[@]}"
  put_payload "${changes[@]}"
  put_back "${obsolete[@]}"
  drop_entries "${obsolete[@]}"
  manifest_complete
  say "$VERSION is installed in $APP: ${#changes[@]} files written, the originals are kept in $KEPT."
  if [ ${#obsolete[@]} -gt 0 ]; then
    say "${#obsolete[@]} files of the older version were removed: restart the node. reload() cannot replace renamed modules."
  elif [ ${#RUNNING[@]} -gt 0 ] && [ "$first" = yes ]; then
    # The loaded module is the host's own.
    say "A node runs on it (process ${RUNNING[*]}). Call code:load_file(hb_process_monitor) in the node:"
    say "it loads the modules and the library, and starts what is configured."
  elif [ ${#RUNNING[@]} -gt 0 ]; then
    say "A node runs on it (process ${RUNNING[*]}). Call hb_process_monitor:reload() in the node"
    say "to load the modules. The library takes effect at the next start of the node."
  fi
}

uninstall() {
  find_app "$1"
  lock
  if ! manifest_read; then
    # Left by a run that was killed before its first change, or after everything was restored.
    if [ -e "$KEPT" ] || [ -L "$KEPT" ]; then
      refuse_links
      refuse_foreign_directory
      refuse_read_only
      remove_leftovers
    fi
    say "not installed in $APP: nothing to uninstall."
    return
  fi
  look "${!BEFORE[@]}"

  local name foreign=() lost=()
  for name in "${!BEFORE[@]}"; do
    [ "${NOW[$name]}" = absent ] || is_ours "$name" || foreign+=("$name")
    is_restored "$name" || original_is_there "$name" || lost+=("$name")
  done
  refuse_links
  if [ ${#lost[@]} -gt 0 ]; then
    die "these originals are missing or damaged in $KEPT: ${lost[*]}." \
        "Nothing was changed. Restore them from the build of the release."
  fi
  if [ ${#foreign[@]} -gt 0 ] && [ "${FORCE:-}" != yes ]; then
    die "these files were modified since they were installed: ${foreign[*]}." \
        "FORCE=yes restores the originals anyway."
  fi
  refuse_read_only
  refuse_running

  put_back "${!BEFORE[@]}"
  remove_kept
  say "uninstalled from $APP: the originals are restored."
  if [ ${#RUNNING[@]} -gt 0 ]; then
    say "A node runs on it (process ${RUNNING[*]}) and keeps the loaded version until it restarts."
  fi
}

verify() {
  find_app "$1"
  manifest_read || die "not installed in $APP. To install: install $RELEASE"
  look "${!BEFORE[@]}"
  local well=0 name state wanted
  printf '%-11s %s in %s\n' installed "$INSTALLED" "$APP"
  if [ "$STATE" != complete ]; then
    echo "            an installation or uninstallation was interrupted: run either again"
    well=1
  fi
  while read -r name; do
    wanted=${OURS[$name]%%,*}
    case ${NOW[$name]} in
      "$wanted") state=ok ;;
      absent) state=missing well=1 ;;
      *) state=changed well=1 ;;
    esac
    printf '  %-9s %s\n' "$state" "$name"
  done < <(printf '%s\n' "${!BEFORE[@]}" | LC_ALL=C sort)
  try_installed || well=1
  says_autostart
  return "$well"
}

if [ $# -ne 2 ] || [ -z "$2" ]; then usage; fi
for tool in sha256sum stat touch realpath readlink timeout mktemp sed grep; do
  command -v "$tool" >/dev/null || die "the command $tool is required."
done
case $1 in
  install|uninstall|verify)
    as_owner "$1" "$2"
    "$1" "$2" ;;
  *) usage ;;
esac
