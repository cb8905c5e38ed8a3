/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The MSR table and its host check. What needs a vCPU is in tests/kvm/kvm.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "kvm/msr.h"

/* Where an MSR stands in the table. */
static size_t place_of(uint32_t index)
{
	for (size_t i = 0; i < msr_description_count; i++) {
		if (msr_descriptions[i].index == index)
			return i;
	}

	cr_assert_fail("MSR 0x%x is not in the table", index);
	return 0;
}

Test(msr, each_stands_once_and_has_a_name)
{
	for (size_t i = 0; i < msr_description_count; i++) {
		cr_assert_gt(strlen(msr_descriptions[i].name), 0);
		cr_assert_str_eq(msr_name(msr_descriptions[i].index), msr_descriptions[i].name);
		for (size_t j = 0; j < i; j++) {
			cr_assert_neq(msr_descriptions[i].index, msr_descriptions[j].index, "0x%x stands twice",
				      msr_descriptions[i].index);
			cr_assert_str_neq(msr_descriptions[i].name, msr_descriptions[j].name);
		}
	}
}

Test(msr, what_a_snapshot_promises_is_there)
{
	static const uint32_t promised[] = {
		0x174,      0x175,      0x176, /* SYSENTER */
		0xc0000081, 0xc0000082, 0xc0000083, 0xc0000084, 0xc0000102, 0x10,  0xc0000103, 0x3b,       0x6e0,
		0x277,      0x2ff,      0x200,      0x201,      0x202,      0x203, 0x204,      0x205,      0x206,
		0x207,      0x250,      0x258,      0x259,      0x268,      0x269, 0x26a,      0x26b,      0x26c,
		0x26d,      0x26e,      0x26f,      0x1a0,      0x48,       0x11,  0x12,       0x4b564d00, 0x4b564d01,
		0x4b564d02, 0x4b564d03, 0x4b564d04, 0x4b564d05, 0x17a,      0x17b,
	};

	for (size_t i = 0; i < sizeof(promised) / sizeof(promised[0]); i++)
		cr_assert_not_null(msr_name(promised[i]), "0x%x", promised[i]);
	cr_assert_str_eq(msr_name(0x174), "IA32_SYSENTER_CS");
	cr_assert_str_eq(msr_name(0x20f), "IA32_MTRR_PHYSMASK7");
	cr_assert_str_eq(msr_name(0x427), "IA32_MC9_MISC");
	cr_assert_null(msr_name(0xdeadbeef));
	/* These go with the sregs and the LAPIC. */
	cr_assert_null(msr_name(0xc0000080));
	cr_assert_null(msr_name(0x1b));
	cr_assert_null(msr_name(0x808));
}

Test(msr, order)
{
	cr_assert_lt(place_of(0x3b), place_of(0x10), "TSC_ADJUST before TSC");
	cr_assert_lt(place_of(0x4b564d06), place_of(0x4b564d02), "the vector before what uses it");
	cr_assert_eq(place_of(0x6e0), msr_description_count - 1, "the deadline last");
}

Test(msr, find)
{
	struct msr_table table = { .count = 2, .entries = { { .index = 7 }, { .index = 9 }, { .index = 11 } } };

	cr_assert_eq(msr_find(&table, 9), &table.entries[1]);
	cr_assert_null(msr_find(&table, 11), "past the count");
	table.count = UINT32_MAX;
	cr_assert_null(msr_find(&table, 12), "a count that lies stops at the array's end");
}

Test(msr, check)
{
	struct msr_table available = { .count = 2, .entries = { { .index = 0x174 }, { .index = 0x10 } } };
	struct msr_table wanted = { .count = 2, .entries = { { .index = 0x10 }, { .index = 0x174, .data = 5 } } };
	struct error_detail detail = { 0 };

	cr_assert_eq(msr_check(&available, &wanted, &detail), 0);
	cr_assert_str_empty(detail.text);
	wanted.entries[wanted.count++] = (struct kvm_msr_entry){ .index = 0xc0000103 };
	wanted.entries[wanted.count++] = (struct kvm_msr_entry){ .index = 0x12345 };
	cr_assert_eq(msr_check(&available, &wanted, &detail), -EOPNOTSUPP);
	cr_assert_not_null(strstr(detail.text, "0xc0000103"), "%s", detail.text);
	cr_assert_not_null(strstr(detail.text, "TSC_AUX"), "%s", detail.text);
	cr_assert_eq(msr_check(&available, &wanted, NULL), -EOPNOTSUPP);
	wanted.count = VCPU_MSRS_MAX + 1;
	cr_assert_eq(msr_check(&available, &wanted, &detail), -EOPNOTSUPP);
	wanted.count = 0;
	cr_assert_eq(msr_check(&available, &wanted, &detail), 0);
}

Test(msr, a_table_that_is_too_long_is_not_handed_to_the_kernel)
{
	struct msr_table table = { .count = VCPU_MSRS_MAX + 1 };
	struct error_detail detail = { 0 };

	cr_assert_eq(msr_get(-1, &table, &detail), -EINVAL);
	cr_assert_eq(msr_set(-1, &table, &detail), -EINVAL);
	table.count = 1;
	cr_assert_eq(msr_get(-1, &table, &detail), -EBADF);
	cr_assert_not_null(strstr(detail.text, "KVM_GET_MSRS"), "%s", detail.text);
}
