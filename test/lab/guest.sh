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
# The name of this namespace for `ip -n`.
ip netns attach lab 1

# netdev_of DRIVER: the name of the first link that has it.
netdev_of() {
  for device in /sys/bus/pci/drivers/"$1"/*/net/*; do
    [ -e "$device" ] && { echo "${device##*/}"; return; }
  done
  echo "lab: no link of driver \"$1\"" >/dev/console
}
modprobe igb
modprobe e1000e
ip link set "$(netdev_of igb)" name pf0
ip link set "$(netdev_of e1000e)" name nic0
# The PF first: a VF whose driver finds it down, or not ready, takes a MAC that the PF does not know of.
ip link set pf0 up
ip link set nic0 up
echo 7 >/sys/class/net/pf0/device/sriov_numvfs
modprobe igbvf
touch "$lab/ready"
echo "lab: ready after $(cut -d ' ' -f 1 /proc/uptime) s" >/dev/console

if [ "$LAB_INTERACTIVE" = 1 ]; then
  # With job control, so that Ctrl-C ends what the shell has started, not the shell.
  setsid -c -w sh "$lab/command" </dev/hvc0 >/dev/hvc0 2>&1
else
  port=$(echo /dev/vport*p1)
  sh "$lab/command" </dev/null >"$port" 2>&1
fi
echo $? >"$lab/exit.new"
mv "$lab/exit.new" "$lab/exit"
echo "lab: done after $(cut -d ' ' -f 1 /proc/uptime) s" >/dev/console
# QEMU ends at a reset. An orderly end would wait a second for the NICs, and there is nothing to be kept.
echo b >/proc/sysrq-trigger
