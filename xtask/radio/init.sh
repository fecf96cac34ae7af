#!/bin/busybox sh
# First process of the guest: loads what the host's root needs, mounts it read-only, goes there.
B=/bin/busybox
$B mount -t proc proc /proc
$B mount -t sysfs sys /sys
$B mount -t devtmpfs dev /dev
for module in $($B cat /order); do
    $B insmod /modules/$module || echo "RADIO-ERROR insmod $module"
done
$B mount -t 9p -o trans=virtio,version=9p2000.L,msize=262144,cache=loose,ro root /new ||
    echo "RADIO-ERROR mount"
guest=$($B sed 's/.*guest=\([^ ]*\).*/\1/' /proc/cmdline)
$B umount /proc
$B umount /sys
$B umount /dev
exec $B switch_root /new /bin/sh "$guest"
