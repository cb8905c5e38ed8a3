/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The VM generation ID: 16 random bytes in guest memory that are others after each restore, by which a guest knows that
 * it is not the one that it was, and must draw new randomness. Microsoft, "Virtual Machine Generation ID".
 */
#ifndef EMBER_DEVICES_GENERATION_ID_H
#define EMBER_DEVICES_GENERATION_ID_H

#include "devices/device.h"
#include "kvm/memory.h"

#define GENERATION_ID_SIZE  16 /* bytes */
#define GENERATION_ID_ALIGN 8
#define GENERATION_ID_GSI   23 /* an edge of this line: the ID has changed */

struct generation_id; /* begins with a struct device */

extern const struct device_ops generation_id_ops;

/*
 * Make the device, of a guest that has no ID. It answers at no address: no region to register.
 *
 * memory   of the VM; outlives the device
 * changed  moved up and down when a restored guest begins to run
 *
 * Returns 0 or -ENOMEM. The caller (a bus) ends it through its ops.
 */
int generation_id_new(struct guest_memory *memory, const struct irq_line *changed, struct generation_id **ret_device);
struct device *generation_id_device(struct generation_id *generation);

/*
 * Give a guest that boots its first ID, at an address that its ACPI tables name. Memory has been laid.
 *
 * gpa  a multiple of GENERATION_ID_ALIGN; GENERATION_ID_SIZE bytes of guest memory that nothing else uses
 *
 * Returns 0, -EINVAL (the address, in detail), or -errno from getrandom(2).
 */
int generation_id_place(struct generation_id *generation, uint64_t gpa, struct error_detail *detail);

/* The ID that the guest has now; zeros where it has none. Any thread. */
void generation_id_get(struct generation_id *generation, uint8_t ret_id[GENERATION_ID_SIZE]);

#endif
