/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A bounded window on the stream of all that a guest has sent: readers address it by absolute position. Not
 * thread-safe.
 */
#ifndef EMBER_DEVICES_OUTPUT_STREAM_H
#define EMBER_DEVICES_OUTPUT_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "devices/serial.h"

struct output_stream {
	enum serial_overflow overflow;
	bool announced;                    /* readers know that there is more than they have seen */
	uint64_t start;                    /* position of the oldest byte kept */
	uint64_t end;                      /* position after the newest; end - start is at most SERIAL_OUTPUT_SIZE */
	uint64_t dropped;                  /* bytes that no reader can have any more */
	uint8_t bytes[SERIAL_OUTPUT_SIZE]; /* the byte at position p is bytes[p % SERIAL_OUTPUT_SIZE] */
};

/* Forget all: positions begin at 0 again. The policy stays. */
void output_stream_clear(struct output_stream *stream);

/*
 * Append a byte, or drop one, as the policy says. Returns whether readers are to be told: see
 * serial_options.output_ready.
 */
bool output_stream_put(struct output_stream *stream, uint8_t byte);

/* As serial_read_output(). */
size_t output_stream_read(struct output_stream *stream, uint64_t offset, uint8_t *ret_data, size_t size,
			  uint64_t *ret_offset, uint64_t *ret_dropped);

#endif
