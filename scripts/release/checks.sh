# Examines a release. If it is unsuitable, refuses with a reason and a remedy. Changes nothing. To be sourced.
# shellcheck shell=bash disable=SC2034,SC2154

say() { printf 'hb_process_monitor: %s\n' "$*"; }

die() {
  printf 'hb_process_monitor: %s\n' "$@" >&2
  exit 1
}

# Prints the version of a build.
version_of() { sed -n 's/.*{vsn, *"\([^"]*\)"}.*/\1/p' "$1/ebin/hb_process_monitor.app"; }

# Prints the names of the modules of a build, from its .app file.
modules_of() {
  local text
  text=$(<"$1/ebin/hb_process_monitor.app")
  text=${text//[[:space:]]/}
  text=${text#*"{modules,["}
  text=${text%%"]"*}
  printf '%s\n' "${text//,/$'\n'}"
}

# Sets RELEASE, APP and KEPT. All are absolute, without symbolic links above the application.
find_app() {
  [ -e "$1" ] || die "$1: no such directory."
  [ -d "$1" ] || die "$1: not a directory."
  RELEASE=$(realpath -- "$1")
  local part
  for part in bin lib releases; do
    [ -d "$RELEASE/$part" ] ||
      die "$RELEASE: not a release, because it has no $part/." \
          "Specify the directory with bin/, lib/ and releases/, such as _build/default/rel/hb."
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
    0) die "$RELEASE: no application hb in lib/ (lib/hb-VERSION/ebin/hb.app)." \
           "Only releases of HyperBEAM are supported." ;;
    1) APP=${found[0]} ;;
    *) die "$RELEASE: several applications hb in lib/: ${found[*]##*/}." \
           "Select one with HB_APP, such as HB_APP=${found[0]##*/}." ;;
  esac
  KEPT=$APP/hb_process_monitor
}

# Allows one run at a time. The lock is on the directory itself, so that no lock file is left behind.
lock() {
  command -v flock >/dev/null || return 0
  exec 9<"$APP"
  flock -w 10 9 || die "$APP: another installation is running there. Wait until it ends."
}

# The target of a link belongs to something else, such as the build of a release in dev mode.
refuse_links() {
  local path
  for path in "$RELEASE/lib" "$APP" "$APP/ebin" "$APP/priv" "$APP/ebin/$NEW" "$APP/priv/$NEW" \
    "$KEPT" "$KEPT/manifest" "$KEPT/manifest.new" "$KEPT/originals" "${!NOW[@]}"; do
    case $path in /*) ;; *) path=$APP/$path ;; esac
    if [ -L "$path" ]; then
      die "$path: a symbolic link, as in a release built in dev mode." \
          "Its target does not belong to the release. Build the release with {mode, prod}."
    fi
  done
}

# Without a manifest, the directory may only hold what a killed run leaves there.
refuse_foreign_directory() {
  local path
  [ "$STATE" = none ] || return 0
  for path in "$KEPT"/* "$KEPT"/.[!.]*; do
    case $path in
      "$KEPT/originals"|"$KEPT/manifest.new"|"$KEPT/*"|"$KEPT/.[!.]*") ;;
      *) die "$KEPT: not a directory of this installer, because it holds $path. Nothing was changed. Move it away." ;;
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

# Sets RUNNING to the nodes that run on the release. Refuses if there are any, unless LIVE=yes.
refuse_running() {
  RUNNING=()
  local dir
  for dir in /proc/[0-9]*; do
    runs_on_release "$dir" && RUNNING+=("${dir#/proc/}")
  done
  if [ ${#RUNNING[@]} -gt 0 ] && [ "${LIVE:-}" != yes ]; then
    die "a node runs on $RELEASE (process ${RUNNING[*]}). Nothing was changed. Stop it, or set LIVE=yes:" \
        "files are renamed into place and never overwritten, so a running node is not disturbed."
  fi
}

# Whether a process is an emulator of the release: by its executable, by a path in its arguments (-root, -boot,
# -progname), or by a mapped file. Executable and maps of another user's process cannot be read; arguments always
# can.
runs_on_release() {
  local dir=$1 exe name='' args=() arg
  # Avoid starting a program for each process: there may be thousands.
  { read -r name <"$dir/comm" && mapfile -d '' -t args <"$dir/cmdline"; } 2>/dev/null || return 1
  [ ${#args[@]} -gt 0 ] || return 1
  case "$name ${args[0]##*/}" in
    beam*|*' beam'*) ;;
    *) return 1 ;;
  esac
  exe=$(readlink "$dir/exe" 2>/dev/null) || exe=
  for arg in "${args[@]}"; do
    # A test VM of vm.sh, which ends by itself.
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

# Prints whether the release loads hb_process_monitor when it boots, so that it starts what is configured.
says_autostart() {
  local version boot loads=no
  read -r _ version 2>/dev/null <"$RELEASE/releases/start_erl.data" || version='*'
  for boot in "$RELEASE"/releases/$version/start.boot "$RELEASE"/releases/$version/hb.boot "$RELEASE/bin/start.boot"; do
    [ ! -f "$boot" ] || ! grep -qa hb_process_monitor -- "$boot" || loads=yes
  done
  if [ "$loads" = yes ]; then
    printf '%-11s %s\n' autostart "hb_process_monitor is in the boot script: what is configured starts by itself"
  else
    printf '%-11s %s\n' autostart "hb_process_monitor is not in the boot script: start the node with" \
      "" 'ERL_ZFLAGS="-eval code:load_file(hb_process_monitor)"'
  fi
  printf '%-11s %s\n' options "hb_process_monitor:doctor() in the node shows each, and where it is set"
}
