# SPDX-License-Identifier: Apache-2.0
#
# A stock kernel from its entry to user space, and the ways in which it ends.

# boots ENTRY VCPUS [FLAG...]: to user space with all CPUs, and off again.
boots()
{
	local entry=$1 vcpus=$2

	shift 2
	boot "$entry" "$vcpus" ember.end=poweroff "$@" && ends "$vm" power_off &&
		expect "guest: ready .*cpus=$vcpus pid=1" && expect_quiet
}

case_boot_bzimage_1() { boots bzimage 1; }
case_boot_bzimage_4() { boots bzimage 4; }
case_boot_pvh_1() { boots pvh 1; }
case_boot_pvh_4() { boots pvh 4; }
case_boot_elf64_large() { boots elf64 8 --memory-mib 3072; }

# ends_by REASON ARGUMENTS: a guest that reaches user space ends for that reason.
ends_by()
{
	boot bzimage 1 "$2" && ends "$vm" "$1" && expect 'guest: ready'
}

# By the kernel's own choice, and as its command line asks.
case_end_reset() { ends_by reset ember.end=reboot; }
case_end_reset_acpi() { ends_by reset 'ember.end=reboot reboot=a'; }
case_end_reset_keyboard() { ends_by reset 'ember.end=reboot reboot=k'; }
case_end_triple_fault() { ends_by shutdown 'ember.end=reboot reboot=t'; }

case_end_panic()
{
	ends_by panic 'ember.end=panic ember.modules=pvpanic,pvpanic-mmio' && expect 'Attempted to kill init'
}

case_end_power_button()
{
	boot bzimage 1 'ember.end=poweroff ember.modules=button,evdev ember.do=button' &&
		ctl vm wait "$vm" event --event 2 && ctl vm power_button "$vm" && ends "$vm" power_off &&
		expect 'guest: power button pressed' && expect_quiet
}
