#!/bin/busybox sh
# SPDX-License-Identifier: Apache-2.0
#
# The init of the outer machine: makes /dev/kvm and /dev/net/tun, runs the cases, powers off.

/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mount -t tmpfs tmpfs /tmp

for module in irqbypass kvm kvm-amd tun; do
	insmod /modules/$module.ko || echo "outer: $module could not be loaded"
done
ip link set lo up

cases=$(sed -n 's/.*ember\.cases=\([^ ]*\).*/\1/p' /proc/cmdline | tr ',' ' ')
cd /ember
set -f
# shellcheck disable=SC2086 # one word a case
sh ./run_cases.sh $cases
poweroff -f
