#!/usr/bin/env bash
# Makes a tarball that installs on machines without Rust, rebar3, make and their own Erlang.
# Usage: dist.sh BUILD OUT [RUNTIME]. BUILD has ebin/ and priv/ as rebar3 leaves them. With RUNTIME, made by runtime.sh,
# the tarball also runs without HyperBEAM, as bin/cron-monitor. The same build gives the same tarball, byte for byte. The
# script neither builds nor tests anything.
set -euo pipefail
# If set, cd would print the directory.
unset CDPATH
umask 022

build=$1
out=$2
runtime=${3:-}
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
library=hb_process_monitor_nif.so
version=$(sed -n 's/.*{vsn, *"\([^"]*\)"}.*/\1/p' "$build/ebin/hb_process_monitor.app")
name=hb_process_monitor-$version-$(uname -m)

# For needed_glibc and modules_of.
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
# Documentation for operators, and files for Prometheus and Grafana.
cp -R "$root"/{README,ARCHITECTURE,CHANGELOG,CONTRIBUTING,SECURITY}.md "$root/docs" "$dist"
for command in install uninstall verify; do
  cat >"$dist/$command" <<EOF
#!/usr/bin/env bash
exec "\$(dirname "\${BASH_SOURCE[0]}")/scripts/release.sh" $command "\$@"
EOF
done
[ -z "$runtime" ] || {
  mkdir "$dist/bin"
  cp "$root/scripts/run.sh" "$dist/bin/cron-monitor"
  cp -R "$runtime" "$dist/erlang"
  programs=("$dist"/erlang/erts-*/bin/*)
  standalone="
    bin/cron-monitor PROCESS=ID CU=URL
                       monitors a process without HyperBEAM, and prints its results: docs/standalone.md.
                       It has its own Erlang, and needs glibc $(needed_glibc "${programs[@]}" "$dist"/erlang/native/*)
"
}
cat >"$dist/README" <<EOF
hb_process_monitor $version for Linux on $(uname -m)

    ./install DIR      installs into a built release of HyperBEAM: DIR has bin/, lib/ and releases/
    ./verify DIR       shows what is installed, whether it loads, and what it finds of the host
    ./uninstall DIR    restores the release, byte for byte
${standalone:-}
README.md explains features and options. docs/ has metrics, alert rules and a Grafana dashboard.

The release needs OTP 25 or later. The library was built for glibc $(needed_glibc "$dist/priv/$library") or later: the
first line of "ldd --version" shows the version of a system. Required commands: bash, coreutils, sed, grep;
as root also find and util-linux, because the scripts run as the user who owns DIR.

If a node runs on DIR, installation is refused. LIVE=yes ./install DIR installs anyway, which is safe:
then call code:load_file(hb_process_monitor) in the node after a first installation, and
hb_process_monitor:reload() after an upgrade. The library of an upgrade takes effect at the next start of
the node.
EOF
chmod -R u=rwX,go=rX "$dist"
[ -z "$runtime" ] || chmod 755 "$dist/bin/cron-monitor" "${programs[@]}"
chmod 755 "$dist/install" "$dist/uninstall" "$dist/verify" "$dist/scripts/release.sh" "$dist/priv/$library"
chmod 644 "$dist"/ebin/*

# Write to a new file and rename it. The content does not depend on the run: order, times and owners are fixed.
tar -C "$tmp" --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner --format=ustar -cf - "$name" |
  gzip -9n >"$out/.$name.new"
mv -f "$out/.$name.new" "$out/$name.tar.gz"
echo "$out/$name.tar.gz"
