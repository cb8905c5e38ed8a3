/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The console's output: a ring of which both ends are counted from the start of the stream and never wrap (a guest
 * that sends a byte a nanosecond needs 584 years to wrap 64 bits).
 *
 * A guest can write without end and nobody has to read. So the ring never grows, and readers are told of new output
 * only when they had seen all of the old: a guest in a tight loop causes one call, not one a byte.
 */
#include "devices/output_stream.h"

#include <string.h>

void output_stream_clear(struct output_stream *stream)
{
	stream->announced = false;
	stream->start = 0;
	stream->end = 0;
	stream->dropped = 0;
}

bool output_stream_put(struct output_stream *stream, uint8_t byte)
{
	bool announce = !stream->announced;

	if (stream->end - stream->start == SERIAL_OUTPUT_SIZE) {
		stream->dropped++;
		if (stream->overflow == SERIAL_DROP_NEWEST)
			return false;
		stream->start++;
	}

	stream->bytes[stream->end % SERIAL_OUTPUT_SIZE] = byte;
	stream->end++;
	stream->announced = true;
	return announce;
}

size_t output_stream_read(struct output_stream *stream, uint64_t offset, uint8_t *ret_data, size_t size,
			  uint64_t *ret_offset, uint64_t *ret_dropped)
{
	size_t available;
	size_t place;
	size_t before_wrap;

	if (offset < stream->start)
		offset = stream->start;
	if (offset > stream->end)
		offset = stream->end;

	available = (size_t)(stream->end - offset);
	if (size > available)
		size = available;

	place = (size_t)(offset % SERIAL_OUTPUT_SIZE);
	before_wrap = SERIAL_OUTPUT_SIZE - place;
	if (before_wrap > size)
		before_wrap = size;
	if (size > 0) {
		memcpy(ret_data, stream->bytes + place, before_wrap);
		memcpy(ret_data + before_wrap, stream->bytes, size - before_wrap);
	}

	if (size == available)
		stream->announced = false;

	*ret_offset = offset;
	*ret_dropped = stream->dropped;
	return size;
}
