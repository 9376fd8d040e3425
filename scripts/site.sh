#!/usr/bin/env bash
# Builds the site into _build/site: README.md, the other documents and docs/ as a book with a search, the Erlang reference
# below erlang/, the Rust reference below rust/. A warning is an error, and so is a link within the site that leads nowhere.
# The pages are copied as they are: docs/SUMMARY.md has their order.
set -euo pipefail
unset CDPATH
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly MDBOOK=0.5.4 LYCHEE=0.24.2
readonly WORK=_build/book SITE=_build/site

# Installs a tool in this version.
tool() {
  [ "$("$1" --version 2>/dev/null | grep -oE '[0-9]+(\.[0-9]+)+' | head -n 1)" = "$2" ] ||
    "${CARGO:-cargo}" install --locked --quiet "$1" --version "$2"
}
fail() { echo "site: $*" >&2; exit 1; }

tool mdbook "$MDBOOK"
tool lychee "$LYCHEE"

rm -rf "$WORK" "$SITE"
mkdir -p "$WORK/src"
cp scripts/site/book.toml scripts/site/site.css "$WORK"
cp -R ./*.md docs LICENSE "$WORK/src"
rm "$WORK/src/docs/SUMMARY.md"

# Its links are relative to docs/, those of the book to its root.
{
  sed -E 's#\]\(#](docs/#; s#\]\(docs/\.\./#](#' docs/SUMMARY.md
  printf '\n# Reference\n\n- [Erlang modules](erlang.md)\n- [Rust crates](rust.md)\n'
} >"$WORK/src/SUMMARY.md"
./scripts/site/erlang_modules.escript erlang erlang/*/ >"$WORK/src/erlang.md"

crates=()
{
  printf '# Rust crates\n\n[ARCHITECTURE.md](ARCHITECTURE.md) says how they work together.\n\n| crate | what it is for |\n| --- | --- |\n'
  for manifest in native/*/Cargo.toml; do
    # The library that Erlang loads has no interface in Rust.
    ! grep -q cdylib "$manifest" || continue
    crate=$(sed -n 's/^name = "\(.*\)"$/\1/p' "$manifest")
    crates+=(--package "$crate")
    echo "| [\`$crate\`](rust/$crate/index.html) | $(sed -n 's/^description = "\(.*\)"$/\1/p' "$manifest") |"
  done
} >"$WORK/src/rust.md"

said=$(mdbook build "$WORK" 2>&1) || fail "$said"
! grep -qiE 'warn|error' <<<"$said" || fail "$said"
mv "$WORK/site" "$SITE"

rm -rf doc
make --no-print-directory edoc >"$WORK/edoc.log" 2>&1 || fail "$(cat "$WORK/edoc.log")"
cp -R doc "$SITE/erlang"
# The book has the list of modules, so edoc's pages with frames are left out. Modules of OTP are in its reference.
rm "$SITE"/erlang/{index,modules-frame,overview-summary}.html "$SITE/erlang/edoc-info"
cp scripts/site/erlang.css "$SITE/erlang/stylesheet.css"
sed -i 's#<head>#<head><meta name="viewport" content="width=device-width, initial-scale=1">#
  s#<a href="overview-summary.html" target="overviewFrame">Overview</a>#<a href="../erlang.html">Erlang modules</a>#
  s#<body bgcolor="white">#<body>#
  s#href="\(gen_server\|supervisor\|gen_event\|gen_statem\)\.html#href="https://www.erlang.org/doc/apps/stdlib/\1.html#g
  s#href="\(application\|logger\|logger_formatter\)\.html#href="https://www.erlang.org/doc/apps/kernel/\1.html#g
  s#href="\(httpd_custom_api\)\.html#href="https://www.erlang.org/doc/apps/inets/\1.html#g' "$SITE"/erlang/*.html
RUSTDOCFLAGS='-D warnings' "${CARGO:-cargo}" doc --quiet --locked --no-deps --target-dir "$PWD/_build/rustdoc" "${crates[@]}"
cp -R _build/rustdoc/doc "$SITE/rust"
# Its pages link to a first page, which several crates do not have.
echo '<!DOCTYPE html><meta http-equiv="refresh" content="0; url=../rust.html"><a href="../rust.html">Rust crates</a>' >"$SITE/rust/index.html"

# Within the site only. The Rust reference has anchors that its pages make as they are shown.
lychee --offline --no-progress --include-fragments --root-dir "$PWD/$SITE" --exclude-path "$SITE/rust" "$SITE/**/*.html" >"$WORK/links.log" 2>&1 ||
  fail "$(cat "$WORK/links.log")"
lychee --offline --no-progress --root-dir "$PWD/$SITE" "$SITE/rust/**/*.html" >>"$WORK/links.log" 2>&1 || fail "$(cat "$WORK/links.log")"
echo "site: $SITE/index.html, $(find "$SITE" -name '*.html' | wc -l) pages, all links lead somewhere"
