/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A vCPU's registers: set by a guest in one process, seen by it in another.
 */
#include "guests/registers.h"

#include <string.h>

#include <criterion/criterion.h>

#include "fixture.h"
#include "kvm/msr.h"

TestSuite(registers, .init = fixture_setup, .fini = fixture_teardown);

static const struct {
	uint32_t index;
	uint64_t value;
} guest_msrs[] = {
	{ 0x00000174, 0x0000000000000058 }, /* IA32_SYSENTER_CS */
	{ 0x00000175, 0x0000175175175170 }, /* IA32_SYSENTER_ESP */
	{ 0x00000176, 0x0000176176176170 }, /* IA32_SYSENTER_EIP */
	{ 0xc0000081, 0x0023001081818181 }, /* STAR */
	{ 0xc0000082, 0xffff800082828282 }, /* LSTAR */
	{ 0xc0000083, 0xffff800083838383 }, /* CSTAR */
	{ 0xc0000084, 0x0000000000047700 }, /* SFMASK */
	{ 0xc0000102, 0xffff800010210210 }, /* KERNEL_GS_BASE */
	{ 0xc0000103, 0x00000000aabbccdd }, /* TSC_AUX */
	{ 0x00000277, 0x0001040500070406 }, /* IA32_PAT */
	{ 0x000002ff, 0x0000000000000c06 }, /* IA32_MTRR_DEF_TYPE */
	{ 0x00000200, 0x0000000010000006 }, /* IA32_MTRR_PHYSBASE0 */
	{ 0x00000201, 0x0000000ff0000800 }, /* IA32_MTRR_PHYSMASK0 */
	{ 0x00000202, 0x0000000020000000 }, /* IA32_MTRR_PHYSBASE1 */
	{ 0x00000203, 0x0000000fe0000800 }, /* IA32_MTRR_PHYSMASK1 */
	{ 0x00000204, 0x0000000030000004 }, /* IA32_MTRR_PHYSBASE2 */
	{ 0x00000205, 0x0000000ff0000000 }, /* IA32_MTRR_PHYSMASK2 */
	{ 0x00000206, 0x0000000040000005 }, /* IA32_MTRR_PHYSBASE3 */
	{ 0x00000207, 0x0000000fc0000000 }, /* IA32_MTRR_PHYSMASK3 */
	{ 0x00000250, 0x0606060606060600 }, /* IA32_MTRR_FIX64K_00000 */
	{ 0x00000258, 0x0606060606060006 }, /* IA32_MTRR_FIX16K_80000 */
	{ 0x00000259, 0x0606060606000606 }, /* IA32_MTRR_FIX16K_A0000 */
	{ 0x00000268, 0x0606060600060606 }, /* IA32_MTRR_FIX4K_C0000 */
	{ 0x00000269, 0x0606060006060606 }, /* IA32_MTRR_FIX4K_C8000 */
	{ 0x0000026a, 0x0606000606060606 }, /* IA32_MTRR_FIX4K_D0000 */
	{ 0x0000026b, 0x0600060606060606 }, /* IA32_MTRR_FIX4K_D8000 */
	{ 0x0000026c, 0x0006060606060606 }, /* IA32_MTRR_FIX4K_E0000 */
	{ 0x0000026d, 0x0404040404040400 }, /* IA32_MTRR_FIX4K_E8000 */
	{ 0x0000026e, 0x0404040404040004 }, /* IA32_MTRR_FIX4K_F0000 */
	{ 0x0000026f, 0x0404040404000404 }, /* IA32_MTRR_FIX4K_F8000 */
};

static void source(void *opaque)
{
	struct vm_life life;
	struct report *report;

	(void)opaque;
	FIXTURE_BOOT(&life, 1, registers);
	report = fixture_report(&life);
	for (size_t i = 0; i < sizeof(guest_msrs) / sizeof(guest_msrs[0]); i++)
		if (msr_find(&fixture_host()->msrs, guest_msrs[i].index)) {
			report->msrs[report->msr_count].index = guest_msrs[i].index;
			report->msrs[report->msr_count++].value = guest_msrs[i].value;
		}
	CHECK(report->msr_count >= 8);
	fixture_run_until_ready(&life);
	fixture_save(&life, "registers");
	fixture_end(&life);
}

static void check_general_registers(const uint64_t *values)
{
	static const uint64_t patterns[] = { PATTERN_RAX, PATTERN_RBX, PATTERN_RCX, PATTERN_RDX,
					     PATTERN_RSI, PATTERN_RDI, PATTERN_RBP, PATTERN_RSP };

	for (unsigned i = 0; i < 8; i++) {
		CHECK_EQ(values[i], patterns[i]);
		CHECK_EQ(values[AT_R8 + i], PATTERN_R(8 + i));
	}
	CHECK_EQ(values[AT_RFLAGS] & (RFLAGS_HELD | 0x200), RFLAGS_HELD);
}

static void check_system_registers(const uint64_t *values)
{
	CHECK_EQ(values[AT_CR2], PATTERN_CR2);
	CHECK_EQ(values[AT_CR8], PATTERN_CR8);
	CHECK_EQ(values[AT_GDT_LIMIT], PATTERN_GDT_LIMIT);
	CHECK_EQ(values[AT_TR], SELECTOR_TSS);
	CHECK_EQ(values[AT_LDTR], SELECTOR_LDT);
	CHECK_EQ(values[AT_FS], SELECTOR_DATA);
	CHECK_EQ(values[AT_GS], 0);
	CHECK_EQ(values[AT_FS_BASE], PATTERN_FS_BASE);
	CHECK_EQ(values[AT_GS_BASE], PATTERN_GS_BASE);
	CHECK_EQ(values[AT_DR7], PATTERN_DR7);
	for (unsigned i = 0; i < 4; i++)
		CHECK_EQ(values[AT_DR0 + i], PATTERN_DR(i));
}

static void target(void *opaque)
{
	struct vm_life life;
	const struct report *report;

	(void)opaque;
	fixture_restore(&life, "registers");
	fixture_finish(&life);
	report = fixture_report(&life);
	check_general_registers(report->values);
	check_system_registers(report->values);
	for (unsigned i = AT_HELD; i < AT_COUNT; i++)
		if (i != AT_TSC)
			CHECK_EQ(report->values[i], report->before[i]);
	CHECK(report->values[AT_TSC] > report->before[AT_TSC]);
	for (uint32_t i = 0; i < report->msr_count; i++)
		if (report->msrs[i].found != report->msrs[i].value)
			fixture_fail(__FILE__, __LINE__, "%s: %#jx, not %#jx", msr_name(report->msrs[i].index),
				     (uintmax_t)report->msrs[i].found, (uintmax_t)report->msrs[i].value);
	fixture_end(&life);
}

Test(registers, a_guest_finds_them_as_it_left_them)
{
	fixture_in_process("source", source, NULL);
	fixture_in_process("target", target, NULL);
}
