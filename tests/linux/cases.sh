#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# The cases that run in the outer machine. Each is a function case_NAME that returns 0 if it passed; the last line says
# how many did. With arguments, only those run whose names match one of them, as shells match (boot_*).

out=/tmp/out

# boot ENTRY VCPUS END COMMAND-LINE...: boot a guest; its console and how it ended are left in $out.
boot()
{
	entry=$1
	vcpus=$2
	end=$3
	shift 3
	./linux_vm --kernel vmlinuz --initrd guest.cpio --entry "$entry" --vcpus "$vcpus" --memory 128 --timeout 90 $snapshot \
		--cmdline "console=ttyS0 loglevel=5 panic=-1 ember.end=$end $*" >$out 2>&1
}

# expect PATTERN...: every extended regular expression matches a line of $out.
expect()
{
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

boots()
{
	boot "$1" "$2" poweroff && expect "guest: ready .*cpus=$2 pid=1" 'linux_vm: power_off after' && expect_quiet
}

case_boot_bzimage_1() { boots bzimage 1; }
case_boot_bzimage_4() { boots bzimage 4; }
case_boot_pvh_1() { boots pvh 1; }
case_boot_pvh_4() { boots pvh 4; }
case_boot_elf64_1() { boots elf64 1; }
case_boot_elf64_8() { boots elf64 8; }

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

# What the guest computed, which is the same whether it was interrupted or not.
work_sum()
{
	sed -n 's/.*guest: work sum=\([0-9a-f]*\).*/\1/p' $1
}

# Snapshot a guest in the middle of its work: it goes on, and so do two clones of it, and all come to the same result.
snapshots()
{
	rm -rf /tmp/snapshot
	snapshot="--snapshot /tmp/snapshot"
	boot bzimage "$1" reboot reboot=k ember.work=1 || return 1
	expect 'linux_vm: snapshot of' 'guest: work sum=' 'linux_vm: reset after' && expect_quiet || return 1
	sum=$(work_sum $out)
	for clone in 1 2; do
		./linux_vm --restore /tmp/snapshot --timeout 90 >$out 2>&1
		expect "guest: work sum=$sum" 'linux_vm: reset after' && expect_quiet || return 1
	done
	rm -rf /tmp/snapshot
}

case_snapshot_1() { snapshots 1; }
case_snapshot_4() { snapshots 4; }

# Is a case wanted?
is_wanted()
{
	name=$1
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
	snapshot=
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
