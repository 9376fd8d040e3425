#!/usr/bin/env bash
# Puts this build into a release of the host, takes it out again, or says how it stands there:
#
#   release.sh install|uninstall|verify DIR
#
# DIR is a built release: bin/, lib/, releases/. LIVE=yes: also while a node runs on it. FORCE=yes:
# also where a file that was installed has been changed by somebody else since. HB_APP=hb-0.0.1 names
# the application where lib/ has more than one.
#
# This file decides what there is to do and says so. It builds nothing. Of what it sources, in
# release/, files.sh alone changes anything; checks.sh looks at the release, manifest.sh keeps what
# was there before, vm.sh tries the library, owner.sh gives root's rights up.
set -euo pipefail
# With it, cd would print where it goes.
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
# shellcheck source=scripts/release/vm.sh
. "$HERE/release/vm.sh"
# shellcheck source=scripts/release/owner.sh
. "$HERE/release/owner.sh"

LIBRARY=priv/hb_process_monitor_nif.so
# The module that the host calls. It is exchanged when all that it needs is there, and restored first.
SHIM=ebin/hb_process_monitor.beam

usage() {
  echo "usage: $(basename "$0") install|uninstall|verify DIR, where DIR is a built release" >&2
  exit 2
}

# What there is to install: PAYLOAD, the directory with ebin/ and priv/; VERSION; and WANT, the
# files' hashes by their names. An unpacked tarball has them beside scripts/, a checkout as rebar3
# leaves them.
find_payload() {
  PAYLOAD=$ROOT
  [ -d "$ROOT/ebin" ] || PAYLOAD=$ROOT/_build/default/lib/hb_process_monitor
  if [ ! -f "$PAYLOAD/$SHIM" ] || [ ! -f "$PAYLOAD/$LIBRARY" ]; then
    die "there is no build in $PAYLOAD. In a checkout: make compile."
  fi
  VERSION=$(sed -n 's/.*{vsn, *"\([^"]*\)"}.*/\1/p' "$PAYLOAD/ebin/hb_process_monitor.app")
  local hash name hashes files=("$LIBRARY")
  for name in $(modules_of "$PAYLOAD"); do
    [ -e "$PAYLOAD/ebin/$name.beam" ] || [ -L "$PAYLOAD/ebin/$name.beam" ] || die "$PAYLOAD: not a whole build, ebin/$name.beam is missing."
    files+=("ebin/$name.beam")
  done
  hashes=$(cd "$PAYLOAD" && sha256sum "${files[@]}") || die "$PAYLOAD: its files cannot be read."
  while read -r hash name; do
    WANT[$name]=$hash
  done <<<"$hashes"
}

install() {
  find_payload
  find_app "$1"
  lock
  manifest_read || true
  look "${!WANT[@]}" "${!BEFORE[@]}"

  local name changes=() foreign=() obsolete=()
  for name in "${!WANT[@]}"; do
    [ "${NOW[$name]}" = "${WANT[$name]}" ] || changes+=("$name")
  done
  for name in "${!BEFORE[@]}"; do
    is_ours "$name" || [ "${NOW[$name]}" = absent ] || [ "${NOW[$name]}" = "${WANT[$name]:-}" ] ||
      foreign+=("$name")
    [ -n "${WANT[$name]:-}" ] || obsolete+=("$name")
  done
  if [ "$STATE" = complete ] && [ ${#changes[@]} -eq 0 ] && [ ${#obsolete[@]} -eq 0 ]; then
    say "$VERSION is installed in $APP already: nothing was changed."
    return
  fi

  refuse_links
  if [ ${#foreign[@]} -gt 0 ] && [ "${FORCE:-}" != yes ]; then
    die "changed since they were installed, by somebody else: ${foreign[*]}." \
        "FORCE=yes installs over them; what is there now is kept, and what uninstall brings back."
  fi
  refuse_foreign_directory
  refuse_read_only
  refuse_running
  try_payload

  if [ "$STATE" = none ] && [ "${NOW[ebin/hb_process_monitor_nif.beam]:-absent}" != absent ]; then
    say "note: its files were copied there by hand before. They are what uninstall will bring back."
  fi
  keep_originals "${foreign[@]}"
  put_payload "${changes[@]}"
  put_back "${obsolete[@]}"
  drop_entries "${obsolete[@]}"
  manifest_complete
  say "$VERSION is installed in $APP: ${#changes[@]} files written, what was there before is kept in $KEPT."
  if [ ${#obsolete[@]} -gt 0 ]; then
    say "${#obsolete[@]} files of the older version are gone: restart the node. reload() does not exchange renamed modules."
  elif [ ${#RUNNING[@]} -gt 0 ]; then
    say "A node runs on it (process ${RUNNING[*]}). In the node, call hb_process_monitor:reload()."
    say "for the modules; the library takes effect when the node starts next."
  fi
}

uninstall() {
  find_app "$1"
  lock
  if ! manifest_read; then
    # A run that was killed before it changed anything, or after all was restored.
    if [ -e "$KEPT" ] || [ -L "$KEPT" ]; then
      refuse_links
      refuse_foreign_directory
      refuse_read_only
      remove_leftovers
    fi
    say "not installed in $APP: nothing to undo."
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
    die "the originals kept in $KEPT are gone or damaged: ${lost[*]}." \
        "Take them from the release's build; nothing was changed."
  fi
  if [ ${#foreign[@]} -gt 0 ] && [ "${FORCE:-}" != yes ]; then
    die "changed since they were installed, by somebody else: ${foreign[*]}." \
        "FORCE=yes restores what was there before the installation all the same."
  fi
  refuse_read_only
  refuse_running

  put_back "${!BEFORE[@]}"
  remove_kept
  say "uninstalled from $APP: it is as it was before."
  if [ ${#RUNNING[@]} -gt 0 ]; then
    say "A node runs on it (process ${RUNNING[*]}), and keeps what it has loaded until it starts next."
  fi
}

verify() {
  find_app "$1"
  manifest_read || die "not installed in $APP. To install: install $RELEASE"
  look "${!BEFORE[@]}"
  local well=0 name state wanted
  printf '%-11s %s in %s\n' installed "$INSTALLED" "$APP"
  if [ "$STATE" != complete ]; then
    echo "            an installation was interrupted: run install or uninstall again"
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
  return "$well"
}

if [ $# -ne 2 ] || [ -z "$2" ]; then usage; fi
for tool in sha256sum stat touch realpath readlink timeout mktemp sed grep; do
  command -v "$tool" >/dev/null || die "this needs the command $tool."
done
case $1 in
  install|uninstall|verify)
    as_owner "$1" "$2"
    "$1" "$2" ;;
  *) usage ;;
esac
