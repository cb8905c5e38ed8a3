/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The worker's filter lets through all that the folders below say they need, and nothing that opens, connects or forks.
 */
#include <criterion/criterion.h>
#include <sys/syscall.h>

#include "devices/machine.h"
#include "kvm/vm.h"
#include "pool/process/loader.h"
#include "pool/process/worker.h"

static bool allows(const struct sandbox_rule_set *const *sets, size_t count, int number)
{
	for (size_t i = 0; i < count; i++) {
		for (size_t j = 0; j < sets[i]->count; j++) {
			if (sets[i]->rules[j].number == number && sets[i]->rules[j].error == 0)
				return true;
		}
	}
	return false;
}

static bool ioctl_allowed(unsigned long request)
{
	for (size_t i = 0; i < worker_ioctl_set_count; i++) {
		for (size_t j = 0; j < worker_ioctl_sets[i]->count; j++) {
			if (worker_ioctl_sets[i]->requests[j] == request)
				return true;
		}
	}
	return false;
}

Test(worker_rules, what_kvm_and_the_devices_need_is_let_through)
{
	cr_assert_gt(kvm_runtime_syscall_count, 0);
	for (size_t i = 0; i < kvm_runtime_syscall_count; i++) {
		if (kvm_runtime_syscalls[i] != SYS_ioctl)
			cr_assert(allows(worker_rule_sets, worker_rule_set_count, kvm_runtime_syscalls[i]), "call %d",
				  kvm_runtime_syscalls[i]);
	}
	for (size_t i = 0; i < machine_runtime_syscall_count; i++)
		cr_assert(allows(worker_rule_sets, worker_rule_set_count, machine_runtime_syscalls[i]), "call %d",
			  machine_runtime_syscalls[i]);
	for (size_t i = 0; i < kvm_runtime_ioctl_count; i++)
		cr_assert(ioctl_allowed(kvm_runtime_ioctls[i]), "ioctl %#lx", kvm_runtime_ioctls[i]);
}

#ifndef EMBER_SANITIZE /* whose runtime needs some of these */
Test(worker_rules, nothing_opens_connects_forks_executes_or_takes_a_path)
{
	static const int forbidden[] = { SYS_open,         SYS_openat,
					 SYS_openat2,      SYS_creat,
					 SYS_socket,       SYS_connect,
					 SYS_fork,         SYS_vfork,
					 SYS_clone,        SYS_clone3,
					 SYS_execve,       SYS_execveat,
					 SYS_ptrace,       SYS_mount,
					 SYS_unshare,      SYS_setns,
					 SYS_bpf,          SYS_process_vm_writev,
					 SYS_memfd_create, SYS_io_uring_setup,
					 SYS_userfaultfd,  SYS_pidfd_getfd,
					 SYS_stat,         SYS_lstat,
					 SYS_newfstatat,   SYS_statx,
					 SYS_access,       SYS_faccessat2,
					 SYS_readlink,     SYS_readlinkat };

	for (size_t i = 0; i < sizeof(forbidden) / sizeof(forbidden[0]); i++) {
		cr_assert_not(allows(worker_rule_sets, worker_rule_set_count, forbidden[i]), "worker: call %d",
			      forbidden[i]);
		if (forbidden[i] != SYS_memfd_create)
			cr_assert_not(allows(loader_rule_sets, loader_rule_set_count, forbidden[i]), "loader: call %d",
				      forbidden[i]);
	}
}
#endif
