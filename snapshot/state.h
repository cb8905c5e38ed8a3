/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Everything about a VM but its memory, as one flat structure.
 *
 * No pointers and fixed sizes: the loader fills one in a sealed memory file, and workers map that file read-only and
 * inject from it, so that a restore parses nothing. Whoever maps one that another process wrote calls vm_state_check()
 * first.
 */
#ifndef EMBER_SNAPSHOT_STATE_H
#define EMBER_SNAPSHOT_STATE_H

#include <stdint.h>

#include "devices/machine.h"
#include "kvm/error_detail.h"
#include "kvm/vcpu_state.h"

#define VM_STATE_MAGIC       UINT64_C(0x5453524552424d45) /* "EMBRERST", little-endian */
#define VM_STATE_VERSION     1
#define SNAPSHOT_FORMAT      1
#define VM_STATE_DEVICES_MAX BUS_DEVICES_MAX

struct device_record {
	char name[DEVICE_NAME_MAX]; /* terminated */
	uint32_t instance;
	uint32_t size; /* bytes of data in use */
	uint8_t data[DEVICE_STATE_MAX];
};

struct vm_state {
	uint64_t magic;
	uint32_t version;
	uint32_t vcpu_count;
	uint64_t memory_size;  /* bytes */
	uint32_t cpu_template; /* enum cpu_template */
	uint32_t device_count;
	uint32_t no_pit_reinject; /* 0 or 1 */
	uint32_t padding;
	uint64_t created_unix_ns; /* when the snapshot was taken, host's CLOCK_REALTIME */
	struct kvm_clock_data clock;
	struct irqchip_state irqchip;
	struct device_record devices[VM_STATE_DEVICES_MAX];
	struct vcpu_state vcpus[MACHINE_VCPUS_MAX];
};

/*
 * Check all that an injection relies on: magic, version, counts within their arrays, memory size, template, xsave and
 * MSR and CPUID counts, device names terminated and known with their size and fields in bounds.
 *
 * Returns 0, or -EINVAL with the member in detail.
 */
int vm_state_check(const struct vm_state *state, struct error_detail *detail);

/* The shape that a machine must have to take this state. */
void vm_state_shape(const struct vm_state *state, struct machine_shape *ret_shape);

#endif
