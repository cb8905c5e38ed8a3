/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The model-specific registers of a vCPU.
 *
 * One table names every MSR that a snapshot carries, in the order in which a restore writes them. A host's set is what
 * the table and the host have in common: KVM names the MSR in KVM_GET_MSR_INDEX_LIST (or is known to hold it without
 * naming it: the MTRRs and the machine-check banks), it can be read, and the value read can be written back and reads
 * the same again. The probe tries; a list of names alone would promise registers that some hosts refuse to take back.
 *
 * Not here: EFER, FS and GS base and APIC_BASE, which KVM carries in its sregs; the x2APIC's registers, which are the
 * LAPIC's; and the MSRs of features that cpuid.c hides from every guest.
 *
 * Order within the table, where it matters:
 *   - TSC_ADJUST before TSC: before Linux 5.10 a host's write of the first moved the second;
 *   - the async-PF interrupt vector before the MSR that enables it: enabling wakes all waiters, with that vector;
 *   - TSC_DEADLINE last: it arms a timer against the TSC, and it is only taken when the LAPIC says so (its LVT timer in
 *     TSC-deadline mode), so that the whole table is written after the LAPIC.
 */
#include "kvm/msr.h"

#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>

#include "kvm/cpuid_bits.h"

_Static_assert(offsetof(struct msr_table, entries) == sizeof(struct kvm_msrs), "msr_table is a kvm_msrs");

/*
 * IA32_MCG_CAP as guests see it: the number of banks, and that IA32_MCG_CTL is there (Intel SDM volume 3B, 17.3.1.1).
 */
#define MCE_BANKS UINT64_C(10)
#define MCG_CTL_P (UINT64_C(1) << 8)

#define MSR_MANDATORY(number, msr)                                  \
	{                                                           \
		.index = (number), .name = (msr), .mandatory = true \
	}
#define MSR_LISTED(number, msr)                  \
	{                                        \
		.index = (number), .name = (msr) \
	}
#define MSR_UNLISTED(number, msr)                                  \
	{                                                          \
		.index = (number), .name = (msr), .unlisted = true \
	}

/* An MSR that only a guest with a feature has: see msr_has_feature(). */
#define FEATURE(cpuid_leaf, cpuid_subleaf, cpuid_register, cpuid_bits)                             \
	{                                                                                          \
		.leaf = (cpuid_leaf), .subleaf = (cpuid_subleaf), .which = CPUID_##cpuid_register, \
		.bits = (cpuid_bits)                                                               \
	}
#define MSR_OF_FEATURE(number, msr, ...)                                      \
	{                                                                     \
		.index = (number), .name = (msr), .features = { __VA_ARGS__ } \
	}

/* A variable-range MTRR, and a machine-check bank: registers side by side. */
#define MTRR_PAIR(n) \
	MSR_UNLISTED(0x200 + 2 * (n), "IA32_MTRR_PHYSBASE" #n), MSR_UNLISTED(0x201 + 2 * (n), "IA32_MTRR_PHYSMASK" #n)
#define MCE_BANK(n)                                                                                                \
	MSR_UNLISTED(0x400 + 4 * (n), "IA32_MC" #n "_CTL"), MSR_UNLISTED(0x401 + 4 * (n), "IA32_MC" #n "_STATUS"), \
		MSR_UNLISTED(0x402 + 4 * (n), "IA32_MC" #n "_ADDR"),                                               \
		MSR_UNLISTED(0x403 + 4 * (n), "IA32_MC" #n "_MISC")

const struct msr_description msr_descriptions[] = {
	/* What the processor is. A guest reads these once and remembers. */
	MSR_LISTED(0x0000003a, "IA32_FEATURE_CONTROL"),
	MSR_LISTED(0x0000008b, "IA32_BIOS_SIGN_ID"),
	MSR_LISTED(0x000000ce, "MSR_PLATFORM_INFO"),
	MSR_OF_FEATURE(0x0000010a, "IA32_ARCH_CAPABILITIES", FEATURE(0x7, 0, EDX, CPUID_BIT(29))),
	MSR_LISTED(0x000001a0, "IA32_MISC_ENABLE"),
	MSR_LISTED(0xc0010015, "HWCR"),
	MSR_OF_FEATURE(0xc0010140, "OSVW_ID_LENGTH", FEATURE(0x80000001, 0, ECX, CPUID_BIT(9))),
	MSR_OF_FEATURE(0xc0010141, "OSVW_STATUS", FEATURE(0x80000001, 0, ECX, CPUID_BIT(9))),
	MSR_LISTED(0xc0011029, "DE_CFG"),

	/* Entry into the kernel. */
	MSR_MANDATORY(0x00000174, "IA32_SYSENTER_CS"),
	MSR_MANDATORY(0x00000175, "IA32_SYSENTER_ESP"),
	MSR_MANDATORY(0x00000176, "IA32_SYSENTER_EIP"),
	MSR_MANDATORY(0xc0000081, "STAR"),
	MSR_MANDATORY(0xc0000082, "LSTAR"),
	MSR_MANDATORY(0xc0000083, "CSTAR"),
	MSR_MANDATORY(0xc0000084, "SFMASK"),
	MSR_MANDATORY(0xc0000102, "KERNEL_GS_BASE"),

	/* Memory types. */
	MSR_MANDATORY(0x00000277, "IA32_PAT"),
	MSR_UNLISTED(0x000002ff, "IA32_MTRR_DEF_TYPE"),
	MTRR_PAIR(0),
	MTRR_PAIR(1),
	MTRR_PAIR(2),
	MTRR_PAIR(3),
	MTRR_PAIR(4),
	MTRR_PAIR(5),
	MTRR_PAIR(6),
	MTRR_PAIR(7),
	MSR_UNLISTED(0x00000250, "IA32_MTRR_FIX64K_00000"),
	MSR_UNLISTED(0x00000258, "IA32_MTRR_FIX16K_80000"),
	MSR_UNLISTED(0x00000259, "IA32_MTRR_FIX16K_A0000"),
	MSR_UNLISTED(0x00000268, "IA32_MTRR_FIX4K_C0000"),
	MSR_UNLISTED(0x00000269, "IA32_MTRR_FIX4K_C8000"),
	MSR_UNLISTED(0x0000026a, "IA32_MTRR_FIX4K_D0000"),
	MSR_UNLISTED(0x0000026b, "IA32_MTRR_FIX4K_D8000"),
	MSR_UNLISTED(0x0000026c, "IA32_MTRR_FIX4K_E0000"),
	MSR_UNLISTED(0x0000026d, "IA32_MTRR_FIX4K_E8000"),
	MSR_UNLISTED(0x0000026e, "IA32_MTRR_FIX4K_F0000"),
	MSR_UNLISTED(0x0000026f, "IA32_MTRR_FIX4K_F8000"),

	/* Features that a guest switches on and off. */
	MSR_OF_FEATURE(0x00000048, "IA32_SPEC_CTRL",
		       FEATURE(0x7, 0, EDX, CPUID_BIT(26) | CPUID_BIT(27) | CPUID_BIT(31)),
		       FEATURE(0x80000008, 0, EBX, CPUID_BIT(14) | CPUID_BIT(15) | CPUID_BIT(24))),
	MSR_OF_FEATURE(0xc001011f, "VIRT_SPEC_CTRL", FEATURE(0x80000008, 0, EBX, CPUID_BIT(25))),
	MSR_OF_FEATURE(0x000000e1, "IA32_UMWAIT_CONTROL", FEATURE(0x7, 0, ECX, CPUID_BIT(5))),
	MSR_OF_FEATURE(0x00000122, "IA32_TSX_CTRL", FEATURE(0x7, 0, EDX, CPUID_BIT(29))),
	MSR_LISTED(0x00000140, "MSR_MISC_FEATURES_ENABLES"),
	MSR_OF_FEATURE(0x000001c4, "IA32_XFD", FEATURE(0xd, 1, EAX, CPUID_BIT(4))),
	MSR_OF_FEATURE(0x000001c5, "IA32_XFD_ERR", FEATURE(0xd, 1, EAX, CPUID_BIT(4))),
	MSR_LISTED(0x000001d9, "IA32_DEBUGCTL"),
	MSR_LISTED(0x000001fc, "MSR_POWER_CTL"),
	MSR_OF_FEATURE(0x00000d90, "IA32_BNDCFGS", FEATURE(0x7, 0, EBX, CPUID_BIT(14))),
	MSR_OF_FEATURE(0x00000da0, "IA32_XSS", FEATURE(0xd, 1, EAX, CPUID_BIT(3))),
	MSR_OF_FEATURE(0xc0010117, "VM_HSAVE_PA", FEATURE(0x80000001, 0, ECX, CPUID_BIT(2))),

	/* Machine check and system management. */
	MSR_LISTED(0x00000034, "MSR_SMI_COUNT"),
	MSR_LISTED(0x0000009e, "IA32_SMBASE"),
	MSR_LISTED(0x0000017a, "IA32_MCG_STATUS"),
	MSR_LISTED(0x0000017b, "IA32_MCG_CTL"),
	MSR_LISTED(0x000004d0, "IA32_MCG_EXT_CTL"),
	MCE_BANK(0),
	MCE_BANK(1),
	MCE_BANK(2),
	MCE_BANK(3),
	MCE_BANK(4),
	MCE_BANK(5),
	MCE_BANK(6),
	MCE_BANK(7),
	MCE_BANK(8),
	MCE_BANK(9),

	/* KVM's own, Documentation/virt/kvm/x86/msr.rst. */
	MSR_OF_FEATURE(0x00000011, "MSR_KVM_WALL_CLOCK", FEATURE(0x40000001, 0, EAX, CPUID_BIT(0))),
	MSR_OF_FEATURE(0x00000012, "MSR_KVM_SYSTEM_TIME", FEATURE(0x40000001, 0, EAX, CPUID_BIT(0))),
	MSR_OF_FEATURE(0x4b564d00, "MSR_KVM_WALL_CLOCK_NEW", FEATURE(0x40000001, 0, EAX, CPUID_BIT(3))),
	MSR_OF_FEATURE(0x4b564d01, "MSR_KVM_SYSTEM_TIME_NEW", FEATURE(0x40000001, 0, EAX, CPUID_BIT(3))),
	MSR_OF_FEATURE(0x4b564d06, "MSR_KVM_ASYNC_PF_INT", FEATURE(0x40000001, 0, EAX, CPUID_BIT(14))),
	MSR_OF_FEATURE(0x4b564d02, "MSR_KVM_ASYNC_PF_EN", FEATURE(0x40000001, 0, EAX, CPUID_BIT(4))),
	MSR_OF_FEATURE(0x4b564d03, "MSR_KVM_STEAL_TIME", FEATURE(0x40000001, 0, EAX, CPUID_BIT(5))),
	MSR_OF_FEATURE(0x4b564d04, "MSR_KVM_PV_EOI_EN", FEATURE(0x40000001, 0, EAX, CPUID_BIT(6))),
	MSR_OF_FEATURE(0x4b564d05, "MSR_KVM_POLL_CONTROL", FEATURE(0x40000001, 0, EAX, CPUID_BIT(12))),
	MSR_OF_FEATURE(0x4b564d08, "MSR_KVM_MIGRATION_CONTROL", FEATURE(0x40000001, 0, EAX, CPUID_BIT(17))),

	/* Time. */
	MSR_OF_FEATURE(0xc0000103, "TSC_AUX", FEATURE(0x80000001, 0, EDX, CPUID_BIT(27)),
		       FEATURE(0x7, 0, ECX, CPUID_BIT(22))),
	MSR_OF_FEATURE(0xc0000104, "TSC_RATIO", FEATURE(0x8000000a, 0, EDX, CPUID_BIT(4))),
	MSR_OF_FEATURE(0x0000003b, "IA32_TSC_ADJUST", FEATURE(0x7, 0, EBX, CPUID_7_EBX_TSC_ADJUST)),
	MSR_MANDATORY(MSR_INDEX_TSC, "IA32_TIME_STAMP_COUNTER"),
	MSR_OF_FEATURE(MSR_INDEX_TSC_DEADLINE, "IA32_TSC_DEADLINE", FEATURE(0x1, 0, ECX, CPUID_1_ECX_TSC_DEADLINE)),
};

const size_t msr_description_count = sizeof(msr_descriptions) / sizeof(msr_descriptions[0]);

_Static_assert(sizeof(msr_descriptions) / sizeof(msr_descriptions[0]) <= VCPU_MSRS_MAX, "the table fits its state");

const char *msr_name(uint32_t index)
{
	for (size_t i = 0; i < msr_description_count; i++) {
		if (msr_descriptions[i].index == index)
			return msr_descriptions[i].name;
	}

	return NULL;
}

static bool has_bits(const struct msr_feature *feature, const struct cpuid_table *cpuid)
{
	const struct kvm_cpuid_entry2 *entry = cpuid_find_const(cpuid, feature->leaf, feature->subleaf);

	return (cpuid_register_value(entry, (enum cpuid_register)feature->which) & feature->bits) != 0;
}

bool msr_has_feature(uint32_t index, const struct cpuid_table *cpuid)
{
	for (size_t i = 0; i < msr_description_count; i++) {
		const struct msr_feature *features = msr_descriptions[i].features;

		if (msr_descriptions[i].index != index)
			continue;
		return features[0].bits == 0 || has_bits(&features[0], cpuid) || has_bits(&features[1], cpuid);
	}

	return true;
}

/* For error texts: a name even where the table has none. */
static const char *msr_name_or_unknown(uint32_t index)
{
	const char *name = msr_name(index);

	return name ? name : "unknown MSR";
}

int msr_setup_machine_check(int vcpu_fd, struct error_detail *detail)
{
	uint64_t capabilities = MCE_BANKS | MCG_CTL_P;
	int error;

	if (ioctl(vcpu_fd, KVM_X86_SETUP_MCE, &capabilities) == 0)
		return 0;

	error = errno;
	error_detail_set(detail, "KVM_X86_SETUP_MCE: %s", strerror(error));
	return -error;
}

/* Read or write one MSR. Returns 0, -EIO (KVM refuses it), or -errno. */
static int msr_one(int vcpu_fd, unsigned long request, struct kvm_msr_entry *entry)
{
	struct {
		struct kvm_msrs header;
		struct kvm_msr_entry entry;
	} one = { .header.nmsrs = 1, .entry = *entry };
	int done;

	done = ioctl(vcpu_fd, request, &one);
	if (done < 0)
		return -errno;
	if (done != 1)
		return -EIO;

	*entry = one.entry;
	return 0;
}

static bool is_listed(const uint32_t *listed, size_t listed_count, uint32_t index)
{
	for (size_t i = 0; i < listed_count; i++) {
		if (listed[i] == index)
			return true;
	}

	return false;
}

/* Can this MSR be read, written back, and read again with the same value? The TSC alone moves in between. */
static bool msr_holds(int vcpu_fd, struct kvm_msr_entry *entry)
{
	struct kvm_msr_entry again = { .index = entry->index };

	if (msr_one(vcpu_fd, KVM_GET_MSRS, entry) < 0)
		return false;
	if (msr_one(vcpu_fd, KVM_SET_MSRS, entry) < 0)
		return false;
	if (msr_one(vcpu_fd, KVM_GET_MSRS, &again) < 0)
		return false;

	return again.data == entry->data || entry->index == MSR_INDEX_TSC;
}

int msr_probe(int vcpu_fd, const uint32_t *listed, size_t listed_count, struct msr_table *ret_msrs,
	      struct error_detail *detail)
{
	struct msr_table found = { 0 };

	for (size_t i = 0; i < msr_description_count; i++) {
		const struct msr_description *description = &msr_descriptions[i];
		struct kvm_msr_entry entry = { .index = description->index };

		if (!description->unlisted && !is_listed(listed, listed_count, description->index))
			continue;
		if (msr_holds(vcpu_fd, &entry)) {
			found.entries[found.count++] = entry;
			continue;
		}
		if (description->mandatory) {
			error_detail_set(detail, "MSR 0x%x (%s) cannot be read and written back on this host",
					 description->index, description->name);
			return -EOPNOTSUPP;
		}
	}

	*ret_msrs = found;
	return 0;
}

int msr_check(const struct msr_table *available, const struct msr_table *wanted, struct error_detail *detail)
{
	if (wanted->count > VCPU_MSRS_MAX) {
		error_detail_set(detail, "table of %u MSRs, at most %u", wanted->count, VCPU_MSRS_MAX);
		return -EOPNOTSUPP;
	}

	for (uint32_t i = 0; i < wanted->count; i++) {
		uint32_t index = wanted->entries[i].index;

		if (msr_find(available, index))
			continue;
		error_detail_set(detail, "MSR 0x%x (%s) cannot be given back on this host", index,
				 msr_name_or_unknown(index));
		return -EOPNOTSUPP;
	}

	return 0;
}

const struct kvm_msr_entry *msr_find(const struct msr_table *msrs, uint32_t index)
{
	for (uint32_t i = 0; i < msrs->count && i < VCPU_MSRS_MAX; i++) {
		if (msrs->entries[i].index == index)
			return &msrs->entries[i];
	}

	return NULL;
}

/* The whole table in one ioctl. KVM stops at the first MSR that it refuses and returns how many it did. */
static int msr_all(int vcpu_fd, unsigned long request, const char *name, const struct msr_table *msrs,
		   struct error_detail *detail)
{
	const struct kvm_msr_entry *refused;
	int done, error;

	if (msrs->count > VCPU_MSRS_MAX) {
		error_detail_set(detail, "%s: table of %u MSRs, at most %u", name, msrs->count, VCPU_MSRS_MAX);
		return -EINVAL;
	}

	done = ioctl(vcpu_fd, request, msrs);
	if (done < 0) {
		error = errno;
		error_detail_set(detail, "%s: %s", name, strerror(error));
		return -error;
	}
	if ((uint32_t)done == msrs->count)
		return 0;

	refused = &msrs->entries[done];
	error_detail_set(detail, "%s: KVM refused MSR 0x%x (%s), value 0x%llx", name, refused->index,
			 msr_name_or_unknown(refused->index), (unsigned long long)refused->data);
	return -EIO;
}

int msr_get(int vcpu_fd, struct msr_table *msrs, struct error_detail *detail)
{
	return msr_all(vcpu_fd, KVM_GET_MSRS, "KVM_GET_MSRS", msrs, detail);
}

int msr_set(int vcpu_fd, const struct msr_table *msrs, struct error_detail *detail)
{
	return msr_all(vcpu_fd, KVM_SET_MSRS, "KVM_SET_MSRS", msrs, detail);
}
