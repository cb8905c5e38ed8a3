/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Can this host give a snapshot back all that it had?
 */
#ifndef EMBER_SNAPSHOT_CHECK_H
#define EMBER_SNAPSHOT_CHECK_H

#include "kvm/error_detail.h"
#include "kvm/host.h"
#include "snapshot/state.h"

/* How far a TSC may be off, in parts per million: as much as KVM itself lets pass unscaled (kvm.tsc_tolerance_ppm). */
#define SNAPSHOT_TSC_TOLERANCE_PPM 250

/*
 * Compare a state with what the host's probe found: number of vCPUs, and for each its CPUID, MSRs, XSAVE area and TSC
 * rate.
 *
 * host   may have been probed by another process: its descriptor is not used
 * state  for which vm_state_check() returns 0
 *
 * Returns 0, or -EOPNOTSUPP with what differs, and on which vCPU, in detail.
 */
int snapshot_check_host(const struct kvm_host *host, const struct vm_state *state, struct error_detail *detail);

#endif
