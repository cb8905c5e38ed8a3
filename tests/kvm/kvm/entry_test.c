/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The three entry modes, as the guest finds them.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "support.h"

static void check_entry(struct guest_code code, enum entry_mode mode, const uint64_t *expected, size_t count)
{
	struct shell *shell = shell_new(2, TEST_MEMORY_SIZE);
	struct vcpu_stop_info stop;

	shell_load(shell, code, mode);
	stop = shell_run_to_stop(shell);
	cr_assert_eq(stop.stop, VCPU_STOP_HANDLER, "%s, code %llu, rip 0x%llx", vcpu_stop_name(stop.stop),
		     (unsigned long long)stop.code, (unsigned long long)stop.rip);
	cr_assert_eq(shell_report_count(shell), count);
	for (size_t i = 0; i < count; i++)
		cr_assert_eq(shell_report(shell, i), expected[i], "report %zu is 0x%llx, expected 0x%llx", i,
			     (unsigned long long)shell_report(shell, i), (unsigned long long)expected[i]);
	shell_free(shell);
}

Test(entry, real)
{
	const uint64_t expected[] = { 0, 0x1000, 0x1000, TEST_MEMORY_SIZE, 2 };

	check_entry(GUEST_CODE(entry_real), ENTRY_REAL, expected, 5);
}

Test(entry, protected)
{
	const uint64_t expected[] = { 0x31, 0x100000, 0x90000, TEST_MEMORY_SIZE, 2, 0x600d };

	check_entry(GUEST_CODE(entry_protected), ENTRY_PROTECTED, expected, 6);
}

Test(entry, long)
{
	const uint64_t expected[] = { 0x12345678, 0x100000, 0x90000, TEST_MEMORY_SIZE, 2, 0x600d };

	check_entry(GUEST_CODE(entry_long), ENTRY_LONG, expected, 6);
}
