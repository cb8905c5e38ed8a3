/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a state to a machine that has not run.
 *
 *   1. memory    Before all that makes KVM look at guest memory: MSRs that hold the addresses of kvmclock, steal time,
 *                async page faults and PV EOI; CR3 with PAE, whose page directory pointers KVM reads when sregs are
 *                set; and devices with queues. The memslot stays as it is, so that no KVM_SET_USER_MEMORY_REGION is on
 *                the request path.
 *   2. devices   Each drives its interrupt line to the level that it had. KVM keeps the level of each source of a line
 *                (irq_states) apart from the chips' registers, and gives out only the registers: nobody but the device
 *                can bring it back. It must come before the chips: to a chip that has its registers already, a level
 *                that rises is an edge, and an edge-triggered line such as COM1's would interrupt the guest a second
 *                time for what it has been told of. This way the chips see the edge in their reset state, and step 4
 *                overwrites what it did to them. One that has news for the guest (a fresh VM generation ID, which goes
 *                to memory now) therefore keeps its edge until the machine begins to run.
 *   3. vCPUs     With their LAPICs (kvm/vcpu_state.c says in which order). After the devices, which may have sent an
 *                interrupt to a LAPIC in its reset state. Before the IOAPIC: when that is set, it delivers what was
 *                pending in it, to a LAPIC that must not be overwritten afterwards.
 *   4. irqchip   PIC master, PIC slave, IOAPIC, then the PIT, which starts to tick when it is set: through chips that
 *                are ready.
 *   5. clock     After the TSCs, because KVM works out kvmclock from the TSC's offset and from whether all vCPUs agree;
 *                and last of all, so that the least time passes between it and the guest's first instruction. The TSC
 *                goes on from where it stood where the host can set it, and so does kvmclock, unless it is asked to
 *                follow the host's wall clock: capture.h says what that means for the guest.
 *
 * A failure leaves the machine half filled: the caller throws it away.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "kvm/file_status.h"
#include "kvm/monotonic.h"
#include "snapshot/capture.h"
#include "snapshot/time_text.h"

/* A state for another shape would be written past the memory or the vCPUs. */
static int check_shape(const struct machine *machine, const struct vm_state *state, struct error_detail *detail)
{
	struct machine_shape shape;

	if (machine->started) {
		error_detail_set(detail, "the machine has run");
		return -EBUSY;
	}
	vm_state_shape(state, &shape);
	if (shape.vcpus == machine->shape.vcpus && shape.memory_size == machine->shape.memory_size &&
	    shape.cpu_template == machine->shape.cpu_template &&
	    shape.no_pit_reinject == machine->shape.no_pit_reinject)
		return 0;

	error_detail_set(detail,
			 "a snapshot of %" PRIu32 " vCPUs, %" PRIu64
			 " bytes, template %d, pit_reinject %d does not fit a machine of %" PRIu32 " vCPUs, %" PRIu64
			 " bytes, template %d, pit_reinject %d",
			 shape.vcpus, shape.memory_size, (int)shape.cpu_template, !shape.no_pit_reinject,
			 machine->shape.vcpus, machine->shape.memory_size, (int)machine->shape.cpu_template,
			 !machine->shape.no_pit_reinject);
	return -EINVAL;
}

static const struct device_record *find_record(const struct vm_state *state, const struct device *device)
{
	for (uint32_t i = 0; i < state->device_count; i++)
		if (state->devices[i].instance == device->instance &&
		    strcmp(state->devices[i].name, device->ops->name) == 0)
			return &state->devices[i];

	return NULL;
}

/*
 * Every state has a device, and every device of the machine a state, but for kinds that were not there yet when the
 * snapshot was taken: such a device is as its guest knew it, untouched.
 */
static int inject_devices(struct machine *machine, const struct vm_state *state, struct error_detail *detail)
{
	const struct bus *bus = &machine->bus;

	for (uint32_t i = 0; i < state->device_count; i++)
		if (!bus_find(bus, state->devices[i].name, state->devices[i].instance)) {
			error_detail_set(detail, "the snapshot has a device %s.%" PRIu32 " that the machine has not",
					 state->devices[i].name, state->devices[i].instance);
			return -EINVAL;
		}

	for (size_t i = 0; i < bus->device_count; i++) {
		struct device *device = bus->devices[i];
		const struct device_record *record = find_record(state, device);
		int r;

		if (!record && device->ops->may_be_missing)
			continue;
		if (!record) {
			error_detail_set(detail, "the snapshot has no state for the machine's %s.%" PRIu32,
					 device->ops->name, device->instance);
			return -EINVAL;
		}
		r = device->ops->restore(device, record->data, detail);
		if (r < 0)
			return r;
	}

	return 0;
}

/* The host's wall-clock time since the snapshot was taken, in nanoseconds; 0 where its clock was set back since. */
static uint64_t wall_time_since(const struct vm_state *state)
{
	/* What KVM read together with kvmclock is the nearer one. */
	uint64_t taken = state->clock.flags & KVM_CLOCK_REALTIME ? state->clock.realtime : state->created_unix_ns;
	uint64_t now = time_now();

	return now > taken ? now - taken : 0;
}

static int inject_clock(struct machine *machine, const struct vm_state *state, enum inject_clock policy,
			struct error_detail *detail)
{
	struct kvm_clock_data clock = state->clock;
	int r;

	if (policy == INJECT_CLOCK_HOST) {
		uint64_t elapsed = wall_time_since(state);

		/* A state's numbers are anybody's: with a sum that wraps, the clock would go back. */
		if (elapsed <= UINT64_MAX - clock.clock)
			clock.clock += elapsed;
	}
	r = vm_set_clock(&machine->vm, &clock);
	if (r < 0)
		error_detail_set(detail, "KVM_SET_CLOCK: %s", strerrordesc_np(-r));
	return r;
}

static int lay_memory(struct machine *machine, int memory, struct error_detail *detail)
{
	uint64_t size = machine->vm.memory.size;
	struct stat status;
	int r;

	if (file_status(memory, &status) == 0 && (uint64_t)status.st_size < size) {
		error_detail_set(detail, "memory.snap was cut short: it has %jd bytes, not %" PRIu64,
				 (intmax_t)status.st_size, size);
		return -EBADMSG;
	}
	r = guest_memory_lay_snapshot(&machine->vm.memory, memory, 0);
	if (r < 0)
		error_detail_set(detail, "memory.snap cannot be mapped: %s", strerrordesc_np(-r));
	return r;
}

int snapshot_inject(struct machine *machine, const struct vm_state *state, int memory,
		    const struct inject_options *options, struct inject_times *ret_times, struct error_detail *detail)
{
	struct inject_times times;
	uint64_t begun;
	int r;

	r = check_shape(machine, state, detail);
	if (r < 0)
		return r;

	begun = monotonic_ns();
	r = lay_memory(machine, memory, detail);
	if (r < 0)
		return r;
	times.memory_map_ns = monotonic_lap(&begun);
	r = inject_devices(machine, state, detail);
	if (r < 0)
		return r;
	times.devices_ns = monotonic_lap(&begun);
	r = vcpu_set_states(machine->vcpus, machine->shape.vcpus, state->vcpus, detail);
	if (r < 0)
		return r;
	times.vcpu_ns = monotonic_lap(&begun);
	r = vm_set_irqchip(&machine->vm, &state->irqchip, detail);
	if (r < 0)
		return r;
	times.irqchip_ns = monotonic_lap(&begun);
	r = inject_clock(machine, state, options ? options->clock : INJECT_CLOCK_CONTINUE, detail);
	if (r < 0)
		return r;
	times.clock_ns = monotonic_lap(&begun);

	if (ret_times)
		*ret_times = times;
	return 0;
}
