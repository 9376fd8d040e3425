# Sourced before chroot.sh by the scripts that test on another machine: lets the kernel run arm64 programs with qemu's user
# mode. The emulator is registered as Debian does it, if it is not yet, and stays registered until the system starts again.
# shellcheck shell=bash

readonly BINFMT=/proc/sys/fs/binfmt_misc
if [ "$(uname -m)" != aarch64 ]; then
  ./scripts/setup.sh qemu-aarch64-static=qemu-user-static >/dev/null
  [ -e "$BINFMT/register" ] || mount -t binfmt_misc none "$BINFMT"
  # The magic number of ELF for arm64. With F, the kernel keeps the emulator open, so that a chroot need not have it.
  [ -e "$BINFMT/qemu-aarch64" ] ||
    printf '%s' ":qemu-aarch64:M::\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00:\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff:$(command -v qemu-aarch64-static):F" \
      >"$BINFMT/register"
fi
