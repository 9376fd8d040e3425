#!/usr/bin/env bash
# Makes the tarball that installs on a machine with neither Rust nor rebar3, make or an Erlang of its
# own: dist.sh BUILD OUT, where BUILD has ebin/ and priv/ as rebar3 leaves them. Of the same build it
# makes the same tarball, to the byte. It builds nothing and tries nothing.
set -euo pipefail
# With it, cd would print where it goes.
unset CDPATH
umask 022

build=$1
out=$2
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
library=hb_process_monitor_nif.so
version=$(sed -n 's/.*{vsn, *"\([^"]*\)"}.*/\1/p' "$build/ebin/hb_process_monitor.app")
name=hb_process_monitor-$version-$(uname -m)

# needed_glibc and modules_of, as the installed scripts have them.
# shellcheck source=scripts/release/vm.sh
. "$root/scripts/release/vm.sh"
# shellcheck source=scripts/release/checks.sh
. "$root/scripts/release/checks.sh"

tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
dist=$tmp/$name
mkdir -p "$dist/ebin" "$dist/priv" "$dist/scripts/release" "$out"

cp -L "$build/ebin/hb_process_monitor.app" "$dist/ebin"
for module in $(modules_of "$build"); do cp -L "$build/ebin/$module.beam" "$dist/ebin"; done
cp -L "$build/priv/$library" "$dist/priv"
cp "$root/scripts/release.sh" "$dist/scripts"
cp "$root"/scripts/release/*.sh "$dist/scripts/release"
cp "$root/LICENSE" "$dist"
# What an operator reads, and loads into Prometheus and Grafana.
cp -R "$root"/{README,ARCHITECTURE,CHANGELOG,CONTRIBUTING,SECURITY}.md "$root/docs" "$dist"
for command in install uninstall verify; do
  cat >"$dist/$command" <<EOF
#!/usr/bin/env bash
exec "\$(dirname "\${BASH_SOURCE[0]}")/scripts/release.sh" $command "\$@"
EOF
done
cat >"$dist/README" <<EOF
hb_process_monitor $version for Linux on $(uname -m)

    ./install DIR      puts it into a built release of HyperBEAM: DIR has bin/, lib/ and releases/
    ./verify DIR       says what is installed, whether it loads there, and what it finds of the host
    ./uninstall DIR    makes the release what it was before, byte for byte

README.md says what it does and what can be set, docs/ has the metrics, alert rules and a dashboard.

The release needs OTP 25 or later. The library was built for glibc $(needed_glibc "$dist/priv/$library") or later: the
first line of "ldd --version" says which one a system has. Commands needed: bash and coreutils, sed, grep;
as root also find and util-linux, since everything is done as the user who owns DIR.

A node that runs on DIR is a reason to refuse. LIVE=yes ./install DIR installs all the same, and safely;
then call hb_process_monitor:reload(). in the node for the modules. The library takes effect when the
node starts next.
EOF
chmod -R u=rwX,go=rX "$dist"
chmod 755 "$dist/install" "$dist/uninstall" "$dist/verify" "$dist/scripts/release.sh" "$dist/priv/$library"
chmod 644 "$dist"/ebin/*

# Beside and renamed, and nothing in it that differs from run to run: order, times, owners.
tar -C "$tmp" --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner --format=ustar -cf - "$name" |
  gzip -9n >"$out/.$name.new"
mv -f "$out/.$name.new" "$out/$name.tar.gz"
echo "$out/$name.tar.gz"
