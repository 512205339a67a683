#!/bin/busybox sh
# The first process of the lab's VM, in its initramfs: the machine's root, read-only over 9p, under a layer of memory that takes
# every write. Then guest.sh, from the working tree, in that root.
export PATH=/bin
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
modprobe -a virtio_pci virtio_console 9pnet_virtio 9p overlay 2>/dev/null

# The read-only files do not change while the VM runs, so they may be kept in its memory.
transport=trans=virtio,version=9p2000.L,msize=512000
mount -t 9p -o "ro,$transport,cache=loose" machine /host || echo 'lab: the machine cannot be mounted'
mount -t tmpfs -o mode=755 written /written
mkdir /written/upper /written/work
mount -t overlay -o lowerdir=/host,upperdir=/written/upper,workdir=/written/work lab /root || echo 'lab: no overlay'

# What runs or is kept on the machine is none of the VM's business.
for directory in run var/lib/cni etc/cni; do
  mkdir -p "/root/$directory"
  mount -t tmpfs -o mode=755 tmpfs "/root/$directory"
done
mkdir -p /root/run/lab
mount -t 9p -o "$transport,cache=none" exchange /root/run/lab || echo 'lab: no way to bring results back'
for directory in proc sys dev; do mount --move "/$directory" "/root/$directory"; done
exec switch_root /root /bin/sh /run/lab/guest.sh
