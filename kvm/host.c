/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What this host's KVM offers.
 *
 * Probed once, by the first process, and inherited by all that it forks: the answers are the same for every VM of a
 * host, and the probe builds a VM, which costs milliseconds. The MSRs are tried on a vCPU that has the CPUID of the
 * host template, because KVM takes or refuses some MSRs by what CPUID says.
 *
 * The required capabilities are those without which there is no VM as Ember builds it, or no complete snapshot of one.
 */
#include "kvm/host.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "kvm/cleanup.h"
#include "kvm/cpuid_bits.h"
#include "kvm/host_tsc.h"
#include "kvm/msr.h"

#define HOST_DEVICE      "/dev/kvm"
#define HOST_API_VERSION 12

/* Named after the kernels that Debian 12's header is older than. */
#ifndef KVM_CAP_MEMORY_FAULT_INFO
#define KVM_CAP_MEMORY_FAULT_INFO 232
#endif
#ifndef KVM_CAP_GUEST_MEMFD
#define KVM_CAP_GUEST_MEMFD 234
#endif
#ifndef KVM_CAP_PRE_FAULT_MEMORY
#define KVM_CAP_PRE_FAULT_MEMORY 236
#endif

#define REQUIRED(capability)                                                          \
	{                                                                             \
		.name = #capability, .number = KVM_CAP_##capability, .required = true \
	}
#define OPTIONAL(capability)                                        \
	{                                                           \
		.name = #capability, .number = KVM_CAP_##capability \
	}

const struct host_capability host_capabilities[] = {
	REQUIRED(IRQCHIP),
	REQUIRED(HLT),
	REQUIRED(USER_MEMORY),
	REQUIRED(SET_TSS_ADDR),
	REQUIRED(EXT_CPUID),
	REQUIRED(NR_MEMSLOTS),
	REQUIRED(MP_STATE),
	REQUIRED(SYNC_MMU),
	REQUIRED(DESTROY_MEMORY_REGION_WORKS),
	REQUIRED(JOIN_MEMORY_REGIONS_WORKS),
	REQUIRED(IRQFD),
	REQUIRED(PIT2),
	REQUIRED(PIT_STATE2),
	REQUIRED(IOEVENTFD),
	REQUIRED(SET_IDENTITY_MAP_ADDR),
	REQUIRED(ADJUST_CLOCK),
	REQUIRED(VCPU_EVENTS),
	REQUIRED(DEBUGREGS),
	REQUIRED(GET_TSC_KHZ),
	REQUIRED(MAX_VCPUS),
	REQUIRED(IMMEDIATE_EXIT),
	OPTIONAL(NR_VCPUS),
	OPTIONAL(MCE),
	OPTIONAL(XSAVE),
	OPTIONAL(XSAVE2),
	OPTIONAL(XCRS),
	OPTIONAL(TSC_CONTROL),
	OPTIONAL(REINJECT_CONTROL),
	OPTIONAL(TSC_DEADLINE_TIMER),
	OPTIONAL(KVMCLOCK_CTRL),
	OPTIONAL(READONLY_MEM),
	OPTIONAL(IRQFD_RESAMPLE),
	OPTIONAL(IOEVENTFD_ANY_LENGTH),
	OPTIONAL(SYNC_REGS),
	OPTIONAL(EXCEPTION_PAYLOAD),
	OPTIONAL(X86_TRIPLE_FAULT_EVENT),
	OPTIONAL(PMU_CAPABILITY),
	OPTIONAL(X86_SMM),
	OPTIONAL(NESTED_STATE),
	OPTIONAL(MANUAL_DIRTY_LOG_PROTECT2),
	OPTIONAL(DIRTY_LOG_RING),
	OPTIONAL(DIRTY_LOG_RING_ACQ_REL),
	OPTIONAL(ASYNC_PF),
	OPTIONAL(ASYNC_PF_INT),
	OPTIONAL(STEAL_TIME),
	OPTIONAL(MEMORY_FAULT_INFO),
	OPTIONAL(GUEST_MEMFD),
	OPTIONAL(PRE_FAULT_MEMORY),
};

const size_t host_capability_count = sizeof(host_capabilities) / sizeof(host_capabilities[0]);

_Static_assert(sizeof(host_capabilities) / sizeof(host_capabilities[0]) <= HOST_CAPABILITIES_MAX,
	       "kvm_host has a value for each capability");

struct msr_index_list {
	uint32_t count;
	uint32_t indices[1024]; /* far more than any host has: about 300 with Hyper-V's and the VMX MSRs */
};

static int host_fail(int error, struct error_detail *detail, const char *step)
{
	error_detail_set(detail, "%s: %s", step, strerror(error));
	return -error;
}

static int host_open(int *ret_fd, struct error_detail *detail)
{
	int fd, error;

	fd = open(HOST_DEVICE, O_RDWR | O_CLOEXEC);
	if (fd >= 0) {
		*ret_fd = fd;
		return 0;
	}

	error = errno;
	switch (error) {
	case ENOENT:
	case ENODEV:
	case ENXIO:
		error_detail_set(detail,
				 "there is no " HOST_DEVICE
				 ": enable virtualisation in the firmware and load the module kvm_intel or kvm_amd");
		return -ENOENT;
	case EACCES:
	case EPERM:
		error_detail_set(detail,
				 "no permission on " HOST_DEVICE
				 ": run as root, or add the user to the group that owns it (usermod -aG kvm USER)");
		return -EACCES;
	default:
		return host_fail(error, detail, HOST_DEVICE);
	}
}

static int host_probe_capabilities(struct kvm_host *host, struct error_detail *detail)
{
	int size;

	host->api_version = ioctl(host->fd, KVM_GET_API_VERSION, 0);
	if (host->api_version != HOST_API_VERSION) {
		error_detail_set(detail, "KVM API version %d, Ember needs %d", host->api_version, HOST_API_VERSION);
		return -ENOSYS;
	}

	for (size_t i = 0; i < host_capability_count; i++) {
		int value = ioctl(host->fd, KVM_CHECK_EXTENSION, host_capabilities[i].number);

		host->capability_values[i] = value > 0 ? value : 0;
		if (host->capability_values[i] == 0 && host_capabilities[i].required) {
			error_detail_set(detail, "this host's KVM lacks KVM_CAP_%s", host_capabilities[i].name);
			return -ENOSYS;
		}
	}

	size = ioctl(host->fd, KVM_GET_VCPU_MMAP_SIZE, 0);
	if (size < 0)
		return host_fail(errno, detail, "KVM_GET_VCPU_MMAP_SIZE");
	host->run_size = (size_t)size;
	host->tsc_control = host_capability_value(host, KVM_CAP_TSC_CONTROL) != 0;
	host->max_vcpus = (uint32_t)host_capability_value(host, KVM_CAP_MAX_VCPUS);
	return 0;
}

static int host_probe_cpuid(struct kvm_host *host, struct error_detail *detail)
{
	struct kvm_cpuid_entry2 *features;

	host->supported_cpuid.count = CPUID_ENTRIES_MAX;
	if (ioctl(host->fd, KVM_GET_SUPPORTED_CPUID, &host->supported_cpuid) < 0)
		return host_fail(errno, detail, "KVM_GET_SUPPORTED_CPUID");

	/*
	 * What every guest of KVM has, but older kernels leave it to the VMM to say so: that there is a hypervisor,
	 * without which Linux looks for no paravirtual clock; and, before 6.12, the deadline mode of the in-kernel
	 * LAPIC's timer. Source: api.rst, KVM_GET_SUPPORTED_CPUID.
	 */
	features = cpuid_find(&host->supported_cpuid, 0x1, 0);
	if (features) {
		features->ecx |= CPUID_1_ECX_HYPERVISOR;
		if (host_capability_value(host, KVM_CAP_TSC_DEADLINE_TIMER) != 0)
			features->ecx |= CPUID_1_ECX_TSC_DEADLINE;
	}
	return 0;
}

static int host_probe_msrs(struct kvm_host *host, int vcpu, struct error_detail *detail)
{
	cleanup_free struct cpuid_table *cpuid = calloc(1, sizeof(*cpuid));
	cleanup_free struct msr_index_list *list = calloc(1, sizeof(*list));
	int result;

	if (!cpuid || !list)
		return host_fail(ENOMEM, detail, "MSR probe");

	result = cpuid_for_vcpu(&host->supported_cpuid, CPU_TEMPLATE_HOST, 0, 1, cpuid);
	if (result < 0)
		return host_fail(-result, detail, "CPUID of the host template");
	if (ioctl(vcpu, KVM_SET_CPUID2, cpuid) < 0)
		return host_fail(errno, detail, "KVM_SET_CPUID2");
	if (host_capability_value(host, KVM_CAP_MCE) != 0) {
		result = msr_setup_machine_check(vcpu, detail);
		if (result < 0)
			return result;
	}

	list->count = sizeof(list->indices) / sizeof(list->indices[0]);
	if (ioctl(host->fd, KVM_GET_MSR_INDEX_LIST, list) < 0)
		return host_fail(errno, detail, "KVM_GET_MSR_INDEX_LIST");

	result = msr_probe(vcpu, list->indices, list->count, &host->msrs, detail);
	if (result < 0)
		return result;
	return host_probe_tsc(host, vcpu, detail);
}

/* What only a VM or a vCPU can tell. The VM lives for this call. */
static int host_probe_vm(struct kvm_host *host, struct error_detail *detail)
{
	cleanup_close int vm = -1;
	cleanup_close int vcpu = -1;
	int xsave, tsc_khz;

	do {
		vm = ioctl(host->fd, KVM_CREATE_VM, 0);
	} while (vm < 0 && errno == EINTR);
	if (vm < 0)
		return host_fail(errno, detail, "KVM_CREATE_VM");
	if (ioctl(vm, KVM_CREATE_IRQCHIP, 0) < 0)
		return host_fail(errno, detail, "KVM_CREATE_IRQCHIP");
	vcpu = ioctl(vm, KVM_CREATE_VCPU, 0);
	if (vcpu < 0)
		return host_fail(errno, detail, "KVM_CREATE_VCPU");

	if (host_capability_value(host, KVM_CAP_XSAVE) != 0) {
		/* XSAVE2 knows the size that this process may ask for; without it the area is one page. */
		xsave = ioctl(vm, KVM_CHECK_EXTENSION, KVM_CAP_XSAVE2);
		host->xsave_size = xsave > 0 ? (uint32_t)xsave : (uint32_t)sizeof(struct kvm_xsave);
		if (host->xsave_size > VCPU_XSAVE_MAX) {
			error_detail_set(detail, "XSAVE area of %u bytes, at most %u", host->xsave_size,
					 VCPU_XSAVE_MAX);
			return -ENOSYS;
		}
	}

	tsc_khz = ioctl(vcpu, KVM_GET_TSC_KHZ, 0);
	if (tsc_khz < 0)
		return host_fail(errno, detail, "KVM_GET_TSC_KHZ");
	host->tsc_khz = (uint32_t)tsc_khz;

	return host_probe_msrs(host, vcpu, detail);
}

int host_probe(struct kvm_host *ret_host, struct error_detail *detail)
{
	cleanup_free struct kvm_host *host = calloc(1, sizeof(*host));
	cleanup_close int fd = -1;
	int result;

	if (!host)
		return host_fail(ENOMEM, detail, "host probe");

	result = host_open(&fd, detail);
	if (result < 0)
		return result;
	host->fd = fd;
	result = host_probe_capabilities(host, detail);
	if (result < 0)
		return result;
	result = host_probe_cpuid(host, detail);
	if (result < 0)
		return result;
	result = host_probe_vm(host, detail);
	if (result < 0)
		return result;

	*ret_host = *host;
	ret_host->fd = steal_fd(&fd);
	return 0;
}

int host_capability_value(const struct kvm_host *host, int number)
{
	for (size_t i = 0; i < host_capability_count; i++) {
		if (host_capabilities[i].number == number)
			return host->capability_values[i];
	}

	return 0;
}

void host_close(struct kvm_host *host)
{
	/* A zeroed struct has descriptor 0, but no API version: there is nothing of ours to close. */
	if (host->api_version != 0 && host->fd >= 0)
		(void)close(host->fd);
	*host = (struct kvm_host){ .fd = -1 };
}
