/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What this host's KVM does about a guest's TSC. Private to kvm/host.c and its test.
 */
#ifndef EMBER_KVM_HOST_TSC_H
#define EMBER_KVM_HOST_TSC_H

#include <stdbool.h>
#include <stdint.h>

#include "kvm/error_detail.h"
#include "kvm/host.h"

/*
 * Fill the tsc_* members of a host that has its tsc_khz, but for tsc_control; takes some 20 ms.
 *
 * vcpu  a fresh vCPU, whose TSC is not its own any more afterwards
 *
 * Returns 0, or -errno of the ioctl that detail names.
 */
int host_probe_tsc(struct kvm_host *host, int vcpu, struct error_detail *detail);

/* How far the TSC went while the kernel's clock went so far. */
struct tsc_measurement {
	uint64_t cycles;
	uint64_t elapsed_ns;     /* not 0 */
	uint64_t uncertainty_ns; /* of elapsed_ns, either way */
};

/* The rate that was measured. */
uint32_t tsc_measured_khz(const struct tsc_measurement *measurement);

/* Is the rate another one than khz, beyond doubt and beyond what KVM itself tolerates (250 ppm)? */
bool tsc_rate_differs(const struct tsc_measurement *measurement, uint32_t khz);

#endif
