/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CPUID as KVM takes it, and the CPU templates that shapes name.
 */
#ifndef EMBER_KVM_CPUID_H
#define EMBER_KVM_CPUID_H

#include <stdbool.h>
#include <stdint.h>

#include <linux/kvm.h>

#include "kvm/error_detail.h"

#define CPUID_ENTRIES_MAX 256

/* Laid out as struct kvm_cpuid2 with its entries, so that it is what the ioctl takes. */
struct cpuid_table {
	uint32_t count;
	uint32_t padding;
	struct kvm_cpuid_entry2 entries[CPUID_ENTRIES_MAX];
};

enum cpu_template {
	CPU_TEMPLATE_HOST = 0, /* all that KVM supports on this host */
	CPU_TEMPLATE_PORTABLE, /* a reduced set that most x86-64 hosts share, so that snapshots move between them */
	CPU_TEMPLATE_COUNT,
};

/* The template's name as users write it ("host", "portable"), or NULL for a value that is none. */
const char *cpu_template_name(enum cpu_template cpu_template);

/* The template of that name. Returns 0 or -ENOENT. */
int cpu_template_parse(const char *name, enum cpu_template *ret_template);

/*
 * The CPUID of one vCPU under a template: what KVM supports, reduced by the template's masks, with the leaves that
 * name the vCPU (1.EBX, 0xB, 0x1F, 0x8000001E: APIC ids and topology) filled in. Source: Intel SDM volume 2, CPUID;
 * AMD APM volume 3, appendix E.
 *
 * supported   from KVM_GET_SUPPORTED_CPUID
 * index       0 .. vcpus - 1
 * ret_table   filled on success
 *
 * Returns 0 or -E2BIG (the table would overflow).
 */
int cpuid_for_vcpu(const struct cpuid_table *supported, enum cpu_template cpu_template, uint32_t index, uint32_t vcpus,
		   struct cpuid_table *ret_table);

/*
 * Can a host that supports `supported` give a guest the CPUID of `wanted`? Feature bits must be a subset; leaves that
 * only describe (brand string, cache sizes, APIC ids) may differ. Bits that follow CR4 at run time (OSXSAVE, OSPKE)
 * are ignored.
 *
 * Returns 0, or -EOPNOTSUPP with the first leaf, register and the missing bits in detail.
 */
int cpuid_check(const struct cpuid_table *supported, const struct cpuid_table *wanted, struct error_detail *detail);

/* The same table to KVM? Compares entries but for the bits that KVM itself changes at run time. */
bool cpuid_equal(const struct cpuid_table *left, const struct cpuid_table *right);

#endif
