/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The lists of kvm_runtime_syscalls[] and kvm_runtime_ioctls[] are enough: a process that may do nothing else runs,
 * pauses, saves, restores and closes a VM.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <seccomp.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support.h"

/* What the child could not do, as its exit status. */
enum {
	CHILD_DONE = 0,
	CHILD_FILTER,
	CHILD_STATE,
	CHILD_VM,
	CHILD_MEMORY,
	CHILD_RUN,
};

static int install_filter(void)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_KILL_PROCESS);
	int result = 0;

	if (!filter)
		return -ENOMEM;
	for (size_t i = 0; i < kvm_runtime_syscall_count && result == 0; i++) {
		if (kvm_runtime_syscalls[i] != SYS_ioctl)
			result = seccomp_rule_add(filter, SCMP_ACT_ALLOW, kvm_runtime_syscalls[i], 0);
	}
	for (size_t i = 0; i < kvm_runtime_ioctl_count && result == 0; i++)
		result = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(ioctl), 1,
					  SCMP_A1(SCMP_CMP_EQ, kvm_runtime_ioctls[i]));
	/* The test's own: to end, and nothing more. */
	if (result == 0)
		result = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(exit_group), 0);
	/* The threads of the vCPUs are there already: they come under the filter too. */
	if (result == 0)
		result = seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1);
	if (result == 0)
		result = seccomp_load(filter);
	return result;
}

static int use_state(struct shell *shell, struct vcpu_state *state)
{
	for (unsigned int i = 0; i < 20; i++) {
		if (vcpu_run(shell->vcpus[0]) < 0)
			return CHILD_RUN;
		shell_wait_reports(shell, i + 1);
		vcpu_pause(shell->vcpus[0]);
		if (vcpu_get_state(shell->vcpus[0], state, NULL) < 0 ||
		    vcpu_set_state(shell->vcpus[0], state, NULL) < 0)
			return CHILD_STATE;
	}

	return CHILD_DONE;
}

static int use_vm(struct shell *shell)
{
	struct irqchip_state irqchip;
	struct kvm_clock_data clock;
	uint64_t dirty[TEST_MEMORY_SIZE / GUEST_MEMORY_PAGE / 64];

	if (vm_get_irqchip(&shell->vm, &irqchip, NULL) < 0 || vm_set_irqchip(&shell->vm, &irqchip, NULL) < 0 ||
	    vm_get_clock(&shell->vm, &clock) < 0 || vm_set_clock(&shell->vm, &clock) < 0 ||
	    vm_irq_line(&shell->vm, 5, true) < 0 || vm_irq_line(&shell->vm, 5, false) < 0 ||
	    vm_dirty_log_enable(&shell->vm, true) < 0 || vm_dirty_log_read(&shell->vm, dirty, sizeof(dirty)) < 0)
		return CHILD_VM;

	return CHILD_DONE;
}

static int child(struct shell *shell, struct vcpu_state *state, int file)
{
	int result;

	if (install_filter() < 0)
		return CHILD_FILTER;
	result = use_state(shell, state);
	if (result == CHILD_DONE)
		result = use_vm(shell);
	if (result != CHILD_DONE)
		return result;
	if (!guest_memory_is_whole(&shell->vm.memory) || guest_memory_lay_anonymous(&shell->vm.memory) < 0 ||
	    guest_memory_lay_snapshot(&shell->vm.memory, file, 0) < 0)
		return CHILD_MEMORY;

	/* Memory of zeroes: the guest runs into a stop of its own. */
	if (vcpu_run(shell->vcpus[0]) < 0)
		return CHILD_RUN;
	shell_free(shell);
	return CHILD_DONE;
}

Test(filter, the_lists_are_enough)
{
	const struct kvm_host *host = test_host();
	struct vcpu_state *state = calloc(1, sizeof(*state));
	int file = memfd_create("memory", MFD_CLOEXEC);
	int status = 0;
	pid_t pid;

	cr_assert(host != NULL && state != NULL && file >= 0);
	cr_assert_eq(ftruncate(file, (off_t)TEST_MEMORY_SIZE), 0);
	/* A VM belongs to the process that made it. */
	pid = fork();
	cr_assert_geq(pid, 0);
	if (pid == 0) {
		struct shell *shell = shell_new(1, TEST_MEMORY_SIZE);

		shell_load(shell, GUEST_CODE(port_write_loop), ENTRY_REAL);
		_exit(child(shell, state, file));
	}
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	cr_assert(WIFEXITED(status), "killed by signal %d", WTERMSIG(status));
	cr_assert_eq(WEXITSTATUS(status), CHILD_DONE);
	free(state);
	close(file);
}
