/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who a clone is: its generation ID is nobody else's and is there before its first instruction, its event comes once,
 * and its metadata is what it was given.
 */
#include "guests/identity.h"

#include <errno.h>
#include <string.h>

#include <criterion/criterion.h>

#include "devices/fw_cfg.h"
#include "devices/generation_id.h"
#include "fixture.h"

#define CLONES 5

TestSuite(identity, .init = fixture_setup, .fini = fixture_teardown);

typedef uint8_t identity[GENERATION_ID_SIZE];

/* Shared with the processes of the clones: the IDs of the source, then of each clone. */
static identity *ids;

static void check_findings(struct vm_life *life, const uint64_t *findings, const char *metadata, uint64_t events)
{
	identity id;

	generation_id_get(life->machine->generation_id, id);
	CHECK_EQ(memcmp(&findings[IDENTITY_IN_MEMORY], id, sizeof(id)), 0);
	CHECK_EQ(memcmp(&findings[IDENTITY_IN_FILE], id, sizeof(id)), 0);
	CHECK_EQ(strncmp((const char *)&findings[IDENTITY_METADATA], metadata, sizeof(uint64_t)), 0);
	CHECK_EQ(findings[IDENTITY_EVENTS], events);
}

static void source(void *opaque)
{
	struct vm_life life;

	(void)opaque;
	FIXTURE_BOOT(&life, 1, identity);
	CHECK_OK(generation_id_place(life.machine->generation_id, IDENTITY_GPA, &detail));
	CHECK_EQ(fw_cfg_set_metadata(life.machine->fw_cfg, "source", 6), 0);
	generation_id_get(life.machine->generation_id, ids[0]);
	fixture_run_until_ready(&life);
	check_findings(&life, fixture_report(&life)->before, "source", 0);
	fixture_save(&life, "identity");

	/* The guest that goes on is who it was. */
	fixture_finish(&life);
	check_findings(&life, fixture_report(&life)->values, "source", 0);
	fixture_end(&life);
}

static void run_clone(void *opaque)
{
	unsigned number = *(const unsigned *)opaque;
	bool has_metadata = number % 2 == 0;
	struct vm_life life;

	fixture_restore(&life, "identity");
	if (has_metadata)
		CHECK_EQ(fw_cfg_set_metadata(life.machine->fw_cfg, "clone", 5), 0);
	generation_id_get(life.machine->generation_id, ids[number]);
	fixture_finish(&life);
	check_findings(&life, fixture_report(&life)->values, has_metadata ? "clone" : "source", 1);
	fixture_end(&life);
}

Test(identity, every_clone_has_its_own)
{
	ids = fixture_share((CLONES + 1) * sizeof(ids[0]));
	fixture_in_process("source", source, NULL);
	for (unsigned number = 1; number <= CLONES; number++)
		fixture_in_process("clone", run_clone, &number);
	for (unsigned i = 0; i <= CLONES; i++)
		for (unsigned j = 0; j < i; j++)
			cr_assert_arr_neq(ids[i], ids[j], sizeof(ids[0]), "%u has the ID of %u", i, j);
}

static struct device_record *find_record(struct vm_state *state, const char *name)
{
	for (uint32_t i = 0; i < state->device_count; i++)
		if (strcmp(state->devices[i].name, name) == 0)
			return &state->devices[i];
	fixture_fail(__FILE__, __LINE__, "no %s", name);
}

static void refuse_addresses(void *opaque)
{
	static const uint64_t addresses[] = { 1, 0x300004, (4 << 20) - 8, 4 << 20, UINT64_MAX - 7 };
	struct machine_shape shape;
	struct vm_state *state;
	struct vm_life life;
	int memory;

	(void)opaque;
	fixture_load("identity", &state, &memory);
	vm_state_shape(state, &shape);
	fixture_build(&life, &shape);
	for (size_t i = 0; i < sizeof(addresses) / sizeof(addresses[0]); i++) {
		struct error_detail detail = { "" };

		memcpy(find_record(state, "generation_id")->data, &addresses[i], sizeof(addresses[i]));
		CHECK_EQ(vm_state_check(state, NULL), 0);
		CHECK_EQ(snapshot_inject(life.machine, state, memory, NULL, NULL, &detail), -EINVAL);
		CHECK(strstr(detail.text, "generation_id.address"));
	}
	fixture_end(&life);
}

Test(identity, an_address_outside_memory_is_refused)
{
	ids = fixture_share(sizeof(ids[0]));
	fixture_in_process("source", source, NULL);
	fixture_in_process("refuse", refuse_addresses, NULL);
}
