/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lines out of a byte stream, however it was cut on the way.
 *
 * A line ends in LF; a CR before it is dropped; empty lines are skipped. A line longer than the cap is reported once,
 * as soon as it is known to be too long, and the reader then discards up to the next LF: the line after it is read as
 * usual. The reader holds at most one unfinished line, so its memory is bounded by the cap whatever a peer sends. It
 * takes bytes from the caller's buffer only as far as the line that it returns: a caller under back-pressure simply
 * stops asking.
 */
#ifndef EMBER_PROTO_LINE_READER_H
#define EMBER_PROTO_LINE_READER_H

#include <stddef.h>

struct line_reader;

enum line_reader_event {
	LINE_READER_MORE = 0,     /* all input is consumed: feed more */
	LINE_READER_LINE = 1,     /* *ret_line is a line */
	LINE_READER_TOO_LONG = 2, /* a line passed the cap; its rest will be discarded */
};

/*
 * Make a reader.
 *
 * max_line    bytes, at least 1: the longest line that is accepted, its line end not counted
 * ret_reader  the caller ends it with line_reader_free()
 *
 * Returns 0, -EINVAL or -ENOMEM. Memory for lines is taken as they grow.
 */
int line_reader_new(size_t max_line, struct line_reader **ret_reader);

/*
 * Go on to the next line.
 *
 * input, length  the bytes that arrived; both are moved past what was consumed (all of it with LINE_READER_MORE)
 * ret_line       with LINE_READER_LINE: the line, without its end and NOT terminated by a NUL (a line may contain NUL
 *                bytes). It points into the input or into the reader and is valid until the next call on the reader,
 *                as long as the input is
 * ret_length     its length in bytes, 1 to max_line
 *
 * Returns an event, or -ENOMEM: nothing of the input was lost, the call can be made again.
 */
int line_reader_next(struct line_reader *reader, const char **input, size_t *length, const char **ret_line,
		     size_t *ret_length);

/*
 * The stream has ended: give what stands after the last LF as a line, if anything does.
 *
 * Returns LINE_READER_LINE or LINE_READER_MORE (there is nothing). The line is valid until the next call.
 */
int line_reader_finish(struct line_reader *reader, const char **ret_line, size_t *ret_length);

/* Bytes of the unfinished line that the reader holds. */
size_t line_reader_pending(const struct line_reader *reader);

/* Takes NULL. Returns NULL. */
struct line_reader *line_reader_free(struct line_reader *reader);

#endif
