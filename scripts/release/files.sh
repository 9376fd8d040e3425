# Changes a release: the only part that does. To be sourced.
# shellcheck shell=bash disable=SC2004,SC2034,SC2153
#
# Every file is written beside its place, in a directory there, and renamed into it. A library that a node has mapped must not
# be overwritten, and whoever is killed here, at whatever line, leaves each file old or new. What is
# written is all written, and on the disk, before the first is renamed: a full disk stops it in time.
# Before any of that the manifest says what was there. So after a kill both install and uninstall know.

# Where files are, in ebin and priv each, until they are moved up.
NEW=.hb_process_monitor-new

remove_staged() {
  rm -rf -- "$APP/ebin/$NEW" "$APP/priv/$NEW"
}

# Keeps what WANT will replace, and writes the manifest. What is known already stays as it is known,
# but for the files given here: of those, what is there now is the original.
keep_originals() {
  local name dir forced=" $* "
  remove_staged
  if [ "$STATE" = none ]; then
    DIRS[.]=$(mtime_of "$APP")
    for dir in ebin priv; do
      DIRS[$dir]=absent
      [ ! -d "$APP/$dir" ] || DIRS[$dir]=$(mtime_of "$APP/$dir")
    done
  fi
  mkdir -p -- "$KEPT/originals"
  give "$(stat -c '%u:%g' -- "$APP")" "$KEPT" "$KEPT/originals"
  for name in "${!WANT[@]}" "$@"; do
    if [ -z "${BEFORE[$name]:-}" ] || [[ $forced == *" $name "* ]]; then
      keep "$name"
    fi
    [ -z "${WANT[$name]:-}" ] || newest_of_ours "$name" "${WANT[$name]}"
  done
  INSTALLED=$VERSION
  manifest_write changing
}

newest_of_ours() {
  local hash list=$2 known=${OURS[$1]:-}
  for hash in ${known//,/ }; do
    [ "$hash" = "$2" ] || list+=,$hash
  done
  OURS[$1]=$list
}

keep() {
  local name=$1 hash=${NOW[$1]}
  BEFORE[$name]=$hash
  META[$name]="- - -"
  [ "$hash" != absent ] || return 0
  META[$name]=$(meta_of "$APP/$name")
  if [ "$(hash_of "$KEPT/originals/$hash")" != "$hash" ]; then
    cp -p -- "$APP/$name" "$KEPT/originals/$hash.new"
    sync "$KEPT/originals/$hash.new"
    mv -f -- "$KEPT/originals/$hash.new" "$KEPT/originals/$hash"
  fi
}

# Only root can give files away. Another user can choose among the groups that it is in.
give() {
  local owner=$1
  shift
  if [ "$EUID" -eq 0 ]; then
    chown -h -- "$owner" "$@"
  else
    chgrp -h -- "${owner#*:}" "$@" 2>/dev/null || true
  fi
}

# Sets PATHS to where these files are while they are staged.
staged() {
  local name
  PATHS=()
  for name in "$@"; do PATHS+=("$APP/${name%/*}/$NEW/${name##*/}"); done
}

# Sets OF to those of the names given that are below a directory of the application, the shim left out.
names_in() {
  local part=$1 name
  OF=()
  shift
  for name in "$@"; do
    case $name in
      "$SHIM") ;;
      "$part"/*) OF+=("$name") ;;
    esac
  done
}

# Moves staged files up into their places, the shim as the first or the last of them.
unstage() {
  local when=$1 part shim=()
  shift
  [ $# -gt 0 ] || return 0
  staged "$@"
  sync "${PATHS[@]}"
  [ ! -e "$APP/ebin/$NEW/${SHIM##*/}" ] || shim=("$APP/ebin/$NEW/${SHIM##*/}")
  [ "$when" != first ] || [ ${#shim[@]} -eq 0 ] || mv -f -t "$APP/ebin" -- "${shim[@]}"
  for part in priv ebin; do
    names_in "$part" "$@"
    staged "${OF[@]}"
    [ ${#OF[@]} -eq 0 ] || mv -f -t "$APP/$part" -- "${PATHS[@]}"
  done
  [ "$when" != last ] || [ ${#shim[@]} -eq 0 ] || mv -f -t "$APP/ebin" -- "${shim[@]}"
  remove_staged
}

# The shim comes last: until then whatever boots finds the old one, and a call of the new one finds
# all that it needs.
put_payload() {
  local owner part name files
  [ $# -gt 0 ] || return 0
  owner=$(stat -c '%u:%g' -- "$APP/ebin")
  if [ ! -d "$APP/priv" ]; then
    mkdir -- "$APP/priv"
    give "$owner" "$APP/priv"
  fi
  for part in priv ebin; do
    files=()
    for name in "$@"; do
      [[ $name != "$part"/* ]] || files+=("$PAYLOAD/$name")
    done
    [ ${#files[@]} -gt 0 ] || continue
    mkdir -p -- "$APP/$part/$NEW"
    cp -- "${files[@]}" "$APP/$part/$NEW"
  done
  staged "$@"
  for name in "$@"; do
    echo "${WANT[$name]}  $APP/${name%/*}/$NEW/${name##*/}"
  done | sha256sum --check --status ||
    die "$PAYLOAD: its files changed while they were copied. Nothing was exchanged; run this again."
  give "$owner" "${PATHS[@]}"
  chmod -- 644 "${PATHS[@]}"
  [ ! -e "$APP/priv/$NEW/${LIBRARY##*/}" ] || chmod -- 755 "$APP/priv/$NEW/${LIBRARY##*/}"
  unstage last "$@"
}

# Makes files what they were before, the shim first.
put_back() {
  local name mode owner mtime back=() absent=()
  [ $# -gt 0 ] || return 0
  remove_staged
  [ "$STATE" = changing ] || manifest_write changing
  for name in "$@"; do
    if [ "${BEFORE[$name]}" = absent ]; then
      if [ "$name" = "$SHIM" ]; then absent=("$APP/$name" "${absent[@]}"); else absent+=("$APP/$name"); fi
    elif ! is_restored "$name"; then
      read -r mode owner mtime <<<"${META[$name]}"
      back+=("$name")
      staged "$name"
      mkdir -p -- "${PATHS[0]%/*}"
      cp -- "$KEPT/originals/${BEFORE[$name]}" "${PATHS[0]}"
      give "$owner" "${PATHS[0]}"
      chmod -- "$mode" "${PATHS[0]}"
      touch -d "@$mtime" -- "${PATHS[0]}"
    fi
  done
  unstage first "${back[@]}"
  rm -f -- "${absent[@]}"
}

# What an older version had installed and this one has not is forgotten, once it is put back.
drop_entries() {
  local name
  for name in "$@"; do unset "BEFORE[$name]" "META[$name]" "OURS[$name]"; done
}

# Takes away nothing but what these scripts make.
remove_leftovers() {
  remove_staged
  rm -f -- "$KEPT/manifest.new" "$KEPT"/originals/*
  [ ! -d "$KEPT/originals" ] || rmdir -- "$KEPT/originals"
  rmdir -- "$KEPT"
}

# The end of it: all is restored but for what the directories' mtimes say.
remove_kept() {
  local dir
  if [ "${DIRS[priv]}" = absent ] && [ -d "$APP/priv" ]; then
    rmdir -- "$APP/priv" 2>/dev/null || say "note: $APP/priv is not empty, and stays."
  fi
  # The manifest first: without it the rest is a leftover.
  rm -f -- "$KEPT/manifest"
  remove_leftovers
  for dir in priv ebin .; do
    # Only its owner can set this; nothing hangs on it.
    [ "${DIRS[$dir]}" = absent ] || touch -d "@${DIRS[$dir]}" -- "$APP/$dir" 2>/dev/null || true
  done
}
