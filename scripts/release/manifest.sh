# The record of an installation, KEPT/manifest: for each file, what was there before and what was installed. Reads
# and compares. Only manifest_write changes anything, and only the manifest. To be sourced.
# shellcheck shell=bash disable=SC2004,SC2034
#
#   hb_process_monitor 1                  the format
#   version 0.1.0                         of what is installed
#   state complete                        or changing, while files are exchanged
#   dir ebin 1732503600.123456789         its mtime before; `absent' if it was not there
#   file NAME HASH MODE OWNER MTIME OURS  the original, HASH `absent' if there was none, and the
#                                         hashes of ours, the newest first. Several, if an
#                                         installation did not come to its end: either may be there.
#
# The originals are in KEPT/originals, named by their hash. They are never changed.

declare -A WANT=() NOW=() BEFORE=() META=() OURS=() DIRS=()
STATE=none
INSTALLED=

manifest_read() {
  local manifest=$KEPT/manifest word a b c d e f
  local name='^(ebin|priv)/[A-Za-z0-9_]+\.(beam|so)$' sha='[0-9a-f]{64}'
  local rest="^(absent - - -|$sha [0-7]+ [0-9]+:[0-9]+ -?[0-9.]+) $sha(,$sha)*$"
  [ -f "$manifest" ] || return 1
  [ "$(head -n 1 "$manifest")" = "hb_process_monitor 1" ] ||
    die "$manifest: the format is unknown to this version. Use the version that wrote it."
  while read -r word a b c d e f; do
    case $word in
      hb_process_monitor) ;;
      version) INSTALLED=$a ;;
      state) STATE=$a ;;
      dir) DIRS[$a]=$b ;;
      file)
        [[ $a =~ $name && "$b $c $d $e $f" =~ $rest ]] ||
          die "$manifest: damaged in the line of '$a'. Nothing was changed."
        BEFORE[$a]=$b META[$a]="$c $d $e" OURS[$a]=$f ;;
      *) die "$manifest: damaged, unknown line '$word'. Nothing was changed." ;;
    esac
  done <"$manifest"
  case "$STATE ${DIRS[.]:+.} ${DIRS[ebin]:+ebin} ${DIRS[priv]:+priv}" in
    "complete . ebin priv"|"changing . ebin priv") ;;
    *) die "$manifest: damaged, lines are missing. Nothing was changed." ;;
  esac
}

sorted() { printf '%s\n' "$@" | LC_ALL=C sort; }

# Writes the variables to the manifest, with this state.
manifest_write() {
  local name
  STATE=$1
  {
    echo "hb_process_monitor 1"
    echo "version $INSTALLED"
    echo "state $STATE"
    # Sorted, so that equal contents give equal files. Names have no spaces.
    for name in $(sorted "${!DIRS[@]}"); do echo "dir $name ${DIRS[$name]}"; done
    for name in $(sorted "${!BEFORE[@]}"); do echo "file $name ${BEFORE[$name]} ${META[$name]} ${OURS[$name]}"; done
  } >"$KEPT/manifest.new"
  sync "$KEPT/manifest.new"
  mv -f -- "$KEPT/manifest.new" "$KEPT/manifest"
}

# Completes an installation: only the files installed last count as ours.
manifest_complete() {
  local name
  for name in "${!OURS[@]}"; do OURS[$name]=${OURS[$name]%%,*}; done
  manifest_write complete
}

# Sets NOW to the hashes of these files of the application.
look() {
  local name hash there=()
  for name in "$@"; do
    NOW[$name]=absent
    [ ! -e "$APP/$name" ] || there+=("$name")
  done
  [ ${#there[@]} -gt 0 ] || return 0
  local hashes
  hashes=$(cd "$APP" && sha256sum -- "${there[@]}") || die "$APP: cannot read its files."
  while read -r hash name; do
    NOW[$name]=$hash
  done <<<"$hashes"
}

# Prints mode, owner and mtime, in the format of META.
meta_of() { stat -c '%a %u:%g %.9Y' -- "$1"; }

mtime_of() { stat -c '%.9Y' -- "$1"; }

# Whether a recorded file is the original, or was left by an installation.
is_ours() {
  case ",${BEFORE[$1]},${OURS[$1]}," in
    *",${NOW[$1]},"*) return 0 ;;
    *) return 1 ;;
  esac
}

# Whether a file is the original, including its mtime.
is_restored() {
  [ "${NOW[$1]}" = "${BEFORE[$1]}" ] || return 1
  [ "${NOW[$1]}" = absent ] || [ "$(meta_of "$APP/$1")" = "${META[$1]}" ]
}

original_is_there() {
  local hash=${BEFORE[$1]}
  [ "$hash" = absent ] || [ "$(hash_of "$KEPT/originals/$hash")" = "$hash" ]
}

hash_of() {
  local line
  # Read from standard input: for a name with a backslash, sha256sum prints another format.
  line=$({ sha256sum <"$1"; } 2>/dev/null) || line=none
  echo "${line%% *}"
}
