# SPDX-License-Identifier: Apache-2.0
#
# Guests that are asked what they see, by linux_check.

# checks NAME ARGUMENT...: what the check prints on success is shown.
checks()
{
	add_kernel && ./linux_check "$@" >$out.check 2>&1 && cat $out.check && return 0
	cat $out.check >>$out
	return 1
}

case_guest_rng()
{
	boot bzimage 1 'ember.end=poweroff ember.modules=virtio_ring,virtio,virtio_mmio,virtio-rng ember.do=entropy' &&
		ends "$vm" power_off && expect 'guest: entropy [0-9a-f]{16} [0-9a-f]{16}' && expect_quiet &&
		! grep -qE 'guest: entropy ([0-9a-f]{16}) \1' $out
}

case_guest_clones() { checks clones 20; }
case_guest_vsock() { checks vsock 64 160; }
case_guest_first_answer() { checks first-answer 10; }
case_guest_network() { checks network; }
case_guest_balloon() { checks balloon; }
