/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The firmware configuration device and the power button, as a guest meets them.
 */
#include <criterion/criterion.h>
#include <string.h>

#include "devices/fw_cfg.h"
#include "devices/generation_id.h"
#include "devices/power.h"
#include "fixture.h"
#include "guests/firmware.h"

static struct fixture fixture;

static void tear_down(void)
{
	if (fixture.machine)
		fixture_end(&fixture);
}

TestSuite(machine_platform, .fini = tear_down);

/* Have the guest read all of it for the n-th time. */
static void read_again(uint64_t count)
{
	cr_assert_eq(serial_write_input(fixture.machine->serial, (const uint8_t *)"r", 1), 1);
	fixture_wait_signal(&fixture, FIRMWARE_READ, count);
	cr_assert_eq(fixture_signals(&fixture, FIRMWARE_LOST), 0);
}

static void expect_metadata(const char *expected)
{
	uint8_t all[FW_CFG_METADATA_SIZE + 16] = { 0 };

	memcpy(all, expected, strlen(expected));
	cr_assert_arr_eq(fixture.machine->vm.memory.host + FIRMWARE_METADATA_GPA, all, sizeof(all));
}

Test(machine_platform, a_guest_reads_files_of_the_host)
{
	const uint8_t *memory;
	uint8_t id[GENERATION_ID_SIZE];

	fixture_start_guest(&fixture, 1, ENTRY_LONG, firmware);
	memory = fixture.machine->vm.memory.host;
	fixture_wait_signal(&fixture, SIGNAL_READY, 1);
	cr_assert_eq(fw_cfg_set_metadata(fixture.machine->fw_cfg, "{\"name\":\"one\"}", 14), 0);
	cr_assert_eq(generation_id_place(fixture.machine->generation_id, 0x300000, NULL), 0);
	generation_id_get(fixture.machine->generation_id, id);

	read_again(1);
	cr_assert_arr_eq(memory + FIRMWARE_SIGNATURE_GPA, "QEMU", 4);
	cr_assert_arr_eq(memory + FIRMWARE_GENERATION_GPA, id, sizeof(id));
	cr_assert_arr_eq(memory + 0x300000, id, sizeof(id));
	expect_metadata("{\"name\":\"one\"}");

	cr_assert_eq(fw_cfg_set_metadata(fixture.machine->fw_cfg, "{}", 2), 0);
	read_again(2);
	expect_metadata("{}");
}

Test(machine_platform, the_power_button_is_an_edge)
{
	fixture_start_guest(&fixture, 1, ENTRY_LONG, button);
	fixture_wait_signal(&fixture, SIGNAL_READY, 1);
	for (uint64_t i = 1; i <= 3; i++) {
		power_press(fixture.machine->power);
		fixture_wait_signal(&fixture, POWER_BUTTON_GSI, i);
	}
	machine_pause(fixture.machine);
	cr_assert_eq(fixture_signals(&fixture, POWER_BUTTON_GSI), 3);

	/* Pressed while it stands: it finds out when it goes on. */
	power_press(fixture.machine->power);
	cr_assert_eq(machine_resume(fixture.machine), 0);
	fixture_wait_signal(&fixture, POWER_BUTTON_GSI, 4);
}
