# Root installs as the owner of the release, so that an owner who plants a link or a program in it gains nothing.
# To be sourced.
# shellcheck shell=bash

# If root runs this and another user owns the release, runs the command again as that user and exits with its
# status. Otherwise returns: the user is not root, or only root can change the release.
as_owner() {
  local owner status=0 tool
  [ "$EUID" -eq 0 ] || return 0
  # Without it no owner would be found.
  command -v find >/dev/null || die "as root, the command find is required."
  owner=$(owner_of "$2")
  [ -n "$owner" ] || return 0
  for tool in setpriv setsid; do
    command -v "$tool" >/dev/null || die "as root, the command $tool (util-linux) is required. Alternatively, run this as the user $owner."
  done
  # The owner may be unable to read the directory where root has unpacked this.
  OWNER_COPY=$(mktemp -d)
  trap 'rm -rf "$OWNER_COPY"' EXIT
  cp -RL "$HERE" "$OWNER_COPY/scripts"
  if [ "$1" = install ]; then
    find_payload
    cp -RL "$PAYLOAD/ebin" "$PAYLOAD/priv" "$OWNER_COPY"
  fi
  chmod -R u=rwX,go=rX "$OWNER_COPY"
  # A new session and a clean environment: the command can reach neither root's terminal nor root's variables.
  env -i PATH="$PATH" LANG="${LANG:-}" LC_ALL="${LC_ALL:-}" LD_LIBRARY_PATH="${LD_LIBRARY_PATH:-}" HOME=/ \
    LIVE="${LIVE:-}" FORCE="${FORCE:-}" HB_APP="${HB_APP:-}" \
    setsid --wait setpriv --reuid="$owner" --regid="$(group_of "$owner" "$2")" "$(groups_of "$owner")" --no-new-privs \
    bash "$OWNER_COPY/scripts/release.sh" "$1" "$(realpath -- "$2")" </dev/null || status=$?
  exit "$status"
}

# Prints the user, other than root, who can change what an installation reads, runs or writes: the programs and
# libraries of the release, and its directory. Prints nothing if there is none.
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
    # Files of root that others can write to are as good as theirs.
    others=$(find "$release/bin" "$release/lib" "$release/releases" "$release"/erts-* "$release" \
      ! -type l \( -perm -002 -o -perm -020 ! -gid 0 \) ! -perm -1000 -print -quit 2>/dev/null || true)
    [ -z "$others" ] || die "$others: users other than root can write to it. Remove that permission (chmod go-w), or give" \
      "the release to the user who runs it (chown -R)."
    return 0
  fi
  [ "$(wc -l <<<"$owners")" -eq 1 ] ||
    die "$release: it and the directories above belong to several users ($(tr '\n' ' ' <<<"$owners" | sed 's/ $//'))." \
        "Give it to one of them (chown -R), or run this as the user who runs the release."
  echo "$owners"
}

# Prints the user's own group, or the release's group if the user has no entry.
group_of() { id -g "$1" 2>/dev/null || stat -c %g -- "$2"; }

groups_of() {
  if getent passwd "$1" >/dev/null 2>&1; then echo --init-groups; else echo --clear-groups; fi
}
