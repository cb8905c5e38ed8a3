/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What kvm/ asks of the kernel once a VM is built: the source of a worker's system call filter.
 *
 * The lists are kept beside the code that needs them. They hold for everything that may happen between the last
 * vcpu_create() and the end of the process: running, pausing, state out and in, interrupts, dirty log, laying memory
 * over the reserved range, and closing. Creating a VM, a vCPU or a thread needs more, and comes before any filter.
 */
#include "kvm/vm.h"

#include <sys/ioctl.h>
#include <sys/syscall.h>

#include <linux/kvm.h>

const int kvm_runtime_syscalls[] = {
	SYS_ioctl,         SYS_futex,          /* the phase word; pthread_join(3) */
	SYS_tgkill,                            /* the kick */
	SYS_rt_sigreturn,                      /* from its handler */
	SYS_clock_gettime,                     /* only where the vDSO cannot answer */
	SYS_mmap,                              /* guest_memory_lay_*(): MAP_FIXED over the reserved range */
	SYS_fstat,                             /* guest_memory_lay_snapshot() checks the file's size: file_status() */
	SYS_munmap,                            /* kvm_run, guest memory, a joined thread's stack */
	SYS_close,         SYS_rt_sigprocmask, /* these three: a thread that ends, in glibc */
	SYS_madvise,       SYS_exit,           /* madvise: MADV_DONTNEED alone, also of guest_memory_drop() */
};

const size_t kvm_runtime_syscall_count = sizeof(kvm_runtime_syscalls) / sizeof(kvm_runtime_syscalls[0]);

const unsigned long kvm_runtime_ioctls[] = {
	/* a vCPU */
	KVM_RUN,
	KVM_GET_REGS,
	KVM_SET_REGS,
	KVM_GET_SREGS,
	KVM_SET_SREGS,
	KVM_GET_MP_STATE,
	KVM_SET_MP_STATE,
	KVM_GET_FPU,
	KVM_SET_FPU,
	KVM_GET_XSAVE,
	KVM_GET_XSAVE2,
	KVM_SET_XSAVE,
	KVM_GET_XCRS,
	KVM_SET_XCRS,
	KVM_GET_DEBUGREGS,
	KVM_SET_DEBUGREGS,
	KVM_GET_LAPIC,
	KVM_SET_LAPIC,
	KVM_GET_MSRS,
	KVM_SET_MSRS,
	KVM_GET_TSC_KHZ,
	KVM_SET_TSC_KHZ,
	KVM_GET_DEVICE_ATTR, /* these two: the TSC's offset; a vCPU has no other attribute, and a worker no other device */
	KVM_SET_DEVICE_ATTR,
	KVM_GET_VCPU_EVENTS,
	KVM_SET_VCPU_EVENTS,
	KVM_SET_CPUID2,
	KVM_KVMCLOCK_CTRL,

	/* a VM */
	KVM_IRQ_LINE,
	KVM_IRQFD,
	KVM_IOEVENTFD,
	KVM_GET_IRQCHIP,
	KVM_SET_IRQCHIP,
	KVM_GET_PIT2,
	KVM_SET_PIT2,
	KVM_GET_CLOCK,
	KVM_SET_CLOCK,
	KVM_SET_USER_MEMORY_REGION, /* the dirty log, on and off */
	KVM_GET_DIRTY_LOG,
};

const size_t kvm_runtime_ioctl_count = sizeof(kvm_runtime_ioctls) / sizeof(kvm_runtime_ioctls[0]);
