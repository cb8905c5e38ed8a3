/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The worker's filter lets through all that the folders below say they need, and nothing that opens, connects or forks.
 */
#include <criterion/criterion.h>
#include <sys/syscall.h>

#include "devices/machine.h"
#include "devices/virtio/virtio.h"
#include "kvm/vm.h"
#include "pool/process/loader.h"
#include "pool/process/worker.h"

static bool sets_allow(const struct sandbox_rule_set *const *sets, size_t count, int number)
{
	for (size_t i = 0; i < count; i++) {
		for (size_t j = 0; j < sets[i]->count; j++) {
			if (sets[i]->rules[j].number == number && sets[i]->rules[j].error == 0)
				return true;
		}
		for (size_t j = 0; j < sets[i]->call_count; j++) {
			if (sets[i]->calls[j] == number)
				return true;
		}
	}
	return false;
}

static bool allows(enum worker_kind kind, int number)
{
	return sets_allow(worker_rules_of[kind].sets, worker_rules_of[kind].set_count, number);
}

static bool allows_ioctl(enum worker_kind kind, unsigned long request)
{
	const struct worker_rules *rules = &worker_rules_of[kind];

	for (size_t i = 0; i < rules->ioctl_count; i++) {
		for (size_t j = 0; j < rules->ioctls[i]->count; j++) {
			if (rules->ioctls[i]->requests[j] == request)
				return true;
		}
	}
	return false;
}

static void assert_all_allowed(enum worker_kind kind, const int *calls, size_t count)
{
	cr_assert_gt(count, 0);
	for (size_t i = 0; i < count; i++) {
		if (calls[i] != SYS_ioctl)
			cr_assert(allows(kind, calls[i]), "call %d", calls[i]);
	}
}

static void assert_all_ioctls_allowed(enum worker_kind kind, const unsigned long *requests, size_t count)
{
	cr_assert_gt(count, 0);
	for (size_t i = 0; i < count; i++)
		cr_assert(allows_ioctl(kind, requests[i]), "ioctl %#lx", requests[i]);
}

Test(worker_rules, what_kvm_and_the_devices_need_is_let_through)
{
	for (int kind = 0; kind < WORKER_KIND_COUNT; kind++) {
		assert_all_allowed((enum worker_kind)kind, kvm_runtime_syscalls, kvm_runtime_syscall_count);
		assert_all_allowed((enum worker_kind)kind, machine_runtime_syscalls, machine_runtime_syscall_count);
		assert_all_ioctls_allowed((enum worker_kind)kind, kvm_runtime_ioctls, kvm_runtime_ioctl_count);
	}
}

Test(worker_rules, what_virtio_devices_need_is_let_through_where_there_are_some)
{
	assert_all_allowed(WORKER_VIRTIO, virtio_runtime_syscalls, virtio_runtime_syscall_count);
	assert_all_ioctls_allowed(WORKER_VIRTIO, virtio_runtime_ioctls, virtio_runtime_ioctl_count);
	for (size_t i = 0; i < virtio_runtime_ioctl_count; i++)
		cr_assert_not(allows_ioctl(WORKER_PLAIN, virtio_runtime_ioctls[i]));
	cr_assert_not(allows(WORKER_PLAIN, SYS_accept4));
	cr_assert_not(allows(WORKER_PLAIN, SYS_sendto));
}

Test(worker_rules, each_device_makes_a_worker_one_with_virtio)
{
	struct message_fork fork = { .vcpus = 1 };
	uint32_t *const counts[] = { &fork.disks, &fork.rngs, &fork.vsocks, &fork.nets, &fork.balloons };

	cr_assert_eq(worker_kind_of(&fork), WORKER_PLAIN);
	for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
		*counts[i] = 1;
		cr_assert_eq(worker_kind_of(&fork), WORKER_VIRTIO);
		*counts[i] = 0;
	}
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
		for (int kind = 0; kind < WORKER_KIND_COUNT; kind++)
			cr_assert_not(allows((enum worker_kind)kind, forbidden[i]), "worker: call %d", forbidden[i]);
		if (forbidden[i] != SYS_memfd_create)
			cr_assert_not(sets_allow(loader_rule_sets, loader_rule_set_count, forbidden[i]),
				      "loader: call %d", forbidden[i]);
	}
}
#endif
