/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A channel: one end of a SOCK_SEQPACKET pair on which messages (pool/message.h) travel, with file descriptors.
 */
#ifndef EMBER_POOL_CHANNEL_H
#define EMBER_POOL_CHANNEL_H

#include <stdbool.h>
#include <stdint.h>

#include "kvm/error_detail.h"
#include "pool/message.h"

/* Make a pair of connected ends, both close-on-exec; the caller owns both. Returns 0 or -errno. */
int channel_pair(int ret_ends[2]);

/*
 * Send one message.
 *
 * request  repeated by the answer
 * payload  of the size that message_table gives for the type; NULL where that is 0
 * fds      as many as message_table gives for the type; they stay the caller's
 * wait     block until there is room (a worker), else return -EAGAIN (the supervisor)
 *
 * Returns 0 or -errno of sendmsg(2): -EPIPE where the other end is gone, never a signal.
 */
int channel_send(int channel, enum message_type type, uint64_t request, const void *payload, const int *fds, bool wait);

/*
 * Receive one message: header, size and number of descriptors checked against the table, texts terminated and printable ASCII.
 *
 * ret_message  on success the caller owns the descriptors in it: message_close_fds(), or message_steal_fd() for each it keeps
 * wait         block until there is one, else return -EAGAIN
 *
 * Returns 0; -EAGAIN; -EPIPE (the other end is gone); -EBADMSG with what is wrong in detail (every descriptor that came is closed); or -errno.
 */
int channel_receive(int channel, struct message *ret_message, bool wait, struct error_detail *detail);

/* Take a descriptor out of a message: the caller owns it. */
int message_steal_fd(struct message *message, uint32_t index);
void message_close_fds(struct message *message);

#endif
