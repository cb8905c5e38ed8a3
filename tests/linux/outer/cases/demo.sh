# SPDX-License-Identifier: Apache-2.0
#
# The daemon on this KVM, with its built-in guest.

# Booted, counted, snapshotted; a clone counts on, and so does the original.
case_demo()
{
	local first clone

	first=$(started vm boot) && ctl vm wait "$first" ready && ctl vm console "$first" write --data "count
count
" && ctl vm snapshot "$first" demo || return 1
	clone=$(started vm restore demo) && ctl vm console "$clone" write --data "count
" && ctl vm console "$first" write --data "count
" || return 1
	sleep 1
	ctl vm console "$clone" read && expect '^3$' && ctl vm console "$first" read && expect '^1$' || return 1
	ctl vm release "$clone" && ctl vm release "$first"
}
