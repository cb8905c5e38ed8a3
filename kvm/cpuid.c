/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a guest's CPUID says.
 *
 * A vCPU's table is made in three steps from what KVM supports: hide what no template offers, reduce to the template,
 * and describe where the vCPU stands among its siblings.
 *
 * Hidden everywhere is what a snapshot could not carry: features whose state lies outside the items that vcpu_state.h
 * lists (nested virtualisation, performance counters, branch and processor tracing, SGX, CET, FRED). A guest that
 * cannot see them cannot come to depend on state that a restore would lose.
 *
 * The portable template is written as what it keeps, so that a feature that a later processor brings stays out of it.
 * It keeps no XSAVE, because the layout and size of the XSAVE area differ between hosts, and no CMPXCHG16B, which a
 * KVM that emulates guest ring 0 cannot run.
 *
 * A topology of one socket, one thread a core, one core a vCPU is written over whatever KVM reports of the host's.
 * Sources: Intel SDM volume 2A, CPUID; AMD APM volume 3, appendix E; Linux Documentation/virt/kvm/x86/cpuid.rst.
 */
#include "kvm/cpuid.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "kvm/cpuid_bits.h"

_Static_assert(offsetof(struct cpuid_table, entries) == sizeof(struct kvm_cpuid2), "cpuid_table is a kvm_cpuid2");

/* CPUID of the portable template ends at these leaves; 0xB is the topology. */
#define PORTABLE_BASIC_MAX    0xbU
#define PORTABLE_EXTENDED_MAX 0x80000008U

/* One register of one leaf, and the bits of it that a step takes away. */
struct cpuid_mask {
	uint32_t leaf;
	uint32_t subleaf;
	uint32_t eax;
	uint32_t ebx;
	uint32_t ecx;
	uint32_t edx;
};

/* What no guest sees: state that a snapshot does not carry. The two bits that follow CR4 are KVM's to set. */
static const struct cpuid_mask hidden_masks[] = {
	{ .leaf = 0x1, .ecx = CPUID_1_ECX_HIDDEN | CPUID_1_ECX_OSXSAVE, .edx = CPUID_1_EDX_DS },
	{ .leaf = 0x7,
	  .ebx = CPUID_7_EBX_SGX | CPUID_7_EBX_INTEL_PT,
	  .ecx = CPUID_7_ECX_SHSTK | CPUID_7_ECX_SGX_LC | CPUID_7_ECX_OSPKE,
	  .edx = CPUID_7_EDX_ARCH_LBR | CPUID_7_EDX_IBT },
	{ .leaf = 0x7, .subleaf = 1, .eax = CPUID_7_1_EAX_FRED, .edx = CPUID_7_1_EDX_USER_MSR },
	{ .leaf = 0xd, .subleaf = 1, .ecx = CPUID_D_1_ECX_HIDDEN },
	{ .leaf = 0x80000001, .ecx = CPUID_80000001_ECX_HIDDEN },
};

/* Leaves that only describe what hidden_masks[] hides: performance counters, SGX, tracing, SVM, IBS, SEV. */
static const uint32_t hidden_leaves[] = {
	0xa, 0x12, 0x14, 0x1c, 0x23, 0x8000000a, 0x8000001b, 0x8000001f, 0x80000022,
};

/* What the portable template keeps of each leaf that holds features; leaves that only describe are not listed. */
static const struct cpuid_mask portable_masks[] = {
	{ .leaf = 0x1, .eax = UINT32_MAX, .ebx = UINT32_MAX, .ecx = CPUID_1_ECX_PORTABLE, .edx = CPUID_1_EDX_PORTABLE },
	{ .leaf = 0x5 },
	{ .leaf = 0x6, .eax = CPUID_6_EAX_ARAT },
	{ .leaf = 0x7, .ebx = CPUID_7_EBX_TSC_ADJUST },
	{ .leaf = 0x80000001, .ecx = CPUID_80000001_ECX_LAHF, .edx = CPUID_80000001_EDX_PORTABLE },
	{ .leaf = 0x80000007, .edx = CPUID_80000007_EDX_INVARIANT_TSC },
	{ .leaf = 0x80000008, .eax = UINT32_MAX, .ecx = UINT32_MAX },
	{ .leaf = 0x40000001, .eax = CPUID_KVM_EAX_PORTABLE },
};

static const char *const template_names[CPU_TEMPLATE_COUNT] = {
	[CPU_TEMPLATE_HOST] = "host",
	[CPU_TEMPLATE_PORTABLE] = "portable",
};

const char *cpu_template_name(enum cpu_template cpu_template)
{
	return (unsigned int)cpu_template < CPU_TEMPLATE_COUNT ? template_names[cpu_template] : NULL;
}

int cpu_template_parse(const char *name, enum cpu_template *ret_template)
{
	for (unsigned int i = 0; i < CPU_TEMPLATE_COUNT; i++) {
		if (strcmp(name, template_names[i]) == 0) {
			*ret_template = (enum cpu_template)i;
			return 0;
		}
	}

	return -ENOENT;
}

struct kvm_cpuid_entry2 *cpuid_find(struct cpuid_table *table, uint32_t leaf, uint32_t subleaf)
{
	for (uint32_t i = 0; i < table->count; i++) {
		struct kvm_cpuid_entry2 *entry = &table->entries[i];

		if (entry->function != leaf)
			continue;
		if (!(entry->flags & KVM_CPUID_FLAG_SIGNIFCANT_INDEX) || entry->index == subleaf)
			return entry;
	}

	return NULL;
}

const struct kvm_cpuid_entry2 *cpuid_find_const(const struct cpuid_table *table, uint32_t leaf, uint32_t subleaf)
{
	return cpuid_find((struct cpuid_table *)(uintptr_t)table, leaf, subleaf);
}

static bool is_listed(const uint32_t *leaves, size_t count, uint32_t leaf)
{
	for (size_t i = 0; i < count; i++) {
		if (leaves[i] == leaf)
			return true;
	}

	return false;
}

/* Is this an entry that the template leaves out altogether? Topology leaves are always made anew. */
static bool entry_dropped(const struct kvm_cpuid_entry2 *entry, enum cpu_template cpu_template)
{
	uint32_t leaf = entry->function;

	if (leaf == 0xb || leaf == 0x1f)
		return true;
	if (is_listed(hidden_leaves, sizeof(hidden_leaves) / sizeof(hidden_leaves[0]), leaf))
		return true;
	/* The parts of the XSAVE area that belong to hidden features. */
	if (leaf == 0xd && entry->index < 32 && (CPUID_D_1_ECX_HIDDEN & CPUID_BIT(entry->index)))
		return true;
	if (cpu_template != CPU_TEMPLATE_PORTABLE)
		return false;

	/* Subleaves past the first hold nothing but newer features, except for the caches of leaf 4. */
	if (leaf != 0x4 && (entry->flags & KVM_CPUID_FLAG_SIGNIFCANT_INDEX) && entry->index > 0)
		return true;

	return (leaf < 0x40000000 && leaf > PORTABLE_BASIC_MAX) || leaf > PORTABLE_EXTENDED_MAX;
}

static void hide_features(struct cpuid_table *table)
{
	for (size_t i = 0; i < sizeof(hidden_masks) / sizeof(hidden_masks[0]); i++) {
		const struct cpuid_mask *mask = &hidden_masks[i];
		struct kvm_cpuid_entry2 *entry = cpuid_find(table, mask->leaf, mask->subleaf);

		if (!entry)
			continue;
		entry->eax &= ~mask->eax;
		entry->ebx &= ~mask->ebx;
		entry->ecx &= ~mask->ecx;
		entry->edx &= ~mask->edx;
	}
}

static void reduce_to_portable(struct cpuid_table *table)
{
	struct kvm_cpuid_entry2 *entry;

	for (size_t i = 0; i < sizeof(portable_masks) / sizeof(portable_masks[0]); i++) {
		const struct cpuid_mask *mask = &portable_masks[i];

		entry = cpuid_find(table, mask->leaf, mask->subleaf);
		if (!entry)
			continue;
		entry->eax &= mask->eax;
		entry->ebx &= mask->ebx;
		entry->ecx &= mask->ecx;
		entry->edx &= mask->edx;
	}

	entry = cpuid_find(table, 0x0, 0);
	if (entry && entry->eax > PORTABLE_BASIC_MAX)
		entry->eax = PORTABLE_BASIC_MAX;
	entry = cpuid_find(table, 0x80000000, 0);
	if (entry && entry->eax > PORTABLE_EXTENDED_MAX)
		entry->eax = PORTABLE_EXTENDED_MAX;
}

/* Bits that hold 0 .. vcpus - 1. */
static uint32_t id_bits(uint32_t vcpus)
{
	uint32_t bits = 0;

	while ((UINT32_C(1) << bits) < vcpus)
		bits++;

	return bits;
}

/* Leaf 0xB or 0x1F: a thread level of one, a core level of all vCPUs, and the level that ends the list. */
static int add_topology_leaf(struct cpuid_table *table, uint32_t leaf, uint32_t index, uint32_t vcpus)
{
	const struct kvm_cpuid_entry2 levels[] = {
		{ .index = 0, .eax = 0, .ebx = 1, .ecx = (CPUID_TOPOLOGY_THREAD << 8) | 0 },
		{ .index = 1, .eax = id_bits(vcpus), .ebx = vcpus, .ecx = (CPUID_TOPOLOGY_CORE << 8) | 1 },
		{ .index = 2, .ecx = 2 },
	};
	const size_t count = sizeof(levels) / sizeof(levels[0]);

	if (table->count + count > CPUID_ENTRIES_MAX)
		return -E2BIG;

	for (size_t i = 0; i < count; i++) {
		struct kvm_cpuid_entry2 *entry = &table->entries[table->count++];

		*entry = levels[i];
		entry->function = leaf;
		entry->flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX;
		entry->edx = index; /* the x2APIC id, at every level */
	}

	return 0;
}

/* Leaf 4 (Intel) and 0x8000001D (AMD) tell who shares a cache: the first two levels nobody, the last level all. */
static void set_cache_sharing(struct cpuid_table *table, uint32_t vcpus)
{
	uint32_t last_id = (UINT32_C(1) << id_bits(vcpus)) - 1;

	for (uint32_t i = 0; i < table->count; i++) {
		struct kvm_cpuid_entry2 *entry = &table->entries[i];
		uint32_t level, sharing;

		if ((entry->function != 0x4 && entry->function != 0x8000001d) || (entry->eax & 0x1f) == 0)
			continue;
		level = (entry->eax >> 5) & 0x7;
		sharing = level >= 3 ? last_id : 0;
		entry->eax = (entry->eax & 0x3fff) | (sharing << 14);
		if (entry->function == 0x4)
			entry->eax |= last_id << 26; /* greatest core id in the package */
	}
}

static bool is_amd(const struct cpuid_table *table)
{
	const struct kvm_cpuid_entry2 *entry = cpuid_find_const(table, 0x0, 0);

	/* "AuthenticAMD" or "HygonGenuine": the first four letters tell. */
	return entry && (entry->ebx == 0x68747541 || entry->ebx == 0x6f677948);
}

static void set_amd_topology(struct cpuid_table *table, uint32_t index, uint32_t vcpus)
{
	struct kvm_cpuid_entry2 *entry;

	entry = cpuid_find(table, 0x80000001, 0);
	if (entry && vcpus > 1)
		entry->ecx |= CPUID_80000001_ECX_CMP_LEGACY;
	entry = cpuid_find(table, 0x80000008, 0);
	if (entry)
		entry->ecx = (id_bits(vcpus) << 12) | (vcpus - 1);
	entry = cpuid_find(table, 0x8000001e, 0);
	if (entry) {
		entry->eax = index; /* extended APIC id */
		entry->ebx = index; /* core id; one thread a core */
		entry->ecx = 0;     /* node 0 of one node */
	}
}

static int set_topology(struct cpuid_table *table, uint32_t index, uint32_t vcpus)
{
	struct kvm_cpuid_entry2 *entry;
	uint32_t basic_max;
	int result;

	entry = cpuid_find(table, 0x1, 0);
	if (entry) {
		entry->ebx = (entry->ebx & 0xffff) | (index << 24) | ((UINT32_C(1) << id_bits(vcpus)) << 16);
		entry->edx &= ~CPUID_1_EDX_HTT;
		if (vcpus > 1)
			entry->edx |= CPUID_1_EDX_HTT;
	}
	set_cache_sharing(table, vcpus);
	if (is_amd(table))
		set_amd_topology(table, index, vcpus);

	entry = cpuid_find(table, 0x0, 0);
	basic_max = entry ? entry->eax : 0;
	if (basic_max >= 0xb) {
		result = add_topology_leaf(table, 0xb, index, vcpus);
		if (result < 0)
			return result;
	}
	if (basic_max >= 0x1f)
		return add_topology_leaf(table, 0x1f, index, vcpus);

	return 0;
}

int cpuid_for_vcpu(const struct cpuid_table *supported, enum cpu_template cpu_template, uint32_t index, uint32_t vcpus,
		   struct cpuid_table *ret_table)
{
	struct cpuid_table table = { 0 };
	int result;

	if (supported->count > CPUID_ENTRIES_MAX)
		return -E2BIG;

	for (uint32_t i = 0; i < supported->count; i++) {
		if (!entry_dropped(&supported->entries[i], cpu_template))
			table.entries[table.count++] = supported->entries[i];
	}
	hide_features(&table);
	if (cpu_template == CPU_TEMPLATE_PORTABLE)
		reduce_to_portable(&table);
	result = set_topology(&table, index, vcpus);
	if (result < 0)
		return result;

	*ret_table = table;
	return 0;
}
