/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Records of devices: what vm.boot was asked for, completed by what was chosen; and what a snapshot remembers of it.
 *
 * The catalog keeps for a snapshot
 *
 *	{"parameters": {"drives": [...], "net": [...], ...}, "images": [{"size": ..., "changed_ns": ...}, ...]}
 *
 * "parameters" as vm.boot takes them, checked by the same tables when they are read; "images" what each drive's image was
 * when the VM stood still. The daemon writes it, and a worker never sees it: a worker that was taken over must not
 * be able to name files that a later restore opens.
 */
#ifndef EMBER_SERVER_DEVICES_RECORD_H
#define EMBER_SERVER_DEVICES_RECORD_H

#include <jansson.h>

#include "devices/machine.h"
#include "kvm/error_detail.h"
#include "proto/status.h"

#define RECORD_IMAGE_SIZE    "size"
#define RECORD_IMAGE_CHANGED "changed_ns"

/*
 * The record for vm.boot.
 *
 * params      validated
 * ret_record  a new reference
 *
 * Returns 0, or an errno with the error set.
 */
int record_for_boot(const json_t *params, json_t **ret_record, struct rpc_error *error);

/*
 * The record for vm.restore: what the snapshot remembers, with what the request says instead.
 *
 * memory      of the snapshot; NULL: it was not made by this daemon, or its devices are not known for another reason
 * shape       of the snapshot
 * has_base    bit n: the snapshot has kept an overlay of drive n
 * ret_record  a new reference
 * ret_images  what the images are to be, a new reference; NULL: nothing is known
 *
 * Returns 0; or an errno with the error set: something is missing, or does not go with the snapshot.
 */
int record_for_restore(const json_t *memory, const struct machine_shape *shape, unsigned int has_base,
		       const json_t *params, json_t **ret_record, json_t **ret_images, struct rpc_error *error);

/* What a snapshot remembers, a new reference. NULL: out of memory. */
json_t *record_memory(const json_t *record, json_t *images);

/* Is it something that a snapshot can remember? Returns 0, or -EINVAL with what is wrong in detail. */
int record_check(const json_t *memory, struct error_detail *detail);

#endif
