/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reinjection of the PIT's ticks, on and off. KVM has no getter for it: this program is linked with ioctl(2) wrapped,
 * and sees what KVM is told and what it answers.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "support.h"

static unsigned int told;
static struct kvm_reinject_control last;
static int answered;

int __real_ioctl(int fd, unsigned long request, ...);
int __wrap_ioctl(int fd, unsigned long request, ...);

int __wrap_ioctl(int fd, unsigned long request, ...)
{
	va_list arguments;
	void *argument;
	int done;

	va_start(arguments, request);
	argument = va_arg(arguments, void *);
	va_end(arguments);

	done = __real_ioctl(fd, request, argument);
	if (request == KVM_REINJECT_CONTROL) {
		told++;
		last = *(const struct kvm_reinject_control *)argument;
		answered = done;
	}
	return done;
}

Test(pit, reinjects_unless_it_is_told_not_to)
{
	struct shell *shell = shell_new(1, TEST_MEMORY_SIZE);
	struct error_detail detail = { 0 };

	cr_assert_eq(told, 0);
	cr_assert_eq(vm_drop_missed_ticks(&shell->vm, &detail), 0, "%s", detail.text);
	cr_assert_eq(told, 1);
	cr_assert_eq(last.pit_reinject, 0);
	cr_assert_eq(answered, 0);
	shell_free(shell);
}

Test(pit, a_host_that_cannot_switch_it_off)
{
	struct kvm_host *without = malloc(sizeof(*without));
	struct error_detail detail = { 0 };
	struct vm vm = { .fd = -1, .host = without };

	cr_assert_not_null(without);
	*without = *test_host();
	memset(without->capability_values, 0, sizeof(without->capability_values));
	cr_assert_eq(vm_drop_missed_ticks(&vm, &detail), -EOPNOTSUPP);
	cr_assert_not_null(strstr(detail.text, "pit_reinject"), "%s", detail.text);
	free(without);
}
