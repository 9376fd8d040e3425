#!/usr/bin/env bash
# prepare.sh VERSION: checks that this version can be released, runs the tests, and leaves the files of the release in
# _build/release/VERSION: the tarballs, with libraries for both machines and SBOMs, SHA256SUMS, and the notes from the
# changelog. It publishes and tags nothing. DRY=yes runs no tests, and accepts a changelog without a date and a checkout
# with changes.
set -euo pipefail
unset CDPATH
cd "$(dirname "${BASH_SOURCE[0]}")/.."

version=${1:-}
dry=${DRY:-}
failed=
problem() {
  echo "release: $*" >&2
  failed=yes
}

[[ $version =~ ^[0-9]+\.[0-9]+\.[0-9]+(-[0-9A-Za-z.]+)?$ ]] ||
  { echo "release: which version? make release VERSION=1.2.3" >&2; exit 2; }

# What a file says of its version must be this one.
says() {
  local found
  found=$(sed -n "s/$2/\1/p" "$1" | head -n 1)
  [ "$found" = "$version" ] || problem "$1 has version ${found:-none}, not $version"
}
says Cargo.toml '^version = "\([^"]*\)"$'
says erlang/hb_process_monitor.app.src '^ *{vsn, "\([^"]*\)"},$'
says erlang/app/hb_cron_loader.erl '^ *{vsn, "\([^"]*\)"},$'

heading=$(grep -m 1 '^## ' CHANGELOG.md || true)
[[ $heading == "## $version - "* ]] || problem "CHANGELOG.md begins with \"$heading\", not with \"## $version - DATE\""
if [ -z "$dry" ]; then
  [[ $heading =~ \ -\ [0-9]{4}-[0-9]{2}-[0-9]{2}$ ]] || problem "CHANGELOG.md has no date for $version: \"$heading\""
  [ -z "$(git status --porcelain)" ] || problem "the checkout has changes: commit them first"
fi
[ -z "$(git tag --list "v$version")" ] || problem "the tag v$version exists already"

# The section of this version, without its heading.
notes() { awk -v heading="$heading" '$0 == heading { found = 1; next } found && /^## / { exit } found' CHANGELOG.md; }
[ -n "$(notes | tr -d '[:space:]')" ] || problem "CHANGELOG.md says nothing about $version"
# What a tarball of `make dist` may lack.
lacks=$(./scripts/cross.sh _build/cross possible 2>&1) || problem "$lacks; make release-tools installs it"
command -v cargo-cyclonedx >/dev/null || problem "cargo-cyclonedx is missing: make release-tools installs it"
[ -z "$failed" ] || exit 1

[ -n "$dry" ] || make test
# With the supported glibc alone.
make dist GLIBC=
out=_build/release/$version
rm -rf "$out"
mkdir -p "$out"
cp _build/dist/*.tar.gz "$out"
for file in "$out"/*.tar.gz; do
  [[ ${file##*/} == *-"$version"-* ]] || problem "${file##*/} is not of version $version"
done
for kind in hb_process_monitor cron-monitor; do
  compgen -G "$out/$kind-$version-*.tar.gz" >/dev/null || problem "make dist made no tarball of $kind"
done
[ -z "$failed" ] || exit 1
(cd "$out" && sha256sum -- *.tar.gz >SHA256SUMS)
{
  echo "# hb_process_monitor $version"
  notes
  echo
  echo "## SHA-256"
  echo
  sed 's/^/    /' "$out/SHA256SUMS"
} >"$out/notes.md"
echo "release: $out has $(cd "$out" && echo *)"
