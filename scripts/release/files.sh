# Changes a release. No other part does. To be sourced.
# shellcheck shell=bash disable=SC2004,SC2034,SC2153
#
# Every file is written to a directory beside its place, and renamed into place. A library that a node has mapped
# must not be overwritten, and a run that is killed at any line leaves each file either old or new. All files are
# written and synced before the first rename, so a full disk stops the run in time. The manifest records the
# previous files before any change, so install and uninstall can continue after a kill.

# The directory in ebin and in priv that holds files until they are moved up.
NEW=.hb_process_monitor-new

remove_staged() {
  rm -rf -- "$APP/ebin/$NEW" "$APP/priv/$NEW"
}

# Keeps the files that WANT will replace, and writes the manifest. Files that are recorded keep their entries,
# except the given ones: their present content becomes the original.
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

# Only root can give files away. Other users can choose among their groups.
give() {
  local owner=$1
  shift
  if [ "$EUID" -eq 0 ]; then
    chown -h -- "$owner" "$@"
  else
    chgrp -h -- "${owner#*:}" "$@" 2>/dev/null || true
  fi
}

# Sets PATHS to the staged paths of these files.
staged() {
  local name
  PATHS=()
  for name in "$@"; do PATHS+=("$APP/${name%/*}/$NEW/${name##*/}"); done
}

# Sets OF to those of the given names that are below a directory of the application, without the shim.
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

# Moves staged files into place, the shim first or last.
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

# The shim comes last: until then a booting node finds the old one, and the new one finds everything it needs.
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
      case $name in
        "$LIBRARY") [ "$part" != priv ] || files+=("$PAYLOAD_LIBRARY") ;;
        "$part"/*) files+=("$PAYLOAD/$name") ;;
      esac
    done
    [ ${#files[@]} -gt 0 ] || continue
    mkdir -p -- "$APP/$part/$NEW"
    cp -- "${files[@]}" "$APP/$part/$NEW"
  done
  staged "$@"
  for name in "$@"; do
    echo "${WANT[$name]}  $APP/${name%/*}/$NEW/${name##*/}"
  done | sha256sum --check --status ||
    die "$PAYLOAD: its files changed while they were copied. Nothing was replaced. Run this again."
  give "$owner" "${PATHS[@]}"
  chmod -- 644 "${PATHS[@]}"
  [ ! -e "$APP/priv/$NEW/${LIBRARY##*/}" ] || chmod -- 755 "$APP/priv/$NEW/${LIBRARY##*/}"
  unstage last "$@"
}

# Restores files, the shim first.
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

# Drops the entries of files that only an older version installed, after they were restored.
drop_entries() {
  local name
  for name in "$@"; do unset "BEFORE[$name]" "META[$name]" "OURS[$name]"; done
}

# Removes only what these scripts create.
remove_leftovers() {
  remove_staged
  rm -f -- "$KEPT/manifest.new" "$KEPT"/originals/*
  [ ! -d "$KEPT/originals" ] || rmdir -- "$KEPT/originals"
  rmdir -- "$KEPT"
}

# Ends an uninstallation, after all files were restored: removes the kept files, and restores the mtimes of
# directories.
remove_kept() {
  local dir
  if [ "${DIRS[priv]}" = absent ] && [ -d "$APP/priv" ]; then
    rmdir -- "$APP/priv" 2>/dev/null || say "note: $APP/priv is not empty and was kept."
  fi
  # Remove the manifest first: without it, the rest counts as leftovers.
  rm -f -- "$KEPT/manifest"
  remove_leftovers
  for dir in priv ebin .; do
    # Only the owner can set it. It does not matter if this fails.
    [ "${DIRS[$dir]}" = absent ] || touch -d "@${DIRS[$dir]}" -- "$APP/$dir" 2>/dev/null || true
  done
}
