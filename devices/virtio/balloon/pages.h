/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A balloon's requests that name pages: into the balloon, out of it, free.
 */
#ifndef EMBER_DEVICES_VIRTIO_BALLOON_PAGES_H
#define EMBER_DEVICES_VIRTIO_BALLOON_PAGES_H

#include <stdint.h>

#include "devices/virtio/io_thread.h"
#include "devices/virtio/virtqueue.h"

#define BALLOON_REQUEST_PAGES 16384 /* most page numbers in one request; drivers send a page of them, 1024, or fewer */

struct balloon_result {
	uint64_t dropped;  /* bytes whose memory went back to the host */
	const char *fault; /* static text, with -EBADMSG */
};

/*
 * Carry out a request, without locks. The chain is the driver's as it was taken; where a page is at fault, those that it
 * named before are dropped already.
 *
 * thread  whose owner may cancel it: looked at every few pages
 *
 * Return 0 (give the chain back with nothing written), -EBADMSG with the fault (the device needs a reset), or -ECANCELED.
 */
typedef int balloon_request(const struct virtqueue *queue, const struct virtqueue_chain *chain,
			    const struct io_thread *thread, struct balloon_result *ret_result);

balloon_request balloon_inflate; /* section 5.5.6, step 2 */
balloon_request balloon_deflate; /* step 3: nothing but a check */
balloon_request balloon_report;  /* section 5.5.6.7 */

#endif
