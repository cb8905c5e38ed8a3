/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CPU templates, and whether one CPUID can stand for another: on tables of the test's own, without KVM.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "kvm/cpuid.h"

#define BIT(number) (UINT32_C(1) << (number))

static void add(struct cpuid_table *table, uint32_t leaf, int subleaf, uint32_t eax, uint32_t ebx, uint32_t ecx,
		uint32_t edx)
{
	table->entries[table->count++] = (struct kvm_cpuid_entry2){
		.function = leaf,
		.index = subleaf < 0 ? 0 : (uint32_t)subleaf,
		.flags = subleaf < 0 ? 0 : KVM_CPUID_FLAG_SIGNIFCANT_INDEX,
		.eax = eax,
		.ebx = ebx,
		.ecx = ecx,
		.edx = edx,
	};
}

/* An Intel host that supports everything; every feature bit is set. */
static void intel_host(struct cpuid_table *table)
{
	const uint32_t all = UINT32_MAX;

	memset(table, 0, sizeof(*table));
	add(table, 0x0, -1, 0x20, 0x756e6547, 0x6c65746e, 0x49656e69);
	add(table, 0x1, -1, 0xa0671, 0x00100800, all, all);
	add(table, 0x2, -1, 0x00feff01, 0xf0, 0, 0);
	add(table, 0x4, 0, 0x0c01c121, 0x02c0003f, 0x3f, 0);
	add(table, 0x4, 1, 0x0c01c143, 0x03c0003f, 0x7ff, 0);
	add(table, 0x4, 2, 0x0c0fc163, 0x03c0003f, 0x77fff, 0);
	add(table, 0x4, 3, 0, 0, 0, 0);
	add(table, 0x6, -1, all, 0, 0, 0);
	add(table, 0x7, 0, 2, all, all, all);
	add(table, 0x7, 1, all, all, all, all);
	add(table, 0x7, 2, 0, 0, 0, all);
	add(table, 0xa, -1, 0x08300805, 0, 0, 0x8604);
	add(table, 0xb, 0, 1, 2, 0x100, 77);
	add(table, 0xd, 0, 0x602e7, 0xa80, 0xa80, 0);
	add(table, 0xd, 1, all, 0, all, 0);
	add(table, 0xd, 2, 256, 576, 0, 0);
	add(table, 0xd, 11, 16, 0, 1, 0);
	add(table, 0x12, 0, all, 0, 0, all);
	add(table, 0x14, 0, 1, all, all, 0);
	add(table, 0x1f, 0, 1, 2, 0x100, 77);
	add(table, 0x40000000, -1, 0x40000001, 0x4b4d564b, 0x564b4d56, 0x4d);
	add(table, 0x40000001, -1, 0x01007efb, 0, 0, 0);
	add(table, 0x80000000, -1, 0x80000021, 0, 0, 0);
	add(table, 0x80000001, -1, 0, 0, all, all);
	add(table, 0x80000007, -1, 0, 0, 0, 0x100);
	add(table, 0x80000008, -1, 0x3930, all, 0, 0);
	add(table, 0x8000000a, -1, 1, 0x10, 0, all);
	add(table, 0x80000021, -1, all, 0, 0, 0);
}

static void amd_host(struct cpuid_table *table)
{
	intel_host(table);
	table->entries[0].ebx = 0x68747541;
	table->entries[0].ecx = 0x444d4163;
	table->entries[0].edx = 0x69746e65;
	add(table, 0x8000001d, 0, 0x0c01c121, 0x01c0003f, 0x3f, 0);
	add(table, 0x8000001d, 1, 0x0c01c163, 0x03c0003f, 0x3fff, 0);
	add(table, 0x8000001e, -1, 9, 0x109, 0x201, 0);
}

static const struct kvm_cpuid_entry2 *find(const struct cpuid_table *table, uint32_t leaf, uint32_t subleaf)
{
	const struct kvm_cpuid_entry2 *found = NULL;

	for (uint32_t i = 0; i < table->count; i++) {
		const struct kvm_cpuid_entry2 *entry = &table->entries[i];

		if (entry->function != leaf)
			continue;
		if ((entry->flags & KVM_CPUID_FLAG_SIGNIFCANT_INDEX) && entry->index != subleaf)
			continue;
		cr_assert_null(found, "leaf 0x%x subleaf %u stands twice", leaf, subleaf);
		found = entry;
	}

	return found;
}

static struct kvm_cpuid_entry2 leaf_of(const struct cpuid_table *table, uint32_t leaf, uint32_t subleaf)
{
	const struct kvm_cpuid_entry2 *entry = find(table, leaf, subleaf);

	cr_assert_not_null(entry, "leaf 0x%x subleaf %u", leaf, subleaf);
	return *entry;
}

Test(template, names)
{
	enum cpu_template cpu_template = CPU_TEMPLATE_COUNT;

	cr_assert_str_eq(cpu_template_name(CPU_TEMPLATE_HOST), "host");
	cr_assert_str_eq(cpu_template_name(CPU_TEMPLATE_PORTABLE), "portable");
	cr_assert_null(cpu_template_name(CPU_TEMPLATE_COUNT));
	cr_assert_eq(cpu_template_parse("portable", &cpu_template), 0);
	cr_assert_eq(cpu_template, CPU_TEMPLATE_PORTABLE);
	cr_assert_eq(cpu_template_parse("port", &cpu_template), -ENOENT);
	cr_assert_eq(cpu_template, CPU_TEMPLATE_PORTABLE, "untouched on failure");
}

Test(template, host_hides_what_a_snapshot_does_not_carry)
{
	static struct cpuid_table host, table;

	intel_host(&host);
	cr_assert_eq(cpuid_for_vcpu(&host, CPU_TEMPLATE_HOST, 0, 1, &table), 0);
	cr_assert_eq(leaf_of(&table, 0x1, 0).ecx, ~(BIT(2) | BIT(4) | BIT(5) | BIT(6) | BIT(15) | BIT(27)),
		     "VMX, PDCM and their like, OSXSAVE");
	cr_assert_eq(leaf_of(&table, 0x1, 0).edx, ~(BIT(21) | BIT(28)), "DS, and HTT for one vCPU");
	cr_assert_eq(leaf_of(&table, 0x7, 0).ebx, ~(BIT(2) | BIT(25)));
	cr_assert_eq(leaf_of(&table, 0x7, 0).ecx, ~(BIT(4) | BIT(7) | BIT(30)));
	cr_assert_eq(leaf_of(&table, 0x7, 0).edx, ~(BIT(19) | BIT(20)));
	cr_assert_eq(leaf_of(&table, 0x7, 1).eax, ~BIT(17));
	cr_assert_eq(leaf_of(&table, 0xd, 1).ecx, ~(BIT(8) | BIT(11) | BIT(12) | BIT(15)));
	cr_assert_eq(leaf_of(&table, 0x80000001, 0).ecx & BIT(2), 0, "SVM");
	cr_assert_null(find(&table, 0xa, 0));
	cr_assert_null(find(&table, 0x12, 0));
	cr_assert_null(find(&table, 0x14, 0));
	cr_assert_null(find(&table, 0xd, 11));
	cr_assert_null(find(&table, 0x8000000a, 0));
	/* All else as it is. */
	cr_assert_eq(leaf_of(&table, 0x7, 2).edx, UINT32_MAX);
	cr_assert_eq(leaf_of(&table, 0xd, 2).ebx, 576);
	cr_assert_eq(leaf_of(&table, 0x40000001, 0).eax, 0x01007efb);
	cr_assert_eq(leaf_of(&table, 0x80000021, 0).eax, UINT32_MAX);
}

Test(template, portable_keeps_only_what_it_lists)
{
	static struct cpuid_table host, table;
	struct kvm_cpuid_entry2 features;

	intel_host(&host);
	cr_assert_eq(cpuid_for_vcpu(&host, CPU_TEMPLATE_PORTABLE, 0, 1, &table), 0);
	features = leaf_of(&table, 0x1, 0);
	cr_assert_eq(features.ecx, BIT(0) | BIT(9) | BIT(19) | BIT(20) | BIT(21) | BIT(23) | BIT(24) | BIT(31));
	cr_assert_eq(features.ecx & (BIT(13) | BIT(26)), 0, "neither CMPXCHG16B nor XSAVE");
	cr_assert_eq(features.edx, 0x078bfbff);
	cr_assert_eq(features.eax, 0xa0671);
	features = leaf_of(&table, 0x7, 0);
	cr_assert(features.eax == 0 && features.ebx == BIT(1) && features.ecx == 0 && features.edx == 0);
	cr_assert_null(find(&table, 0x7, 1));
	cr_assert_null(find(&table, 0xd, 0));
	cr_assert_null(find(&table, 0x1f, 0));
	cr_assert_null(find(&table, 0x80000021, 0));
	cr_assert_eq(leaf_of(&table, 0x0, 0).eax, 0xb);
	cr_assert_eq(leaf_of(&table, 0x80000000, 0).eax, 0x80000008);
	cr_assert_eq(leaf_of(&table, 0x80000001, 0).ecx, BIT(0));
	cr_assert_eq(leaf_of(&table, 0x80000008, 0).ebx, 0);
	cr_assert_eq(leaf_of(&table, 0x80000008, 0).eax, 0x3930);
	cr_assert_eq(leaf_of(&table, 0x6, 0).eax, BIT(2));
	cr_assert_eq(leaf_of(&table, 0x40000001, 0).eax, 0x0100006b);
	cr_assert_eq(leaf_of(&table, 0x4, 2).ecx, 0x77fff, "caches are described");
}

Test(template, every_portable_bit_is_a_host_bit)
{
	static struct cpuid_table host, portable;
	struct error_detail detail = { 0 };

	/* On a host that lacks a portable feature, so does the guest. */
	intel_host(&host);
	host.entries[1].ecx = BIT(0) | BIT(31);
	cr_assert_eq(cpuid_for_vcpu(&host, CPU_TEMPLATE_PORTABLE, 0, 1, &portable), 0);
	cr_assert_eq(leaf_of(&portable, 0x1, 0).ecx, BIT(0) | BIT(31));
	cr_assert_eq(cpuid_check(&host, &portable, &detail), 0, "%s", detail.text);
}

Test(topology, each_vcpu_has_its_own_id)
{
	static struct cpuid_table host, table;

	intel_host(&host);
	for (uint32_t index = 0; index < 6; index++) {
		struct kvm_cpuid_entry2 entry;

		cr_assert_eq(cpuid_for_vcpu(&host, CPU_TEMPLATE_HOST, index, 6, &table), 0);
		entry = leaf_of(&table, 0x1, 0);
		cr_assert_eq(entry.ebx >> 24, index);
		cr_assert_eq((entry.ebx >> 16) & 0xff, 8, "ids in the package, a power of two");
		cr_assert_eq(entry.ebx & 0xffff, 0x0800);
		cr_assert(entry.edx & BIT(28));
		for (uint32_t level = 0; level < 3; level++) {
			cr_assert_eq(leaf_of(&table, 0xb, level).edx, index);
			cr_assert_eq(leaf_of(&table, 0x1f, level).edx, index);
			cr_assert_eq(leaf_of(&table, 0xb, level).ecx & 0xff, level);
		}
		entry = leaf_of(&table, 0xb, 0);
		cr_assert(entry.eax == 0 && entry.ebx == 1 && entry.ecx >> 8 == 1, "one thread a core");
		entry = leaf_of(&table, 0xb, 1);
		cr_assert(entry.eax == 3 && entry.ebx == 6 && entry.ecx >> 8 == 2, "six cores");
		entry = leaf_of(&table, 0xb, 2);
		cr_assert(entry.ebx == 0 && entry.ecx >> 8 == 0, "and no more");
	}
}

Test(topology, caches)
{
	static struct cpuid_table host, table;

	intel_host(&host);
	cr_assert_eq(cpuid_for_vcpu(&host, CPU_TEMPLATE_HOST, 0, 4, &table), 0);
	cr_assert_eq(leaf_of(&table, 0x4, 0).eax, 0x0c000121, "L1: its own core");
	cr_assert_eq(leaf_of(&table, 0x4, 2).eax, 0x0c00c163, "L3: all four");
	cr_assert_eq(leaf_of(&table, 0x4, 3).eax, 0);
	cr_assert_eq(cpuid_for_vcpu(&host, CPU_TEMPLATE_HOST, 0, 1, &table), 0);
	cr_assert_eq(leaf_of(&table, 0x4, 2).eax, 0x163);
}

Test(topology, amd)
{
	static struct cpuid_table host, table;

	amd_host(&host);
	find(&host, 0x80000001, 0);
	for (uint32_t i = 0; i < host.count; i++) {
		if (host.entries[i].function == 0x80000001)
			host.entries[i].ecx = 0;
	}
	cr_assert_eq(cpuid_for_vcpu(&host, CPU_TEMPLATE_HOST, 2, 4, &table), 0);
	cr_assert_eq(leaf_of(&table, 0x80000001, 0).ecx, BIT(1), "CmpLegacy");
	cr_assert_eq(leaf_of(&table, 0x80000008, 0).ecx, 0x2003);
	cr_assert_eq(leaf_of(&table, 0x8000001e, 0).eax, 2);
	cr_assert_eq(leaf_of(&table, 0x8000001e, 0).ebx, 2);
	cr_assert_eq(leaf_of(&table, 0x8000001e, 0).ecx, 0);
	cr_assert_eq(leaf_of(&table, 0x8000001d, 1).eax, 0xc163);
	cr_assert_eq(cpuid_for_vcpu(&host, CPU_TEMPLATE_HOST, 0, 1, &table), 0);
	cr_assert_eq(leaf_of(&table, 0x80000001, 0).ecx, 0);
}

Test(topology, no_leaf_beyond_the_hosts_last)
{
	static struct cpuid_table host, table;

	intel_host(&host);
	host.entries[0].eax = 0x4;
	cr_assert_eq(cpuid_for_vcpu(&host, CPU_TEMPLATE_HOST, 0, 2, &table), 0);
	cr_assert_null(find(&table, 0xb, 0));
	cr_assert_null(find(&table, 0x1f, 0));
}

Test(table, overflow_is_an_error)
{
	static struct cpuid_table host, table;

	intel_host(&host);
	while (host.count < CPUID_ENTRIES_MAX)
		add(&host, 0x70000000 + host.count, -1, 0, 0, 0, 0);
	table.count = 123;
	cr_assert_eq(cpuid_for_vcpu(&host, CPU_TEMPLATE_HOST, 0, 1, &table), 0, "hidden leaves make room");
	host.count = 1;
	while (host.count < CPUID_ENTRIES_MAX)
		add(&host, 0x70000000 + host.count, -1, 0, 0, 0, 0);
	table.count = 123;
	cr_assert_eq(cpuid_for_vcpu(&host, CPU_TEMPLATE_HOST, 0, 1, &table), -E2BIG);
	cr_assert_eq(table.count, 123, "untouched on failure");
	host.count = CPUID_ENTRIES_MAX + 1;
	cr_assert_eq(cpuid_for_vcpu(&host, CPU_TEMPLATE_HOST, 0, 1, &table), -E2BIG);
}

/* A guest of the host template on the full host, and a way to take something from the host. */
static struct cpuid_table check_host, check_guest;

static void check_setup(void)
{
	struct error_detail detail = { 0 };

	intel_host(&check_host);
	cr_assert_eq(cpuid_for_vcpu(&check_host, CPU_TEMPLATE_HOST, 1, 4, &check_guest), 0);
	cr_assert_eq(cpuid_check(&check_host, &check_guest, &detail), 0, "%s", detail.text);
}

static struct kvm_cpuid_entry2 *host_leaf(uint32_t leaf, uint32_t subleaf)
{
	const struct kvm_cpuid_entry2 *entry = find(&check_host, leaf, subleaf);

	cr_assert_not_null(entry);
	return &check_host.entries[entry - check_host.entries];
}

static void assert_refused(const char *leaf, const char *what)
{
	struct error_detail detail = { 0 };

	cr_assert_eq(cpuid_check(&check_host, &check_guest, &detail), -EOPNOTSUPP);
	cr_assert_not_null(strstr(detail.text, leaf), "%s", detail.text);
	cr_assert_not_null(strstr(detail.text, what), "%s", detail.text);
}

Test(check, a_missing_feature_is_named, .init = check_setup)
{
	host_leaf(0x1, 0)->ecx &= ~BIT(25);
	assert_refused("leaf 0x1 ", "ECX");
	assert_refused("leaf 0x1 ", "0x02000000");
}

Test(check, a_missing_feature_of_a_subleaf_is_named, .init = check_setup)
{
	host_leaf(0x7, 1)->eax &= ~BIT(4);
	assert_refused("leaf 0x7 subleaf 1", "EAX");
}

Test(check, a_missing_paravirtual_feature_is_named, .init = check_setup)
{
	host_leaf(0x40000001, 0)->eax &= ~BIT(5);
	assert_refused("leaf 0x40000001", "0x00000020");
}

Test(check, a_missing_leaf_is_named, .init = check_setup)
{
	host_leaf(0x80000021, 0)->function = 0x8fffffff;
	assert_refused("leaf 0x80000021", "0xffffffff");
}

Test(check, another_vendor, .init = check_setup)
{
	host_leaf(0x0, 0)->ebx = 0x68747541;
	assert_refused("leaf 0x0", "vendor");
}

Test(check, narrower_addresses, .init = check_setup)
{
	host_leaf(0x80000008, 0)->eax = 0x3027;
	assert_refused("leaf 0x80000008", "0x3027");
}

Test(check, another_xsave_layout, .init = check_setup)
{
	host_leaf(0xd, 2)->ebx = 832;
	assert_refused("leaf 0xd subleaf 2", "832");
}

Test(check, what_follows_the_guest_or_only_describes_does_not_matter, .init = check_setup)
{
	struct error_detail detail = { 0 };

	host_leaf(0x1, 0)->eax = 0x50654; /* another model */
	host_leaf(0x1, 0)->ecx &= ~BIT(27);
	host_leaf(0x1, 0)->edx &= ~BIT(28);
	host_leaf(0x7, 0)->ecx &= ~BIT(4);
	host_leaf(0x2, 0)->eax = 0;
	host_leaf(0x4, 2)->ecx = 1;
	host_leaf(0x0, 0)->eax = 0x40;
	cr_assert_eq(cpuid_check(&check_host, &check_guest, &detail), 0, "%s", detail.text);
}

Test(check, a_count_that_lies, .init = check_setup)
{
	check_guest.count = CPUID_ENTRIES_MAX + 1;
	cr_assert_eq(cpuid_check(&check_host, &check_guest, NULL), -EOPNOTSUPP);
}

Test(equal, the_same_but_for_what_kvm_changes, .init = check_setup)
{
	static struct cpuid_table other;

	other = check_guest;
	cr_assert(cpuid_equal(&check_guest, &other));
	for (uint32_t i = 0; i < other.count; i++) {
		struct kvm_cpuid_entry2 *entry = &other.entries[i];

		if (entry->function == 0x1) {
			entry->ecx ^= BIT(27) | BIT(3);
			entry->edx ^= BIT(9);
		} else if (entry->function == 0x7 && entry->index == 0) {
			entry->ecx ^= BIT(4);
		} else if (entry->function == 0xd && entry->index <= 1) {
			entry->ebx ^= 0xff;
		}
	}
	cr_assert(cpuid_equal(&check_guest, &other));
}

Test(equal, any_other_difference_counts, .init = check_setup)
{
	static struct cpuid_table other;

	for (uint32_t i = 0; i < check_guest.count; i++) {
		other = check_guest;
		other.entries[i].eax ^= BIT(31);
		cr_assert_not(cpuid_equal(&check_guest, &other), "EAX of entry %u", i);
		other = check_guest;
		other.entries[i].edx ^= BIT(31);
		cr_assert_not(cpuid_equal(&check_guest, &other), "EDX of entry %u", i);
		other = check_guest;
		other.entries[i].function ^= 0x100;
		cr_assert_not(cpuid_equal(&check_guest, &other), "leaf of entry %u", i);
	}
	other = check_guest;
	other.count--;
	cr_assert_not(cpuid_equal(&check_guest, &other));
	other.count = check_guest.count = UINT32_MAX;
	cr_assert_not(cpuid_equal(&check_guest, &other), "a count that lies");
}
