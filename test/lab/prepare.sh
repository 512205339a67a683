#!/bin/sh
# What the lab's VM is made of, into DIRECTORY: kernel, lib/modules/<release>, busybox, initramfs; and QEMU onto the machine.
# Says what it fetches. What is there is taken as it is; `make clean` removes it.
# Usage: prepare.sh DIRECTORY
set -eu
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$1"
directory=$(cd "$1" && pwd)
export DEBIAN_FRONTEND=noninteractive
# Two runs in one working tree fetch once.
exec 9>"$directory/.lock"
flock 9
log=$directory/fetch.log
: >"$log"

fail() {
  echo "Cannot prepare the lab: $1" >&2
  tail -n 20 "$log" >&2
  exit 1
}
apt() { program=$1; shift; "$program" -o DPkg::Lock::Timeout=300 "$@" >>"$log" 2>&1; }
# The package lists of a fresh machine are empty or old: fetch them only when the first try fails.
twice() { "$@" || { apt apt-get $options update && "$@"; }; }
candidate() { apt-cache $options policy "$1" | sed -n 's/^ *Candidate: *//p' | grep -v '(none)'; }

# QEMU has igb, a NIC with virtual functions, since its version 8.
has_igb() { qemu-system-x86_64 -device help 2>/dev/null | grep -q '"igb"'; }
install_qemu() { apt apt-get $options install -y --no-install-recommends qemu-system-x86; }
need_qemu() {
  has_igb && return
  [ "$(id -u)" = 0 ] || fail 'QEMU >= 8 is missing, and only root can install it'
  options=
  version=$(twice candidate qemu-system-x86) || fail 'no source of apt has the package "qemu-system-x86"'
  major=${version#*:}
  if [ "${major%%.*}" -lt 8 ]; then
    options=$("$here/../../scripts/backports.sh" "$directory/sources") || fail 'backports are needed for QEMU >= 8'
    echo "installing from Debian's backports: qemu-system-x86 (this release has ${major%%+*})"
    apt apt-get $options update || fail 'no package lists of the backports'
  else
    echo 'installing from Debian: qemu-system-x86'
  fi
  twice install_qemu || fail 'apt-get install "qemu-system-x86" failed'
  has_igb || fail 'the installed QEMU has no device "igb"'
}

# unpack PACKAGE INTO: never installed, so the machine stays as it is.
download() { (cd "$directory/packages" && rm -f ./*.deb && apt apt-get download "$1"); }
unpack() {
  echo "fetching from Debian: $1"
  mkdir -p "$directory/packages" "$2"
  twice download "$1" || fail "apt-get download \"$1\" failed"
  dpkg-deb -x "$directory"/packages/*.deb "$2" || fail "\"$1\" cannot be unpacked"
  rm -r "$directory/packages"
}
need_busybox() {
  [ -x "$directory/busybox" ] && return
  rm -rf "$directory/new"
  unpack busybox-static "$directory/new"
  mv "$directory/new/bin/busybox" "$directory/busybox" 2>/dev/null || mv "$directory/new/usr/bin/busybox" "$directory/busybox"
  rm -r "$directory/new"
}
# The release's own kernel, whatever its version is by now: what the package that follows it depends on.
kernel_package() {
  apt-cache depends --important linux-image-amd64 2>>"$log" | sed -n 's/^ *Depends: *\(linux-image-.*\)/\1/p' | grep -m 1 .
}
# unpack_image FROM TO: QEMU starts an unpacked image at once; one that unpacks itself does so at the VM's speed, for seconds.
unpack_image() {
  where() { LC_ALL=C grep -abom 1 -P "$1" "$2" | head -n 1 | cut -d : -f 1; }
  # What follows the packed part is none of it, and is complained of.
  if start=$(where '\xfd7zXZ\x00' "$1") && [ -n "$start" ]; then
    "$here/../../scripts/need.sh" xz-utils=xz
    tail -c "+$((start + 1))" "$1" | xz -dcq >"$2" 2>>"$log" || true
  elif start=$(where '\x28\xb5\x2f\xfd' "$1") && [ -n "$start" ]; then
    "$here/../../scripts/need.sh" zstd=zstd
    tail -c "+$((start + 1))" "$1" | zstd -dcq >"$2" 2>>"$log" || true
  fi
  [ "$(head -c 4 "$2" 2>>"$log" | tail -c 3)" = ELF ] || cp "$1" "$2"
}
need_kernel() {
  [ -e "$directory/kernel" ] && return
  options=
  package=$(twice kernel_package) || fail 'no source of apt has the package "linux-image-amd64"'
  rm -rf "$directory/new" "$directory/lib"
  unpack "$package" "$directory/new"
  release=${package#linux-image-}
  mkdir -p "$directory/lib"
  modules=$directory/new/lib/modules
  [ -d "$modules" ] || modules=$directory/new/usr/lib/modules
  mv "$modules" "$directory/lib/modules"
  "$directory/busybox" depmod -b "$directory" "$release" || fail "no modules of \"$release\""
  unpack_image "$directory/new/boot/vmlinuz-$release" "$directory/new/kernel"
  mv "$directory/new/kernel" "$directory/kernel"
  rm -r "$directory/new"
}

# The files of a module and of all that it needs, from the modules' directory; none where it is built in.
files_of() { sed -n "s,^\(.*/$1\.ko[.xz]*\): *\(.*\),\1 \2,p" "$modules/modules.dep"; }
need_initramfs() {
  [ "$directory/initramfs" -nt "$here/init.sh" ] && [ "$directory/initramfs" -nt "$directory/kernel" ] && return
  image=$directory/image
  modules=$(echo "$directory"/lib/modules/*)
  within=$image/lib/modules/${modules##*/}
  rm -rf "$image"
  mkdir -p "$image/bin" "$image/proc" "$image/sys" "$image/dev" "$image/host" "$image/written" "$image/root" "$within"
  cp "$directory/busybox" "$image/bin/"
  cp "$here/init.sh" "$image/init"
  cp "$modules/modules.dep" "$within/"
  for module in virtio_pci virtio_console 9pnet_virtio 9p overlay; do
    for file in $(files_of "$module"); do
      mkdir -p "$within/$(dirname "$file")"
      cp "$modules/$file" "$within/$file"
    done
  done
  (cd "$image" && find . | "$directory/busybox" cpio -o -H newc 2>>"$log" >../initramfs.new) || fail 'no initramfs'
  mv "$directory/initramfs.new" "$directory/initramfs"
  rm -r "$image"
}

[ "$(uname -m)" = x86_64 ] || fail "it needs an x86_64 machine, this is \"$(uname -m)\""
need_qemu
need_busybox
need_kernel
need_initramfs
