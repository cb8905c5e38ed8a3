/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether one CPUID can stand for another.
 *
 * cpuid_check() is the host compatibility test of a snapshot: a guest that was told of a feature goes on using it, so
 * a host that lacks it must refuse. What merely describes (family, brand, cache sizes, APIC ids) is the guest's past
 * and may differ from the host: KVM hands it on as it is. Two descriptions are contracts all the same: the vendor,
 * which guests pick code by, and the layout of the XSAVE area.
 *
 * cpuid_equal() is the test that spares a restore its KVM_SET_CPUID2. It may answer no where a closer look would
 * say yes; that costs an ioctl and nothing else.
 */
#include "kvm/cpuid.h"

#include <errno.h>
#include <string.h>

#include "kvm/cpuid_bits.h"

static const char *const register_names[] = { "EAX", "EBX", "ECX", "EDX" };

/* A register that holds features. Bits in ignored follow CR4, an MSR, or the number of vCPUs. */
struct feature_register {
	uint32_t leaf;
	uint32_t subleaf;
	enum cpuid_register which;
	uint32_t ignored;
};

static const struct feature_register feature_registers[] = {
	{ 0x1, 0, CPUID_ECX, CPUID_1_ECX_OSXSAVE | CPUID_1_ECX_MONITOR },
	{ 0x1, 0, CPUID_EDX, CPUID_1_EDX_HTT | CPUID_1_EDX_APIC },
	{ 0x6, 0, CPUID_EAX, 0 },
	{ 0x7, 0, CPUID_EBX, 0 },
	{ 0x7, 0, CPUID_ECX, CPUID_7_ECX_OSPKE },
	{ 0x7, 0, CPUID_EDX, 0 },
	{ 0x7, 1, CPUID_EAX, 0 },
	{ 0x7, 1, CPUID_EBX, 0 },
	{ 0x7, 1, CPUID_ECX, 0 },
	{ 0x7, 1, CPUID_EDX, 0 },
	{ 0x7, 2, CPUID_EDX, 0 },
	{ 0xd, 0, CPUID_EAX, 0 }, /* the parts of XCR0 that may be set */
	{ 0xd, 0, CPUID_EDX, 0 },
	{ 0xd, 1, CPUID_EAX, 0 },
	{ 0xd, 1, CPUID_ECX, 0 }, /* and those of IA32_XSS */
	{ 0xd, 1, CPUID_EDX, 0 },
	{ 0x40000001, 0, CPUID_EAX, CPUID_KVM_EAX_PV_UNHALT },
	{ 0x80000001, 0, CPUID_ECX, CPUID_80000001_ECX_CMP_LEGACY },
	{ 0x80000001, 0, CPUID_EDX, 0 },
	{ 0x80000007, 0, CPUID_EDX, 0 },
	{ 0x80000008, 0, CPUID_EBX, 0 },
	{ 0x80000021, 0, CPUID_EAX, 0 },
};

uint32_t cpuid_register_value(const struct kvm_cpuid_entry2 *entry, enum cpuid_register which)
{
	if (!entry)
		return 0;

	switch (which) {
	case CPUID_EAX:
		return entry->eax;
	case CPUID_EBX:
		return entry->ebx;
	case CPUID_ECX:
		return entry->ecx;
	case CPUID_EDX:
		return entry->edx;
	}

	return 0;
}

static int check_features(const struct cpuid_table *supported, const struct cpuid_table *wanted,
			  struct error_detail *detail)
{
	for (size_t i = 0; i < sizeof(feature_registers) / sizeof(feature_registers[0]); i++) {
		const struct feature_register *feature = &feature_registers[i];
		const struct kvm_cpuid_entry2 *want = cpuid_find_const(wanted, feature->leaf, feature->subleaf);
		const struct kvm_cpuid_entry2 *have = cpuid_find_const(supported, feature->leaf, feature->subleaf);
		uint32_t missing = cpuid_register_value(want, feature->which) &
				   ~cpuid_register_value(have, feature->which) & ~feature->ignored;

		if (missing == 0)
			continue;
		error_detail_set(detail, "CPUID leaf 0x%x subleaf %u %s: this host lacks the bits 0x%08x",
				 feature->leaf, feature->subleaf, register_names[feature->which], missing);
		return -EOPNOTSUPP;
	}

	return 0;
}

static int check_vendor(const struct cpuid_table *supported, const struct cpuid_table *wanted,
			struct error_detail *detail)
{
	const struct kvm_cpuid_entry2 *want = cpuid_find_const(wanted, 0x0, 0);
	const struct kvm_cpuid_entry2 *have = cpuid_find_const(supported, 0x0, 0);

	if (!want || (have && want->ebx == have->ebx && want->ecx == have->ecx && want->edx == have->edx))
		return 0;

	error_detail_set(detail, "CPUID leaf 0x0: the processor's vendor is another one on this host");
	return -EOPNOTSUPP;
}

static int check_address_width(const struct cpuid_table *supported, const struct cpuid_table *wanted,
			       struct error_detail *detail)
{
	uint32_t want = cpuid_register_value(cpuid_find_const(wanted, 0x80000008, 0), CPUID_EAX);
	uint32_t have = cpuid_register_value(cpuid_find_const(supported, 0x80000008, 0), CPUID_EAX);

	/* Bits 0-7 physical, 8-15 linear. */
	if ((want & 0xff) <= (have & 0xff) && ((want >> 8) & 0xff) <= ((have >> 8) & 0xff))
		return 0;

	error_detail_set(detail, "CPUID leaf 0x80000008 EAX: address widths of 0x%04x, this host has 0x%04x",
			 want & 0xffff, have & 0xffff);
	return -EOPNOTSUPP;
}

/* Each part of the XSAVE area that the guest knows must lie where it lay. */
static int check_xsave_layout(const struct cpuid_table *supported, const struct cpuid_table *wanted,
			      struct error_detail *detail)
{
	for (uint32_t i = 0; i < wanted->count; i++) {
		const struct kvm_cpuid_entry2 *want = &wanted->entries[i];
		const struct kvm_cpuid_entry2 *have;

		if (want->function != 0xd || want->index < 2 || want->eax == 0)
			continue;
		have = cpuid_find_const(supported, 0xd, want->index);
		if (have && have->eax == want->eax && have->ebx == want->ebx)
			continue;
		error_detail_set(detail,
				 "CPUID leaf 0xd subleaf %u: XSAVE component of %u bytes at %u, this host has %u at %u",
				 want->index, want->eax, want->ebx, cpuid_register_value(have, CPUID_EAX),
				 cpuid_register_value(have, CPUID_EBX));
		return -EOPNOTSUPP;
	}

	return 0;
}

int cpuid_check(const struct cpuid_table *supported, const struct cpuid_table *wanted, struct error_detail *detail)
{
	int result;

	if (wanted->count > CPUID_ENTRIES_MAX) {
		error_detail_set(detail, "CPUID table of %u entries, at most %u", wanted->count, CPUID_ENTRIES_MAX);
		return -EOPNOTSUPP;
	}

	result = check_vendor(supported, wanted, detail);
	if (result < 0)
		return result;
	result = check_features(supported, wanted, detail);
	if (result < 0)
		return result;
	result = check_address_width(supported, wanted, detail);
	if (result < 0)
		return result;
	return check_xsave_layout(supported, wanted, detail);
}

/*
 * Clear what KVM rewrites when CR4, APIC_BASE, MISC_ENABLE, XCR0 or XSS change (kvm_update_cpuid_runtime() in Linux).
 */
static struct kvm_cpuid_entry2 without_runtime_bits(const struct kvm_cpuid_entry2 *entry)
{
	struct kvm_cpuid_entry2 plain = *entry;

	switch (entry->function) {
	case 0x1:
		plain.ecx &= ~(CPUID_1_ECX_OSXSAVE | CPUID_1_ECX_MONITOR);
		plain.edx &= ~CPUID_1_EDX_APIC;
		break;
	case 0x7:
		if (entry->index == 0)
			plain.ecx &= ~CPUID_7_ECX_OSPKE;
		break;
	case 0xd:
		if (entry->index <= 1)
			plain.ebx = 0;
		break;
	case 0x40000001:
		plain.eax &= ~CPUID_KVM_EAX_PV_UNHALT;
		break;
	default:
		break;
	}

	return plain;
}

bool cpuid_equal(const struct cpuid_table *left, const struct cpuid_table *right)
{
	if (left->count != right->count || left->count > CPUID_ENTRIES_MAX)
		return false;
	if (memcmp(left->entries, right->entries, left->count * sizeof(left->entries[0])) == 0)
		return true;

	for (uint32_t i = 0; i < left->count; i++) {
		struct kvm_cpuid_entry2 l = without_runtime_bits(&left->entries[i]);
		struct kvm_cpuid_entry2 r = without_runtime_bits(&right->entries[i]);

		if (l.function != r.function || l.index != r.index || l.flags != r.flags || l.eax != r.eax ||
		    l.ebx != r.ebx || l.ecx != r.ecx || l.edx != r.edx)
			return false;
	}

	return true;
}
