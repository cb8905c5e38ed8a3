/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What travels between the daemon and a helper: packets of a SOCK_SEQPACKET pair.
 *
 *	daemon -> helper   PACKET_JOB      a kind, its input as JSON, descriptors
 *	                   PACKET_GO       after each job: the daemon has closed its own copies of the descriptors, so that
 *	                                   the helper's are the last
 *	helper -> daemon   PACKET_ANSWER   a number, output as JSON, descriptors
 *	                   PACKET_IDLE     what the job brought has been closed: ready for the next
 */
#ifndef EMBER_SERVER_JOBS_PACKET_H
#define EMBER_SERVER_JOBS_PACKET_H

#include <stdint.h>

#include "server/jobs/kinds.h"

enum packet_type {
	PACKET_JOB = 1,
	PACKET_GO,
	PACKET_ANSWER,
	PACKET_IDLE,
};

struct packet_header {
	uint32_t magic;
	uint16_t type; /* enum packet_type */
	uint16_t kind; /* enum job_kind */
	int32_t result;
	uint32_t file_count;
	uint32_t text_size;
	uint32_t reserved;
};
_Static_assert(sizeof(struct packet_header) == 24, "the same on both sides");

struct packet {
	struct packet_header header;
	char text[JOB_TEXT_MAX];
	int files[JOB_FILES_MAX];
};

/*
 * Send a packet; files stay the caller's.
 *
 * flags  MSG_DONTWAIT or 0
 *
 * Returns 0 or -errno of sendmsg(2).
 */
int packet_send(int channel, const struct packet_header *header, const char *text, const int *files, int flags);

/*
 * Receive a packet: form, sizes and the number of descriptors are checked, descriptors are close-on-exec and the caller's.
 *
 * Returns 0; -EPIPE (the other end is gone); -EBADMSG (what came is closed); or -errno of recvmsg(2).
 */
int packet_receive(int channel, struct packet *ret_packet, int flags);

#endif
