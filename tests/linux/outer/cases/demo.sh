# SPDX-License-Identifier: Apache-2.0
#
# The daemon on this KVM, with its built-in guest.

# Booted, counted, snapshotted; a clone counts on, and so does the original.
case_demo()
{
	local first clone lines='count
'

	start vm boot && first=$vm && ctl vm wait "$first" ready && ctl vm console "$first" write --data "$lines$lines" &&
		ctl vm snapshot "$first" demo && start vm restore demo && clone=$vm || return 1
	ctl vm console "$clone" write --data "$lines" && ctl vm console "$first" write --data "$lines" || return 1
	ctl vm console "$clone" read --wait && ctl vm console "$first" read --wait && expect '^3$' '^1$' || return 1
	ctl vm release "$clone" && ctl vm release "$first"
}
