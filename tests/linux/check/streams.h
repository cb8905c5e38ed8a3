/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Streams that a guest echoes.
 */
#ifndef EMBER_TESTS_LINUX_CHECK_STREAMS_H
#define EMBER_TESTS_LINUX_CHECK_STREAMS_H

#include <stddef.h>
#include <stdint.h>

#include "agent.h"

/*
 * Open so many streams to the agent at once, send each so many bytes, and hold every byte that comes back against what
 * was sent. A byte that is lost, changed, doubled or in another's place fails.
 *
 * half_way  called once, while all streams are open and half of all bytes have come back; NULL: nothing
 */
void streams_echo(const struct agent *agent, unsigned int count, uint64_t bytes, void (*half_way)(void *opaque),
		  void *opaque);

#endif
