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

# From the first word on, QEMU sends a line twice a second, so that an interrupt comes (tests/linux/machine.sh).
stty -F /dev/ttyS0 -echo
cat </dev/ttyS0 >/dev/null &
echo "outer: $(uname -r)"

# KVM looks at the TSC's rate when it is loaded. Where the kernel corrects its first guess afterwards, by more than 250
# ppm, KVM scales guests' TSCs, which this CPU cannot, and every deadline timer of a guest is late by the whole TSC. The
# rate is known once the clock source is no longer tsc-early, which takes a few seconds.
clock_source()
{
	cat /sys/devices/system/clocksource/clocksource0/current_clocksource
}

waited=0
while [ "$(clock_source)" = tsc-early ] && [ $waited -lt 120 ]; do
	sleep 1
	waited=$((waited + 1))
done
echo "outer: the clock source is $(clock_source) after $waited s"

for module in irqbypass kvm kvm-amd tun; do
	[ -e /modules/$module.builtin ] || insmod /modules/$module.ko || echo "outer: $module could not be loaded"
done
ip link set lo up

cases=$(sed -n 's/.*ember\.cases=\([^ ]*\).*/\1/p' /proc/cmdline | tr ',' ' ')
cd /ember
set -f
# shellcheck disable=SC2086 # one word a case
sh ./run_cases.sh $cases
poweroff -f
