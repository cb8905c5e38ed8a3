/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kick at the worst moment: after the vCPU's thread has looked at what is wanted, and before it is in KVM_RUN. A
 * signal that comes there is handled in user mode and interrupts nothing; only immediate_exit keeps the pause from
 * being lost.
 *
 * This program is linked with ioctl(2) wrapped, so that the test can stand exactly there.
 */
#include <criterion/criterion.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <sys/ioctl.h>

#include "support.h"

#define CYCLES 500

/* Whose next KVM_RUN is met by a request. */
static struct vcpu *_Atomic target;
static atomic_uint met;

int __real_ioctl(int fd, unsigned long request, ...);
int __wrap_ioctl(int fd, unsigned long request, ...);

int __wrap_ioctl(int fd, unsigned long request, ...)
{
	struct vcpu *vcpu;
	va_list arguments;
	void *argument;

	va_start(arguments, request);
	argument = va_arg(arguments, void *);
	va_end(arguments);

	if (request == KVM_RUN && (vcpu = atomic_exchange(&target, NULL)) != NULL) {
		atomic_fetch_add(&met, 1);
		vcpu_request_pause(vcpu);
	}
	return __real_ioctl(fd, request, argument);
}

static void meet_each_entry(struct guest_code code, enum entry_mode mode)
{
	struct shell *shell = shell_new(1, TEST_MEMORY_SIZE);
	struct vcpu *vcpu = shell->vcpus[0];

	shell_load(shell, code, mode);
	for (unsigned int i = 0; i < CYCLES; i++) {
		atomic_store(&target, vcpu);
		cr_assert_eq(vcpu_run(vcpu), 0);
		while (atomic_load(&met) == i) {}
		/* Nobody asks again: the one request has to do. */
		while (!vcpu_is_parked(vcpu)) {}
	}
	cr_assert_eq(atomic_load(&met), CYCLES);
	shell_free(shell);
}

Test(kick, before_a_halt)
{
	meet_each_entry(GUEST_CODE(halt), ENTRY_REAL);
}

Test(kick, before_a_loop_without_exits)
{
	meet_each_entry(GUEST_CODE(spin), ENTRY_REAL);
}

Test(kick, before_mmio)
{
	meet_each_entry(GUEST_CODE(mmio_loop), ENTRY_LONG);
}
