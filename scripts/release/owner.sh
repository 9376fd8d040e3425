# Root installs as the release's owner, so that an owner who plants a link or a program in the release gains nothing.
# To be sourced.
# shellcheck shell=bash

# Runs this command again as the user that owns the release, where that is not root, and exits with its status.
# Returns where there is nothing to give up: not root, or a release that only root can change.
as_owner() {
  local owner status=0 tool
  [ "$EUID" -eq 0 ] || return 0
  # Without it no owner would be found.
  command -v find >/dev/null || die "as root this needs the command find."
  owner=$(owner_of "$2")
  [ -n "$owner" ] || return 0
  for tool in setpriv setsid; do
    command -v "$tool" >/dev/null || die "as root this needs the command $tool (util-linux), or run it as the user $owner."
  done
  # The owner may be unable to read where root has unpacked this.
  OWNER_COPY=$(mktemp -d)
  trap 'rm -rf "$OWNER_COPY"' EXIT
  cp -RL "$HERE" "$OWNER_COPY/scripts"
  if [ "$1" = install ]; then
    find_payload
    cp -RL "$PAYLOAD/ebin" "$PAYLOAD/priv" "$OWNER_COPY"
  fi
  chmod -R u=rwX,go=rX "$OWNER_COPY"
  # A session and an environment of its own: nothing of root's terminal or of its variables is within reach.
  env -i PATH="$PATH" LANG="${LANG:-}" LC_ALL="${LC_ALL:-}" LD_LIBRARY_PATH="${LD_LIBRARY_PATH:-}" HOME=/ \
    LIVE="${LIVE:-}" FORCE="${FORCE:-}" HB_APP="${HB_APP:-}" \
    setsid --wait setpriv --reuid="$owner" --regid="$(group_of "$owner" "$2")" "$(groups_of "$owner")" --no-new-privs \
    bash "$OWNER_COPY/scripts/release.sh" "$1" "$(realpath -- "$2")" </dev/null || status=$?
  exit "$status"
}

# The user, other than root, who can change what an installation reads, runs or writes: the release's programs and
# libraries, and where the release is. Says nothing if there is none.
owner_of() {
  local release dir owners others
  [ -d "$1" ] || return 0
  release=$(realpath -- "$1")
  owners=$(
    dir=$release
    while [ "$dir" != / ]; do
      stat -c %u -- "$dir"
      dir=$(dirname "$dir")
    done
    find "$release/bin" "$release/lib" "$release/releases" "$release"/erts-* -printf '%U\n' 2>/dev/null || true
  )
  owners=$(sort -un <<<"$owners" | sed '/^0$/d')
  if [ -z "$owners" ]; then
    # What belongs to root and can be written to by others is as good as theirs.
    others=$(find "$release/bin" "$release/lib" "$release/releases" "$release"/erts-* "$release" \
      ! -type l \( -perm -002 -o -perm -020 ! -gid 0 \) ! -perm -1000 -print -quit 2>/dev/null || true)
    [ -z "$others" ] || die "$others: users other than root can write to it. Take that away (chmod go-w), or give" \
      "the release to the user who runs it (chown -R)."
    return 0
  fi
  [ "$(wc -l <<<"$owners")" -eq 1 ] ||
    die "$release: it belongs to several users ($(tr '\n' ' ' <<<"$owners" | sed 's/ $//')), its directory or one above it." \
        "Give it to one of them (chown -R), or run this as the user who runs the release."
  echo "$owners"
}

# The user's own group; one that has no entry gets the release's.
group_of() { id -g "$1" 2>/dev/null || stat -c %g -- "$2"; }

groups_of() {
  if getent passwd "$1" >/dev/null 2>&1; then echo --init-groups; else echo --clear-groups; fi
}
