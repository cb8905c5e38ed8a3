/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The state of a vCPU and of the interrupt chips, clock and timer of its VM, as plain data.
 *
 * Flat structures of fixed size without pointers: a snapshot's loader fills them once into a sealed memory file, and
 * any number of workers map that file and hand the members to KVM as they are.
 */
#ifndef EMBER_KVM_VCPU_STATE_H
#define EMBER_KVM_VCPU_STATE_H

#include <stdint.h>

#include <linux/kvm.h>

#include "kvm/cpuid.h"

#define VCPU_MSRS_MAX  256
#define VCPU_XSAVE_MAX 16384 /* bytes; AMX's tile data makes 11008 the largest area that KVM gives out today */

/* Laid out as struct kvm_msrs with its entries. */
struct msr_table {
	uint32_t count;
	uint32_t padding;
	struct kvm_msr_entry entries[VCPU_MSRS_MAX];
};

struct vcpu_state {
	struct kvm_regs regs;
	struct kvm_sregs sregs;
	struct kvm_mp_state mp_state;
	uint32_t xsave_size; /* bytes of xsave in use; 0 where the host has no XSAVE, and fpu holds all */
	struct kvm_fpu fpu;
	struct kvm_xcrs xcrs;
	struct kvm_vcpu_events events;
	struct kvm_debugregs debugregs;
	struct kvm_lapic_state lapic;
	struct msr_table msrs;
	struct cpuid_table cpuid;
	uint32_t tsc_khz; /* the rate of this vCPU's TSC */
	uint32_t padding;
	uint8_t xsave[VCPU_XSAVE_MAX];
};

struct irqchip_state {
	struct kvm_irqchip pic_master;
	struct kvm_irqchip pic_slave;
	struct kvm_irqchip ioapic;
	struct kvm_pit_state2 pit;
};

#endif
