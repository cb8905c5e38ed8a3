#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Prints why /dev/kvm cannot be used here and what helps, as one sentence without a full stop; prints nothing, and exits
# with 0, where it can be used.

set -euo pipefail

if [[ ! -e /dev/kvm ]]; then
	echo "there is no /dev/kvm here: enable virtualisation in the firmware (or nested virtualisation on the host)" \
		"and load the kvm module"
	exit 1
fi
if [[ -r /dev/kvm && -w /dev/kvm ]]; then
	exit 0
fi
read -r group mode < <(stat --format='%G %a' /dev/kvm)
if [[ $group != root && $mode == ?6? ]]; then
	echo "$(id -un) may not open /dev/kvm: join the group $group ('sudo usermod -aG $group $(id -un)') and log in" \
		"again, or run this as root"
else
	echo "$(id -un) may not open /dev/kvm: run this as root"
fi
exit 1
