/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a worker refuses of a state that another process parsed for it.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <criterion/criterion.h>

#include "sample.h"

static struct sample *sample;
static struct error_detail detail;

static void setup(void)
{
	sample = sample_new(2, 3);
	cr_assert_eq(vm_state_check(&sample->state, &detail), 0, "%s", detail.text);
}

static void teardown(void)
{
	free(sample);
}

TestSuite(state_check, .init = setup, .fini = teardown);

static void expect(const char *what)
{
	cr_assert_eq(vm_state_check(&sample->state, &detail), -EINVAL, "%s", what);
	cr_assert(strstr(detail.text, what), "wanted \"%s\", got \"%s\"", what, detail.text);
}

/* Spoil one member, expect its name, and put it back. */
#define EXPECT_BAD(member, bad, what)                    \
	do {                                             \
		__auto_type kept = sample->state.member; \
		sample->state.member = (bad);            \
		expect(what);                            \
		sample->state.member = kept;             \
	} while (0)

Test(state_check, header)
{
	EXPECT_BAD(magic, 0, "magic");
	EXPECT_BAD(version, 2, "version");
	EXPECT_BAD(vcpu_count, 0, "vcpu_count");
	EXPECT_BAD(vcpu_count, 9, "vcpu_count");
	EXPECT_BAD(vcpu_count, UINT32_MAX, "vcpu_count");
	EXPECT_BAD(cpu_template, CPU_TEMPLATE_COUNT, "cpu_template");
	EXPECT_BAD(device_count, VM_STATE_DEVICES_MAX + 1, "device_count");
	EXPECT_BAD(memory_size, 0, "memory");
	EXPECT_BAD(memory_size, (1 << 20) + 4096, "memory");
	EXPECT_BAD(memory_size, UINT64_C(4) << 30, "memory");
}

Test(state_check, chips)
{
	EXPECT_BAD(irqchip.pic_master.chip_id, 1, "irqchip.pic_master.chip_id");
	EXPECT_BAD(irqchip.pic_slave.chip_id, 0, "irqchip.pic_slave.chip_id");
	EXPECT_BAD(irqchip.ioapic.chip_id, 0, "irqchip.ioapic.chip_id");
	EXPECT_BAD(irqchip.pit.channels[1].count, 65537, "irqchip.pit.channels[1].count");
}

Test(state_check, vcpus)
{
	EXPECT_BAD(vcpus[1].msrs.count, VCPU_MSRS_MAX + 1, "vcpus[1].msrs");
	EXPECT_BAD(vcpus[1].msrs.count, UINT32_MAX, "vcpus[1].msrs");
	EXPECT_BAD(vcpus[0].cpuid.count, CPUID_ENTRIES_MAX + 1, "vcpus[0].cpuid");
	EXPECT_BAD(vcpus[0].cpuid.count, 0, "vcpus[0].cpuid");
	EXPECT_BAD(vcpus[0].xcrs.nr_xcrs, KVM_MAX_XCRS + 1, "vcpus[0].xcrs");
	EXPECT_BAD(vcpus[1].xsave_size, VCPU_XSAVE_MAX + 1, "vcpus[1].xsave");
	EXPECT_BAD(vcpus[1].xsave_size, 4095, "vcpus[1].xsave");
	EXPECT_BAD(vcpus[1].mp_state.mp_state, 11, "vcpus[1].mp_state");
	EXPECT_BAD(vcpus[1].events.exception.nr, 32, "vcpus[1].events.exception.nr");

	/* Beyond the count, anything goes: nobody looks there. */
	sample->state.vcpus[2].msrs.count = UINT32_MAX;
	cr_assert_eq(vm_state_check(&sample->state, &detail), 0, "%s", detail.text);
	sample->state.vcpus[0].xsave_size = 0;
	cr_assert_eq(vm_state_check(&sample->state, &detail), 0, "a host without XSAVE: %s", detail.text);
}

Test(state_check, devices)
{
	EXPECT_BAD(devices[0].size, 0, "devices[0]");
	EXPECT_BAD(devices[1].size, UINT32_MAX, "devices[1]");
	EXPECT_BAD(devices[1].name[0], 'x', "devices[1].name: there is no device \"x8042\"");
	EXPECT_BAD(devices[1].name[0], '\n', "devices[1].name: there is no device \"?8042\"");
	memset(sample->state.devices[1].name, 'x', DEVICE_NAME_MAX);
	expect("devices[1].name: is not terminated");
	sample->state.devices[1] = sample->state.devices[0];
	expect("devices[1]: a second serial with instance 0");
	sample->state.devices[1].instance = 7;
	cr_assert_eq(vm_state_check(&sample->state, &detail), 0, "%s", detail.text);
	memset(sample->state.devices[1].data, 0xff, sample->state.devices[1].size);
	expect("devices[1].state.");
}

Test(state_check, shape)
{
	struct machine_shape shape;

	vm_state_shape(&sample->state, &shape);
	cr_assert_eq(shape.vcpus, 2);
	cr_assert_eq(shape.memory_size, 3 << 20);
	cr_assert_eq(shape.cpu_template, CPU_TEMPLATE_PORTABLE);
}
