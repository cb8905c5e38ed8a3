/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names that users read and write, and the tables that other folders build on.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "kvm/cleanup.h"
#include "kvm/entry.h"
#include "kvm/error_detail.h"
#include "kvm/host.h"
#include "kvm/vm.h"

Test(names, entry_modes)
{
	enum entry_mode mode = ENTRY_MODE_COUNT;

	for (int i = 0; i < ENTRY_MODE_COUNT; i++) {
		cr_assert_eq(entry_mode_parse(entry_mode_name((enum entry_mode)i), &mode), 0);
		cr_assert_eq((int)mode, i);
	}
	cr_assert_eq(entry_mode_parse("long", &mode), 0);
	cr_assert_eq(mode, ENTRY_LONG);
	cr_assert_eq(entry_mode_parse("Long", &mode), -ENOENT);
	cr_assert_eq(entry_mode_parse("", &mode), -ENOENT);
	cr_assert_eq(mode, ENTRY_LONG, "untouched on failure");
	cr_assert_null(entry_mode_name(ENTRY_MODE_COUNT));
	cr_assert_null(entry_mode_name((enum entry_mode) - 1));
}

Test(names, entry_addresses)
{
	cr_assert_eq(entry_image_gpa(ENTRY_REAL), 0x1000);
	cr_assert_eq(entry_image_gpa(ENTRY_PROTECTED), 0x100000);
	cr_assert_eq(entry_image_gpa(ENTRY_LONG), 0x100000);
}

Test(names, an_entry_that_does_not_fit_is_refused_before_anything_is_touched)
{
	struct guest_memory memory = { .host = NULL, .size = 0x100000 };
	struct error_detail detail = { 0 };

	cr_assert_eq(entry_prepare(&memory, NULL, ENTRY_LONG, 1, &detail), -EFAULT);
	cr_assert_not_null(strstr(detail.text, "1048576"), "%s", detail.text);
	memory.size = 0x1000;
	cr_assert_eq(entry_prepare(&memory, NULL, ENTRY_REAL, 1, &detail), -EFAULT);
}

Test(tables, capabilities)
{
	size_t required = 0;

	cr_assert_leq(host_capability_count, HOST_CAPABILITIES_MAX);
	for (size_t i = 0; i < host_capability_count; i++) {
		required += host_capabilities[i].required;
		for (size_t j = 0; j < i; j++) {
			cr_assert_neq(host_capabilities[i].number, host_capabilities[j].number);
			cr_assert_str_neq(host_capabilities[i].name, host_capabilities[j].name);
		}
	}
	cr_assert_geq(required, 10);
	cr_assert_str_eq(host_capabilities[0].name, "IRQCHIP");
	cr_assert_eq(host_capabilities[0].number, KVM_CAP_IRQCHIP);
}

Test(tables, a_capability_by_its_number)
{
	static struct kvm_host host;

	host.capability_values[0] = 7;
	cr_assert_eq(host_capability_value(&host, KVM_CAP_IRQCHIP), 7);
	cr_assert_eq(host_capability_value(&host, KVM_CAP_HLT), 0);
	cr_assert_eq(host_capability_value(&host, 99999), 0);
}

static bool has_syscall(int number)
{
	for (size_t i = 0; i < kvm_runtime_syscall_count; i++) {
		if (kvm_runtime_syscalls[i] == number)
			return true;
	}

	return false;
}

static bool has_ioctl(unsigned long request)
{
	for (size_t i = 0; i < kvm_runtime_ioctl_count; i++) {
		if (kvm_runtime_ioctls[i] == request)
			return true;
	}

	return false;
}

Test(tables, the_filter_lets_a_vcpu_run_and_nothing_be_made)
{
	cr_assert(has_syscall(SYS_ioctl) && has_syscall(SYS_futex) && has_syscall(SYS_tgkill));
	cr_assert_not(has_syscall(SYS_open) || has_syscall(SYS_openat) || has_syscall(SYS_execve) ||
		      has_syscall(SYS_clone) || has_syscall(SYS_clone3) || has_syscall(SYS_mprotect) ||
		      has_syscall(SYS_ptrace));
	cr_assert(has_ioctl(KVM_RUN) && has_ioctl(KVM_SET_MSRS) && has_ioctl(KVM_GET_DIRTY_LOG));
	cr_assert_not(has_ioctl(KVM_CREATE_VM) || has_ioctl(KVM_CREATE_VCPU) || has_ioctl(KVM_CREATE_DEVICE) ||
		      has_ioctl(KVM_SET_GSI_ROUTING));
}

Test(error_detail, is_cut_replaced_and_optional)
{
	struct error_detail detail = { 0 };
	char longest[400];

	memset(longest, 'x', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = '\0';
	error_detail_set(&detail, "%s", longest);
	cr_assert_eq(strlen(detail.text), sizeof(detail.text) - 1);
	error_detail_set(&detail, "%s %d", "second", 2);
	cr_assert_str_eq(detail.text, "second 2");
	error_detail_set(NULL, "%s", "nobody listens");
}

static bool is_open(int fd)
{
	return fcntl(fd, F_GETFD) >= 0;
}

Test(cleanup, descriptors_close_at_the_end_of_their_scope_unless_stolen)
{
	int closed, kept;

	{
		cleanup_close int first = dup(STDERR_FILENO);
		cleanup_close int second = dup(STDERR_FILENO);
		cleanup_close int none = -1;

		closed = first;
		kept = steal_fd(&second);
		cr_assert_eq(second, -1);
		cr_assert_eq(none, -1);
		errno = ENOTTY;
	}
	cr_assert_eq(errno, ENOTTY);
	cr_assert_not(is_open(closed));
	cr_assert(is_open(kept));
	close(kept);
}

Test(cleanup, memory_is_freed_unless_stolen)
{
	char *kept;

	{
		/* That the first is freed is for the sanitizers to see. */
		cleanup_free char *first = malloc(10);
		cleanup_free char *second = malloc(10);

		cr_assert_not_null(first);
		cr_assert_not_null(second);
		memcpy(second, "stolen", 7);
		kept = steal_pointer(second);
		cr_assert_null(second);
	}
	cr_assert_str_eq(kept, "stolen");
	free(kept);
}
