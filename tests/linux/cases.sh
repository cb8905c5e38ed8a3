#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# The cases that run in the outer machine. Each is a function case_NAME that returns 0 if it passed; the last line says
# how many did. With arguments, only those run whose names match one of them, as shells match (boot_*).

out=/tmp/out

virtio=virtio_ring,virtio,virtio_mmio

# boot ENTRY VCPUS END ARGUMENT...: boot a guest; its console and how it ended are left in $out. Arguments with two dashes
# are linux_vm's, and a value is one word with them (--disk=FILE); others go to the kernel's command line.
boot()
{
	local entry=$1 vcpus=$2 options='' argument cmdline

	cmdline="console=ttyS0 loglevel=5 panic=-1 ember.end=$3"
	shift 3
	for argument in "$@"; do
		case $argument in
		--*)
			options="$options $argument"
			;;
		*)
			cmdline="$cmdline $argument"
			;;
		esac
	done
	./linux_vm --kernel vmlinuz --initrd guest.cpio --entry "$entry" --vcpus "$vcpus" --memory 128 --timeout 120 \
		$options --cmdline "$cmdline" >$out 2>&1
}

# expect PATTERN...: every extended regular expression matches a line of $out.
expect()
{
	local pattern

	for pattern in "$@"; do
		if ! grep -qE "$pattern" $out; then
			echo "expected but not there: $pattern"
			return 1
		fi
	done
}

# No complaint of the guest's kernel.
expect_quiet()
{
	if grep -E 'WARNING:|BUG:|Oops|Call Trace|ACPI (BIOS )?(Error|Warning)|soft lockup|rcu.*stall' $out; then
		echo "the guest's kernel complains"
		return 1
	fi
}

# boots ENTRY VCPUS ARGUMENT...: to user space with all CPUs, and off again.
boots()
{
	local entry=$1 vcpus=$2

	shift 2
	boot "$entry" "$vcpus" poweroff "$@" &&
		expect "guest: ready .*cpus=$vcpus pid=1" 'linux_vm: power_off after' && expect_quiet
}

case_boot_bzimage_1() { boots bzimage 1; }
case_boot_bzimage_4() { boots bzimage 4; }
case_boot_pvh_1() { boots pvh 1; }
case_boot_pvh_4() { boots pvh 4; }
case_boot_elf64_1() { boots elf64 1; }
case_boot_elf64_8() { boots elf64 8; }
case_boot_large() { boots pvh 2 --memory=3072; }

case_end_reset_acpi()
{
	boot bzimage 1 reboot reboot=a && expect 'guest: ready' 'linux_vm: reset after'
}

case_end_reset_keyboard()
{
	boot bzimage 1 reboot reboot=k && expect 'guest: ready' 'linux_vm: reset after'
}

case_end_triple_fault()
{
	boot bzimage 1 reboot reboot=t && expect 'guest: ready' 'linux_vm: shutdown after'
}

case_end_panic()
{
	boot bzimage 1 panic ember.modules=pvpanic,pvpanic-mmio &&
		expect 'guest: ready' 'Attempted to kill init' 'linux_vm: panic after'
}

case_event_power_button()
{
	boot bzimage 1 poweroff ember.modules=button,evdev ember.do=button &&
		expect 'guest: power button pressed' 'linux_vm: power_off after' && expect_quiet
}

case_event_generation_id()
{
	boot pvh 1 poweroff ember.do=generation &&
		expect 'guest: generation id [0-9a-f]{16} to [0-9a-f]{16}, 1 events' 'linux_vm: power_off after' &&
		expect_quiet && ! grep -qE 'generation id (0{16}|([0-9a-f]{16}) to (0{16}|\2))' $out
}

case_virtio_rng()
{
	boot bzimage 1 poweroff --rng ember.modules=$virtio,virtio-rng ember.do=entropy &&
		expect 'guest: entropy [0-9a-f]{16} [0-9a-f]{16}' && expect_quiet &&
		! grep -qE 'guest: entropy ([0-9a-f]{16}) \1' $out
}

# snapshots VCPUS RESULT ARGUMENT...: the line of a job's result is the same in the guest that was snapshotted in the middle
# of it, and in two clones.
snapshots()
{
	local vcpus=$1 result="guest: $2" line clone devices

	shift 2
	rm -rf /tmp/case
	mkdir /tmp/case
	boot bzimage "$vcpus" reboot reboot=k --snapshot=/tmp/case/snapshot "$@" || return 1
	expect 'linux_vm: snapshot of' 'guest: signalled 1' "$result" 'linux_vm: reset after' || return 1
	expect_quiet || return 1
	line=$(grep -oE "$result.*" $out | tr -d '\r')
	for clone in 1 2; do
		devices=
		if [ -e /tmp/case/snapshot.overlay ]; then
			cp /tmp/case/snapshot.overlay /tmp/case/clone.overlay
			devices="--disk=disk.img --overlay=/tmp/case/clone.overlay"
		fi
		./linux_vm --restore /tmp/case/snapshot $devices --timeout 120 >$out 2>&1
		expect "$line" 'linux_vm: reset after' && expect_quiet || return 1
	done
	rm -rf /tmp/case
}

case_snapshot_work_1() { snapshots 1 'work sum=' ember.do=work; }
case_snapshot_work_4() { snapshots 4 'work sum=' ember.do=work; }

# The copy is what was copied, and the image that all share is what it was.
snapshots_disk()
{
	local image sums

	image=$(md5sum <disk.img)
	snapshots "$1" 'copy 6291456 bytes sum=' --disk=disk.img --overlay=/tmp/case/first.overlay \
		ember.modules=$virtio,virtio_blk ember.do=disk || return 1
	sums=$(sed -n 's/.*guest: copy .* sum=\(.*\) source=\(.*\)/\1 \2/p' $out | tr -d '\r')
	if [ "${sums% *}" != "${sums#* }" ]; then
		echo "the copy differs from its source: $sums"
		return 1
	fi
	if [ "$(md5sum <disk.img)" != "$image" ]; then
		echo "the image has changed"
		return 1
	fi
}

case_snapshot_disk_1() { snapshots_disk 1; }
case_snapshot_disk_4() { snapshots_disk 4; }

# Is a case wanted?
is_wanted()
{
	local name=$1 pattern

	shift
	[ $# -gt 0 ] || return 0
	for pattern in "$@"; do
		case $name in
		$pattern)
			return 0
			;;
		esac
	done
	return 1
}

seconds()
{
	cut -d . -f 1 /proc/uptime
}

set -f
passed=0
failed=0
for name in $(sed -n 's/^case_\([a-z0-9_]*\)().*/\1/p' cases.sh); do
	is_wanted "$name" "$@" || continue
	start=$(seconds)
	if "case_$name"; then
		passed=$((passed + 1))
		result=passed
	else
		failed=$((failed + 1))
		result=FAILED
		sed 's/^/    | /' $out
	fi
	echo "case $name: $result, $(($(seconds) - start)) s"
done
echo "ember-linux: $passed passed, $failed failed"
