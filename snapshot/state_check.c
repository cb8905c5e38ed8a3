/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What every user of a struct vm_state may rely on.
 *
 * A state comes from the loader, which parsed a file that anybody may have written, and the loader may have been taken
 * over by that file. Each worker therefore checks the mapped state again before it uses a count as a bound; KVM checks
 * the registers' values.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "snapshot/json_value.h"
#include "snapshot/state.h"
#include "snapshot/state_tables.h"

static int out_of_bounds(const char *member, uint64_t value, struct error_detail *detail)
{
	error_detail_set(detail, "%s: %" PRIu64 " is not valid", member, value);
	return -EINVAL;
}

static int check_header(const struct vm_state *state, struct error_detail *detail)
{
	struct machine_shape shape;

	if (state->magic != VM_STATE_MAGIC)
		return out_of_bounds("magic", state->magic, detail);
	if (state->version != VM_STATE_VERSION)
		return out_of_bounds("version", state->version, detail);
	if (state->vcpu_count == 0 || state->vcpu_count > MACHINE_VCPUS_MAX)
		return out_of_bounds("vcpu_count", state->vcpu_count, detail);
	if (state->cpu_template >= CPU_TEMPLATE_COUNT)
		return out_of_bounds("cpu_template", state->cpu_template, detail);
	if (state->no_pit_reinject > 1)
		return out_of_bounds("pit_reinject", state->no_pit_reinject, detail);
	if (state->device_count > VM_STATE_DEVICES_MAX)
		return out_of_bounds("device_count", state->device_count, detail);

	vm_state_shape(state, &shape);
	return machine_shape_check(&shape, detail);
}

static int check_irqchip(const struct irqchip_state *irqchip, struct error_detail *detail)
{
	if (irqchip->pic_master.chip_id != KVM_IRQCHIP_PIC_MASTER)
		return out_of_bounds("irqchip.pic_master.chip_id", irqchip->pic_master.chip_id, detail);
	if (irqchip->pic_slave.chip_id != KVM_IRQCHIP_PIC_SLAVE)
		return out_of_bounds("irqchip.pic_slave.chip_id", irqchip->pic_slave.chip_id, detail);
	if (irqchip->ioapic.chip_id != KVM_IRQCHIP_IOAPIC)
		return out_of_bounds("irqchip.ioapic.chip_id", irqchip->ioapic.chip_id, detail);

	return state_fields_check(irqchip_state_fields, irqchip, "irqchip", detail);
}

static int check_vcpu(const struct vcpu_state *vcpu, uint32_t index, struct error_detail *detail)
{
	char path[32];
	int r;

	(void)snprintf(path, sizeof(path), "vcpus[%" PRIu32 "]", index);
	r = state_fields_check(vcpu_state_fields, vcpu, path, detail);
	if (r < 0)
		return r;

	/* KVM_GET_XSAVE gives 4096 bytes, KVM_GET_XSAVE2 as many or more (Documentation/virt/kvm/api.rst, 4.134). */
	if (vcpu->xsave_size != 0 && vcpu->xsave_size < sizeof(struct kvm_xsave)) {
		error_detail_set(detail, "%s.xsave: %" PRIu32 " bytes are less than an XSAVE area has", path,
				 vcpu->xsave_size);
		return -EINVAL;
	}
	if (vcpu->cpuid.count == 0) {
		error_detail_set(detail, "%s.cpuid: is empty", path);
		return -EINVAL;
	}

	return 0;
}

static int check_device(const struct vm_state *state, uint32_t index, struct error_detail *detail)
{
	const struct device_record *record = &state->devices[index];
	const struct device_ops *ops;
	char name[DEVICE_NAME_MAX];
	char path[32];

	(void)snprintf(path, sizeof(path), "devices[%" PRIu32 "]", index);
	if (!memchr(record->name, '\0', sizeof(record->name))) {
		error_detail_set(detail, "%s.name: is not terminated", path);
		return -EINVAL;
	}
	ops = device_ops_find(record->name);
	if (!ops) {
		json_printable(record->name, name, sizeof(name));
		error_detail_set(detail, "%s.name: there is no device \"%s\"", path, name);
		return -EINVAL;
	}
	if (record->size != ops->state_size) {
		error_detail_set(detail, "%s: the state of a %s has %" PRIu32 " bytes, not %" PRIu32, path, ops->name,
				 ops->state_size, record->size);
		return -EINVAL;
	}
	for (uint32_t other = 0; other < index; other++)
		if (state->devices[other].instance == record->instance &&
		    strcmp(state->devices[other].name, record->name) == 0) {
			error_detail_set(detail, "%s: a second %s with instance %" PRIu32, path, ops->name,
					 record->instance);
			return -EINVAL;
		}

	(void)snprintf(path, sizeof(path), "devices[%" PRIu32 "].state", index);
	return state_fields_check(ops->state_fields, record->data, path, detail);
}

int vm_state_check(const struct vm_state *state, struct error_detail *detail)
{
	int r = check_header(state, detail);

	if (r == 0)
		r = state_fields_check(clock_state_fields, &state->clock, "clock", detail);
	if (r == 0)
		r = check_irqchip(&state->irqchip, detail);
	for (uint32_t i = 0; r == 0 && i < state->device_count; i++)
		r = check_device(state, i, detail);
	for (uint32_t i = 0; r == 0 && i < state->vcpu_count; i++)
		r = check_vcpu(&state->vcpus[i], i, detail);

	return r;
}

/* How many devices of a kind there are. Nothing of the state is trusted: see vm_state_check(). */
static uint32_t count_devices(const struct vm_state *state, const char *name)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < state->device_count && i < VM_STATE_DEVICES_MAX; i++)
		count += strncmp(state->devices[i].name, name, sizeof(state->devices[i].name)) == 0;
	return count;
}

void vm_state_shape(const struct vm_state *state, struct machine_shape *ret_shape)
{
	*ret_shape = (struct machine_shape){
		.vcpus = state->vcpu_count,
		.cpu_template = state->cpu_template,
		.memory_size = state->memory_size,
		.disks = count_devices(state, "virtio_blk"),
		.rngs = count_devices(state, "virtio_rng"),
		.vsocks = count_devices(state, "virtio_vsock"),
		.nets = count_devices(state, "virtio_net"),
		.balloons = count_devices(state, "virtio_balloon"),
		.no_pit_reinject = state->no_pit_reinject != 0,
	};
}
