/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bits of CPUID that Ember names, and how its own files find an entry. Private to kvm/.
 *
 * Sources: Intel SDM volume 2A, CPUID; AMD APM volume 3, appendix E; Linux Documentation/virt/kvm/x86/cpuid.rst.
 */
#ifndef EMBER_KVM_CPUID_BITS_H
#define EMBER_KVM_CPUID_BITS_H

#include "kvm/cpuid.h"

#define CPUID_BIT(number) (UINT32_C(1) << (number))

#define CPUID_1_ECX_MONITOR      CPUID_BIT(3)
#define CPUID_1_ECX_TSC_DEADLINE CPUID_BIT(24)
#define CPUID_1_ECX_OSXSAVE      CPUID_BIT(27)
#define CPUID_1_ECX_HYPERVISOR   CPUID_BIT(31)
#define CPUID_1_EDX_APIC         CPUID_BIT(9)
#define CPUID_1_EDX_DS           CPUID_BIT(21)
#define CPUID_1_EDX_HTT          CPUID_BIT(28)

/* DTES64, DS_CPL, VMX, SMX, PDCM. */
#define CPUID_1_ECX_HIDDEN (CPUID_BIT(2) | CPUID_BIT(4) | CPUID_BIT(5) | CPUID_BIT(6) | CPUID_BIT(15))

/* SSE3, SSSE3, SSE4.1, SSE4.2, x2APIC, POPCNT, TSC deadline, hypervisor. */
#define CPUID_1_ECX_PORTABLE                                                                           \
	(CPUID_BIT(0) | CPUID_BIT(9) | CPUID_BIT(19) | CPUID_BIT(20) | CPUID_BIT(21) | CPUID_BIT(23) | \
	 CPUID_1_ECX_TSC_DEADLINE | CPUID_1_ECX_HYPERVISOR)

/*
 * FPU, VME, DE, PSE, TSC, MSR, PAE, MCE, CX8, APIC (0-9), SEP, MTRR, PGE, MCA, CMOV, PAT, PSE36 (11-17), CLFSH (19),
 * MMX, FXSR, SSE, SSE2 (23-26), HTT (28): what every 64-bit processor has.
 */
#define CPUID_1_EDX_PORTABLE UINT32_C(0x178bfbff)

#define CPUID_6_EAX_ARAT CPUID_BIT(2)

#define CPUID_7_EBX_TSC_ADJUST CPUID_BIT(1)
#define CPUID_7_EBX_SGX        CPUID_BIT(2)
#define CPUID_7_EBX_INTEL_PT   CPUID_BIT(25)
#define CPUID_7_ECX_OSPKE      CPUID_BIT(4)
#define CPUID_7_ECX_SHSTK      CPUID_BIT(7)
#define CPUID_7_ECX_SGX_LC     CPUID_BIT(30)
#define CPUID_7_EDX_ARCH_LBR   CPUID_BIT(19)
#define CPUID_7_EDX_IBT        CPUID_BIT(20)
#define CPUID_7_1_EAX_FRED     CPUID_BIT(17)
#define CPUID_7_1_EDX_USER_MSR CPUID_BIT(15)

/* Supervisor state of PT, CET (user and supervisor) and LBR in IA32_XSS. */
#define CPUID_D_1_ECX_HIDDEN (CPUID_BIT(8) | CPUID_BIT(11) | CPUID_BIT(12) | CPUID_BIT(15))

#define CPUID_TOPOLOGY_THREAD UINT32_C(1)
#define CPUID_TOPOLOGY_CORE   UINT32_C(2)

#define CPUID_80000001_ECX_LAHF       CPUID_BIT(0)
#define CPUID_80000001_ECX_CMP_LEGACY CPUID_BIT(1)

/* SVM, IBS, LWP, and the three kinds of extended performance counters. */
#define CPUID_80000001_ECX_HIDDEN \
	(CPUID_BIT(2) | CPUID_BIT(10) | CPUID_BIT(15) | CPUID_BIT(23) | CPUID_BIT(24) | CPUID_BIT(28))

/* SYSCALL, NX, LM, and AMD's repetition of leaf 1. */
#define CPUID_80000001_EDX_PORTABLE (CPUID_BIT(11) | CPUID_BIT(20) | CPUID_BIT(29) | UINT32_C(0x0183f3ff))

#define CPUID_80000007_EDX_INVARIANT_TSC CPUID_BIT(8)

/* CLOCKSOURCE, NOP_IO_DELAY, CLOCKSOURCE2, STEAL_TIME, PV_EOI, CLOCKSOURCE_STABLE: in every kernel since 4.4. */
#define CPUID_KVM_EAX_PORTABLE \
	(CPUID_BIT(0) | CPUID_BIT(1) | CPUID_BIT(3) | CPUID_BIT(5) | CPUID_BIT(6) | CPUID_BIT(24))
#define CPUID_KVM_EAX_PV_UNHALT CPUID_BIT(7)

/* The entry of a leaf; the subleaf counts only where the entry says so. NULL where there is none. */
struct kvm_cpuid_entry2 *cpuid_find(struct cpuid_table *table, uint32_t leaf, uint32_t subleaf);
const struct kvm_cpuid_entry2 *cpuid_find_const(const struct cpuid_table *table, uint32_t leaf, uint32_t subleaf);

enum cpuid_register {
	CPUID_EAX,
	CPUID_EBX,
	CPUID_ECX,
	CPUID_EDX,
};

/* What an entry has in a register; 0 for no entry. */
uint32_t cpuid_register_value(const struct kvm_cpuid_entry2 *entry, enum cpuid_register which);

#endif
