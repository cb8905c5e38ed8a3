/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Several vCPUs, each with its own registers; running, and still waiting to be started.
 */
#include "guests/processors.h"

#include <criterion/criterion.h>

#include "fixture.h"

#define VCPUS 4

TestSuite(processors, .init = fixture_setup, .fini = fixture_teardown);

static void source(void *opaque)
{
	struct vm_life life;

	FIXTURE_BOOT(&life, VCPUS, processors);
	fixture_report(&life)->mode = *(const uint32_t *)opaque;
	fixture_report(&life)->values[0] = VCPUS - 1;
	fixture_run_until_ready(&life);
	fixture_save(&life, "processors");
	fixture_end(&life);
}

static void target(void *opaque)
{
	struct vm_life life;

	(void)opaque;
	fixture_restore(&life, "processors");
	fixture_finish(&life);
	for (uint8_t i = 1; i < VCPUS; i++)
		CHECK_EQ(life.signals[EVENT_PROCESSOR + i], 1);
	fixture_end(&life);
}

Test(processors, all_go_on)
{
	uint32_t mode = PROCESSORS_RUNNING;

	fixture_in_process("source", source, &mode);
	fixture_in_process("target", target, NULL);
}

Test(processors, those_that_wait_can_be_started)
{
	uint32_t mode = PROCESSORS_WAITING;

	fixture_in_process("source", source, &mode);
	fixture_in_process("target", target, NULL);
}
