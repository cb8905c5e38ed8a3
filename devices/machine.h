/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A machine: a VM shell, its vCPUs, its memory and the devices on its buses, wired together. What a worker runs.
 *
 * machine_create() does everything that does not depend on what will run; the result is a warm shell. A boot or a
 * restore then lays memory, sets state, and calls machine_run().
 */
#ifndef EMBER_DEVICES_MACHINE_H
#define EMBER_DEVICES_MACHINE_H

#include <stdbool.h>
#include <stdint.h>

#include "devices/bus.h"
#include "devices/serial.h"
#include "devices/signal_port.h"
#include "kvm/cpuid.h"
#include "kvm/entry.h"
#include "kvm/error_detail.h"
#include "kvm/host.h"
#include "kvm/vcpu.h"
#include "kvm/vm.h"

#define MACHINE_VCPUS_MAX 8

/* What a warm machine must match to take a snapshot: the part of a VM that is built before a request is known. */
struct machine_shape {
	uint32_t vcpus; /* 1 .. MACHINE_VCPUS_MAX */
	enum cpu_template cpu_template;
	uint64_t memory_size; /* bytes; whole MiB */
};

/* 0, or -EINVAL with the field in detail. */
int machine_shape_check(const struct machine_shape *shape, struct error_detail *detail);

/* Why the machine ended by itself. */
enum machine_exit {
	MACHINE_EXIT_RESET = 0,      /* the guest pulsed the reset line */
	MACHINE_EXIT_SHUTDOWN,       /* triple fault */
	MACHINE_EXIT_SYSTEM_EVENT,   /* KVM_EXIT_SYSTEM_EVENT */
	MACHINE_EXIT_INTERNAL_ERROR, /* KVM could not go on; see code and rip */
	MACHINE_EXIT_MEMORY_FAULT,   /* no memory behind an address: the snapshot's file was cut short */
};

/* "reset", "shutdown", "system_event", "internal_error", "memory_fault", or NULL. */
const char *machine_exit_name(enum machine_exit reason);

struct machine_exit_info {
	enum machine_exit reason;
	uint32_t vcpu;
	struct vcpu_stop_info stop;
};

/* Called on vCPU threads. */
struct machine_callbacks {
	void *opaque;
	void (*signalled)(void *opaque, uint8_t number, const struct signal_record *record);
	void (*output_ready)(void *opaque);
	/* Once, when the first vCPU ends the machine; the others are asked to pause. */
	void (*exited)(void *opaque, const struct machine_exit_info *info);
};

/* Nanoseconds of CLOCK_MONOTONIC for each step of machine_create(); vCPU steps are sums. */
struct machine_create_times {
	struct vm_create_times vm;
	struct vcpu_create_times vcpus;
};

struct machine {
	struct machine_shape shape;
	struct vm vm;
	struct vcpu *vcpus[MACHINE_VCPUS_MAX];
	struct bus bus;
	struct serial *serial;
	struct signal_port *signal_port;
	struct machine_callbacks callbacks;
	struct cpuid_table *cpuid; /* of each vCPU, shape.vcpus tables */
	bool exited;               /* set once, atomically */
	bool running;
};

/*
 * Build a machine: VM, irqchip, PIT, memory reserved and registered, devices, vCPUs with CPUID, primed and parked.
 *
 * Returns 0 or -errno of the step that detail names. The caller ends it with machine_free().
 */
int machine_create(const struct kvm_host *host, const struct machine_shape *shape,
		   const struct machine_callbacks *callbacks, struct machine **ret_machine,
		   struct machine_create_times *ret_times, struct error_detail *detail);

/*
 * Load a flat image into fresh memory and set the boot vCPU to its entry mode.
 *
 * image       open for reading; a regular file or memfd of 1 byte up to what fits in memory above the entry's load address
 *
 * Returns 0, -EINVAL / -EFBIG (detail says what about the image), or -errno.
 */
int machine_boot_image(struct machine *machine, int image, enum entry_mode mode, struct error_detail *detail);

/* Let all vCPUs run. -EBUSY if they do, -ESHUTDOWN if the machine has exited. */
int machine_run(struct machine *machine);

/* Stop all vCPUs at instruction boundaries, together; returns when all are parked. Not from a vCPU's thread. */
void machine_pause(struct machine *machine);

/* Close vCPUs, VM and devices. Takes NULL; returns NULL. Slow (10 to 20 ms). */
struct machine *machine_free(struct machine *machine);

#endif
