/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A request to a disk (virtio 1.2, section 5.2.6): read from a chain, carried out, and answered with a status.
 */
#ifndef EMBER_DEVICES_VIRTIO_BLK_REQUEST_H
#define EMBER_DEVICES_VIRTIO_BLK_REQUEST_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "devices/virtio/blk/disk.h"
#include "devices/virtio/virtqueue.h"

#define BLK_ID_BYTES             20       /* of the answer to GET_ID; section 5.2.6 */
#define BLK_DISCARD_SECTORS_MAX  0x400000 /* of one segment: 2 GiB */
#define BLK_DISCARD_SEGMENTS_MAX 32
#define BLK_ZEROES_SECTORS_MAX   0x10000 /* 32 MiB, which may have to be written */
#define BLK_ZEROES_SEGMENTS_MAX  1

/* What a request is carried out on. */
struct blk_target {
	struct disk *disk;
	char id[BLK_ID_BYTES];      /* padded with NUL */
	bool write_through;         /* the driver does not flush: what is written is flushed at once */
	const atomic_uint *cancels; /* not zero: nobody waits for the request any more; may be NULL */
	const atomic_bool *held;    /* true: one that takes long is to be done another time; may be NULL */
};

struct blk_result {
	uint32_t written;  /* bytes from the start of the writable part, for the used ring */
	uint64_t cost;     /* bytes of the disk that were moved, for the rate limit */
	const char *fault; /* static text: why the chain is no request */
};

/*
 * Carry out the request of a chain and write its status. One that can be answered is answered, whatever is wrong with
 * it.
 *
 * queue  whose memory the chain lies in
 *
 * Returns 0; -ECANCELED (given up: nothing more is written to the guest's memory); -EAGAIN (the same, and the request is
 * to be carried out once more, from its start: a part of it was, and it has no status); or -EBADMSG with the fault (there
 * is no header, or no place for a status: the device needs a reset).
 */
int blk_request_execute(const struct blk_target *target, const struct virtqueue *queue,
			const struct virtqueue_chain *chain, struct blk_result *ret_result);

#endif
