/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A machine's state moved to another machine: devices and the in-kernel interrupt controller must agree on the
 * interrupt line, or the guest that sleeps there would never wake.
 */
#include <criterion/criterion.h>
#include <string.h>

#include "fixture.h"

static struct fixture source, target;

static void tear_down(void)
{
	if (source.machine)
		fixture_end(&source);
	if (target.machine)
		fixture_end(&target);
}

TestSuite(machine_restore, .fini = tear_down);

/* Both machines are paused and of one shape. The order: memory, vCPU, interrupt chips, devices. */
static void move(struct machine *from, struct machine *to)
{
	static struct vcpu_state vcpu;
	static struct irqchip_state irqchip;
	struct error_detail detail = { 0 };

	cr_assert_eq(guest_memory_lay_anonymous(&to->vm.memory), 0);
	memcpy(to->vm.memory.host, from->vm.memory.host, from->vm.memory.size);
	cr_assert_eq(vcpu_get_state(from->vcpus[0], &vcpu, &detail), 0, "%s", detail.text);
	cr_assert_eq(vcpu_set_state(to->vcpus[0], &vcpu, &detail), 0, "%s", detail.text);
	cr_assert_eq(vm_get_irqchip(&from->vm, &irqchip, &detail), 0, "%s", detail.text);
	cr_assert_eq(vm_set_irqchip(&to->vm, &irqchip, &detail), 0, "%s", detail.text);

	cr_assert_eq(from->bus.device_count, to->bus.device_count);
	for (size_t i = 0; i < from->bus.device_count; i++) {
		static uint8_t state[DEVICE_STATE_MAX];
		struct device *device = from->bus.devices[i];
		struct device *twin = bus_find(&to->bus, device->ops->name, device->instance);

		memset(state, 0, sizeof(state));
		device->ops->save(device, state);
		cr_assert_not_null(twin);
		cr_assert_eq(twin->ops, device_ops_find(device->ops->name));
		cr_assert_eq(state_fields_check(twin->ops->state_fields, state, twin->ops->name, &detail), 0, "%s",
			     detail.text);
		cr_assert_eq(twin->ops->restore(twin, state, &detail), 0, "%s", detail.text);
	}
}

static void assert_echo(struct fixture *fixture, const char *expected)
{
	uint8_t answer[2000];

	fixture_read_output(fixture, answer, strlen(expected));
	cr_assert_arr_eq(answer, expected, strlen(expected));
}

/* Typed before the move and never seen by the source: the interrupt that was pending there wakes the guest here. */
Test(machine_restore, input_and_its_pending_interrupt_move)
{
	static const char typed[] = "the quick brown fox jumps over the lazy dog";

	fixture_start_guest(&source, 1, ENTRY_LONG, echo_fifo);
	fixture_wait_signal(&source, SIGNAL_READY, 1);
	machine_pause(source.machine);
	cr_assert_eq(serial_write_input(source.machine->serial, (const uint8_t *)typed, strlen(typed)), strlen(typed));

	fixture_build(&target, 1, 4);
	move(source.machine, target.machine);
	cr_assert_eq(machine_run(target.machine), 0);
	assert_echo(&target, typed);
}

/* Typed after the move: the line was low there, so that its rise is an edge here. */
Test(machine_restore, a_line_that_was_low_can_rise)
{
	static const char typed[] = "typed afterwards";
	struct signal_record ready;

	fixture_start_guest(&source, 1, ENTRY_LONG, echo_fifo);
	fixture_wait_signal(&source, SIGNAL_READY, 1);
	machine_pause(source.machine);

	fixture_build(&target, 1, 4);
	move(source.machine, target.machine);
	cr_assert_eq(machine_run(target.machine), 0);
	cr_assert_eq(serial_write_input(target.machine->serial, (const uint8_t *)typed, strlen(typed)), strlen(typed));
	assert_echo(&target, typed);

	signal_port_record(target.machine->signal_port, SIGNAL_READY, &ready);
	cr_assert_eq(ready.count, 1, "the source's");
	cr_assert_eq(ready.first_ns, 0);
}

/* The target had an interrupt of its own before: what is restored replaces it. */
Test(machine_restore, a_used_port_forgets_its_own_input)
{
	static const char own[] = "must not be seen";

	fixture_start_guest(&source, 1, ENTRY_LONG, echo_fifo);
	fixture_wait_signal(&source, SIGNAL_READY, 1);
	machine_pause(source.machine);

	fixture_build(&target, 1, 4);
	cr_assert_eq(serial_write_input(target.machine->serial, (const uint8_t *)own, strlen(own)), strlen(own));
	move(source.machine, target.machine);
	cr_assert_eq(machine_run(target.machine), 0);
	cr_assert_eq(serial_write_input(target.machine->serial, (const uint8_t *)"seen", 4), 4);
	assert_echo(&target, "seen");
}
