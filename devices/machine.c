/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A machine: what a worker builds before it knows what it will run.
 *
 * Construction goes from the bottom up: VM, devices on their buses, vCPUs whose handlers lead to the buses. The buses
 * are complete before the first vCPU's thread exists and never change afterwards.
 *
 * An end comes from below: a vCPU parks by itself (a triple fault, an exit that KVM cannot go on from, or an access by
 * which the guest resets, turns off or gives up its machine) and tells us on its own thread. The first one wins. Under
 * the lock it asks all others to pause; machine_run() holds the lock while it lets them go, so that none is let go after
 * the machine has ended, and machine_free() takes it to remove each vCPU, so that none is asked after it was closed.
 *
 * A guest whose vCPUs all halt with interrupts off does not end: with the interrupt chips in the kernel, a halted vCPU
 * waits there, and an NMI or INIT could still wake it.
 */
#include "devices/machine.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>

#include "devices/machine_platform.h"
#include "devices/machine_virtio.h"

#define MIB (UINT64_C(1) << 20)

const int machine_runtime_syscalls[] = {
	SYS_pread64,   /* machine_boot_image(), machine_boot_linux() */
	SYS_getrandom, /* machine_boot_linux(), generation_id.c */
};
const size_t machine_runtime_syscall_count = sizeof(machine_runtime_syscalls) / sizeof(machine_runtime_syscalls[0]);

const char *machine_exit_name(enum machine_exit reason)
{
	switch (reason) {
	case MACHINE_EXIT_RESET:
		return "reset";
	case MACHINE_EXIT_SHUTDOWN:
		return "shutdown";
	case MACHINE_EXIT_SYSTEM_EVENT:
		return "system_event";
	case MACHINE_EXIT_INTERNAL_ERROR:
		return "internal_error";
	case MACHINE_EXIT_MEMORY_FAULT:
		return "memory_fault";
	case MACHINE_EXIT_POWER_OFF:
		return "power_off";
	case MACHINE_EXIT_PANIC:
		return "panic";
	}

	return NULL;
}

int machine_shape_check(const struct machine_shape *shape, struct error_detail *detail)
{
	if (shape->vcpus < 1 || shape->vcpus > MACHINE_VCPUS_MAX) {
		error_detail_set(detail, "vcpus: %" PRIu32 " is not 1 to %d", shape->vcpus, MACHINE_VCPUS_MAX);
		return -EINVAL;
	}
	if (!cpu_template_name(shape->cpu_template)) {
		error_detail_set(detail, "cpu_template: %u is none", (unsigned int)shape->cpu_template);
		return -EINVAL;
	}
	if (shape->memory_size < MIB || shape->memory_size > GUEST_MEMORY_SIZE_MAX || shape->memory_size % MIB != 0) {
		error_detail_set(detail,
				 "memory_size: %" PRIu64 " bytes is not a whole number of MiB from 1 to %" PRIu64,
				 shape->memory_size, GUEST_MEMORY_SIZE_MAX / MIB);
		return -EINVAL;
	}

	return machine_check_virtio(shape, detail);
}

bool machine_shape_equal(const struct machine_shape *one, const struct machine_shape *other)
{
	return one->vcpus == other->vcpus && one->cpu_template == other->cpu_template &&
	       one->memory_size == other->memory_size && one->disks == other->disks && one->rngs == other->rngs &&
	       one->vsocks == other->vsocks && one->nets == other->nets && one->balloons == other->balloons &&
	       one->no_pit_reinject == other->no_pit_reinject;
}

/* devices */

/*
 * Devices that work by themselves stop and go with the vCPUs: all of them are told before any is waited for, so that a
 * pause takes as long as the slowest needs, and not as long as all of them one after the other, each of which would
 * take new requests until its turn came.
 */
static void hold_devices(struct machine *machine)
{
	for (size_t i = 0; i < machine->bus.device_count; i++) {
		struct device *device = machine->bus.devices[i];

		if (device->ops->hold)
			device->ops->hold(device);
	}
}

/* What a device cannot finish, a snapshot asks it again. */
static void drain_devices(struct machine *machine)
{
	for (size_t i = 0; i < machine->bus.device_count; i++) {
		struct device *device = machine->bus.devices[i];

		if (device->ops->drain)
			(void)device->ops->drain(device);
	}
}

static void resume_devices(struct machine *machine)
{
	for (size_t i = 0; i < machine->bus.device_count; i++) {
		struct device *device = machine->bus.devices[i];

		if (device->ops->resume)
			device->ops->resume(device);
	}
}

/* vCPU handlers */

/* After an access: may the vCPU go on? */
static enum vcpu_handler_result after_access(struct machine_vcpu *handle)
{
	return machine_take_end(&handle->end) ? VCPU_HANDLER_STOP : VCPU_HANDLER_CONTINUE;
}

static enum vcpu_handler_result on_port_read(void *opaque, uint16_t port, uint8_t *data, size_t length)
{
	struct machine_vcpu *handle = opaque;

	bus_read(&handle->machine->bus, BUS_PORT, port, data, length);
	return after_access(handle);
}

static enum vcpu_handler_result on_port_write(void *opaque, uint16_t port, const uint8_t *data, size_t length)
{
	struct machine_vcpu *handle = opaque;

	bus_write(&handle->machine->bus, BUS_PORT, port, data, length);
	return after_access(handle);
}

static enum vcpu_handler_result on_mmio_read(void *opaque, uint64_t gpa, uint8_t *data, size_t length)
{
	struct machine_vcpu *handle = opaque;

	bus_read(&handle->machine->bus, BUS_MMIO, gpa, data, length);
	return after_access(handle);
}

static enum vcpu_handler_result on_mmio_write(void *opaque, uint64_t gpa, const uint8_t *data, size_t length)
{
	struct machine_vcpu *handle = opaque;

	bus_write(&handle->machine->bus, BUS_MMIO, gpa, data, length);
	return after_access(handle);
}

static enum machine_exit exit_of_stop(const struct machine_vcpu *handle, enum vcpu_stop stop)
{
	switch (stop) {
	case VCPU_STOP_HANDLER:
		return handle->end;
	case VCPU_STOP_SHUTDOWN:
		return MACHINE_EXIT_SHUTDOWN;
	case VCPU_STOP_SYSTEM_EVENT:
		return MACHINE_EXIT_SYSTEM_EVENT;
	case VCPU_STOP_MEMORY_FAULT:
		return MACHINE_EXIT_MEMORY_FAULT;
	case VCPU_STOP_PAUSED:
	case VCPU_STOP_INTERNAL_ERROR:
	case VCPU_STOP_ENTRY_FAILED:
	case VCPU_STOP_RUN_ERROR:
	case VCPU_STOP_UNKNOWN_EXIT:
		break;
	}

	return MACHINE_EXIT_INTERNAL_ERROR;
}

/* A vCPU has parked by itself: the machine ends, if it has not yet. */
static void on_stopped(void *opaque, uint32_t index, const struct vcpu_stop_info *info)
{
	const struct machine_vcpu *handle = opaque;
	struct machine *machine = handle->machine;
	const struct machine_exit_info exit_info = {
		.reason = exit_of_stop(handle, info->stop),
		.vcpu = index,
		.stop = *info,
	};
	bool first;

	pthread_mutex_lock(&machine->lock);
	first = !machine->exited;
	machine->exited = true;
	for (uint32_t i = 0; first && i < machine->shape.vcpus; i++) {
		if (i != index && machine->vcpus[i])
			vcpu_request_pause(machine->vcpus[i]);
	}
	pthread_mutex_unlock(&machine->lock);

	if (first && machine->callbacks.exited)
		machine->callbacks.exited(machine->callbacks.opaque, &exit_info);
}

/* life */

static int add_vcpu(struct machine *machine, uint32_t index, struct vcpu_create_times *sum, struct error_detail *detail)
{
	struct cpuid_table *cpuid = &machine->cpuid[index];
	struct vcpu_create_times times = { 0 };
	const struct vcpu_handlers handlers = {
		.opaque = &machine->handles[index],
		.port_read = on_port_read,
		.port_write = on_port_write,
		.mmio_read = on_mmio_read,
		.mmio_write = on_mmio_write,
		.stopped = on_stopped,
	};
	int r;

	r = cpuid_for_vcpu(&machine->vm.host->supported_cpuid, machine->shape.cpu_template, index, machine->shape.vcpus,
			   cpuid);
	if (r < 0) {
		error_detail_set(detail, "CPUID of vCPU %" PRIu32 ": %s", index, strerrordesc_np(-r));
		return r;
	}

	machine->handles[index] = (struct machine_vcpu){ .machine = machine, .index = index };
	r = vcpu_create(&machine->vm, index, cpuid, &handlers, &machine->vcpus[index], &times, detail);
	if (r < 0)
		return r;

	sum->vcpu_create_ns += times.vcpu_create_ns;
	sum->prime_ns += times.prime_ns;
	return 0;
}

static int build(struct machine *machine, const struct kvm_host *host, struct machine_create_times *times,
		 struct error_detail *detail)
{
	int r;

	r = vm_create(host, machine->shape.memory_size, &machine->vm, &times->vm, detail);
	if (r < 0)
		return r;

	if (machine->shape.no_pit_reinject) {
		r = vm_drop_missed_ticks(&machine->vm, detail);
		if (r < 0)
			return r;
	}
	r = machine_add_platform(machine, detail);
	if (r < 0)
		return r;
	r = machine_add_virtio(machine, detail);
	if (r < 0)
		return r;

	for (uint32_t i = 0; i < machine->shape.vcpus; i++) {
		r = add_vcpu(machine, i, &times->vcpus, detail);
		if (r < 0)
			return r;
	}

	return 0;
}

int machine_create(const struct kvm_host *host, const struct machine_shape *shape,
		   const struct machine_callbacks *callbacks, struct machine **ret_machine,
		   struct machine_create_times *ret_times, struct error_detail *detail)
{
	struct machine_create_times times = { 0 };
	struct machine *machine;
	int r;

	r = machine_shape_check(shape, detail);
	if (r < 0)
		return r;

	machine = calloc(1, sizeof(*machine));
	if (!machine)
		return -ENOMEM;

	machine->shape = *shape;
	machine->callbacks = *callbacks;
	machine->vm.fd = -1;
	bus_init(&machine->bus);
	pthread_mutex_init(&machine->lock, NULL);
	machine->cpuid = calloc(shape->vcpus, sizeof(*machine->cpuid));

	r = machine->cpuid ? build(machine, host, &times, detail) : -ENOMEM;
	if (r < 0) {
		machine_free(machine);
		return r;
	}

	*ret_machine = machine;
	if (ret_times)
		*ret_times = times;
	return 0;
}

struct machine *machine_free(struct machine *machine)
{
	if (!machine)
		return NULL;

	machine_pause(machine);
	for (uint32_t i = 0; i < machine->shape.vcpus; i++) {
		struct vcpu *vcpu;

		pthread_mutex_lock(&machine->lock);
		vcpu = machine->vcpus[i];
		machine->vcpus[i] = NULL;
		pthread_mutex_unlock(&machine->lock);
		vcpu_close(vcpu);
	}

	bus_free(&machine->bus);
	if (machine->vm.fd >= 0)
		vm_close(&machine->vm);
	pthread_mutex_destroy(&machine->lock);
	free(machine->cpuid);
	free(machine);
	return NULL;
}

int machine_run(struct machine *machine)
{
	int r = 0;

	if (machine_has_exited(machine))
		return -ESHUTDOWN;
	if (machine->running)
		return -EBUSY;

	machine->started = true;
	machine->running = true;
	resume_devices(machine);
	pthread_mutex_lock(&machine->lock);
	for (uint32_t i = 0; r == 0 && i < machine->shape.vcpus; i++)
		r = vcpu_run(machine->vcpus[i]);
	pthread_mutex_unlock(&machine->lock);

	if (r < 0)
		machine_pause(machine);
	return r;
}

int machine_resume(struct machine *machine)
{
	if (!machine->running && !machine_has_exited(machine)) {
		/* Where this fails, the guest's clock is all that suffers. */
		(void)vm_forget_missed_ticks(&machine->vm);
		for (uint32_t i = 0; i < machine->shape.vcpus; i++)
			vcpu_tell_of_pause(machine->vcpus[i]);
	}

	return machine_run(machine);
}

void machine_pause(struct machine *machine)
{
	for (uint32_t i = 0; i < machine->shape.vcpus; i++) {
		if (machine->vcpus[i])
			vcpu_request_pause(machine->vcpus[i]);
	}
	/* Before the vCPUs are waited for: one may wait itself, in an access, for a device to finish its request. */
	hold_devices(machine);
	for (uint32_t i = 0; i < machine->shape.vcpus; i++) {
		if (machine->vcpus[i])
			vcpu_pause(machine->vcpus[i]);
	}

	drain_devices(machine);
	machine->running = false;
}

bool machine_has_exited(struct machine *machine)
{
	bool exited;

	pthread_mutex_lock(&machine->lock);
	exited = machine->exited;
	pthread_mutex_unlock(&machine->lock);

	return exited;
}
