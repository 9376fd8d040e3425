# Looks at a release, and refuses with a reason and a remedy where it is not fit. Changes nothing. To be sourced.
# shellcheck shell=bash disable=SC2034,SC2154

say() { printf 'hb_process_monitor: %s\n' "$*"; }

die() {
  printf 'hb_process_monitor: %s\n' "$@" >&2
  exit 1
}

# The names of the modules of a build, from its .app file.
modules_of() {
  local text
  text=$(<"$1/ebin/hb_process_monitor.app")
  text=${text//[[:space:]]/}
  text=${text#*"{modules,["}
  text=${text%%"]"*}
  printf '%s\n' "${text//,/$'\n'}"
}

# Sets RELEASE, APP and KEPT, all absolute and without symbolic links above the application.
find_app() {
  [ -e "$1" ] || die "$1: there is no such directory."
  [ -d "$1" ] || die "$1: not a directory."
  RELEASE=$(realpath -- "$1")
  local part
  for part in bin lib releases; do
    [ -d "$RELEASE/$part" ] ||
      die "$RELEASE: not a release, there is no $part/ in it." \
          "Give the directory that holds bin/, lib/ and releases/, such as _build/default/rel/hb."
  done

  local app found=()
  if [ -n "${HB_APP:-}" ]; then
    [ -f "$RELEASE/lib/$HB_APP/ebin/hb.app" ] || die "$RELEASE/lib/$HB_APP: not the application hb."
    found=("$RELEASE/lib/$HB_APP")
  else
    for app in "$RELEASE"/lib/hb-[0-9]*; do
      [ -f "$app/ebin/hb.app" ] && found+=("$app")
    done
  fi
  case ${#found[@]} in
    0) die "$RELEASE: there is no application hb in lib/ (lib/hb-VERSION/ebin/hb.app)." \
           "This is for releases of HyperBEAM." ;;
    1) APP=${found[0]} ;;
    *) die "$RELEASE: there is more than one application hb in lib/: ${found[*]##*/}." \
           "Say which with HB_APP, such as HB_APP=${found[0]##*/}." ;;
  esac
  KEPT=$APP/hb_process_monitor
}

# One run at a time. The lock is on the directory itself, so that there is no file to be left behind.
lock() {
  command -v flock >/dev/null || return 0
  exec 9<"$APP"
  flock -w 10 9 || die "$APP: another installation is at work there. Wait for its end."
}

# What a link leads to belongs to something else, such as the build of a release in dev mode.
refuse_links() {
  local path
  for path in "$RELEASE/lib" "$APP" "$APP/ebin" "$APP/priv" "$APP/ebin/$NEW" "$APP/priv/$NEW" \
    "$KEPT" "$KEPT/manifest" "$KEPT/manifest.new" "$KEPT/originals" "${!NOW[@]}"; do
    case $path in /*) ;; *) path=$APP/$path ;; esac
    if [ -L "$path" ]; then
      die "$path: a symbolic link, as in a release built in dev mode." \
          "What it leads to is not the release's own. Build the release with {mode, prod}."
    fi
  done
}

# Without a manifest the directory may hold what a killed run leaves there, and nothing else.
refuse_foreign_directory() {
  local path
  [ "$STATE" = none ] || return 0
  for path in "$KEPT"/* "$KEPT"/.[!.]*; do
    case $path in
      "$KEPT/originals"|"$KEPT/manifest.new"|"$KEPT/*"|"$KEPT/.[!.]*") ;;
      *) die "$KEPT: a directory of somebody else's ($path). Nothing was changed. Move it away." ;;
    esac
  done
}

refuse_read_only() {
  local path
  for path in "$APP" "$APP/ebin" "$APP/priv" "$KEPT" "$KEPT/originals"; do
    if [ -e "$path" ] && { [ ! -w "$path" ] || [ ! -x "$path" ]; }; then
      die "$path: no permission to write. Nothing was changed." \
          "Run this as the user that owns the release ($(stat -c %U "$path")), or as root."
    fi
  done
}

# Sets RUNNING to the processes of nodes that run on the release; refuses if there are any, unless told otherwise.
refuse_running() {
  RUNNING=()
  local dir
  for dir in /proc/[0-9]*; do
    runs_on_release "$dir" && RUNNING+=("${dir#/proc/}")
  done
  if [ ${#RUNNING[@]} -gt 0 ] && [ "${LIVE:-}" != yes ]; then
    die "a node runs on $RELEASE (process ${RUNNING[*]}). Nothing was changed. Stop it, or say LIVE=yes:" \
        "files are renamed into place, never overwritten, so that a running node is not disturbed."
  fi
}

# Whether a process is an emulator of the release: by its executable, by a path among its arguments
# (-root, -boot, -progname), or by a file it has mapped. What cannot be read, of another user's
# process, says nothing; arguments always can.
runs_on_release() {
  local dir=$1 exe name='' args=() arg
  # Without starting a program for each process: there may be thousands.
  { read -r name <"$dir/comm" && mapfile -d '' -t args <"$dir/cmdline"; } 2>/dev/null || return 1
  [ ${#args[@]} -gt 0 ] || return 1
  case "$name ${args[0]##*/}" in
    beam*|*' beam'*) ;;
    *) return 1 ;;
  esac
  exe=$(readlink "$dir/exe" 2>/dev/null) || exe=
  for arg in "${args[@]}"; do
    # One of vm.sh's, which ends by itself.
    [ "$arg" != -hb_process_monitor_probe ] || return 1
  done
  is_below_release "${exe% (deleted)}" && return 0
  for arg in "${args[@]}"; do
    case $arg in
      /*) is_below_release "$(realpath -m -- "$arg")" && return 0 ;;
      */*) is_below_release "$(realpath -m -- "$dir/cwd/$arg" 2>/dev/null)" && return 0 ;;
    esac
  done
  grep -qF -- " $RELEASE/" "$dir/maps" 2>/dev/null
}

is_below_release() {
  case $1 in
    "$RELEASE"|"$RELEASE"/*) return 0 ;;
    *) return 1 ;;
  esac
}
