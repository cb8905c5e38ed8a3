/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a paused machine to a state.
 *
 * The vCPUs stand still, but time does not: until the VM is closed, the PIT and the LAPICs' timers go on and raise
 * interrupts. A state is read from where interrupts come from to where they go, so that one that travels meanwhile is
 * seen at its source or at its destination, or at both, but never at neither:
 *
 *   1. devices   Drained first: what was in flight has its effect on memory and on interrupt lines, or is in its ring
 *                again as if it had not begun. Then saved. Nothing but a vCPU or the host's input changes them
 *                afterwards, and the caller feeds no input while the machine is paused.
 *   2. irqchip   PICs and IOAPIC with the lines as the devices left them; the PIT. An interrupt that passes through the
 *                IOAPIC after this is found in a LAPIC by the next step. A tick that the PICs miss comes again: setting
 *                a PIT restarts its count.
 *   3. vCPUs     LAPICs with what has arrived; registers, MSRs, events (kvm/vcpu_state.c says in which order).
 *   4. clock     Last, next to the TSCs that were read a moment before, since the guest compares the two.
 *
 * Memory is the caller's to write, and comes after all of this: reading the state of a vCPU that uses kvmclock or steal
 * time may write to its memory.
 */
#include "snapshot/capture.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "kvm/monotonic.h"
#include "snapshot/time_text.h"

static bool is_paused(const struct machine *machine)
{
	if (machine->running)
		return false;
	for (uint32_t i = 0; i < machine->shape.vcpus; i++)
		if (!vcpu_is_parked(machine->vcpus[i]))
			return false;

	return true;
}

static int save_device(struct device *device, struct device_record *ret_record, struct error_detail *detail)
{
	const struct device_ops *ops = device->ops;
	int r = ops->drain ? ops->drain(device) : 0;

	if (r < 0) {
		error_detail_set(detail, "%s.%" PRIu32 ": cannot drain: %s", ops->name, device->instance,
				 strerrordesc_np(-r));
		return r;
	}
	if (ops->state_size > sizeof(ret_record->data) || strlen(ops->name) >= sizeof(ret_record->name) ||
	    !device_ops_find(ops->name)) {
		error_detail_set(detail, "%s.%" PRIu32 ": no snapshot can hold this device", ops->name,
				 device->instance);
		return -EOPNOTSUPP;
	}

	memcpy(ret_record->name, ops->name, strlen(ops->name) + 1);
	ret_record->instance = device->instance;
	ret_record->size = ops->state_size;
	ops->save(device, ret_record->data);
	return 0;
}

static int capture_devices(struct machine *machine, struct vm_state *ret_state, struct error_detail *detail)
{
	const struct bus *bus = &machine->bus;

	for (size_t i = 0; i < bus->device_count; i++) {
		int r = save_device(bus->devices[i], &ret_state->devices[i], detail);

		if (r < 0)
			return r;
	}

	ret_state->device_count = (uint32_t)bus->device_count;
	return 0;
}

static void fill_header(const struct machine *machine, struct vm_state *ret_state)
{
	memset(ret_state, 0, sizeof(*ret_state));
	ret_state->magic = VM_STATE_MAGIC;
	ret_state->version = VM_STATE_VERSION;
	ret_state->memory_size = machine->shape.memory_size;
	ret_state->cpu_template = machine->shape.cpu_template;
	ret_state->no_pit_reinject = machine->shape.no_pit_reinject;
	ret_state->created_unix_ns = time_now();
}

int snapshot_capture(struct machine *machine, struct vm_state *ret_state, struct capture_times *ret_times,
		     struct error_detail *detail)
{
	struct capture_times times;
	uint64_t begun = monotonic_ns();
	int r;

	if (!is_paused(machine)) {
		error_detail_set(detail, "the machine runs");
		return -EBUSY;
	}
	fill_header(machine, ret_state);

	r = capture_devices(machine, ret_state, detail);
	if (r < 0)
		return r;
	times.devices_ns = monotonic_lap(&begun);
	r = vm_get_irqchip(&machine->vm, &ret_state->irqchip, detail);
	if (r < 0)
		return r;
	times.irqchip_ns = monotonic_lap(&begun);
	r = vcpu_get_states(machine->vcpus, machine->shape.vcpus, ret_state->vcpus, detail);
	if (r < 0)
		return r;
	ret_state->vcpu_count = machine->shape.vcpus;
	times.vcpu_ns = monotonic_lap(&begun);
	r = vm_get_clock(&machine->vm, &ret_state->clock);
	if (r < 0) {
		error_detail_set(detail, "KVM_GET_CLOCK: %s", strerrordesc_np(-r));
		return r;
	}
	times.clock_ns = monotonic_lap(&begun);

	if (ret_times)
		*ret_times = times;
	return 0;
}
