# What an installation has to remember, in KEPT/manifest: of each of its files what was there before
# it, and what it put there. Reads and compares; only manifest_write changes anything, and only the
# manifest. To be sourced.
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
# The originals themselves are in KEPT/originals, by their hash: one that is there is never changed.

declare -A WANT=() NOW=() BEFORE=() META=() OURS=() DIRS=()
STATE=none
INSTALLED=

manifest_read() {
  local manifest=$KEPT/manifest word a b c d e f
  local name='^(ebin|priv)/[A-Za-z0-9_]+\.(beam|so)$' sha='[0-9a-f]{64}'
  local rest="^(absent - - -|$sha [0-7]+ [0-9]+:[0-9]+ -?[0-9.]+) $sha(,$sha)*$"
  [ -f "$manifest" ] || return 1
  [ "$(head -n 1 "$manifest")" = "hb_process_monitor 1" ] ||
    die "$manifest: not a manifest that this version understands. Use the version that made it."
  while read -r word a b c d e f; do
    case $word in
      hb_process_monitor) ;;
      version) INSTALLED=$a ;;
      state) STATE=$a ;;
      dir) DIRS[$a]=$b ;;
      file)
        [[ $a =~ $name && "$b $c $d $e $f" =~ $rest ]] ||
          die "$manifest: damaged, in the line of '$a'. Nothing was changed."
        BEFORE[$a]=$b META[$a]="$c $d $e" OURS[$a]=$f ;;
      *) die "$manifest: damaged, '$word' is no line of it. Nothing was changed." ;;
    esac
  done <"$manifest"
  case "$STATE ${DIRS[.]:+.} ${DIRS[ebin]:+ebin} ${DIRS[priv]:+priv}" in
    "complete . ebin priv"|"changing . ebin priv") ;;
    *) die "$manifest: damaged, it is not whole. Nothing was changed." ;;
  esac
}

sorted() { printf '%s\n' "$@" | LC_ALL=C sort; }

# Writes what is in the variables, with this state.
manifest_write() {
  local name
  STATE=$1
  {
    echo "hb_process_monitor 1"
    echo "version $INSTALLED"
    echo "state $STATE"
    # In order, so that what says the same is the same. No name has a space in it.
    for name in $(sorted "${!DIRS[@]}"); do echo "dir $name ${DIRS[$name]}"; done
    for name in $(sorted "${!BEFORE[@]}"); do echo "file $name ${BEFORE[$name]} ${META[$name]} ${OURS[$name]}"; done
  } >"$KEPT/manifest.new"
  sync "$KEPT/manifest.new"
  mv -f -- "$KEPT/manifest.new" "$KEPT/manifest"
}

# Only what was installed last is ours from now on.
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
  hashes=$(cd "$APP" && sha256sum -- "${there[@]}") || die "$APP: its files cannot be read."
  while read -r hash name; do
    NOW[$name]=$hash
  done <<<"$hashes"
}

# Mode, owner and mtime, as META has them.
meta_of() { stat -c '%a %u:%g %.9Y' -- "$1"; }

mtime_of() { stat -c '%.9Y' -- "$1"; }

# Whether a file that the manifest knows is as it was before, or as an installation left it.
is_ours() {
  case ",${BEFORE[$1]},${OURS[$1]}," in
    *",${NOW[$1]},"*) return 0 ;;
    *) return 1 ;;
  esac
}

# Whether a file is as it was before, to the mtime.
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
  # From its input: to a name with a backslash in it there belongs another kind of line.
  line=$({ sha256sum <"$1"; } 2>/dev/null) || line=none
  echo "${line%% *}"
}
