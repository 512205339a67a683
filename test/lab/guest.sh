#!/bin/sh
# The first process of the lab's VM in the machine's root: makes the NICs, runs the command, writes its exit code, powers off.
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root TERM="${TERM:-linux}"
lab=/run/lab
. "$lab/settings"
mkdir -p /dev/pts /dev/shm /run/tmp /run/netns
mount -t devpts devpts /dev/pts
mount -t tmpfs tmpfs /dev/shm
mount -t tmpfs tmpfs /run/tmp
mount -t cgroup2 cgroup2 /sys/fs/cgroup
export TMPDIR=/run/tmp
busybox=$LAB_DIRECTORY/busybox
mkdir -p /lib/modules
mount --bind "$LAB_DIRECTORY/lib/modules" /lib/modules
# The kernel asks this for what a command needs (a link of type dummy); the machine need not have one of its own.
command -v modprobe >/dev/null || ln -s "$busybox" /sbin/modprobe
ip link set lo up

# netdev_of DRIVER: the name of the first link that has it.
netdev_of() {
  for device in /sys/bus/pci/drivers/"$1"/*/net/*; do
    [ -e "$device" ] && { echo "${device##*/}"; return; }
  done
  echo "lab: no link of driver \"$1\"" >/dev/console
}
modprobe igb
modprobe e1000e
modprobe igbvf
ip link set "$(netdev_of igb)" name pf0
ip link set "$(netdev_of e1000e)" name nic0
echo 7 >/sys/class/net/pf0/device/sriov_numvfs
ip link set pf0 up
ip link set nic0 up
echo "lab: ready after $(cut -d ' ' -f 1 /proc/uptime) s" >/dev/console

# A terminal of its own, so that a shell has job control; raw, so that a command's bytes come out as they are.
[ "$LAB_INTERACTIVE" = 1 ] || stty -F /dev/hvc0 raw -echo
setsid -c -w sh "$lab/command" </dev/hvc0 >/dev/hvc0 2>&1
echo $? >"$lab/exit.new"
mv "$lab/exit.new" "$lab/exit"
echo "lab: done after $(cut -d ' ' -f 1 /proc/uptime) s" >/dev/console
"$busybox" poweroff -f
